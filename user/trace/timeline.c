// SPDX-License-Identifier: Apache-2.0
#include "timeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/records.h"
#include "filter.h"

enum { BATCH = 4096 };

/* Flags of an open call beyond enum viz_call_flag, which use the low half. */
enum {
	OPEN_HIDDEN = 1 << 16, /* not recorded */
	OPEN_DROPS_TREE = 1 << 17, /* nor is anything below */
	OPEN_CHAIN = 1 << 18, /* caller is known */
};

struct open_call {
	uint64_t begin;
	uint32_t func;
	uint32_t sp, frame, caller;
	uint32_t flags;
	uint32_t depth; /* recorded calls around it */
	uint64_t inner; /* ns of the calls that it made, as far as recorded */
};

/* One chain of open calls: a thread has one, and one more for each greenlet seen in it. */
struct fiber {
	struct open_call *calls;
	size_t nr, cap;
	uint32_t track;
};

struct viz_lane {
	struct viz_timeline *tl;
	struct viz_lane *next, **link; /* who points to it */
	uint32_t track;
	bool switches;
	struct fiber *fibers;
	size_t nr_fibers, cur;
};

struct viz_timeline {
	struct viz_trace *trace;
	const struct viz_filter *filter;
	viz_calls_fn fn;
	void *ctx;
	struct viz_lane *lanes;
	uint8_t *verdicts; /* by function, enum viz_verdict */
	uint32_t nr_verdicts;
	struct viz_own_time *own; /* by function */
	uint32_t nr_own;
	struct viz_call batch[BATCH];
	size_t nr_batch;
	int err;
};

struct viz_timeline *viz_timeline__new(struct viz_trace *trace, const struct viz_filter *filter,
				       viz_calls_fn fn, void *ctx)
{
	struct viz_timeline *tl = calloc(1, sizeof(*tl));

	if (!tl)
		return NULL;
	tl->trace = trace;
	tl->filter = filter;
	tl->fn = fn;
	tl->ctx = ctx;
	return tl;
}

static void free_lane(struct viz_lane *lane)
{
	for (size_t i = 0; i < lane->nr_fibers; i++)
		free(lane->fibers[i].calls);
	free(lane->fibers);
	free(lane);
}

void viz_timeline__free(struct viz_timeline *tl)
{
	struct viz_lane *lane, *next;

	if (!tl)
		return;
	for (lane = tl->lanes; lane; lane = next) {
		next = lane->next;
		free_lane(lane);
	}
	free(tl->verdicts);
	free(tl->own);
	free(tl);
}

struct viz_lane *viz_timeline__lane(struct viz_timeline *tl, uint32_t track)
{
	struct viz_lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->fibers = calloc(1, sizeof(*lane->fibers));
	if (!lane->fibers) {
		free(lane);
		return NULL;
	}
	lane->nr_fibers = 1;
	lane->fibers[0].track = track;
	lane->track = track;
	lane->tl = tl;
	lane->next = tl->lanes;
	lane->link = &tl->lanes;
	if (lane->next)
		lane->next->link = &lane->next;
	tl->lanes = lane;
	return lane;
}

void viz_lane__free(struct viz_lane *lane, void (*ended)(void *ctx, uint32_t track), void *ctx)
{
	*lane->link = lane->next;
	if (lane->next)
		lane->next->link = lane->link;
	for (size_t i = 0; ended && i < lane->nr_fibers; i++)
		ended(ctx, lane->fibers[i].track);
	free_lane(lane);
}

void viz_lane__switches(struct viz_lane *lane)
{
	lane->switches = true;
}

size_t viz_lane__depth(const struct viz_lane *lane)
{
	return lane->fibers[lane->cur].nr;
}

bool viz_lane__hides(const struct viz_lane *lane)
{
	const struct fiber *f = &lane->fibers[lane->cur];

	return f->nr && f->calls[f->nr - 1].flags & OPEN_HIDDEN;
}

