// SPDX-License-Identifier: Apache-2.0
#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PLACES_MAX = 64, SOURCE_MAX = 4 << 20 };

struct place {
	int root;
	dev_t dev;
	ino_t ino, mnt_ns;
	uid_t uid;
	gid_t gid;
};

struct viz_sources {
	struct place places[PLACES_MAX];
	unsigned int nr;
};

struct viz_sources *viz_sources__new(void)
{
	return calloc(1, sizeof(struct viz_sources));
}

void viz_sources__free(struct viz_sources *sources)
{
	if (!sources)
		return;
	for (unsigned int i = 0; i < sources->nr; i++)
		close(sources->places[i].root);
	free(sources);
}

/* The user whose rights count, from the owner of the process's own directory in /proc. */
static int identify(pid_t pid, struct place *p)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	if (stat(path, &st))
		return -errno;
	p->mnt_ns = st.st_ino;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (stat(path, &st))
		return -errno;
	p->uid = st.st_uid;
	p->gid = st.st_gid;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	p->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->root < 0 || fstat(p->root, &st))
		return -errno;
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	return 0;
}

uint32_t viz_sources__place(struct viz_sources *sources, pid_t pid)
{
	struct place p = {.root = -1};
	unsigned int i;

	if (identify(pid, &p)) {
		if (p.root >= 0)
			close(p.root);
		return 0;
	}
	for (i = 0; i < sources->nr; i++) {
		const struct place *q = &sources->places[i];

		if (q->dev == p.dev && q->ino == p.ino && q->mnt_ns == p.mnt_ns &&
		    q->uid == p.uid && q->gid == p.gid)
			break;
	}
	if (i < sources->nr || i == PLACES_MAX)
		close(p.root);
	else
		sources->places[sources->nr++] = p;
	return i < PLACES_MAX ? i + 1 : 0;
}

/* Opens @path inside @p as its user would; links lead nowhere outside its root. */
static int open_as(const struct place *p, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	gid_t groups[64];
	uid_t old_uid;
	gid_t old_gid;
	int fd, nr;

	/* By the system call itself all of these change this thread alone. Without the right to
	 * change them nothing is gained: it is our own user. */
	nr = getgroups(64, groups);
	if (nr < 0)
		return -errno;
	syscall(SYS_setgroups, 0, NULL);
	old_gid = (gid_t)setfsgid(p->gid);
	old_uid = (uid_t)setfsuid(p->uid);
	fd = (int)syscall(SYS_openat2, p->root, path, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	setfsuid(old_uid);
	setfsgid(old_gid);
	syscall(SYS_setgroups, (size_t)nr, groups);
	return fd;
}

int viz_sources__read(void *ctx, uint32_t place, const char *path, char **text, size_t *size)
{
	struct viz_sources *sources = ctx;
	struct stat st;
	size_t n = 0;
	char *buf;
	int fd;

	if (path[0] != '/' || !place || place > sources->nr)
		return -ENOENT;
	fd = open_as(&sources->places[place - 1], path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > SOURCE_MAX) {
		close(fd);
		return -EINVAL;
	}
	buf = malloc((size_t)st.st_size);
	while (buf && n < (size_t)st.st_size) {
		ssize_t got = read(fd, buf + n, (size_t)st.st_size - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (!buf)
		return -ENOMEM;
	*text = buf;
	*size = n;
	return 0;
}
