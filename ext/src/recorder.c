// SPDX-License-Identifier: Apache-2.0
/* Edges to calls: the stack of open calls of each thread. */
#include "recorder.h"

#include <stdlib.h>
#include <string.h>

enum { STACK_MAX = 1 << 20 };

static bool grow_stack(struct viz_thread *t)
{
	size_t nr = (size_t)(t->top - t->base), cap = (size_t)(t->limit - t->base) * 2;
	struct viz_frame *grown;

	if (cap > STACK_MAX)
		return false;
	grown = malloc(cap * sizeof(*grown));
	if (!grown)
		return false;
	memcpy(grown, t->base, nr * sizeof(*grown));
	free(t->base);
	t->base = grown;
	t->top = grown + nr;
	t->limit = grown + cap;
	return true;
}

static struct viz_frame *push(struct viz_thread *t, const void *key, uint32_t flags)
{
	struct viz_frame *frame;

	if (__builtin_expect(t->top == t->limit, 0) && !grow_stack(t)) {
		t->lost++;
		return NULL;
	}
	frame = t->top++;
	frame->key = key;
	frame->flags = flags;
	frame->args = NULL;
	frame->lane = 0;
	return frame;
}

static bool is_hidden(const struct viz_thread *t)
{
	if (t->busy)
		return true;
	if (t->top == t->base)
		return viz_recorder.max_depth == 0;
	if ((t->top[-1].flags & (VIZ_FRAME_HIDDEN | VIZ_FRAME_SHIELD)) == VIZ_FRAME_HIDDEN)
		return true;
	return viz_recorder.max_depth >= 0 &&
	       t->top - t->base - (long)t->depth_base >= viz_recorder.max_depth;
}

/* C functions that did not report their end: their caller is back at work. */
static void drop_stale(struct viz_thread *t)
{
	while (t->top > t->base && t->top[-1].flags & VIZ_FRAME_C)
		t->top--;
}

static void add_details(struct viz_thread *t, struct viz_frame *frame,
			const struct viz_known *known)
{
	enum { COROUTINE_LIKE = 0x80 | 0x200 }; /* CO_COROUTINE, CO_ASYNC_GENERATOR */

	t->busy++;
	if (viz_recorder.log_args)
		frame->args = viz_details__args(known);
	if (viz_recorder.log_async) {
		frame->lane = frame > t->base ? frame[-1].lane : 0;
		if (viz_recorder.funcs[known->func].code_flags & COROUTINE_LIKE)
			frame->lane = viz_details__lane();
	}
	t->busy--;
}

void viz_edge__enter(struct viz_thread *t, PyObject *code)
{
	const struct viz_known *known = viz_names__find(code);
	struct viz_frame *frame;
	bool hidden = is_hidden(t);

	if (__builtin_expect(!known, 0)) {
		t->busy++;
		known = viz_names__code(code);
		t->busy--;
	}
	if (__builtin_expect(t->name_tries, 0))
		viz_thread__look_for_name(t);
	hidden |= !known || known->verdict != VIZ_SHOW;
	frame = push(t, code, hidden ? VIZ_FRAME_HIDDEN : 0);
	if (!frame || hidden)
		return;
	frame->func = known->func;
	if (__builtin_expect(viz_recorder.log_args | viz_recorder.log_async, 0))
		add_details(t, frame, known);
	frame->begin = viz_clock__ticks();
}

static void write_call(struct viz_thread *t, const struct viz_frame *frame, uint64_t end,
		       uint32_t flags, const char *text)
{
	struct viz_record *record;

	if (end - frame->begin < viz_recorder.min_ticks)
		return;
	record = viz_thread__record(t);
	if (!record)
		return;
	record->begin = frame->begin;
	record->end = end;
	record->func = frame->func;
	record->lane = frame->lane;
	record->flags = flags;
	record->text = text ? viz_thread__text(t, text) : 0;
	t->calls++;
}

/* The members of "args", out of what was kept at entry and the result. */
static void write_detailed(struct viz_thread *t, struct viz_frame *frame, uint64_t end,
			   uint32_t flags, PyObject *result)
{
	struct viz_text text;
	char data[4096];

	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	if (frame->args)
		viz_text__puts(&text, frame->args);
	if (viz_recorder.log_retval && result) {
		size_t before = text.len;
		bool ok;

		t->busy++;
		ok = (!before || viz_text__puts(&text, ",")) &&
		     viz_text__puts(&text, "\"return_value\":") &&
		     viz_details__retval(&text, result);
		t->busy--;
		if (!ok)
			text.len = before;
	}
	viz_text__end(&text);
	write_call(t, frame, end, flags, text.len ? data : NULL);
}