int viz_timeline__flush(struct viz_timeline *tl)
{
	int err = 0;

	if (tl->nr_batch)
		err = tl->fn(tl->ctx, tl->batch, tl->nr_batch);
	tl->nr_batch = 0;
	if (err && !tl->err)
		tl->err = err;
	return tl->err;
}

static enum viz_verdict verdict_of(struct viz_timeline *tl, uint32_t func)
{
	if (func >= tl->nr_verdicts) {
		uint32_t nr = tl->trace->nr_funcs + 256;
		uint8_t *grown = realloc(tl->verdicts, nr);

		if (!grown)
			return VIZ_VERDICT_RECORD;
		memset(grown + tl->nr_verdicts, 0, nr - tl->nr_verdicts);
		tl->verdicts = grown;
		tl->nr_verdicts = nr;
	}
	if (!tl->verdicts[func])
		tl->verdicts[func] =
			(uint8_t)viz_filter__verdict(tl->filter, &tl->trace->funcs[func]);
	return tl->verdicts[func];
}

/* Whether the call that is about to be opened over @parent is recorded. */
static uint32_t judge(struct viz_timeline *tl, const struct open_call *parent, uint32_t func,
		      uint32_t depth)
{
	if (parent && parent->flags & OPEN_DROPS_TREE)
		return OPEN_HIDDEN | OPEN_DROPS_TREE;
	if (tl->filter->any) {
		enum viz_verdict verdict = verdict_of(tl, func);

		if (verdict == VIZ_VERDICT_DROP_TREE)
			return OPEN_HIDDEN | OPEN_DROPS_TREE;
		if (verdict == VIZ_VERDICT_DROP_SELF)
			return OPEN_HIDDEN;
	}
	if (tl->filter->max_depth && depth >= tl->filter->max_depth)
		return OPEN_HIDDEN | OPEN_DROPS_TREE;
	return 0;
}

static struct open_call *grow(struct fiber *f, size_t more)
{
	if (f->nr + more > f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 32;
		struct open_call *calls;

		while (cap < f->nr + more)
			cap *= 2;
		calls = realloc(f->calls, cap * sizeof(*calls));
		if (!calls)
			return NULL;
		f->calls = calls;
		f->cap = cap;
	}
	return f->calls;
}

static int push(struct viz_lane *lane, struct fiber *f, const struct open_call *call)
{
	struct open_call *parent, *c;

	if (!grow(f, 1))
		return -ENOMEM;
	parent = f->nr ? &f->calls[f->nr - 1] : NULL;
	c = &f->calls[f->nr++];
	*c = *call;
	c->depth = parent ? parent->depth + !(parent->flags & OPEN_HIDDEN) : 0;
	if (lane->tl->filter)
		c->flags |= judge(lane->tl, parent, c->func, c->depth);
	return 0;
}

static void count_own(struct viz_timeline *tl, uint32_t func, uint64_t ns)
{
	if (func >= tl->nr_own) {
		uint32_t nr = tl->trace->nr_funcs + 256;
		struct viz_own_time *grown = realloc(tl->own, nr * sizeof(*grown));

		if (!grown)
			return;
		memset(grown + tl->nr_own, 0, (nr - tl->nr_own) * sizeof(*grown));
		tl->own = grown;
		tl->nr_own = nr;
	}
	tl->own[func].ns += ns;
	tl->own[func].calls++;
}

const struct viz_own_time *viz_timeline__own(const struct viz_timeline *tl, uint32_t *nr)
{
	*nr = tl->nr_own;
	return tl->own;
}

static void emit(struct viz_timeline *tl, uint32_t track, uint64_t begin, uint64_t end,
		 uint32_t func, uint32_t flags)
{
	struct viz_call *out;

	if (tl->nr_batch == BATCH)
		viz_timeline__flush(tl);
	out = &tl->batch[tl->nr_batch++];
	out->begin = begin;
	out->dur = end - begin;
	out->func = func;
	out->track = track;
	out->flags = flags;
	out->args = 0;
	tl->trace->tracks[track].calls++;
}

