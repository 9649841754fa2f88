// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What was asked for, and the processes that come to it by a move between control groups. */
#define VIZ_DEFINE_SELECT
#include "maps.bpf.h"

#include "select.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by user space before the programs are attached. */
volatile struct viz_selection selection = {};

#include "select.bpf.h"
#include "life.bpf.h"

/* hold.bpf.h */
volatile __u32 hold_enabled = 1;

/*
 * `docker exec`, `systemd-run` and a shell that writes to cgroup.procs move a process in; an
 * exec mostly follows, which is seen by itself. A process that runs on is told of here, and
 * user space looks whether it is an interpreter.
 */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cgroup_attach, struct cgroup___select *group, const char *path,
	     struct task_struct *task, bool threadgroup)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct viz_life *rec;

	if (!(selection.flags & VIZ_SELECT_CGROUPS) || bpf_map_lookup_elem(&processes, &tgid) ||
	    !select_group(group))
		return 0;
	if (!select_filters((struct task_struct___select *)task, tgid))
		return 0;
	rec = life_new(VIZ_SIGHT, 0, tgid, BPF_CORE_READ(task, pid));
	if (!rec)
		return 0;
	BPF_CORE_READ_STR_INTO(&rec->comm, task, comm);
	life_send(rec);
	return 0;
}
