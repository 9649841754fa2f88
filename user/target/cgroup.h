/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups: where a process is, and which groups were asked for.
 *
 * A group is known by its hierarchy and its path there. Hierarchy 0 is cgroup v2; the
 * others are those of v1, numbered as in /proc/PID/cgroup. The kernel's id of a group is
 * unique within its hierarchy only.
 */
#ifndef VIZ_CGROUP_H
#define VIZ_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	VIZ_CGROUP_PATH_MAX = 1024, /* a longer path is not looked at */
	VIZ_CGROUP_TEXT_MAX = 16384, /* bytes of /proc/PID/cgroup */
};

struct viz_cgroup {
	uint64_t id; /* kernfs id: inode number of its directory */
	uint32_t hierarchy;
	char path[VIZ_CGROUP_PATH_MAX]; /* as in /proc/PID/cgroup */
};

/* A growing list; the array is owned by it. Zero it to begin. */
struct viz_cgroups {
	struct viz_cgroup *list;
	size_t nr;
};

void viz_cgroups__free(struct viz_cgroups *groups);

/*
 * Walks the text of /proc/PID/cgroup: takes one line at *@cursor, which moves on. Malformed
 * and too long lines are passed over. False: no more.
 */
bool viz_cgroup__next(const char **cursor, uint32_t *hierarchy, char path[VIZ_CGROUP_PATH_MAX]);

/* The path of process @pid that says most: that of v2, or the longest of v1 where v2 has it at
 * the root. 0 or a negative errno. */
int viz_cgroup__of(pid_t pid, char path[VIZ_CGROUP_PATH_MAX]);

/* Whether @path is the group @ancestor or lies below it. */
bool viz_cgroup__below(const char *ancestor, const char *path);

/*
 * Adds the groups that @spec means: a directory of a mounted hierarchy, or a path as in
 * /proc/PID/cgroup (in v2, else in each hierarchy of v1 that has it). 0, or a negative errno
 * and a line in @why.
 */
int viz_cgroups__add(struct viz_cgroups *groups, const char *spec, char *why, size_t why_size);

/* Adds the group @path in every mounted hierarchy that has it. -ENOENT: none has. */
int viz_cgroups__add_path(struct viz_cgroups *groups, const char *path);

/* 1: process @pid is in one of the groups or below; 0: it is not; negative errno: unknown. */
int viz_cgroups__has(const struct viz_cgroups *groups, pid_t pid);

#endif