/* The innermost call of @f ends at @ts. */
static void pop(struct viz_timeline *tl, struct fiber *f, uint64_t ts, uint32_t flags)
{
	struct open_call *c = &f->calls[--f->nr];
	uint64_t dur;

	/* The records of one ring are almost, not exactly, in order of time. */
	if (ts < c->begin)
		ts = c->begin;
	dur = ts - c->begin;
	if (c->flags & OPEN_HIDDEN || (tl->filter && dur < tl->filter->min_duration)) {
		if (f->nr)
			f->calls[f->nr - 1].inner += c->inner;
		return;
	}
	if (f->nr)
		f->calls[f->nr - 1].inner += dur;
	count_own(tl, c->func, dur > c->inner ? dur - c->inner : 0);
	emit(tl, f->track, c->begin, ts, c->func, (c->flags & 0xffff) | flags);
}

int viz_lane__whole(struct viz_lane *lane, uint64_t begin, uint64_t end, uint32_t func,
		    uint32_t flags)
{
	count_own(lane->tl, func, end < begin ? 0 : end - begin);
	emit(lane->tl, lane->fibers[lane->cur].track, begin, end < begin ? begin : end, func,
	     flags);
	return lane->tl->err;
}

/* Ends what lies above the first @keep calls; their own ends were not seen. */
static void pop_unseen(struct viz_lane *lane, struct fiber *f, size_t keep, uint64_t ts)
{
	while (f->nr > keep) {
		uint32_t flags = f->calls[f->nr - 1].flags;

		/* A running or inferred call has no end of its own to lose. */
		pop(lane->tl, f, ts,
		    flags & (VIZ_CALL_RUNNING | VIZ_CALL_INFERRED) ? VIZ_CALL_INFERRED
								   : VIZ_CALL_LOST_END);
	}
}

static struct fiber *add_fiber(struct viz_lane *lane)
{
	struct viz_timeline *tl = lane->tl;
	struct fiber *grown;
	char name[160];
	uint32_t track, thread = lane->track;

