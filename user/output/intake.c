// SPDX-License-Identifier: Apache-2.0
#include "intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "names.h"

#define BATCH 2048
/* Deeper nesting than this does not come from a call stack. */
#define DEPTH_MAX 65536

struct held {
	struct viz_call call;
	char *args;
};

struct stack {
	struct held *items;
	uint32_t nr, cap;
};

struct lane {
	struct stack open; /* begins without an end so far */
	struct stack complete; /* calls that a later one may turn out to precede */
};

struct viz_intake {
	struct viz_trace *trace;
	const struct viz_reader_sink *sink;
	struct viz_names *names;
	struct lane *lanes; /* by track */
	uint32_t nr_lanes;
	struct viz_call batch[BATCH];
	size_t nr_batch;
	uint64_t last_ts, skipped;
};

struct viz_intake *viz_intake__new(struct viz_trace *trace, const struct viz_reader_sink *sink)
{
	struct viz_intake *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	in->trace = trace;
	in->sink = sink;
	in->names = viz_names__new(trace);
	if (!in->names) {
		free(in);
		return NULL;
	}
	return in;
}

static void stack__free(struct stack *stack)
{
	uint32_t i;

	for (i = 0; i < stack->nr; i++)
		free(stack->items[i].args);
	free(stack->items);
}

void viz_intake__free(struct viz_intake *in)
{
	uint32_t i;

	if (!in)
		return;
	for (i = 0; i < in->nr_lanes; i++) {
		stack__free(&in->lanes[i].open);
		stack__free(&in->lanes[i].complete);
	}
	free(in->lanes);
	viz_names__free(in->names);
	free(in);
}

uint32_t viz_intake__process(struct viz_intake *in, uint32_t pid)
{
	return viz_names__process(in->names, pid);
}

uint32_t viz_intake__track(struct viz_intake *in, uint32_t pid, uint32_t tid)
{
	return viz_names__track(in->names, pid, tid);
}

uint32_t viz_intake__func(struct viz_intake *in, const char *name, size_t len, bool escaped)
{
	return viz_names__func(in->names, name, len, escaped);
}

static struct lane *lane__of(struct viz_intake *in, uint32_t track)
{
	uint32_t nr = in->trace->nr_tracks + 64;
	struct lane *lanes;

	if (track < in->nr_lanes)
		return &in->lanes[track];
	if (track >= in->trace->nr_tracks)
		return NULL;
	nr += nr / 2;
	lanes = realloc(in->lanes, nr * sizeof(*lanes));
	if (!lanes)
		return NULL;
	memset(lanes + in->nr_lanes, 0, (nr - in->nr_lanes) * sizeof(*lanes));
	in->lanes = lanes;
	in->nr_lanes = nr;
	return &lanes[track];
}

static int deliver(struct viz_intake *in)
{
	size_t nr = in->nr_batch;
	int err = 0;

	in->nr_batch = 0;
	if (nr && in->sink->calls)
		err = in->sink->calls(in->sink->ctx, in->batch, nr);
	/* the sink is done with them: memory does not grow with the file */
	viz_trace__forget_args(in->trace);
	return err;
}

static int emit(struct viz_intake *in, struct held *held)
{
	struct viz_call *call = &in->batch[in->nr_batch];

	*call = held->call;
	call->args = 0;
	if (held->args) {
		call->args = viz_trace__args(in->trace, held->args);
		free(held->args);
		held->args = NULL;
		if (!call->args)
			return -ENOMEM;
	}
	return ++in->nr_batch == BATCH ? deliver(in) : 0;
}

static int stack__push(struct stack *stack, const struct viz_call *call, const char *args,
		       size_t args_len)
{
	struct held *held;

	if (stack->nr == stack->cap) {
		uint32_t cap = stack->cap ? stack->cap * 2 : 16;
		struct held *items = realloc(stack->items, cap * sizeof(*items));

		if (!items)
			return -ENOMEM;
		stack->items = items;
		stack->cap = cap;
	}
	held = &stack->items[stack->nr];
	held->call = *call;
	held->args = NULL;
	if (args_len) {
		held->args = strndup(args, args_len);
		if (!held->args)
			return -ENOMEM;
	}
	stack->nr++;
	return 0;
}

static int lane__empty(struct viz_intake *in, struct lane *lane)
{
	int err = 0;

	while (!err && lane->complete.nr)
		err = emit(in, &lane->complete.items[--lane->complete.nr]);
	return err;
}

/*
 * Files have calls by completion (ours, VizTracer's) or by beginning (many others). One that
 * is held goes when the next begins after it or contains it; what contains the next waits.
 * A file by completion so keeps its order, with one call held.
 */
