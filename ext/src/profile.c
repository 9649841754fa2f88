// SPDX-License-Identifier: Apache-2.0
/* The profile hook, for CPython 3.8 to 3.11. */
#include "fast.h"

#include <dlfcn.h>
#include <string.h>

/* Include/cpython/pystate.h: what a profile function is told, the same since 2.4. */
enum {
	TRACE_CALL = 0,
	TRACE_EXCEPTION = 1,
	TRACE_RETURN = 3,
	TRACE_C_CALL = 4,
	TRACE_C_EXCEPTION = 5,
	TRACE_C_RETURN = 6,
};

typedef int (*trace_function)(PyObject *self, PyObject *frame, int what, PyObject *arg);

/* Not in the limited API, but exported by every CPython. */
PyAPI_FUNC(void) PyEval_SetProfile(trace_function function, PyObject *self);

/* PyFrameObject of 3.8, for want of PyFrame_GetCode() (3.9). */
struct frame_3_8 {
	PyObject_VAR_HEAD void *back;
	PyObject *code;
};

static PyObject *(*frame_get_code)(PyObject *frame);

/* The code object of a frame; the frame keeps it alive. */
static PyObject *code_of(PyObject *frame)
{
	PyObject *code;

	if (!frame_get_code)
		return ((struct frame_3_8 *)frame)->code;
	code = frame_get_code(frame);
	Py_DECREF(code);
	return code;
}

static int hook(PyObject *self, PyObject *frame, int what, PyObject *arg)
{
	struct viz_thread *t = viz_thread__current();

	(void)self;
	if (!t || !viz_recorder.running)
		return 0;
	switch (what) {
	case TRACE_CALL:
		viz_fast__enter(t, code_of(frame));
		break;
	case TRACE_RETURN:
		viz_fast__leave(t, code_of(frame), arg, arg ? 0 : VIZ_REC_RAISED);
		break;
	case TRACE_C_CALL:
		if (viz_recorder.with_c)
			viz_fast__c_enter(t, arg);
		break;
	case TRACE_C_RETURN:
	case TRACE_C_EXCEPTION:
		/* the object may be a bound one that was made for the call */
		if (viz_recorder.with_c)
			viz_fast__c_leave(t, NULL, what == TRACE_C_EXCEPTION ? VIZ_REC_RAISED : 0);
		break;
	default:
		break;
	}
	return 0;
}

typedef int (*set_profile_of)(void *tstate, trace_function function, PyObject *self);

/* On every thread of this interpreter; up to 3.8 CPython can do it for the caller only. */
static void set_all(trace_function function)
{
	void *(*state_get)(void) = dlsym(RTLD_DEFAULT, "PyThreadState_Get");
	void *(*state_interp)(void *) = dlsym(RTLD_DEFAULT, "PyThreadState_GetInterpreter");
	void *(*first)(void *) = dlsym(RTLD_DEFAULT, "PyInterpreterState_ThreadHead");
	void *(*next)(void *) = dlsym(RTLD_DEFAULT, "PyThreadState_Next");
	set_profile_of set = (set_profile_of)dlsym(RTLD_DEFAULT, "_PyEval_SetProfile");
	void *self;

	PyEval_SetProfile(function, NULL);
	if (!state_get || !state_interp || !first || !next || !set)
		return;
	self = state_get();
	for (void *t = first(state_interp(self)); t; t = next(t))
		if (t != self && set(t, function, NULL) < 0)
			PyErr_Clear();
}

int viz_profile__start(void)
{
	frame_get_code = (PyObject * (*)(PyObject *)) dlsym(RTLD_DEFAULT, "PyFrame_GetCode");
	if (!frame_get_code && viz_python >= 0x030900) {
		PyErr_SetString(PyExc_RuntimeError, "this Python does not export PyFrame_GetCode");
		return -1;
	}
	set_all(hook);
	return 0;
}

int viz_profile__stop(void)
{
	set_all(NULL);
	return 0;
}

PyObject *viz_profile__thread_hook(PyObject *self, PyObject *const *args, Py_ssize_t nr)
{
	static const struct {
		const char *name;
		int what;
	} events[] = {
		{"call", TRACE_CALL},
		{"return", TRACE_RETURN},
		{"c_call", TRACE_C_CALL},
		{"c_return", TRACE_C_RETURN},
		{"c_exception", TRACE_C_EXCEPTION},
	};

	(void)self;
	if (nr == 3 && viz_recorder.running && viz_recorder.how == VIZ_BY_PROFILE) {
		PyEval_SetProfile(hook, NULL);
		for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
			if (PyUnicode_Check(args[1]) &&
			    !PyUnicode_CompareWithASCIIString(args[1], events[i].name))
				hook(NULL, args[0], events[i].what, args[2]);
	} else {
		PyEval_SetProfile(NULL, NULL);
	}
	Py_RETURN_NONE;
}
