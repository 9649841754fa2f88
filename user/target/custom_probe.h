/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a process has the probe vizbpf:event: in the Python extension, or in any library or
 * executable that was built with vizbpf.h.
 */
#ifndef VIZ_CUSTOM_PROBE_H
#define VIZ_CUSTOM_PROBE_H

#include <stdint.h>
#include <sys/types.h>

enum { VIZ_CUSTOM_SITES_MAX = 64 }; /* of one file; more are not attached */

struct viz_custom_site {
	dev_t dev;
	ino_t ino;
	int fd; /* the open file; the same one for all sites of a file */
	uint64_t offset; /* of the nop, in the file */
	uint64_t semaphore; /* of its counter, in the file */
};

/*
 * Looks at what is mapped executable in @pid: at the mapping around @addr alone, at all of
 * them when it is 0. Calls @each for every site, until it returns a positive number, which is returned;
 * the site's fd is closed when @each is done with the file's last site: dup() it to keep it.
 * Files are opened through /proc/PID/map_files. Returns 0 or a negative errno; a file that
 * cannot be read or is malformed is passed over.
 */
int viz_custom__find(pid_t pid, uint64_t addr,
		     int (*each)(const struct viz_custom_site *site, void *ctx), void *ctx);

#endif
