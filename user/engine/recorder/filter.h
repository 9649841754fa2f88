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
 * Programs that switch C stacks have no one order of calls in a thread: RING_AREA.filter is 0.
 */
#ifndef VIZ_REC_FILTER_H
#define VIZ_REC_FILTER_H

#include "ring.h"

enum judgement {
	BELOW, /* not recorded, and nobody waits for its end */
	DROPPED, /* not recorded, ends() has to be told */
	TAKEN,
};

static NOINLINE enum judgement begins(struct viz_rec_thread *t, uint64_t id, uint64_t frame)
{
	if (t == RING_AREA.threads) /* stands for several threads */
		return TAKEN;
	if (t->dropped)
		return BELOW;
	id |= K.judged;
	if (id & VIZ_REC_TREE || (K.max_depth && id & VIZ_REC_JUDGED && t->depth >= K.max_depth)) {
		t->dropped = (uint32_t)frame | 2;
		return DROPPED;
	}
	if (K.max_depth && id & VIZ_REC_JUDGED)
		t->open[t->depth++ % VIZ_REC_DEPTH] = (uint32_t)frame | 2;
	return TAKEN;
}

/* 0: the call was not recorded. */
static NOINLINE int ends(struct viz_rec_thread *t, uint64_t frame)
{
	if (t->dropped) {
		if (t->dropped == ((uint32_t)frame | 2))
			t->dropped = 0;
		return 0;
	}
	for (uint32_t i = t->depth; i; i--)
		if (t->open[(i - 1) % VIZ_REC_DEPTH] == ((uint32_t)frame | 2)) {
			t->depth = i - 1;
			break;
		}
	return 1;
}

#endif
