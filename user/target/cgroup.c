// SPDX-License-Identifier: Apache-2.0
#include "cgroup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "procfs.h"

/* A mounted hierarchy: @root of it is seen at @dir. */
struct mount {
	uint32_t hierarchy;
	char root[512];
	char dir[512];
};

enum { MOUNTS_MAX = 64 };

struct mounts {
	struct mount list[MOUNTS_MAX];
	size_t nr;
};

void viz_cgroups__free(struct viz_cgroups *groups)
{
	free(groups->list);
	memset(groups, 0, sizeof(*groups));
}

bool viz_cgroup__next(const char **cursor, uint32_t *hierarchy, char path[VIZ_CGROUP_PATH_MAX])
{
	while (**cursor) {
		const char *line = *cursor, *end = strchrnul(line, '\n'), *text;
		unsigned long number;
		char *after;

		*cursor = end + (*end == '\n');
		if (!isdigit((unsigned char)*line))
			continue;
		number = strtoul(line, &after, 10);
		if (*after != ':' || number > UINT32_MAX)
			continue;
		text = memchr(after + 1, ':', (size_t)(end - after - 1));
		if (!text || text[1] != '/' || end - text > VIZ_CGROUP_PATH_MAX)
			continue;
		*hierarchy = (uint32_t)number;
		memcpy(path, text + 1, (size_t)(end - text - 1));
		path[end - text - 1] = '\0';
		return true;
	}
	return false;
}

int viz_cgroup__of(pid_t pid, char path[VIZ_CGROUP_PATH_MAX])
{
	char text[VIZ_CGROUP_TEXT_MAX], one[VIZ_CGROUP_PATH_MAX];
	const char *cursor = text;
	uint32_t hierarchy;
	ssize_t n = viz_procfs__read(pid, "cgroup", text, sizeof(text));

	path[0] = '\0';
	if (n < 0)
		return (int)n;
	while (viz_cgroup__next(&cursor, &hierarchy, one)) {
		bool better = strlen(one) > strlen(path);

		if (better || (!hierarchy && one[1]))
			strcpy(path, one);
		if (!hierarchy && one[1])
			break;
	}
	return 0;
}

bool viz_cgroup__below(const char *ancestor, const char *path)
{
	size_t len = strlen(ancestor);

	while (len && ancestor[len - 1] == '/')
		len--;
	return !strncmp(ancestor, path, len) && (!path[len] || path[len] == '/');
}

