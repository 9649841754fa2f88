// SPDX-License-Identifier: Apache-2.0
#include "create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"

/* Who the file is for: the user behind sudo, else whoever runs this. */
struct owner {
	uid_t uid;
	gid_t gid;
	mode_t mode;
	bool change;
};

static bool parse_id(const char *text, unsigned int *id)
{
	unsigned long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value >= UINT32_MAX)
		return false;
	*id = (unsigned int)value;
	return true;
}

/*
 * A trace shows paths and arguments of other people's programs. What root makes is for root
 * alone; what is made by sudo belongs to the one who asked, with the mode that the file of
 * that user would get.
 */
static struct owner owner__find(void)
{
	struct owner owner = {.mode = 0600};
	unsigned int uid, gid;
	mode_t mask = umask(077);

	umask(mask);
	if (geteuid() != 0) {
		owner.mode = 0666 & ~mask;
	} else if (parse_id(getenv("SUDO_UID"), &uid) && uid != 0 &&
		   parse_id(getenv("SUDO_GID"), &gid)) {
		owner.uid = uid;
		owner.gid = gid;
		owner.mode = 0644 & ~mask;
		owner.change = true;
	}
	return owner;
}

/* "/dev/stdout" and "/dev/fd/3" are links, but to what the shell has opened for us. */
static int inherited_fd(const char *path)
{
	static const char *const prefixes[] = {"/dev/fd/", "/proc/self/fd/"};
	unsigned int fd;
	size_t i;

	if (!strcmp(path, "-") || !strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (i = 0; i < 2; i++) {
		size_t len = strlen(prefixes[i]);

		if (!strncmp(path, prefixes[i], len) && parse_id(path + len, &fd) && fd < 65536)
			return (int)fd;
	}
	return -1;
}

static const char *kind_of(mode_t mode)
{
	return S_ISLNK(mode)	? "a symbolic link, which is not followed"
	       : S_ISDIR(mode)	? "a directory"
	       : S_ISBLK(mode)	? "a block device"
	       : S_ISSOCK(mode) ? "a socket"
				: "not a regular file";
}

static int open_dir(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int fd, err;

	*name = slash ? slash + 1 : path;
	dir = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, slash - path);
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = errno;
	free(dir);
	return fd < 0 ? -err : fd;
}

/*
 * Where others may write, what stands under the name may be a trap: a pipe whose other end is
 * theirs, or in a directory like /tmp their file, which only root could replace. The kernel knows
 * such rules (fs.protected_fifos, fs.protected_regular), but for files that are opened with
 * O_CREAT, and not everywhere.
 */
static bool is_strangers(int dir, const struct stat *st)
{
	struct owner owner = owner__find();
	struct stat d;

	if (fstat(dir, &d) || !(d.st_mode & 022) ||
	    (S_ISREG(st->st_mode) && !(d.st_mode & S_ISVTX)))
		return false;
	return st->st_uid && st->st_uid != geteuid() && st->st_uid != d.st_uid &&
	       !(owner.change && st->st_uid == owner.uid);
}

/* A device or pipe that the user named: opened only if it is still one then. */
static int open_stream(struct viz_place *place, const char *name)
{
	struct stat st;
	int err;

	place->fd = openat(place->dir, name, O_WRONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	if (place->fd < 0)
		return -errno;
	if (fstat(place->fd, &st) < 0)
		err = -errno;
	else
		err = (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) &&
				      !is_strangers(place->dir, &st)
			      ? 0
			      : -EEXIST;
	if (err)
		return err;
	place->stream = true;
	return 0;
}

static int open_temp(struct viz_place *place, const char *name)
{
	struct owner owner = owner__find();
	uint32_t salt;
	int i, err;

	place->name = strdup(name);
	if (!place->name)
		return -ENOMEM;
	for (i = 0; i < 16; i++) {
		if (getrandom(&salt, sizeof(salt), GRND_NONBLOCK) != sizeof(salt))
			salt = (uint32_t)getpid() + (uint32_t)i;
		/* 200: the name may be as long as the file system allows */
		if (asprintf(&place->temp, "%.200s.%08x.part", name, salt) < 0) {
			place->temp = NULL;
			return -ENOMEM;
		}
		place->fd = openat(place->dir, place->temp,
				   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (place->fd >= 0)
			break;
		err = errno;
		free(place->temp);
		place->temp = NULL;
		if (err != EEXIST)
			return -err;
	}
	if (place->fd < 0)
		return -EEXIST;
	if (owner.change && fchown(place->fd, owner.uid, owner.gid) < 0)
		return -errno;
	if (fchmod(place->fd, owner.mode) < 0)
		return -errno;
	return 0;
}

int viz_place__open(struct viz_place *place, const char *path, char *why, size_t why_size)
{
	const char *name;
	struct stat st;
	int err, fd = inherited_fd(path);

	*place = (struct viz_place){.dir = -1, .fd = -1};
	if (fd >= 0) {
		place->stream = true;
		place->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (place->fd < 0)
			return viz_why(why, why_size, -errno, "cannot write %s: %s", path,
				       strerror(errno));
		return 0;
	}
	place->dir = open_dir(path, &name);
	if (place->dir < 0) {
		err = place->dir;
		place->dir = -1;
		return viz_why(why, why_size, err, "cannot write %s: its directory: %s", path,
			       strerror(-err));
	}
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) {
		err = viz_why(why, why_size, -EISDIR, "cannot write %s: it is a directory", path);
	} else if (fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		err = errno == ENOENT ? open_temp(place, name) : -errno;
	} else if (is_strangers(place->dir, &st)) {
		err = viz_why(why, why_size, -EACCES,
			      "cannot write %s: it is somebody else's, in a directory that others "
			      "write to",
			      path);
		goto cleanup;
	} else if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		err = open_stream(place, name);
	} else if (S_ISREG(st.st_mode)) {
		err = open_temp(place, name);
	} else {
		err = viz_why(why, why_size, -EEXIST, "cannot write %s: it is %s", path,
			      kind_of(st.st_mode));
		goto cleanup;
	}
	if (err)
		viz_why(why, why_size, err, "cannot write %s: %s", path, strerror(-err));
cleanup:
	if (err)
		viz_place__close(place);
	return err;
}

/* An attacker who may write to the directory could have put another file under the
 * temporary name: then it is not ours to rename or to remove. */
static bool temp_is_ours(const struct viz_place *place)
{
	struct stat ours, named;

	return !fstat(place->fd, &ours) &&
	       !fstatat(place->dir, place->temp, &named, AT_SYMLINK_NOFOLLOW) &&
	       ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

int viz_place__commit(struct viz_place *place)
{
	if (place->stream || !place->temp)
		return 0;
	if (!temp_is_ours(place))
		return -ESTALE;
	if (renameat(place->dir, place->temp, place->dir, place->name) < 0)
		return -errno;
	free(place->temp);
	place->temp = NULL;
	return 0;
}

void viz_place__close(struct viz_place *place)
{
	if (place->temp && place->fd >= 0 && temp_is_ours(place))
		unlinkat(place->dir, place->temp, 0);
	if (place->fd >= 0)
		close(place->fd);
	if (place->dir >= 0)
		close(place->dir);
	free(place->temp);
	free(place->name);
	*place = (struct viz_place){.dir = -1, .fd = -1};
}
