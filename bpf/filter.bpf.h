/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Calls that are not recorded cost no ring space. The verdict on a code object comes from
 * user space, once; until it is there calls are sent and filtered there, by the same rules.
 *
 * Only for engine eval, whose calls nest by the stack pointer. In processes that switch stacks they
 * do not: there nothing more is held back or left out, but what is below a call that was left out
 * before stays so until that has ended. User space does not know that call, and would take those
 * below for the first of a new chain, at depth 0.
 */
#ifndef VIZ_FILTER_BPF_H
#define VIZ_FILTER_BPF_H

#include "maps.bpf.h"

/* Set by user space before the programs are attached; all 0: nothing is filtered here. */
#ifdef VIZ_DEFINE_MAPS
volatile struct viz_filter_config filter = {};
#else
extern volatile struct viz_filter_config filter;
#endif

/* Key: which object at which address, by the time it was announced. Value: enum viz_verdict_code. */
VIZ_MAP struct viz_verdicts {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct viz_verdict_key);
	__type(value, __u32);
} verdicts SEC(".maps");

/* The open calls of a thread that are held back or were rejected. Key: tid. */
VIZ_MAP struct viz_held_calls {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct viz_held);
} held SEC(".maps");

/* A new entry is copied from here: it is too large for the stack of a program. */
VIZ_MAP struct viz_held_empty {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct viz_held);
} held_empty SEC(".maps");

static __always_inline struct viz_held *held_of(__u32 tid)
{
	struct viz_held *h = bpf_map_lookup_elem(&held, &tid);
	__u32 zero = 0;

	if (h)
		return h;
	h = bpf_map_lookup_elem(&held_empty, &zero);
	if (!h)
		return NULL;
	bpf_map_update_elem(&held, &tid, h, BPF_NOEXIST);
	return bpf_map_lookup_elem(&held, &tid);
}

/* The mask tells the verifier what nr already says. */
static __always_inline struct viz_held_call *held_at(struct viz_held *h, __u32 index)
{
	barrier_var(index);
	return &h->calls[index & (VIZ_HELD_MAX - 1)];
}

static __always_inline __u32 verdict_of(struct viz_code_state *state, __u64 code, __u32 tgid)
{
	struct viz_verdict_key key = {.code = code, .announced = state->announced, .tgid = tgid};
	__u32 *verdict;

	if (state->verdict)
		return state->verdict;
	verdict = bpf_map_lookup_elem(&verdicts, &key);
	if (verdict)
		state->verdict = *verdict;
	return state->verdict;
}

/* Calls whose stack lies at or below @sp have ended without being seen to end. That is rare:
 * a few at a time are enough, the next call takes the next ones. */
#define STALE_MAX 6

static __always_inline void drop_stale(struct viz_held *h, __u64 sp)
{
	int i;

	if (h->drop_sp && h->drop_sp <= sp)
		h->drop_sp = 0;
	for (i = 0; i < STALE_MAX; i++) {
		if (!h->nr || held_at(h, h->nr - 1)->sp > sp)
			break;
		h->nr--;
		if (!held_at(h, h->nr)->rejected && h->depth)
			h->depth--;
	}
}

#define CHAIN_MAX 256
#define CHAIN_MAX_OLD 8

struct chain {
	__u64 frame;
	__u32 previous; /* offset */
	__u32 wanted; /* as in struct viz_held */
	bool found;
};

static long next_in_chain(__u32 index, void *data)
{
	struct chain *chain = data;

	chain->found = (__u32)chain->frame == chain->wanted;
	if (chain->found || !chain->frame)
		return 1;
	chain->frame = read_user_u64(chain->frame + chain->previous);
	return 0;
}

/*
 * A call begins in a process that switches stacks; @caller: the frame around it. True: it is below
 * one that was left out. @has_5_17: bpf_loop(), see guard_stack(); a chain that is longer than what is
 * looked at is sent and judged outside.
 */
static __always_inline bool is_below_drop(struct viz_held *h, __u32 sp, __u64 caller,
					  const struct viz_build_info *build, bool has_5_17)
{
	struct chain chain = {
		.frame = caller,
		.previous = build->off.frame_previous,
		.wanted = h->drop_frame,
	};
	int i;

	if (h->drop_sp && h->drop_sp <= sp)
		h->drop_sp = 0;
	if (!h->drop_sp)
		return false;
	if (has_5_17) {
		bpf_loop(CHAIN_MAX, next_in_chain, &chain, 0);
		return chain.found;
	}
	for (i = 0; i < CHAIN_MAX_OLD; i++)
		if (next_in_chain(i, &chain))
			break;
	return chain.found;
}

/* A call begins. True: it is not to be sent. */
static __always_inline bool filter_enter(struct viz_held *h, struct viz_code_state *state,
					 const struct viz_held_call *call, __u32 tgid)
{
	__u32 verdict = VIZ_CODE_RECORD;
	struct viz_held_call *top;

	drop_stale(h, call->sp);
	if (h->drop_sp)
		return true;
	if (filter.flags & VIZ_FILTER_CODES)
		verdict = verdict_of(state, call->code, tgid);
	if (verdict == VIZ_CODE_DROP_TREE ||
	    (filter.max_depth && verdict != VIZ_CODE_DROP_SELF && h->depth >= filter.max_depth)) {
		h->drop_sp = call->sp;
		h->drop_frame = call->frame;
		return true;
	}
	if (h->nr >= VIZ_HELD_MAX) /* deeper than what is kept here: user space decides */
		return false;
	if (verdict != VIZ_CODE_DROP_SELF && !filter.min_duration) {
		h->depth++;
		if (!filter.max_depth)
			return false;
	}
	top = held_at(h, h->nr++);
	*top = *call;
	top->rejected = verdict == VIZ_CODE_DROP_SELF;
	return filter.min_duration || verdict == VIZ_CODE_DROP_SELF;
}

enum filter_leave {
	LEAVE_SEND, /* it was sent when it began */
	LEAVE_DROP,
	LEAVE_WHOLE, /* it was held back, and is worth to be sent as a whole: *call */
};

/* The call at @sp ends. @switches: in a process that switches stacks, where what lies lower
 * can be another greenlet's; user space passes over the ends of calls that it was not told of. */
static __always_inline enum filter_leave filter_leave(struct viz_held *h, __u64 sp, __u64 now,
						      bool switches, struct viz_held_call *call)
{
	struct viz_held_call *top;

	if (h->drop_sp) {
		if (sp < h->drop_sp)
			return switches ? LEAVE_SEND : LEAVE_DROP;
		if (sp == h->drop_sp) {
			h->drop_sp = 0;
			return LEAVE_DROP;
		}
	}
	drop_stale(h, sp - 1);
	top = held_at(h, h->nr - 1);
	if (!h->nr || top->sp != sp)
		return LEAVE_SEND;
	h->nr--;
	if (top->rejected)
		return LEAVE_DROP;
	if (!filter.min_duration) {
		if (h->depth)
			h->depth--;
		return LEAVE_SEND;
	}
	*call = *top;
	return now - call->ts < filter.min_duration ? LEAVE_DROP : LEAVE_WHOLE;
}

#endif
