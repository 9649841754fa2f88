// SPDX-License-Identifier: Apache-2.0
#include "trampoline_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Without asking the file system: a FUSE server could be the target, and not answer. */
static bool device_of(int fd, struct statx *stx)
{
	return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, stx);
}

/* Memfds are all on one file system of the kernel's own, which nobody mounts. Those of huge
 * pages are elsewhere; a page that is not to be had there is a SIGBUS. */
static bool is_memfd(int fd)
{
	static struct statx own;
	struct statx stx;

	if (!own.stx_mask) {
		int any = memfd_create("vizbpf-own", MFD_CLOEXEC);

		if (any < 0)
			return false;
		if (!device_of(any, &own))
			own.stx_mask = 0;
		close(any);
	}
	return own.stx_mask && device_of(fd, &stx) && S_ISREG(stx.stx_mode) &&
	       stx.stx_dev_major == own.stx_dev_major && stx.stx_dev_minor == own.stx_dev_minor;
}

/* Looked at only after this a size is one that stays. */
static bool keeps_its_size(int fd)
{
	int seals;

	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	seals = fcntl(fd, F_GET_SEALS);
	return seals >= 0 && seals & F_SEAL_SHRINK;
}

int viz_memfd__open(pid_t pid, uint64_t start, uint64_t end, uint64_t *size)
{
	char path[96];
	int place, fd = -1, err = -EPERM;
	struct stat st = {};

	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", pid, start, end);
	place = open(path, O_PATH | O_CLOEXEC);
	if (place < 0)
		return -errno;
	if (!is_memfd(place))
		goto cleanup;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err = -errno;
	else if (keeps_its_size(fd) && !fstat(fd, &st))
		err = 0;
cleanup:
	close(place);
	if (err) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	*size = (uint64_t)st.st_size;
	return fd;
}