/* mountinfo writes blanks and backslashes as three octal digits. */
static bool copy_unescaped(char *to, size_t size, const char *from, size_t len)
{
	size_t used = 0, i;

	for (i = 0; i < len; i++) {
		char c = from[i];

		if (c == '\\' && i + 3 < len && isdigit((unsigned char)from[i + 1])) {
			c = (char)((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 +
				   (from[i + 3] - '0'));
			i += 3;
		}
		if (used + 1 >= size)
			return false;
		to[used++] = c;
	}
	to[used] = '\0';
	return true;
}

/* Whether every word of @wanted (comma separated, @len bytes) is among those of @options. */
static bool has_words(const char *options, const char *wanted, size_t len)
{
	const char *end = wanted + len;

	if (!len)
		return false;
	while (wanted < end) {
		size_t n = strcspn(wanted, ",:\n");
		const char *option = options;
		bool found = false;

		while (*option && *option != '\n') {
			size_t m = strcspn(option, ",\n");

			if (m == n && !strncmp(option, wanted, n)) {
				found = true;
				break;
			}
			option += m + (option[m] == ',');
		}
		if (!found)
			return false;
		wanted += n + 1;
	}
	return true;
}

/* The number of a v1 hierarchy, by the controllers its mount names. 0: unknown. */
static uint32_t hierarchy_of(const char *own, const char *options)
{
	while (own && *own) {
		const char *colon = strchr(own, ':'), *second;

		second = colon ? strchr(colon + 1, ':') : NULL;
		if (second && has_words(options, colon + 1, (size_t)(second - colon - 1)))
			return (uint32_t)strtoul(own, NULL, 10);
		own = strchr(own, '\n');
		own += own != NULL;
	}
	return 0;
}

/* 36 35 98:0 /root /dir rw,noatime master:1 - type source options */
static void add_mount(struct mounts *mounts, const char *line, const char *own)
{
	const char *root = line, *dir, *type;
	struct mount *m = &mounts->list[mounts->nr];
	bool v2, v1;
	int i;

	for (i = 0; i < 3; i++) {
		root += strcspn(root, " \n");
		if (*root != ' ')
			return;
		root++;
	}
	dir = root + strcspn(root, " \n");
	type = strstr(dir, " - ");
	if (*dir != ' ' || !type || memchr(dir, '\n', (size_t)(type - dir)))
		return;
	dir++;
	type += 3;
	v2 = !strncmp(type, "cgroup2 ", 8);
	v1 = !strncmp(type, "cgroup ", 7);
	if (!v1 && !v2)
		return;
	m->hierarchy = 0;
	if (v1) {
		type += 7;
		type += strcspn(type, " \n");
		m->hierarchy = *type == ' ' ? hierarchy_of(own, type + 1) : 0;
		if (!m->hierarchy)
			return;
	}
	if (copy_unescaped(m->root, sizeof(m->root), root, strcspn(root, " ")) &&
	    copy_unescaped(m->dir, sizeof(m->dir), dir, strcspn(dir, " ")))
		mounts->nr++;
}

static struct mounts *mounts__read(void)
{
	size_t room = 1 << 20;
	char *own = malloc(VIZ_CGROUP_TEXT_MAX), *text = malloc(room);
	struct mounts *mounts = calloc(1, sizeof(*mounts));
	const char *line = text;

	if (!own || !text || !mounts || viz_procfs__read(0, "mountinfo", text, room) < 0) {
		free(mounts);
		mounts = NULL;
		goto cleanup;
	}
	if (viz_procfs__read(0, "cgroup", own, VIZ_CGROUP_TEXT_MAX) < 0)
		own[0] = '\0';
	while (line && *line && mounts->nr < MOUNTS_MAX) {
		add_mount(mounts, line, own);
		line = strchr(line, '\n');
		line += line != NULL;
	}
cleanup:
	free(own);
	free(text);
	return mounts;
}

/* Adds the directory @dir (from @at on, as openat() has it), which is the group @path of
 * @hierarchy. */
static int add_directory(struct viz_cgroups *groups, uint32_t hierarchy, const char *path, int at,
			 const char *dir)
{
	struct viz_cgroup *group;
	struct stat st;
	size_t i;

	if (strlen(path) >= VIZ_CGROUP_PATH_MAX)
		return -ENAMETOOLONG;
	if (fstatat(at, dir, &st, 0))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	for (i = 0; i < groups->nr; i++)
		if (groups->list[i].hierarchy == hierarchy && groups->list[i].id == st.st_ino)
			return 0;
	group = reallocarray(groups->list, groups->nr + 1, sizeof(*group));
	if (!group)
		return -ENOMEM;
	groups->list = group;
	group += groups->nr++;
	group->id = st.st_ino;
	group->hierarchy = hierarchy;
	strcpy(group->path, path);
	return 0;
}

/* Where @path of the hierarchy is seen through the mount @m. */
static bool directory_of(const struct mount *m, const char *path, char *dir, size_t size)
{
	size_t len = strcmp(m->root, "/") ? strlen(m->root) : 0;

	if (!viz_cgroup__below(m->root, path))
		return false;
	return (size_t)snprintf(dir, size, "%s%s", m->dir, path + len) < size;
}

static int add_path(struct viz_cgroups *groups, const struct mounts *mounts, uint32_t hierarchy,
		    const char *path)
{
	char dir[PATH_MAX];
	size_t i;
	int err;

	for (i = 0; i < mounts->nr; i++) {
		if (mounts->list[i].hierarchy != hierarchy ||
		    !directory_of(&mounts->list[i], path, dir, sizeof(dir)))
			continue;
		err = add_directory(groups, hierarchy, path, AT_FDCWD, dir);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

/* In every mounted hierarchy, each of them once. */
static int add_everywhere(struct viz_cgroups *groups, const struct mounts *mounts, const char *path)
{
	int found = -ENOENT, err;
	size_t i, k;

	for (i = 0; i < mounts->nr; i++) {
		for (k = 0; k < i && mounts->list[k].hierarchy != mounts->list[i].hierarchy; k++)
			;
		if (k < i)
			continue;
		err = add_path(groups, mounts, mounts->list[i].hierarchy, path);
		if (!err || found == -ENOENT)
			found = err;
	}
	return found;
}

/*
 * In a container only the container's own part of a hierarchy is mounted. The whole of v2 can
 * be had as a mount that is attached nowhere and goes with its descriptor.
 */
static int add_unmounted(struct viz_cgroups *groups, const char *path)
{
	int fs = fsopen("cgroup2", FSOPEN_CLOEXEC), root = -1, err;
	char relative[VIZ_CGROUP_PATH_MAX + 2];

	if (fs < 0)
		return -ENOENT;
	if (!fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		root = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	close(fs);
	if (root < 0)
		return -ENOENT;
	snprintf(relative, sizeof(relative), ".%s", path);
	err = strstr(path, "/..") ? -ENOENT : add_directory(groups, 0, path, root, relative);
	close(root);
	return err;
}

int viz_cgroups__add_path(struct viz_cgroups *groups, const char *path)
{
	struct mounts *mounts = mounts__read();
	int err = mounts ? add_everywhere(groups, mounts, path) : -ENOMEM;

	if (err == -ENOENT && path[0] == '/')
		err = add_unmounted(groups, path);
	free(mounts);
	return err;
}

/* @dir: a directory without links and dots. */
static int add_mounted(struct viz_cgroups *groups, const struct mounts *mounts, const char *dir)
{
	char path[PATH_MAX];
	size_t i;

	for (i = 0; i < mounts->nr; i++) {
		const struct mount *m = &mounts->list[i];
		const char *root = strcmp(m->root, "/") ? m->root : "";

		if (!viz_cgroup__below(m->dir, dir))
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s%s", root, dir + strlen(m->dir)) >=
		    sizeof(path))
			return -ENAMETOOLONG;
		return add_directory(groups, m->hierarchy, path[0] ? path : "/", AT_FDCWD, dir);
	}
	return -ENOENT;
}

int viz_cgroups__add(struct viz_cgroups *groups, const char *spec, char *why, size_t why_size)
{
	struct mounts *mounts = mounts__read();
	char path[PATH_MAX], *dir = NULL;
	int err = -ENOMEM;
	size_t len;

	if (!mounts)
		goto cleanup;
	dir = realpath(spec, NULL);
	err = dir ? add_mounted(groups, mounts, dir) : -ENOENT;
	if (err != -ENOENT)
		goto cleanup;
	snprintf(path, sizeof(path), "%s%s", spec[0] == '/' ? "" : "/", spec);
	for (len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	/* a path that climbs would be taken for another one than the kernel shows */
	if (strstr(path, "/../") || (len > 2 && !strcmp(path + len - 3, "/..")))
		goto cleanup;
	err = add_path(groups, mounts, 0, path);
	if (err == -ENOENT)
		err = add_everywhere(groups, mounts, path);
cleanup:
	if (err)
		viz_why(why, why_size, err,
			err == -ENOENT ? "no control group %s is mounted here (give a directory "
					 "below /sys/fs/cgroup, or a path as in /proc/PID/cgroup)"
				       : "cannot use the control group %s: %s",
			spec, strerror(-err));
	free(mounts);
	free(dir);
	return err;
}

int viz_cgroups__has(const struct viz_cgroups *groups, pid_t pid)
{
	char text[VIZ_CGROUP_TEXT_MAX], path[VIZ_CGROUP_PATH_MAX];
	const char *cursor = text;
	uint32_t hierarchy;
	ssize_t n = viz_procfs__read(pid, "cgroup", text, sizeof(text));
	size_t i;

	if (n < 0)
		return (int)n;
	while (viz_cgroup__next(&cursor, &hierarchy, path))
		for (i = 0; i < groups->nr; i++)
			if (groups->list[i].hierarchy == hierarchy &&
			    viz_cgroup__below(groups->list[i].path, path))
				return 1;
	return 0;
}
