// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Births and deaths of processes and threads. A followed
 * process's child is recorded from its first instruction: it is entered here, in the
 * parent's fork, before it can run.
 */
#include "maps.bpf.h"
#include "life.bpf.h"
#include "select.bpf.h"
#include "switches.bpf.h"
#include "filter.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void tell_fork(struct task_struct *child, __u8 flags, __u32 tgid,
				      __u32 parent_tgid)
{
	struct viz_life *rec = life_new(VIZ_FORK, flags, tgid, BPF_CORE_READ(child, pid));

	if (!rec)
		return;
	rec->other = parent_tgid;
	life_send(rec);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid), tgid = BPF_CORE_READ(child, tgid);
	struct viz_process_info copy = {}, *process;
	bool shares;

	if (parent_tgid == tgid)
		return 0;
	process = bpf_map_lookup_elem(&processes, &parent_tgid);
	if (!process)
		return 0;
	shares = BPF_CORE_READ(parent, mm) == BPF_CORE_READ(child, mm);
	if (!(process->flags & VIZ_PROC_FOLLOW)) {
		/* It has the slot set and nobody watches its stack: user space clears it. A child
		 * of vfork() has its parent's memory, where the slot must stay. */
		if (process->flags & VIZ_PROC_GUARD && !shares)
			tell_fork(child, VIZ_LIFE_ALONE, tgid, parent_tgid);
		return 0;
	}
	copy.build = process->build;
	copy.flags = process->flags;
	if (copy.flags & VIZ_PROC_ALONE && !shares)
		copy.flags |= VIZ_PROC_FRESH;
	copy.ring = process->ring;
	copy.bias = process->bias;
	copy.parent = parent_tgid;
	bpf_map_update_elem(&processes, &tgid, &copy, BPF_ANY);
	tell_fork(child, shares ? VIZ_LIFE_SHARES : 0, tgid, parent_tgid);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid), fresh = {};
	struct viz_life *rec;

	if (process) {
		/* Another program: what was known of the interpreter is void from here on. */
		process->flags = (process->flags & VIZ_PROC_FOLLOW) | VIZ_PROC_WANTED;
	} else if (select_wants_current()) {
		fresh.flags = VIZ_PROC_FOLLOW | VIZ_PROC_WANTED;
		bpf_map_update_elem(&processes, &tgid, &fresh, BPF_ANY);
	} else {
		return 0;
	}
	bpf_map_delete_elem(&threads, &tgid);
	bpf_map_delete_elem(&guards, &tgid);
	rec = life_new(VIZ_EXEC, 0, tgid, tgid);
	if (!rec)
		return 0;
	if (runs_python() && hold_current(tgid))
		rec->head.flags = VIZ_LIFE_HELD;
	life_send(rec);
	return 0;
}

/*
 * PyOS_AfterFork_Child(): a forked child is about to run Python. Where the probes of its parent
 * are for that one alone it has none yet, and waits for them. This probe is in every process
 * that runs the file, and costs them something only when they fork.
 */
SEC("uprobe")
int python_forked(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32;
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid);

	if (process && process->flags & VIZ_PROC_FRESH && tell_sight(tgid, (__u32)id))
		process->flags &= ~VIZ_PROC_FRESH;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u32 tgid = BPF_CORE_READ(task, tgid), tid = BPF_CORE_READ(task, pid);
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid);
	bool last = BPF_CORE_READ(task, signal, live.counter) == 0;
	struct viz_thread *thread;
	struct viz_life *rec;

	if (!process)
		return 0;
	thread = bpf_map_lookup_elem(&threads, &tid);
	rec = life_new(VIZ_EXIT, last ? VIZ_LIFE_LAST : 0, tgid, tid);
	if (rec) {
		rec->other = BPF_CORE_READ(task, exit_code);
		if (thread) {
			rec->lost_enter = thread->lost_enter;
			rec->lost_leave = thread->lost_leave;
		}
		bpf_ringbuf_submit(rec, last ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	}
	if (thread)
		bpf_map_delete_elem(&threads, &tid);
	bpf_map_delete_elem(&held, &tid);
	/* The process stays in the map, with its losses, until user space has seen them. */
	return 0;
}

/*
 * PyModule_Create2(def): m_name, after PyModuleDef_Base (Include/moduleobject.h: 40 bytes),
 * is "greenlet._greenlet" before any greenlet exists.
 *
 * Where probes see the calls, a name that cannot be read yet is read at the next call. With engine
 * trampoline user space looks at the mappings, and the process waits for that if calls are
 * left out by those around them: until the recorder knows, it would leave out others.
 */
SEC("uprobe")
int BPF_KPROBE(module_create, __u64 def)
{
	__u64 id = bpf_get_current_pid_tgid(), name;
	__u32 tgid = id >> 32;
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid);
	int switches;
	__u8 flags = 0;

	if (!process || process->flags & VIZ_PROC_SWITCHES)
		return 0;
	if (process->module)
		read_late(process, tgid, (__u32)id);
	name = read_user_u64(def + 40);
	switches = name_switches(name);
	if (!switches)
		return 0;
	if (!(process->flags & VIZ_PROC_INSIDE)) {
		if (switches == NAME_UNREAD)
			process->module = name;
		else
			set_switches(process, tgid, (__u32)id);
		return 0;
	}
	if (switches == NAME_UNREAD)
		flags = VIZ_LIFE_UNREAD;
	else
		process->flags |= VIZ_PROC_SWITCHES;
	tell_module(tgid, (__u32)id, flags, filter.flags);
	return 0;
}
