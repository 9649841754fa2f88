/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The C stack of a target's thread: how much is left where calls are un-inlined, and
 * the notices that make user space step back in time.
 */
#ifndef VIZ_STACK_BPF_H
#define VIZ_STACK_BPF_H

#include "maps.bpf.h"
#include "hold.bpf.h"
#include "switches.bpf.h"
#include "stack_limits.h"

#define VM_GROWSDOWN 0x100
#define RLIMIT_STACK 3
#define SIGCONT 18

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
 * glibc's struct pthread, where pthread_self() points to, lies at the upper end of the stack
 * that it made for a thread, and has in it: stackblock, stackblock_size, guardsize (nptl/descr.h).
 * Where depends on the version, so it is looked for. Returns the index of the first of them, or
 * -1: another libc, or the first thread.
 */
static __noinline int find_thread_block(__u64 self, __u64 sp)
{
	__u64 word[3]; /* the lowest address, the size, the guard's size */
	int i;

	for (i = 0; i < 0x900 / 8; i++) {
		if (bpf_probe_read_user(word, sizeof(word), (void *)(unsigned long)(self + 8 * i)))
			return -1;
		if (word[0] && !((word[0] | word[1] | word[2]) & 4095) && word[0] <= sp &&
		    sp - word[0] < word[1] && self > word[0] && self - word[0] < word[1] &&
		    word[2] < word[1])
			return i;
	}
	return -1;
}

/* The first thread's stack, where the kernel does not look mappings up for us. */
static __always_inline void assume_stack(struct viz_thread *thread, __u64 sp)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 end = BPF_CORE_READ(task, mm, env_end), limit;

	limit = BPF_CORE_READ(task, signal, rlim[RLIMIT_STACK].rlim_cur);
	if (limit > VIZ_STACK_UNLIMITED)
		limit = VIZ_STACK_UNLIMITED;
	if (sp >= end || end - sp > limit) {
		end = sp + 4096;
		limit = VIZ_STACK_ASSUMED;
	}
	thread->stack_high = end;
	thread->stack_low = end - limit;
}

/*
 * Fills stack_low and stack_high for the stack that @sp lies in. The mapping alone does not
 * tell: since glibc 2.42 the guard pages of threads are no mappings of their own (MADV_GUARD_INSTALL,
 * Linux 6.13), and the stacks of several threads are one mapping. bpf_find_vma() only tries the lock of
 * the address space: -EBUSY while another thread maps something, then both are 0 and the next
 * call asks again.
 */
static __always_inline void find_stack(struct viz_thread *thread,
				       const struct viz_build_info *build, __u64 sp, bool has_5_17)
{
	struct viz_thread found = {};
	__u64 self = 0, block;
	int index = -1;

	if (build->off.tstate_thread_id != VIZ_NONE && thread->tstate)
		self = read_user_u64(thread->tstate + build->off.tstate_thread_id);
	if (self)
		index = find_thread_block(self, sp);
	if (index >= 0) {
		block = read_user_u64(self + 8 * index);
		thread->stack_high = block + read_user_u64(self + 8 * index + 8);
		thread->stack_low = block + read_user_u64(self + 8 * index + 16);
		return;
	}
	if (!has_5_17) {
		assume_stack(thread, sp);
		return;
	}
	bpf_find_vma((struct task_struct *)bpf_get_current_task_btf(), sp, stack_of_vma, &found, 0);
	thread->stack_low = found.stack_low;
	thread->stack_high = found.stack_high;
}

static __always_inline bool tell_guard(const struct viz_process_info *process, __u8 kind,
				       __u32 tgid, __u32 tid, __u64 room, __u64 interp,
				       __u32 stopped)
{
	void *ring = ring_of(process);
	struct viz_guard *rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;

	if (!rec)
		return false;
	fill_head(&rec->head, tid, kind, 0);
	rec->tgid = tgid;
	rec->stopped = stopped;
	rec->room = room;
	rec->interp = interp;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
	return true;
}

struct waiting {
	__u64 until;
	__u32 tgid;
	__u32 cleared;
};

/* Returns 1 when it is no use to look again. */
static long look_again(__u32 index, void *data)
{
	struct waiting *waiting = data;
	__u32 tgid = waiting->tgid;
	struct viz_guard_state *guard = bpf_map_lookup_elem(&guards, &tgid);

	waiting->cleared = guard && guard->cleared;
	return waiting->cleared || bpf_ktime_get_ns() >= waiting->until;
}

/*
 * A stop is seen by parents: an interactive shell says "Stopped" and takes the terminal back. So
 * the thread waits here first, some milliseconds on the processor; user space needs another one.
 */
