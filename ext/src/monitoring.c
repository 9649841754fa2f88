// SPDX-License-Identifier: Apache-2.0
/*
 * sys.monitoring (CPython 3.12+): the interpreter calls us at the events, and inlining of
 * Python-to-Python calls stays on. Callbacks are objects with the vectorcall protocol: a
 * third cheaper than built-in functions, for which CPython checks recursion at each call.
 */
#include "fast.h"

#include <stddef.h>
#include <structmember.h>

/* Include/cpython/object.h of 3.12; the bit has been the same since 3.8. */
#define HAVE_VECTORCALL (1UL << 11)

typedef PyObject *(*vectorcall)(PyObject *self, PyObject *const *args, size_t nr, PyObject *names);

struct callback {
	PyObject_HEAD vectorcall call;
};

/* None is immortal from 3.12 on: no reference has to be counted. */
#define NOTHING Py_None

static PyObject *on_start(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	struct viz_thread *t = viz_thread__current();

	(void)self, (void)nr, (void)names;
	if (t)
		viz_fast__enter(t, args[0]);
	return NOTHING;
}

static PyObject *on_return(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	struct viz_thread *t = viz_thread__current();

	(void)self, (void)nr, (void)names;
	if (t)
		viz_fast__leave(t, args[0], args[2], 0);
	return NOTHING;
}

static PyObject *on_unwind(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	struct viz_thread *t = viz_thread__current();

	(void)self, (void)nr, (void)names;
	if (t)
		viz_fast__leave(t, args[0], NULL, VIZ_REC_RAISED);
	return NOTHING;
}

/* Arguments: code, offset, callable, first argument. */
static PyObject *on_call(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	PyTypeObject *type = Py_TYPE(args[2]);
	struct viz_thread *t;

	(void)self, (void)nr, (void)names;
	if ((PyObject *)type == viz_recorder.function_type ||
	    (PyObject *)type == viz_recorder.method_type)
		return NOTHING;
	t = viz_thread__current();
	if (t)
		viz_fast__c_enter(t, args[2]);
	return NOTHING;
}

static PyObject *on_c_return(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	struct viz_thread *t = viz_thread__current();

	(void)self, (void)nr, (void)names;
	if (t)
		viz_fast__c_leave(t, args[2], 0);
	return NOTHING;
}

static PyObject *on_c_raise(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	struct viz_thread *t = viz_thread__current();

	(void)self, (void)nr, (void)names;
	if (t)
		viz_fast__c_leave(t, args[2], VIZ_REC_RAISED);
	return NOTHING;
}

static PyObject *on_raise(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	struct viz_thread *t = viz_thread__current();

	(void)self, (void)nr, (void)names;
	if (t)
		viz_edge__exception(t, args[2], false);
	return NOTHING;
}

static PyObject *on_caught(PyObject *self, PyObject *const *args, size_t nr, PyObject *names)
{
	struct viz_thread *t = viz_thread__current();

	(void)self, (void)nr, (void)names;
	if (t)
		viz_edge__exception(t, args[2], true);
	return NOTHING;
}

static PyObject *callback_call(PyObject *self, PyObject *args, PyObject *keywords)
{
	(void)self, (void)args, (void)keywords;
	PyErr_SetString(PyExc_TypeError, "only the interpreter calls this");
	return NULL;
}

static void callback_free(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	release(self);
	Py_DECREF(type);
}

static PyMemberDef callback_members[] = {
	{"__vectorcalloffset__", T_PYSSIZET, offsetof(struct callback, call), READONLY, NULL},
	{NULL, 0, 0, 0, NULL},
};

static PyType_Slot callback_slots[] = {
	{Py_tp_dealloc, callback_free},
	{Py_tp_call, callback_call},
	{Py_tp_members, callback_members},
	{0, NULL},
};

static PyType_Spec callback_spec = {
	.name = "vizbpf._native.Callback",
	.basicsize = sizeof(struct callback),
	.flags = Py_TPFLAGS_DEFAULT | HAVE_VECTORCALL,
	.slots = callback_slots,
};

enum wanted { ALWAYS, C_CALLS, EXCEPTIONS };