/*
 * The open call of @key: the innermost, after dropping C functions whose end was not
 * reported. When it is deeper, those above have ended unseen. NULL: it began before recording.
 */
static struct viz_frame *find_open(struct viz_thread *t, const void *key)
{
	struct viz_frame *frame = t->top;

	while (frame > t->base)
		if ((--frame)->key == key)
			return frame;
	return NULL;
}

void viz_edge__leave(struct viz_thread *t, PyObject *code, PyObject *result, bool raised)
{
	uint64_t end = viz_clock__ticks();
	struct viz_frame *frame = t->top - 1;
	uint32_t flags = raised ? VIZ_REC_RAISED : 0;

	if (__builtin_expect(t->top == t->base || frame->key != code, 0)) {
		frame = find_open(t, code);
		if (!frame)
			return;
		for (struct viz_frame *above = frame + 1; above < t->top; above++)
			free(above->args);
	}
	t->top = frame;
	if (frame->flags & VIZ_FRAME_HIDDEN)
		return;
	if (__builtin_expect(frame->args || viz_recorder.log_retval, 0))
		write_detailed(t, frame, end, flags, result);
	else
		write_call(t, frame, end, flags, NULL);
	free(frame->args);
}

void viz_edge__c_enter(struct viz_thread *t, PyObject *callable)
{
	const struct viz_known *known;
	struct viz_frame *frame;

	drop_stale(t);
	if (is_hidden(t))
		return;
	t->busy++;
	known = viz_names__callable(callable);
	t->busy--;
	if (!known || known->verdict != VIZ_SHOW)
		return;
	frame = push(t, callable, VIZ_FRAME_C);
	if (!frame)
		return;
	frame->func = known->func;
	if (viz_recorder.log_async && frame > t->base)
		frame->lane = frame[-1].lane;
	frame->begin = viz_clock__ticks();
}

void viz_edge__c_leave(struct viz_thread *t, PyObject *callable, bool raised)
{
	uint64_t end = viz_clock__ticks();
	struct viz_frame *frame = t->top - 1;

	if (t->top == t->base || !(frame->flags & VIZ_FRAME_C) ||
	    (callable && frame->key != callable))
		return;
	t->top = frame;
	write_call(t, frame, end, VIZ_REC_C | (raised ? VIZ_REC_RAISED : 0), NULL);
}

void viz_edge__event(struct viz_thread *t, uint64_t begin, uint64_t end, const char *members)
{
	struct viz_record *record = viz_thread__record(t);

	if (!record)
		return;
	record->begin = begin;
	record->end = end;
	record->func = 0;
	record->lane = t->top > t->base ? t->top[-1].lane : 0;
	record->flags = VIZ_REC_EVENT;
	record->text = viz_thread__text(t, members);
	if (!record->text)
		t->at--;
}

void viz_edge__exception(struct viz_thread *t, PyObject *exception, bool caught)
{
	struct viz_text text;
	char data[1024];
	bool ok;

	if (t->busy || t->top == t->base || is_hidden(t))
		return;
	/* It is reported again in every frame that it leaves. */
	if (!caught && t->raised == exception)
		return;
	t->raised = caught ? NULL : exception;
	t->busy++;
	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	viz_text__puts(&text,
		       caught ? "\"ph\":\"i\",\"s\":\"t\",\"cat\":\"INSTANT\",\"name\":\"exception "
				"caught\",\"args\":{\"exception\":"
			      : "\"ph\":\"i\",\"s\":\"t\",\"cat\":\"INSTANT\",\"name\":\"exception "
				"raised\",\"args\":{\"exception\":");
	text.closers++;
	ok = viz_text__repr(&text, exception);
	text.closers--;
	ok = ok && viz_text__puts(&text, "}");
	viz_text__end(&text);
	t->busy--;
	if (ok)
		viz_edge__event(t, viz_clock__ticks(), 0, data);
}

void viz_edge__close_all(bool finish)
{
	uint64_t now = viz_clock__ticks();

	for (struct viz_thread *t = viz_recorder.threads; t; t = t->next) {
		while (t->top > t->base) {
			struct viz_frame *frame = --t->top;

			if (!(frame->flags & VIZ_FRAME_HIDDEN))
				write_call(t, frame, now,
					   (finish ? 0 : VIZ_REC_OPEN) |
						   (frame->flags & VIZ_FRAME_C ? VIZ_REC_C : 0),
					   frame->args);
			free(frame->args);
		}
		viz_thread__settle(t);
	}
}