int viz_intake__call(struct viz_intake *in, const struct viz_call *call, const char *args,
		     size_t args_len)
{
	struct lane *lane = lane__of(in, call->track);
	struct stack *stack;
	int err;

	if (!lane)
		return -ENOMEM;
	stack = &lane->complete;
	while (stack->nr) {
		struct held *top = &stack->items[stack->nr - 1];
		uint64_t end = top->call.begin + top->call.dur;
		bool before = end <= call->begin;
		bool inside = top->call.begin >= call->begin && end <= call->begin + call->dur;

		if (!before && !inside)
			break;
		stack->nr--;
		err = emit(in, top);
		if (err)
			return err;
	}
	if (stack->nr >= DEPTH_MAX) {
		err = lane__empty(in, lane);
		if (err)
			return err;
	}
	if (call->begin + call->dur > in->last_ts)
		in->last_ts = call->begin + call->dur;
	return stack__push(stack, call, args, args_len);
}

int viz_intake__begin(struct viz_intake *in, uint32_t track, uint64_t ts, uint32_t func,
		      uint32_t flags, const char *args, size_t args_len)
{
	struct lane *lane = lane__of(in, track);
	struct viz_call call = {.begin = ts, .func = func, .track = track, .flags = flags};

	if (!lane)
		return -ENOMEM;
	if (ts > in->last_ts)
		in->last_ts = ts;
	if (lane->open.nr >= DEPTH_MAX) {
		in->skipped++;
		return 0;
	}
	return stack__push(&lane->open, &call, args, args_len);
}

/* Completes the innermost open call of the lane at @ts. */
static int close_one(struct viz_intake *in, struct lane *lane, uint64_t ts, uint32_t flags,
		     const char *args, size_t args_len)
{
	struct held held = lane->open.items[--lane->open.nr];
	struct viz_buffer b = {0};
	int err;

	held.call.flags |= flags;
	held.call.dur = ts > held.call.begin ? ts - held.call.begin : 0;
	if (held.args && args_len) {
		viz_buffer__printf(&b, "%s,", held.args);
		viz_buffer__add(&b, args, args_len);
		args = b.data;
		args_len = b.len;
	} else if (held.args) {
		args = held.args;
		args_len = strlen(held.args);
	}
	err = b.failed ? -ENOMEM : viz_intake__call(in, &held.call, args, args_len);
	viz_buffer__free(&b);
	free(held.args);
	return err;
}

int viz_intake__end(struct viz_intake *in, uint32_t track, uint64_t ts, uint32_t flags,
		    const char *args, size_t args_len)
{
	struct lane *lane = lane__of(in, track);

	if (!lane)
		return -ENOMEM;
	if (!lane->open.nr) {
		in->skipped++;
		return 0;
	}
	return close_one(in, lane, ts, flags, args, args_len);
}

int viz_intake__event(struct viz_intake *in, const struct viz_event *event)
{
	if (event->ts + event->dur > in->last_ts)
		in->last_ts = event->ts + event->dur;
	return in->sink->event ? in->sink->event(in->sink->ctx, event) : 0;
}

int viz_intake__named_process(struct viz_intake *in, uint32_t process)
{
	return in->sink->process ? in->sink->process(in->sink->ctx, process) : 0;
}

int viz_intake__named_track(struct viz_intake *in, uint32_t track)
{
	return in->sink->track ? in->sink->track(in->sink->ctx, track) : 0;
}

int viz_intake__source(struct viz_intake *in, const char *path, const char *text, size_t size)
{
	return in->sink->source ? in->sink->source(in->sink->ctx, path, text, size) : 0;
}

bool viz_intake__wants_sources(const struct viz_intake *in)
{
	return in->sink->source != NULL;
}

bool viz_intake__wants_events(const struct viz_intake *in)
{
	return in->sink->event != NULL;
}

void viz_intake__skip(struct viz_intake *in)
{
	in->skipped++;
}

uint64_t viz_intake__skipped(const struct viz_intake *in)
{
	return in->skipped;
}

int viz_intake__finish(struct viz_intake *in)
{
	uint32_t i;
	int err;

	for (i = 0; i < in->nr_lanes; i++) {
		while (in->lanes[i].open.nr) {
			err = close_one(in, &in->lanes[i], in->last_ts, VIZ_CALL_UNFINISHED, NULL,
					0);
			if (err)
				return err;
		}
		err = lane__empty(in, &in->lanes[i]);
		if (err)
			return err;
	}
	return deliver(in);
}
