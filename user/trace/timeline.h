/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From edges (a call begins, a call ends) to completed calls, thread by thread. Knows
 * nothing of engines: each gives the same struct viz_edge. Losses, stack switching
 * and frames that were running before are made visible here.
 */
#ifndef VIZ_TIMELINE_H
#define VIZ_TIMELINE_H

#include "model.h"

enum viz_edge_kind { VIZ_EDGE_ENTER = 1, VIZ_EDGE_LEAVE = 2 };

/*
 * One edge. An open call is identified in its thread by what the engine has: @sp and @frame (0:
 * not known), @caller (VIZ_ENTER_CHAIN, VIZ_LEAVE_CALLER: known, 0 is no frame). A leave
 * matches the innermost open call that contradicts none of them.
 */
struct viz_edge {
	uint64_t ts;
	uint32_t func; /* ENTER: index of the function; LEAVE: index or UINT32_MAX */
	uint32_t sp, frame, caller;
	uint32_t caller_func; /* ENTER: function of the caller frame, UINT32_MAX: not known */
	uint8_t kind; /* enum viz_edge_kind */
	uint8_t flags; /* VIZ_ENTER_*, VIZ_LEAVE_* of bpf/records.h */
};

struct viz_timeline;
struct viz_lane; /* the open calls of one track */

/* Receives completed calls in batches. */
typedef int (*viz_calls_fn)(void *ctx, const struct viz_call *calls, size_t nr);

struct viz_filter;
/* @filter may be NULL; applied to edges exactly as the options say. */
struct viz_timeline *viz_timeline__new(struct viz_trace *trace, const struct viz_filter *filter,
				       viz_calls_fn fn, void *ctx);
void viz_timeline__free(struct viz_timeline *tl);

struct viz_lane *viz_timeline__lane(struct viz_timeline *tl, uint32_t track);
/* What is open is not closed. @ended is told of each track that the lane had: the first is the
 * thread's own. All of them may be named by calls that are batched. */
void viz_lane__free(struct viz_lane *lane, void (*ended)(void *ctx, uint32_t track), void *ctx);
int viz_lane__edge(struct viz_lane *lane, const struct viz_edge *edge);
/* A call that is known from begin to end; @flags: enum viz_call_flag. Filters have been applied. */
int viz_lane__whole(struct viz_lane *lane, uint64_t begin, uint64_t end, uint32_t func,
		    uint32_t flags);
/*
 * The frames that were running when recording began, outermost first, as seen at @ts. They
 * go below what has been recorded since, where they fit it; else they are left out.
 */
int viz_lane__running(struct viz_lane *lane, uint64_t ts, const struct viz_edge *frames, size_t nr);
/* Records were lost on this lane at about @ts: @calls of them begins. Open calls stay open. */
void viz_lane__lost(struct viz_lane *lane, uint64_t ts, uint64_t calls);
/* Recording of this lane stops at @ts (exit, exec, detach): what is open is closed there,
 * VIZ_CALL_UNFINISHED. The lane can be used again afterwards. */
int viz_lane__close(struct viz_lane *lane, uint64_t ts);
/* The thread switches C stacks (greenlets): each chain of calls gets a track of its own. */
void viz_lane__switches(struct viz_lane *lane);
/* Depth of the open calls. */
size_t viz_lane__depth(const struct viz_lane *lane);
/* Time that functions spent themselves, callees left out, by index; *@nr entries. */
struct viz_own_time {
	uint64_t ns, calls;
};
const struct viz_own_time *viz_timeline__own(const struct viz_timeline *tl, uint32_t *nr);
/* Whether what happens now in the innermost call is left out with it. */
bool viz_lane__hides(const struct viz_lane *lane);
/* Hands over what is batched. */
int viz_timeline__flush(struct viz_timeline *tl);

#endif
