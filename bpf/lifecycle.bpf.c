// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Births and deaths of processes and threads. A followed
 * process's child is recorded from its first instruction: it is entered here, in the
 * parent's fork, before it can run.
 */
#include "maps.bpf.h"
#include "hold.bpf.h"
#include "select.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline struct viz_life *new_life(const struct viz_process_info *process, __u8 kind,
						 __u8 flags, __u32 tid)
{
	void *ring = ring_of(process);
	struct viz_life *rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;

	if (!rec)
		return NULL;
	fill_head(&rec->head, tid, kind, flags);
	rec->other = 0;
	rec->lost_enter = 0;
	rec->lost_leave = 0;
	bpf_get_current_comm(rec->comm, sizeof(rec->comm));
	return rec;
}

static __always_inline void tell_fork(const struct viz_process_info *process, __u8 flags,
				      struct task_struct *child, __u32 tgid, __u32 parent_tgid)
{
	struct viz_life *rec = new_life(process, VIZ_FORK, flags, BPF_CORE_READ(child, pid));

	if (!rec)
		return;
	rec->tgid = tgid;
	rec->other = parent_tgid;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid), tgid = BPF_CORE_READ(child, tgid);
	struct viz_process_info copy = {}, *process;

	if (parent_tgid == tgid)
		return 0;
	process = bpf_map_lookup_elem(&processes, &parent_tgid);
	if (!process)
		return 0;
	if (!(process->flags & VIZ_PROC_FOLLOW)) {
		/* It has the slot set and nobody watches its stack: user space clears it. A child
		 * of vfork() has its parent's memory, where the slot must stay. */
		if (process->flags & VIZ_PROC_GUARD &&
		    BPF_CORE_READ(parent, mm) != BPF_CORE_READ(child, mm))
			tell_fork(process, VIZ_LIFE_ALONE, child, tgid, parent_tgid);
		return 0;
	}
	copy.build = process->build;
	copy.flags = process->flags;
	copy.ring = process->ring;
	copy.bias = process->bias;
	bpf_map_update_elem(&processes, &tgid, &copy, BPF_ANY);
	tell_fork(process, 0, child, tgid, parent_tgid);
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
	rec = new_life(process, VIZ_EXEC, 0, tgid);
	if (!rec)
		return 0;
	if (runs_python() && hold_current(tgid))
		rec->head.flags = VIZ_LIFE_HELD;
	rec->tgid = tgid;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* What a process lost whose end could not be told, the ring being full. Key: tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} gone_losses SEC(".maps");

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
	rec = new_life(process, VIZ_EXIT, last ? VIZ_LIFE_LAST : 0, tid);
	if (rec) {
		rec->tgid = tgid;
		rec->other = BPF_CORE_READ(task, exit_code);
		if (thread) {
			rec->lost_enter = thread->lost_enter;
			rec->lost_leave = thread->lost_leave;
		}
		bpf_ringbuf_submit(rec, last ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	}
	if (thread)
		bpf_map_delete_elem(&threads, &tid);
	/* User space deletes it when it has seen the record and the counters; without a
	 * record nobody would. */
	if (last && !rec) {
		__u64 lost = process->lost_enter;

		bpf_map_update_elem(&gone_losses, &tgid, &lost, BPF_ANY);
		bpf_map_delete_elem(&processes, &tgid);
	}
	return 0;
}

/*
 * PyModule_Create2(def): m_name, after PyModuleDef_Base (Include/moduleobject.h: 40 bytes),
 * is "greenlet._greenlet" before any greenlet exists.
 */
SEC("uprobe")
int BPF_KPROBE(module_create, __u64 def)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid);
	struct viz_life *rec;
	char name[16] = {};

	if (!process || process->flags & VIZ_PROC_SWITCHES)
		return 0;
	bpf_probe_read_user_str(name, sizeof(name), (void *)(unsigned long)read_user_u64(def + 40));
	if (name[0] == 'g' && name[1] == 'r' && name[2] == 'e' && name[3] == 'e' &&
	    name[4] == 'n' && name[5] == 'l' && name[6] == 'e' && name[7] == 't') {
		process->flags |= VIZ_PROC_SWITCHES;
		rec = new_life(process, VIZ_MODULE, 0, (__u32)bpf_get_current_pid_tgid());
		if (rec) {
			rec->tgid = tgid;
			bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
		}
	}
	return 0;
}
