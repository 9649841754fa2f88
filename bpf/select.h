/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/* Which processes are wanted, as the BPF programs are told. */
#ifndef VIZ_SELECT_SHARED_H
#define VIZ_SELECT_SHARED_H

#include "records.h"

enum viz_selection_flag {
	VIZ_SELECT_ALL = 1, /* every process */
	VIZ_SELECT_CGROUPS = 2, /* those in or below a group of the map `wanted_cgroups` */
	VIZ_SELECT_USER = 4, /* of these only those with the effective user id `uid` */
	VIZ_SELECT_COMM = 8, /* of these only those with the name `comm` */
	VIZ_SELECT_EXCLUDE = 16, /* but those in the map `excluded` */
};

enum viz_select_limit {
	VIZ_SELECT_CGROUPS_MAX = 1024,
	VIZ_SELECT_EXCLUDED_MAX = 4096,
	VIZ_SELECT_DEPTH_MAX = 24, /* levels of nested groups that are looked at */
};

struct viz_selection {
	VIZ_U32 flags; /* enum viz_selection_flag; 0: no process by itself */
	VIZ_U32 uid;
	char comm[16];
};

/* Key of the map `wanted_cgroups`. A kernfs id is unique within one hierarchy only. */
struct viz_cgroup_key {
	VIZ_U64 id;
	VIZ_U32 hierarchy; /* as in /proc/PID/cgroup; 0: v2 */
	VIZ_U32 unused;
};

#endif
