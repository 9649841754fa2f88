/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usual way of a Python call through the recorder, without a function call: the callbacks
 * that the interpreter makes are half of the cost, and the rest should not come near it.
 */
#ifndef VIZ_EXT_FAST_H
#define VIZ_EXT_FAST_H

#include "recorder.h"

#define likely(x) __builtin_expect(!!(x), 1)

/* Nothing is asked for that needs more than a record. */
static inline bool viz_fast__applies(const struct viz_thread *t)
{
	return likely(!(viz_recorder.slow | t->busy | t->name_tries));
}

static inline void viz_fast__enter(struct viz_thread *t, PyObject *code)
{
	const struct viz_known *known = viz_names__find(code);
	struct viz_frame *frame = t->top;

	if (likely(viz_fast__applies(t) && known && known->verdict == VIZ_SHOW &&
		   !(frame[-1].flags & ~VIZ_FRAME_C) && frame < t->limit)) {
		frame->key = code;
		frame->func = known->func;
		frame->flags = 0;
		t->top = frame + 1;
		frame->begin = viz_clock__ticks();
	} else {
		viz_edge__enter(t, code);
	}
}

static inline void viz_fast__leave(struct viz_thread *t, PyObject *code, PyObject *result,
				   uint32_t flags)
{
	uint64_t end = viz_clock__ticks();
	struct viz_frame *frame = t->top - 1;
	struct viz_record *record = t->at;
	uint64_t ticks = end - frame->begin;

	if (likely(!viz_recorder.slow && frame->key == code && !frame->flags && record < t->end &&
		   ticks <= UINT32_MAX)) {
		record->ticks = (uint32_t)ticks;
		record->what = frame->func << VIZ_REC_FUNC_SHIFT | flags;
		__atomic_store_n(&record->begin, frame->begin, __ATOMIC_RELEASE);
		t->at = record + 1;
		t->top = frame;
	} else {
		viz_edge__leave(t, code, end, result, flags);
	}
}

/* What most C functions are: functions of modules and bound methods, or methods of types. */
static inline void viz_fast__c_enter(struct viz_thread *t, PyObject *callable)
{
	PyTypeObject *type = Py_TYPE(callable);
	const struct viz_known *known = NULL;
	struct viz_frame *frame = t->top;

	if (type == &PyCFunction_Type)
		known = viz_names__find(viz_names__definition(callable));
	else if (type == &PyMethodDescr_Type)
		known = viz_names__find(callable);
	if (likely(known && viz_fast__applies(t) && known->verdict == VIZ_SHOW &&
		   !frame[-1].flags && frame < t->limit)) {
		frame->key = callable;
		frame->func = known->func;
		frame->flags = VIZ_FRAME_C;
		t->top = frame + 1;
		frame->begin = viz_clock__ticks();
	} else {
		viz_edge__c_enter(t, callable);
	}
}

/* @callable: NULL where it cannot be told apart, see profile.c. */
static inline void viz_fast__c_leave(struct viz_thread *t, PyObject *callable, uint32_t flags)
{
	uint64_t end = viz_clock__ticks();
	struct viz_frame *frame = t->top - 1;
	struct viz_record *record = t->at;
	uint64_t ticks = end - frame->begin;

	if (likely(!viz_recorder.slow && frame->flags == VIZ_FRAME_C &&
		   (!callable || frame->key == callable) && record < t->end &&
		   ticks <= UINT32_MAX)) {
		record->ticks = (uint32_t)ticks;
		record->what = frame->func << VIZ_REC_FUNC_SHIFT | VIZ_REC_C | flags;
		__atomic_store_n(&record->begin, frame->begin, __ATOMIC_RELEASE);
		t->at = record + 1;
		t->top = frame;
	} else {
		viz_edge__c_leave(t, callable, end, flags);
	}
}

#endif
