/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which calls are left out, when that depends on the calls around them: below a function
 * that is excluded with all it calls, and beyond the greatest depth.
 *
 * vizbpf judges all that it reads by the same rules. It knows the names, so its verdict on a
 * function comes a moment after the first calls: until then the function does not count for the
 * depth here, and whatever is in doubt is recorded. So all that is left out here would have
 * been left out there.
 *
 * Programs that switch C stacks have no one order of calls in a thread. There nothing more is left
 * out here, but what is below a call that was left out before stays so until that has ended: vizbpf
 * does not know that call, and would take those below for the first of a new chain, at depth 0.
 */
#ifndef VIZ_REC_FILTER_H
#define VIZ_REC_FILTER_H

#include "ring.h"

enum judgement {
	BELOW, /* not recorded, and nobody waits for its end */
	DROPPED, /* not recorded, ends() has to be told */
	TAKEN,
};

/* @frame: of the call, or the one around it. */
static NOINLINE int has_around(const struct viz_rec_thread *t, uint64_t frame)
{
	for (int n = 0; frame && n < 1000; n++, frame = word(frame, K.frame_previous))
		if (((uint32_t)frame | 3) == (t->dropped | 1)) /* or a C function that it calls */
			return 1;
	return 0;
}

static INLINE int is_below(const struct viz_rec_thread *t, uint64_t frame)
{
	return t->dropped && (RING_AREA.filter == VIZ_REC_FILTER_ALL || has_around(t, frame));
}

/* @chain: where the frames around it begin. */
static inline enum judgement begins(struct viz_rec_thread *t, uint64_t id, uint64_t frame,
				    uint64_t chain)
{
	if (t == RING_AREA.threads) /* stands for several threads */
		return TAKEN;
	if (is_below(t, chain))
		return BELOW;
	if (RING_AREA.filter != VIZ_REC_FILTER_ALL)
		return TAKEN;
	id |= K.judged;
	if (id & VIZ_REC_TREE || (K.max_depth && id & VIZ_REC_JUDGED && t->depth >= K.max_depth)) {
		t->dropped = (uint32_t)frame | 2;
		return DROPPED;
	}
	if (K.max_depth && id & VIZ_REC_JUDGED)
		t->open[t->depth++ % VIZ_REC_DEPTH] = (uint32_t)frame | 2;
	return TAKEN;
}

/* 0: the call was not recorded. @frame: its low half is enough. @chain: as for begins(); 0 where
 * the caller knows by itself what was recorded. */
static NOINLINE int ends(struct viz_rec_thread *t, uint64_t frame, uint64_t chain)
{
	if (t->dropped == ((uint32_t)frame | 2)) {
		t->dropped = 0;
		return 0;
	}
	if (is_below(t, chain))
		return 0;
	for (uint32_t i = t->depth; i; i--)
		if (t->open[(i - 1) % VIZ_REC_DEPTH] == ((uint32_t)frame | 2)) {
			t->depth = i - 1;
			break;
		}
	return 1;
}

#endif