	for (size_t i = 0; i < lane->nr_fibers; i++)
		if (!lane->fibers[i].nr) {
			lane->cur = i;
			return &lane->fibers[i];
		}
	grown = realloc(lane->fibers, (lane->nr_fibers + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	lane->fibers = grown;
	track = viz_trace__track(tl->trace, tl->trace->tracks[thread].process, 0);
	if (track == UINT32_MAX)
		return NULL;
	/* A lane that is no thread has a number no thread can have. */
	tl->trace->tracks[track].tid = 0x40000000u + tl->trace->tracks[track].id;
	snprintf(name, sizeof(name), "%.100s greenlet %zu",
		 tl->trace->tracks[thread].name ? tl->trace->tracks[thread].name : "thread",
		 lane->nr_fibers);
	tl->trace->tracks[track].name = viz_trace__string(tl->trace, name);
	lane->cur = lane->nr_fibers++;
	memset(&lane->fibers[lane->cur], 0, sizeof(lane->fibers[0]));
	lane->fibers[lane->cur].track = track;
	return &lane->fibers[lane->cur];
}

/* Index + 1 of the open call of @f that is frame @frame, 0: none. */
static size_t find_frame(const struct fiber *f, uint32_t frame)
{
	for (size_t i = f->nr; i; i--)
		if (f->calls[i - 1].frame == frame)
			return i;
	return 0;
}

/* The chain that frame @caller is the current end of; *pos: 1 + its place there. */
static struct fiber *find_chain(struct viz_lane *lane, uint32_t caller, size_t *pos)
{
	for (size_t i = 0; i < lane->nr_fibers; i++) {
		struct fiber *f = &lane->fibers[i];

		if (f->nr && f->calls[f->nr - 1].frame == caller) {
			lane->cur = i;
			*pos = f->nr;
			return f;
		}
	}
	for (size_t i = 0; i < lane->nr_fibers; i++) {
		*pos = find_frame(&lane->fibers[i], caller);
		if (*pos) {
			lane->cur = i;
			return &lane->fibers[i];
		}
	}
	return NULL;
}

/* An escaped caller: it has no edges of its own, so it begins with its first callee. */
static int push_inferred(struct viz_lane *lane, struct fiber *f, const struct viz_edge *e)
{
	struct open_call c = {
		.begin = e->ts,
		.func = e->caller_func,
		.frame = e->caller,
		.caller = f->nr ? f->calls[f->nr - 1].frame : 0,
		.flags = VIZ_CALL_INFERRED | (f->nr ? OPEN_CHAIN : 0),
	};

	return push(lane, f, &c);
}

/* Where the new call goes, when it is not simply above the innermost one. */
static struct fiber *place_enter(struct viz_lane *lane, const struct viz_edge *e)
{
	struct fiber *f = &lane->fibers[lane->cur];
	struct fiber *chain;
	size_t pos;

	if (e->flags & VIZ_ENTER_CHAIN && e->caller) {
		chain = find_chain(lane, e->caller, &pos);
		if (chain) {
			pop_unseen(lane, chain, pos, e->ts);
			return chain;
		}
	}
	if (lane->switches && e->flags & VIZ_ENTER_CHAIN)
		return add_fiber(lane);
	/* Nobody calls it: what ran at the attach, whose end is seen by nobody, is over. */
	while (e->flags & VIZ_ENTER_CHAIN && !e->caller && f->nr &&
	       f->calls[f->nr - 1].flags & VIZ_CALL_RUNNING)
		pop_unseen(lane, f, f->nr - 1, e->ts);
	/* A caller that no edge showed: between the innermost call and this one by the stack
	 * pointer, else those it passed have ended. */
	while (f->nr && e->sp && f->calls[f->nr - 1].sp && e->sp >= f->calls[f->nr - 1].sp)
		pop_unseen(lane, f, f->nr - 1, e->ts);
	if (e->flags & VIZ_ENTER_FROM && e->caller && e->caller_func != UINT32_MAX && f->nr)
		return push_inferred(lane, f, e) ? NULL : f;
	return f;
}

static int enter(struct viz_lane *lane, const struct viz_edge *e)
{
	struct fiber *f = &lane->fibers[lane->cur];
	struct open_call c = {
		.begin = e->ts,
		.func = e->func,
		.sp = e->sp,
		.frame = e->frame,
		.caller = e->caller,
		.flags = e->flags & VIZ_ENTER_CHAIN ? OPEN_CHAIN : 0,
	};
	bool above = f->nr && e->flags & VIZ_ENTER_CHAIN && e->caller &&
		     f->calls[f->nr - 1].frame == e->caller;

	/* The greenlet that was seen last may have ended: another one goes on elsewhere. */
	if (!above && (f->nr || lane->switches)) {
		f = place_enter(lane, e);
		if (!f)
			return -ENOMEM;
	}
	return push(lane, f, &c);
}

static bool matches(const struct open_call *c, const struct viz_edge *e)
{
	if (e->sp && c->sp && e->sp != c->sp)
		return false;
	/* The frame's own address says it all: its link to the caller may be cut already. */
	if (e->flags & VIZ_LEAVE_FRAME && c->frame)
		return c->frame == e->frame;
	if (e->flags & VIZ_LEAVE_CALLER && c->flags & OPEN_CHAIN && c->caller != e->caller)
		return false;
	if (e->func != UINT32_MAX && e->func != c->func)
		return false;
	/* A call without any edge of its own cannot end by one, unless that names its frame. */
	if (c->flags & (VIZ_CALL_RUNNING | VIZ_CALL_INFERRED) && !c->sp)
		return e->flags & VIZ_LEAVE_FRAME && c->frame == e->frame;
	return true;
}

/* The open call that @e ends: its fiber becomes current; returns 1 + its place, 0: none. */
static size_t find_leave(struct viz_lane *lane, const struct viz_edge *e)
{
	struct fiber *f = &lane->fibers[lane->cur];

	for (size_t i = f->nr; i; i--)
		if (matches(&f->calls[i - 1], e))
			return i;
	for (size_t n = 0; n < lane->nr_fibers; n++) {
		f = &lane->fibers[n];
		if (f->nr && matches(&f->calls[f->nr - 1], e)) {
			lane->cur = n;
			return f->nr;
		}
	}
	return 0;
}

static int leave(struct viz_lane *lane, const struct viz_edge *e)
{
	uint32_t flags = e->flags & VIZ_LEAVE_RAISED ? VIZ_CALL_RAISED : 0;
	struct fiber *f = &lane->fibers[lane->cur];
	size_t at;

	if (f->nr && matches(&f->calls[f->nr - 1], e)) {
		pop(lane->tl, f, e->ts, flags);
		return 0;
	}
	at = find_leave(lane, e);
	if (at) {
		f = &lane->fibers[lane->cur];
		pop_unseen(lane, f, at, e->ts);
		pop(lane->tl, f, e->ts, flags);
		return 0;
	}
	/* The end of a call whose beginning was not recorded: what ran inside it is over. */
	if (e->flags & VIZ_LEAVE_CALLER && e->caller && (at = find_frame(f, e->caller)))
		pop_unseen(lane, f, at, e->ts);
	return 0;
}

int viz_lane__edge(struct viz_lane *lane, const struct viz_edge *edge)
{
	return edge->kind == VIZ_EDGE_ENTER ? enter(lane, edge) : leave(lane, edge);
}

int viz_lane__running(struct viz_lane *lane, uint64_t ts, const struct viz_edge *frames, size_t nr)
{
	struct fiber *f = &lane->fibers[0];
	size_t keep = nr, old = f->nr;
	struct fiber below = {};

	if (old) {
		const struct open_call *first = &f->calls[0];

		for (keep = nr; keep; keep--)
			if (frames[keep - 1].frame == first->caller)
				break;
		if (!keep)
			return 0;
		if (first->begin < ts)
			ts = first->begin;
	}
	for (size_t i = 0; i < keep; i++) {
		struct open_call c = {
			.begin = ts,
			.func = frames[i].func,
			.frame = frames[i].frame,
			.caller = i ? frames[i - 1].frame : 0,
			.flags = VIZ_CALL_RUNNING | OPEN_CHAIN,
		};

		if (push(lane, &below, &c))
			goto no_memory;
	}
	for (size_t i = 0; i < old; i++)
		if (push(lane, &below, &f->calls[i]))
			goto no_memory;
	free(f->calls);
	f->calls = below.calls;
	f->nr = below.nr;
	f->cap = below.cap;
	return 0;

no_memory:
	free(below.calls);
	return -ENOMEM;
}

void viz_lane__lost(struct viz_lane *lane, uint64_t ts, uint64_t calls)
{
	(void)ts;
	lane->tl->trace->tracks[lane->track].lost += calls;
}

int viz_lane__close(struct viz_lane *lane, uint64_t ts)
{
	for (size_t i = 0; i < lane->nr_fibers; i++) {
		struct fiber *f = &lane->fibers[i];

		while (f->nr)
			pop(lane->tl, f, ts, VIZ_CALL_UNFINISHED);
		/* most are closed for good, and a program can have many threads in its life */
		free(f->calls);
		f->calls = NULL;
		f->cap = 0;
	}
	lane->cur = 0;
	return lane->tl->err;
}
