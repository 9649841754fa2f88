// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What was asked for, and the processes that come to it by a move between control groups. */
#define VIZ_DEFINE_SELECT
#include "maps.bpf.h"

#include "select.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by user space before the programs are attached. */
volatile struct viz_selection selection = {};

#include "select.bpf.h"

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
	void *ring;

	if (!(selection.flags & VIZ_SELECT_CGROUPS) || bpf_map_lookup_elem(&processes, &tgid) ||
	    !select_group(group))
		return 0;
	if (!select_filters((struct task_struct___select *)task, tgid))
		return 0;
	ring = ring_of(NULL);
	rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;
	if (!rec)
		return 0;
	fill_head(&rec->head, BPF_CORE_READ(task, pid), VIZ_SIGHT, 0);
	rec->tgid = tgid;
	rec->other = 0;
	rec->lost_enter = 0;
	rec->lost_leave = 0;
	BPF_CORE_READ_STR_INTO(&rec->comm, task, comm);
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	return 0;
}
