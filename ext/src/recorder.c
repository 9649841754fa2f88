// SPDX-License-Identifier: Apache-2.0
/* Edges to calls: the stack of open calls of each thread. */
#include "recorder.h"

#include <stdlib.h>
#include <string.h>

static struct viz_frame *push(struct viz_thread *t, const void *key, uint32_t flags)
{
	struct viz_frame *frame;

	if (__builtin_expect(t->top == t->limit, 0) && !viz_thread__grow_stack(t)) {
		t->lost++;
		return NULL;
	}
	frame = t->top++;
	frame->key = key;
	frame->begin = 0;
	frame->flags = flags;
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

/* Of the innermost call that is shown: the others may be ours, on the way to an event. */
static uint32_t lane_of(const struct viz_thread *t)
{
	const struct viz_frame *frame = t->top - 1;

	while (frame > t->base && frame->flags & VIZ_FRAME_HIDDEN)
		frame--;
	return frame >= t->base && frame->flags & VIZ_FRAME_DETAILS ? frame->lane : 0;
}

/* What is called to find them out may fork, and grow the stack: @t's is looked up again. */
static void add_details(PyObject *code, uint32_t func)
{
	enum { COROUTINE_LIKE = 0x80 | 0x200 }; /* CO_COROUTINE, CO_ASYNC_GENERATOR */
	struct viz_thread *t = viz_thread__current();
	uint32_t lane =
		t->top - 1 > t->base && t->top[-2].flags & VIZ_FRAME_DETAILS ? t->top[-2].lane : 0;
	char *args = NULL;

	t->busy++;
	if (viz_recorder.log_args)
		args = viz_details__args(func);
	if (viz_recorder.log_async && viz_recorder.seen.funcs[func].code_flags & COROUTINE_LIKE)
		lane = viz_details__lane();
	t = viz_thread__current();
	if (!t || t->top == t->base || t->top[-1].key != code) {
		free(args);
		return;
	}
	t->busy -= !!t->busy;
	t->top[-1].args = args;
	t->top[-1].lane = lane;
	t->top[-1].flags |= VIZ_FRAME_DETAILS;
	t->top[-1].begin = viz_clock__ticks();
}

void viz_edge__enter(struct viz_thread *t, PyObject *code)
{
	const struct viz_known *known = viz_names__find(code);
	struct viz_frame *frame;
	bool hidden = is_hidden(t);
	uint32_t func;

	if (__builtin_expect(!known, 0)) {
		t->busy++;
		known = viz_names__code(code);
		t = viz_thread__current();
		if (!t)
			return;
		t->busy -= !!t->busy;
	}
	if (__builtin_expect(t->name_tries, 0))
		viz_thread__look_for_name(t);
	hidden |= !known || known->verdict != VIZ_SHOW;
	func = known ? known->func : 0;
	frame = push(t, code, hidden ? VIZ_FRAME_HIDDEN : 0);
	if (!frame || hidden)
		return;
	frame->func = func;
	frame->begin = viz_clock__ticks();
	if (__builtin_expect(viz_recorder.log_args | viz_recorder.log_async, 0))
		add_details(code, func);
}

static uint32_t places_of(uint32_t text_size)
{
	return (uint32_t)((text_size + sizeof(struct viz_record) - 1) / sizeof(struct viz_record));
}

/* A record, with what stands behind it where that is needed. */
static void write_record(struct viz_thread *t, uint64_t begin, uint64_t end, uint32_t what,
			 uint32_t lane, const char *text)
{
	uint32_t size = text ? (uint32_t)strlen(text) : 0, nr = 1;
	struct viz_record *record;
	struct viz_record_more *more;

	if (size && viz_recorder.more + places_of(size) > viz_recorder.more_max) {
		viz_recorder.texts_dropped++;
		size = 0;
	}
	if (size || lane || end - begin > UINT32_MAX || what & VIZ_REC_EVENT) {
		what |= VIZ_REC_LONG;
		nr = 2 + places_of(size);
	}
	record = viz_thread__places(t, nr);
	if (!record)
		return;
	if (what & VIZ_REC_LONG) {
		more = (struct viz_record_more *)(record + 1);
		*more = (struct viz_record_more){end, size, lane};
		memcpy(more + 1, text ? text : "", size);
	}
	record->ticks = what & VIZ_REC_LONG ? 0 : (uint32_t)(end - begin);
	record->what = what;
	__atomic_store_n(&record->begin, begin, __ATOMIC_RELEASE);
}

static void write_call(struct viz_thread *t, const struct viz_frame *frame, uint64_t end,
		       uint32_t flags, const char *text)
{
	if (end - frame->begin >= viz_recorder.min_ticks)
		write_record(t, frame->begin, end, frame->func << VIZ_REC_FUNC_SHIFT | flags,
			     frame->flags & VIZ_FRAME_DETAILS ? frame->lane : 0, text);
}

/* The members of "args", out of what was kept at entry and the result. @frame is a copy: the
 * result's repr may run anything. */
static void write_detailed(struct viz_frame *frame, uint64_t end, uint32_t flags, PyObject *result)
{
	struct viz_thread *t = viz_thread__current();
	struct viz_text text;
	char data[4096];

	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	if (frame->flags & VIZ_FRAME_DETAILS && frame->args)
		viz_text__puts(&text, frame->args);
	if (viz_recorder.log_retval && result) {
		size_t before = text.len;
		bool ok;

		t->busy++;
		ok = (!before || viz_text__puts(&text, ",")) &&
		     viz_text__puts(&text, "\"return_value\":") &&
		     viz_details__retval(&text, result);
		t = viz_thread__current();
		if (!t)
			return;
		t->busy -= !!t->busy;
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

static void free_args(struct viz_frame *frame)
{
	if (frame->flags & VIZ_FRAME_DETAILS)
		free(frame->args);
}

void viz_edge__leave(struct viz_thread *t, PyObject *code, uint64_t end, PyObject *result,
		     uint32_t flags)
{
	struct viz_frame *frame = find_open(t, code), copy;

	if (!frame)
		return;
	for (struct viz_frame *above = frame + 1; above < t->top; above++)
		free_args(above);
	t->top = frame;
	if (frame->flags & VIZ_FRAME_HIDDEN)
		return;
	copy = *frame;
	if (__builtin_expect(copy.flags & VIZ_FRAME_DETAILS || viz_recorder.log_retval, 0))
		write_detailed(&copy, end, flags, result);
	else
		write_call(t, &copy, end, flags, NULL);
	free_args(&copy);
}

void viz_edge__c_enter(struct viz_thread *t, PyObject *callable)
{
	const struct viz_known *known;
	struct viz_frame *frame;
	uint32_t lane;

	drop_stale(t);
	if (is_hidden(t))
		return;
	t->busy++;
	known = viz_names__callable(callable);
	t->busy--;
	if (!known || known->verdict != VIZ_SHOW)
		return;
	lane = lane_of(t);
	frame = push(t, callable, VIZ_FRAME_C);
	if (!frame)
		return;
	frame->func = known->func;
	if (lane) {
		frame->args = NULL;
		frame->lane = lane;
		frame->flags |= VIZ_FRAME_DETAILS;
	}
	frame->begin = viz_clock__ticks();
}

void viz_edge__c_leave(struct viz_thread *t, PyObject *callable, uint64_t end, uint32_t flags)
{
	struct viz_frame *frame = t->top - 1;

	if (t->top == t->base || !(frame->flags & VIZ_FRAME_C) ||
	    (callable && frame->key != callable))
		return;
	t->top = frame;
	write_call(t, frame, end, VIZ_REC_C | flags, NULL);
}

void viz_edge__event(struct viz_thread *t, uint64_t begin, uint64_t end, const char *members)
{
	uint64_t dropped = viz_recorder.texts_dropped;

	/* without its text it would be nothing */
	if (viz_recorder.more + places_of((uint32_t)strlen(members)) > viz_recorder.more_max)
		viz_recorder.texts_dropped = dropped + 1;
	else
		write_record(t, begin, end, VIZ_REC_EVENT, lane_of(t), members);
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
	t = viz_thread__current();
	if (!t)
		return;
	t->busy -= !!t->busy;
	if (ok)
		viz_edge__event(t, viz_clock__ticks(), 0, data);
}

void viz_edge__close_all(bool finish)
{
	uint64_t now = viz_clock__ticks();

	for (struct viz_thread *t = viz_recorder.seen.threads; t; t = t->next) {
		while (t->top > t->base) {
			struct viz_frame *frame = --t->top;
			uint32_t flags = (finish ? 0 : VIZ_REC_OPEN) |
					 (frame->flags & VIZ_FRAME_C ? VIZ_REC_C : 0);

			if (!(frame->flags & VIZ_FRAME_HIDDEN))
				write_call(t, frame, now, flags,
					   frame->flags & VIZ_FRAME_DETAILS ? frame->args : NULL);
			free_args(frame);
		}
		viz_thread__settle(t);
	}
}