static const struct {
	const char *event;
	vectorcall call;
	enum wanted wanted;
} events[] = {
	{"PY_START", on_start, ALWAYS},
	{"PY_RESUME", on_start, ALWAYS},
	{"PY_THROW", on_start, ALWAYS},
	{"PY_RETURN", on_return, ALWAYS},
	{"PY_YIELD", on_return, ALWAYS},
	{"PY_UNWIND", on_unwind, ALWAYS},
	{"CALL", on_call, C_CALLS},
	{"C_RETURN", on_c_return, C_CALLS},
	{"C_RAISE", on_c_raise, C_CALLS},
	{"RAISE", on_raise, EXCEPTIONS},
	{"EXCEPTION_HANDLED", on_caught, EXCEPTIONS},
};

static bool is_wanted(enum wanted wanted)
{
	return wanted == ALWAYS || (wanted == C_CALLS && viz_recorder.with_c) ||
	       (wanted == EXCEPTIONS && viz_recorder.log_exception);
}

static PyObject *monitoring_module(void)
{
	PyObject *module = PySys_GetObject("monitoring");

	if (!module)
		PyErr_SetString(PyExc_RuntimeError, "this Python has no sys.monitoring");
	return module;
}

/* The events' numbers come from the interpreter, none is assumed. */
static long event_number(PyObject *monitoring, const char *name)
{
	PyObject *names = PyObject_GetAttrString(monitoring, "events");
	PyObject *number = names ? PyObject_GetAttrString(names, name) : NULL;
	long result = number ? PyLong_AsLong(number) : -1;

	Py_XDECREF(names);
	Py_XDECREF(number);
	return result;
}

/* PROFILER_ID first, as the documentation asks of profilers, then what else is free. */
static int take_tool(PyObject *monitoring)
{
	static const int ids[] = {2, 3, 4, 1, 0, 5};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		PyObject *done =
			PyObject_CallMethod(monitoring, "use_tool_id", "is", ids[i], "vizbpf");

		Py_XDECREF(done);
		if (done)
			return ids[i];
		if (!PyErr_ExceptionMatches(PyExc_ValueError))
			return -1;
		PyErr_Clear();
	}
	PyErr_SetString(PyExc_RuntimeError, "all tool ids of sys.monitoring are taken");
	return -1;
}

static int set_events(PyObject *monitoring, long mask)
{
	PyObject *done =
		PyObject_CallMethod(monitoring, "set_events", "il", viz_recorder.tool, mask);

	Py_XDECREF(done);
	return done ? 0 : -1;
}

static int register_callback(PyObject *monitoring, PyObject *type, size_t index, long number)
{
	struct callback *callback = (struct callback *)PyType_GenericAlloc((PyTypeObject *)type, 0);
	PyObject *done;

	if (!callback)
		return -1;
	callback->call = events[index].call;
	done = PyObject_CallMethod(monitoring, "register_callback", "ilO", viz_recorder.tool,
				   number, callback);
	Py_DECREF(callback);
	Py_XDECREF(done);
	return done ? 0 : -1;
}

int viz_monitoring__start(PyObject *module)
{
	PyObject *monitoring = monitoring_module(), *type;
	long mask = 0;

	(void)module;
	type = monitoring ? PyType_FromSpec(&callback_spec) : NULL;
	if (!type)
		return -1;
	viz_recorder.tool = take_tool(monitoring);
	if (viz_recorder.tool < 0)
		goto failed;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		long number;

		if (!is_wanted(events[i].wanted))
			continue;
		number = event_number(monitoring, events[i].event);
		if (number < 0 || register_callback(monitoring, type, i, number))
			goto failed;
		mask |= number;
	}
	if (set_events(monitoring, mask))
		goto failed;
	Py_DECREF(type);
	return 0;
failed:
	Py_DECREF(type);
	return -1;
}

int viz_monitoring__stop(void)
{
	PyObject *monitoring = monitoring_module(), *done;

	if (!monitoring)
		return -1;
	if (set_events(monitoring, 0))
		PyErr_Clear();
	done = PyObject_CallMethod(monitoring, "free_tool_id", "i", viz_recorder.tool);
	Py_XDECREF(done);
	return done ? 0 : -1;
}
