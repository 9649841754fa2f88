/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The C stack of a target's thread: how much is left where calls are un-inlined, and
 * the notices that make user space step back in time.
 */
#ifndef VIZ_STACK_BPF_H
#define VIZ_STACK_BPF_H

#include "maps.bpf.h"
#include "stack_limits.h"

#define VM_GROWSDOWN 0x100
#define RLIMIT_STACK 3
#define SIGSTOP 19

static long stack_of_vma(struct task_struct *task, struct vm_area_struct *vma, void *data)
{
	struct viz_thread *thread = data;
	__u64 start = BPF_CORE_READ(vma, vm_start), end = BPF_CORE_READ(vma, vm_end);
	__u64 limit;

	thread->stack_high = end;
	thread->stack_low = start;
	/* The first thread's stack grows on demand up to its limit. */
	if (BPF_CORE_READ(vma, vm_flags) & VM_GROWSDOWN) {
		limit = BPF_CORE_READ(task, signal, rlim[RLIMIT_STACK].rlim_cur);
		if (limit > VIZ_STACK_UNLIMITED)
			limit = VIZ_STACK_UNLIMITED;
		thread->stack_low = end > limit ? end - limit : 0;
	}
	return 0;
}

/*
 * Fills stack_low and stack_high for the stack that @sp lies in. bpf_find_vma() only tries the
 * lock of the address space: -EBUSY while another thread maps something, then both are 0 and
 * the next call asks again.
 */
static __always_inline void find_stack(struct viz_thread *thread, __u64 sp)
{
	struct viz_thread found = {};

	/* kernel 5.17, commit 7c7e3d31e785 */
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_find_vma)) {
		thread->stack_high = sp + 4096;
		thread->stack_low = sp > VIZ_STACK_ASSUMED ? sp - VIZ_STACK_ASSUMED : 0;
		return;
	}
	bpf_find_vma((struct task_struct *)bpf_get_current_task_btf(), sp, stack_of_vma, &found, 0);
	thread->stack_low = found.stack_low;
	thread->stack_high = found.stack_high;
}

static __always_inline void tell_guard(const struct viz_process_info *process, __u8 kind, __u32 tgid,
				       __u32 tid, __u64 room, __u64 interp, __u32 stopped)
{
	void *ring = ring_of(process);
	struct viz_guard *rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;

	if (!rec)
		return;
	fill_head(&rec->head, tid, kind, 0);
	rec->tgid = tgid;
	rec->stopped = stopped;
	rec->room = room;
	rec->interp = interp;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

/* Little is left: user space clears the slot; when very little is left the process waits for it. */
static __always_inline void step_back(struct viz_process_info *process,
				      const struct viz_build_info *build, struct viz_thread *thread,
				      __u32 tgid, __u32 tid, __u64 room, bool hard)
{
	struct viz_guard_state *guard = bpf_map_lookup_elem(&guards, &tgid);
	struct viz_guard_state fresh = {};

	if (!guard) {
		bpf_map_update_elem(&guards, &tgid, &fresh, BPF_NOEXIST);
		guard = bpf_map_lookup_elem(&guards, &tgid);
	}
	if (!guard || guard->cleared)
		return;
	thread->low = 1;
	if (hard && !guard->stopped) {
		guard->stopped = 1;
		guard->told = 1;
		bpf_send_signal(SIGSTOP);
		guard->stopped = 2; /* now a SIGCONT cannot come too early */
		tell_guard(process, VIZ_STACK_LOW, tgid, tid, room,
			   read_user_u64(thread->tstate + build->off.tstate_interp), 1);
	} else if (!guard->told) {
		guard->told = 1;
		tell_guard(process, VIZ_STACK_LOW, tgid, tid, room,
			   read_user_u64(thread->tstate + build->off.tstate_interp), 0);
	}
}

/* Called at each entry of the eval function: is there stack for a thousand more? */
static __always_inline void guard_stack(struct viz_process_info *process,
					const struct viz_build_info *build,
					struct viz_thread *thread, __u32 tgid, __u32 tid, __u64 sp)
{
	__u64 size, room;
	__s32 left;

	if (sp < thread->stack_low || sp >= thread->stack_high) {
		/* Not where it was: another stack than the thread's own. */
		if (thread->stack_high)
			process->flags |= VIZ_PROC_SWITCHES;
		find_stack(thread, sp);
		if (!thread->stack_high)
			return;
	}
	if (!(process->flags & VIZ_PROC_GUARD))
		return;
	size = thread->stack_high - thread->stack_low;
	room = sp - thread->stack_low;
	if (room < VIZ_STACK_SOFT(size)) {
		step_back(process, build, thread, tgid, tid, room, room <= VIZ_STACK_HARD(size));
		return;
	}
	if (build->off.tstate_c_recursion != VIZ_NONE) {
		left = (__s32)read_user_u32(thread->tstate + build->off.tstate_c_recursion);
		if (left < VIZ_C_RECURSION_SOFT)
			step_back(process, build, thread, tgid, tid, room,
				  left < VIZ_C_RECURSION_HARD);
	}
}

/* Called at each return: has the thread that was low come back up? */
static __always_inline void unguard_stack(struct viz_process_info *process,
					  const struct viz_build_info *build,
					  struct viz_thread *thread, __u32 tgid, __u32 tid, __u64 sp)
{
	struct viz_guard_state *guard;
	__u64 size, room;

	if (!thread->low)
		return;
	size = thread->stack_high - thread->stack_low;
	room = sp - thread->stack_low;
	if (room < VIZ_STACK_AGAIN(size))
		return;
	if (build->off.tstate_c_recursion != VIZ_NONE &&
	    (__s32)read_user_u32(thread->tstate + build->off.tstate_c_recursion) <
		    VIZ_C_RECURSION_SOFT + 200)
		return;
	guard = bpf_map_lookup_elem(&guards, &tgid);
	if (!guard || !guard->cleared)
		return;
	thread->low = 0;
	tell_guard(process, VIZ_STACK_HIGH, tgid, tid, room,
		   read_user_u64(thread->tstate + build->off.tstate_interp), 0);
}

/* An interpreter runs in a process that nobody prepared: user space is told once. */
static __always_inline void sight(struct viz_process_info *process, __u32 tgid, __u32 tid)
{
	struct viz_life *rec;
	void *ring;

	if (!process || !(process->flags & VIZ_PROC_WANTED))
		return;
	ring = ring_of(process);
	rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;
	if (!rec)
		return;
	process->flags &= ~VIZ_PROC_WANTED;
	fill_head(&rec->head, tid, VIZ_SIGHT, 0);
	rec->tgid = tgid;
	rec->other = 0;
	rec->lost_enter = 0;
	rec->lost_leave = 0;
	bpf_get_current_comm(rec->comm, sizeof(rec->comm));
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

#endif