static __always_inline bool is_cleared_soon(__u32 tgid)
{
	struct waiting waiting = {.tgid = tgid, .until = bpf_ktime_get_ns() + VIZ_STACK_WAIT};

	bpf_loop(1 << 22, look_again, &waiting, 0);
	return waiting.cleared;
}

/* True when the process stops before it goes on in user mode. */
static __always_inline bool stop_until_cleared(__u32 tgid)
{
	struct viz_guard_state *guard = bpf_map_lookup_elem(&guards, &tgid);

	if (!guard || guard->cleared || guard->stopped)
		return false;
	guard->told = 1;
	guard->stopped = 1;
	bpf_send_signal(SIGSTOP);
	/* User space writes a new element: then the one we had is not looked at any more, and its
	 * SIGCONT has come before our signal. */
	guard = bpf_map_lookup_elem(&guards, &tgid);
	if (!guard || guard->cleared) {
		bpf_send_signal(SIGCONT);
		return false;
	}
	guard->stopped = 2; /* now a SIGCONT cannot come too early */
	return true;
}

/* Little is left: user space clears the slot; when very little is left the process waits for it. */
static __always_inline void step_back(struct viz_process_info *process,
				      const struct viz_build_info *build, struct viz_thread *thread,
				      __u32 tgid, __u32 tid, __u64 room, bool hard, bool has_5_17)
{
	struct viz_guard_state *guard = bpf_map_lookup_elem(&guards, &tgid);
	struct viz_guard_state fresh = {};
	__u64 interp;

	if (!guard) {
		bpf_map_update_elem(&guards, &tgid, &fresh, BPF_NOEXIST);
		guard = bpf_map_lookup_elem(&guards, &tgid);
	}
	if (!guard || guard->cleared)
		return;
	thread->low = 1;
	guard->tid = tid;
	interp = read_user_u64(thread->tstate + build->off.tstate_interp);
	if (!guard->told)
		guard->told = tell_guard(process, VIZ_STACK_LOW, tgid, tid, room, interp, 0);
	if (!hard || (has_5_17 && guard->told && is_cleared_soon(tgid)))
		return;
	if (stop_until_cleared(tgid))
		tell_guard(process, VIZ_STACK_LOW, tgid, tid, room, interp, 1);
}

/*
 * Called at each entry of the eval function: is there stack for a thousand more? @has_5_17
 * (bpf_find_vma(), commit 7c7e3d31e785) is a constant of the program, not a CO-RE check: before 5.13
 * (commit 69c087ba6225) the verifier does not know a reference to a callback, not even in dead code.
 */
static __always_inline void guard_stack(struct viz_process_info *process,
					const struct viz_build_info *build,
					struct viz_thread *thread, __u32 tgid, __u32 tid, __u64 sp,
					bool has_5_17)
{
	__u64 size, room;
	bool soft, hard;
	__s32 left;

	if (sp < thread->stack_low || sp >= thread->stack_high) {
		/* Not where it was: another stack than the thread's own. */
		if (thread->stack_high && !(process->flags & VIZ_PROC_SWITCHES))
			set_switches(process, tgid, tid);
		find_stack(thread, build, sp, has_5_17);
		if (!thread->stack_high)
			return;
	}
	if (!(process->flags & VIZ_PROC_GUARD))
		return;
	size = thread->stack_high - thread->stack_low;
	room = sp - thread->stack_low;
	soft = room < VIZ_STACK_SOFT(size);
	hard = room <= VIZ_STACK_HARD(size);
	if (build->off.tstate_c_recursion != VIZ_NONE) {
		left = (__s32)read_user_u32(thread->tstate + build->off.tstate_c_recursion);
		soft |= left < VIZ_C_RECURSION_SOFT(build->version);
		hard |= left < VIZ_C_RECURSION_HARD;
	}
	if (soft)
		step_back(process, build, thread, tgid, tid, room, hard, has_5_17);
}

/* Called at each return: has the thread that was low come back up? */
static __always_inline void unguard_stack(struct viz_process_info *process,
					  const struct viz_build_info *build,
					  struct viz_thread *thread, __u32 tgid, __u32 tid,
					  __u64 sp)
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
		    VIZ_C_RECURSION_SOFT(build->version) + 200)
		return;
	guard = bpf_map_lookup_elem(&guards, &tgid);
	if (!guard || !guard->cleared)
		return;
	/* No room in the ring: then at the next return. */
	thread->low = !tell_guard(process, VIZ_STACK_HIGH, tgid, tid, room,
				  read_user_u64(thread->tstate + build->off.tstate_interp), 0);
}

#endif
