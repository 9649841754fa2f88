/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whether the current process is one that was asked for: all of them, or those of some
 * control groups, less what --user, --comm and --exclude-pid leave out. Not for the hot
 * path: it is asked at an exec, a move between groups, and the first sight of an interpreter.
 */
#ifndef VIZ_SELECT_BPF_H
#define VIZ_SELECT_BPF_H

#include "maps.bpf.h"
#include "select.h"

#ifdef VIZ_DEFINE_SELECT
#define VIZ_SELECT_MAP
#else
#define VIZ_SELECT_MAP extern
extern volatile struct viz_selection selection;
#endif

VIZ_SELECT_MAP struct viz_wanted_cgroups {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VIZ_SELECT_CGROUPS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct viz_cgroup_key);
	__type(value, __u8);
} wanted_cgroups SEC(".maps");

VIZ_SELECT_MAP struct viz_excluded {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VIZ_SELECT_EXCLUDED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u8);
} excluded SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cgroup_root___select {
	int hierarchy_id;
};

struct cgroup___select;

struct cgroup_subsys_state___select {
	struct cgroup___select *cgroup;
	struct cgroup_subsys_state___select *parent;
};

struct cgroup___select {
	struct cgroup_subsys_state___select self;
	struct kernfs_node *kn;
	struct cgroup_root___select *root;
	int level;
};

struct css_set___select {
	struct cgroup_subsys_state___select *subsys[16];
	struct cgroup___select *dfl_cgrp;
};

struct cred___select {
	struct {
		__u32 val;
	} euid;
};

struct task_struct___select {
	struct css_set___select *cgroups;
	const struct cred___select *cred;
	char comm[16];
};

#pragma clang attribute pop

/* Walks from @group to the root of its hierarchy. */
static __always_inline bool select_group(struct cgroup___select *group)
{
	struct viz_cgroup_key key = {};
	int i;

	key.hierarchy = (__u32)BPF_CORE_READ(group, root, hierarchy_id);
	for (i = 0; i < VIZ_SELECT_DEPTH_MAX && group; i++) {
		key.id = BPF_CORE_READ(group, kn, id);
		if (bpf_map_lookup_elem(&wanted_cgroups, &key))
			return true;
		if (!BPF_CORE_READ(group, level))
			break;
		group = BPF_CORE_READ(group, self.parent, cgroup);
	}
	return false;
}

/*
 * v2 first; then the hierarchies of v1, which css_set->subsys leads to (their number is
 * CGROUP_SUBSYS_COUNT of the running kernel). A hierarchy without controllers, such as
 * name=systemd alone, cannot be reached from here: user space looks at those.
 */
static __always_inline bool select_cgroups(struct task_struct___select *task)
{
	struct css_set___select *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state___select *css, **subsys;
	struct cgroup___select *group, *before = NULL;
	unsigned int i, nr = bpf_core_field_size(set->subsys) / sizeof(void *);

	if (select_group(BPF_CORE_READ(set, dfl_cgrp)))
		return true;
	subsys = __builtin_preserve_access_index(&set->subsys[0]);
	for (i = 0; i < 16 && i < nr; i++) {
		css = NULL;
		bpf_probe_read_kernel(&css, sizeof(css), &subsys[i]);
		group = css ? BPF_CORE_READ(css, cgroup) : NULL;
		if (!group || group == before || !BPF_CORE_READ(group, level) ||
		    !BPF_CORE_READ(group, root, hierarchy_id))
			continue;
		before = group;
		if (select_group(group))
			return true;
	}
	return false;
}

static __always_inline bool select_comm(struct task_struct___select *task)
{
	char comm[16] = {};
	int i;

	BPF_CORE_READ_STR_INTO(&comm, task, comm);
	for (i = 0; i < 16; i++) {
		if (comm[i] != selection.comm[i])
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

/* Everything but the groups. */
static __always_inline bool select_filters(struct task_struct___select *task, __u32 tgid)
{
	__u32 flags = selection.flags;

	if (flags & VIZ_SELECT_EXCLUDE && bpf_map_lookup_elem(&excluded, &tgid))
		return false;
	if (flags & VIZ_SELECT_USER && BPF_CORE_READ(task, cred, euid.val) != selection.uid)
		return false;
	return !(flags & VIZ_SELECT_COMM) || select_comm(task);
}

/* Is the current process wanted for itself, whoever its parent is? */
static __always_inline bool select_wants_current(void)
{
	__u32 flags = selection.flags;
	struct task_struct___select *task;

	if (!(flags & (VIZ_SELECT_ALL | VIZ_SELECT_CGROUPS)))
		return false;
	task = (void *)bpf_get_current_task();
	if (!select_filters(task, bpf_get_current_pid_tgid() >> 32))
		return false;
	return flags & VIZ_SELECT_ALL || select_cgroups(task);
}

#endif
