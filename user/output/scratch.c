// SPDX-License-Identifier: Apache-2.0
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Not every file system has O_TMPFILE: overlayfs before 6.1, for one. */
static int open_unlinked(const char *dir)
{
	char path[512] = "";
	size_t n = 0;
	int fd;

	while (n < sizeof(path) - 32 && dir[n]) {
		path[n] = dir[n];
		n++;
	}
	if (dir[n])
		return -ENAMETOOLONG;
	for (dir = "/vizbpf.XXXXXX"; *dir; dir++)
		path[n++] = *dir;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int viz_scratch__open(void)
{
	const char *dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
	int err = -ENOENT, fd;
	size_t i;

	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (!dirs[i] || dirs[i][0] != '/')
			continue;
		fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0)
			fd = open_unlinked(dirs[i]);
		if (fd >= 0)
			return fd;
		err = fd;
	}
	return err;
}
