// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Interpreters that come and go in a process which is recorded from inside. A new one cannot be
 * seen from there before it has run something, and its first calls should not be missed. So:
 *
 *   interp_coming  one is about to be made. The process stops until user space has put
 *   interp_first   at the eval function, for as long as it takes. It stops the process once more
 *                  at the first call in an interpreter that is not known, to be prepared; and at
 *                  the next one, which has come through the recorder: what that records is in
 *                  memory that would end with the process, so user space opens it first. Where
 *                  a stop would be noticed, or was not announced, the call waits on the processor.
 *   interp_ends    Py_EndInterpreter(): its address may be another's soon.
 */
#include "maps.bpf.h"
#include "hold.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Interpreters that need no preparation, or have been told of: 0, or the thread that destroys it.
 * Code runs in it until the end, in that thread alone; another one that runs code at this address
 * has a new interpreter. One with the address 0 stands for: interp_first is in place, nobody has
 * to wait for it; ENDED_BY | tid: which interpreter this thread has destroyed last.
 */
#define ENDED_BY (1ULL << 63)

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct viz_interp_key);
	__type(value, __u64);
} known_interpreters SEC(".maps");

static __always_inline struct viz_process_info *recorded_inside(__u32 tgid)
{
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid);

	return process && process->flags & VIZ_PROC_INSIDE ? process : NULL;
}

static __always_inline void tell(const struct viz_process_info *process, __u8 kind, __u64 interp,
				 bool stopped)
{
	__u64 id = bpf_get_current_pid_tgid();
	void *ring = ring_of(process);
	struct viz_guard *rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;

	if (!rec)
		return;
	fill_head(&rec->head, (__u32)id, kind, 0);
	rec->tgid = id >> 32;
	rec->stopped = stopped;
	rec->room = 0;
	rec->interp = interp;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

static __always_inline __u64 interpreter_of(const struct viz_process_info *process, __u64 arg0)
{
	const struct viz_build_info *build = bpf_map_lookup_elem(&builds, &process->build);
	__u64 tstate = arg0;

	if (!build)
		return 0;
	if (build->flags & VIZ_BUILD_FRAME_ARG0)
		tstate = build->off.current_tstate
				 ? read_user_u64(process->bias + build->off.current_tstate)
				 : 0;
	return tstate ? read_user_u64(tstate + build->off.tstate_interp) : 0;
}

/* What this thread has destroyed before is gone for certain: it makes another one now. */
static __always_inline void forget_ended(__u64 id)
{
	struct viz_interp_key by = {.interp = ENDED_BY | (__u32)id, .tgid = id >> 32}, key = by;
	__u64 *ended = bpf_map_lookup_elem(&known_interpreters, &by);

	if (!ended)
		return;
	key.interp = *ended;
	bpf_map_delete_elem(&known_interpreters, &key);
	bpf_map_delete_elem(&known_interpreters, &by);
}

SEC("uprobe")
int interp_coming(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct viz_interp_key key = {.tgid = id >> 32};
	struct viz_process_info *process = recorded_inside(key.tgid);

	if (!process)
		return 0;
	forget_ended(id);
	tell(process, VIZ_INTERP_COMING, 0,
	     !bpf_map_lookup_elem(&known_interpreters, &key) && hold_current(key.tgid));
	return 0;
}

struct waiting_call {
	struct viz_interp_key key;
	__u64 until;
};

/* Returns 1 when it is no use to look again. */
static long look_again(__u32 index, void *data)
{
	struct waiting_call *call = data;
	struct viz_interp_key key = call->key;
	__u64 *value = bpf_map_lookup_elem(&known_interpreters, &key);

	return !value || *value != VIZ_INTERP_WAITS || bpf_ktime_get_ns() >= call->until;
}

#define OPEN_WAIT 100000000 /* ns */

/* As long as it takes user space to open a ring; it holds the GIL meanwhile. */
static __always_inline void wait_here(const struct viz_interp_key *key)
{
	struct waiting_call call = {.key = *key, .until = bpf_ktime_get_ns() + OPEN_WAIT};
	__u64 zero = 0, *value;

	bpf_loop(1 << 22, look_again, &call, 0);
	value = bpf_map_lookup_elem(&known_interpreters, &call.key);
	if (value && *value == VIZ_INTERP_WAITS)
		bpf_map_update_elem(&known_interpreters, &call.key, &zero, BPF_EXIST);
}

/* @has_5_17: bpf_loop() (commit e6f2dd0f8067); a constant, see guard_stack(). */
static __always_inline void first_call(__u64 tstate, bool has_5_17)
{
	__u64 id = bpf_get_current_pid_tgid(), next, *by;
	struct viz_interp_key key = {.tgid = id >> 32};
	struct viz_process_info *process = recorded_inside(key.tgid);
	bool again = false, stopped = false;

	key.interp = process ? interpreter_of(process, tstate) : 0;
	if (!key.interp)
		return;
	by = bpf_map_lookup_elem(&known_interpreters, &key);
	if (by && (!*by || *by == (__u32)id || *by == VIZ_INTERP_WAITS))
		return;
	if (by)
		again = *by == VIZ_INTERP_ONCE_MORE || *by == VIZ_INTERP_AWAITED;
	if (!by || *by != VIZ_INTERP_AWAITED)
		stopped = hold_current(key.tgid);
	next = !again ? VIZ_INTERP_ONCE_MORE : has_5_17 && !stopped ? VIZ_INTERP_WAITS : 0;
	bpf_map_update_elem(&known_interpreters, &key, &next, BPF_ANY);
	tell(process, VIZ_SLOT_EMPTY, key.interp, stopped);
	if (has_5_17 && next == VIZ_INTERP_WAITS)
		wait_here(&key);
}

SEC("uprobe")
int BPF_KPROBE(interp_first, __u64 tstate)
{
	first_call(tstate, true);
	return 0;
}

/* Before 5.17 nobody waits. */
SEC("uprobe")
int BPF_KPROBE(interp_first_passes, __u64 tstate)
{
	first_call(tstate, false);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(interp_ends, __u64 tstate)
{
	__u64 id = bpf_get_current_pid_tgid(), tid = (__u32)id;
	struct viz_interp_key key = {.tgid = id >> 32}, by = {.tgid = id >> 32};
	struct viz_process_info *process = recorded_inside(key.tgid);

	if (!process)
		return 0;
	forget_ended(id);
	key.interp = tstate ? interpreter_of(process, tstate) : 0;
	by.interp = ENDED_BY | tid;
	if (key.interp) {
		bpf_map_update_elem(&known_interpreters, &key, &tid, BPF_ANY);
		bpf_map_update_elem(&known_interpreters, &by, &key.interp, BPF_ANY);
	}
	tell(process, VIZ_INTERP_ENDS, key.interp, false);
	return 0;
}
