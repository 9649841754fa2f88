/* SPDX-License-Identifier: Apache-2.0 */
/* What is mapped into a process, from /proc/PID/maps. */
#ifndef VIZ_PROCESS_MAPS_H
#define VIZ_PROCESS_MAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct viz_map {
	uint64_t start, end;
	uint64_t offset; /* in the file, bytes */
	uint64_t inode; /* 0: no file */
	unsigned int dev_major, dev_minor;
	bool read, write, exec, shared;
	const char *path; /* "" when there is none; lives as long as the line */
};

/*
 * Parses one line, which is changed (the path loses its newline). Returns 0 or -EINVAL;
 * start < end holds afterwards, nothing else is promised.
 */
int viz_maps__parse(char *line, struct viz_map *map);

/*
 * Calls @each for every line that can be parsed, until it returns non-zero, which is
 * returned. Lines too long to be real are skipped. Returns 0 or a negative errno.
 */
int viz_maps__each(pid_t pid, int (*each)(const struct viz_map *map, void *ctx), void *ctx);

/* Opens what is mapped at @map, whatever its path says now; the fd or a negative errno. */
int viz_maps__open(pid_t pid, const struct viz_map *map);

#endif
