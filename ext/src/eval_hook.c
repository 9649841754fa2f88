// SPDX-License-Identifier: Apache-2.0
/*
 * PEP 523, for CPython 3.9 to 3.11 when only Python functions are recorded: half the price of
 * the profile hook there. The interpreter calls us to evaluate a frame; we call its own
 * evaluation function. Covers all threads at once.
 *
 * 3.11 does not inline calls while another function is set: every Python call takes C stack
 * then. When little of it is left the slot is given back for as long as that call lasts.
 */
#include "emit.h"
#include "fast.h"
#include "getitem.h"

#include <dlfcn.h>
#include <pthread.h>

typedef PyObject *(*eval_function)(void *tstate, void *frame, int throwing);

enum {
	/* frame -> code: PyFrameObject.f_code up to 3.10 (Include/cpython/frameobject.h),
	 * _PyInterpreterFrame.f_code in 3.11 (Include/internal/pycore_frame.h) */
	FRAME_CODE = 32,
	FRAME_OWNER_3_11 = 69,
	OWNED_BY_THREAD = 0,
	GENERATOR_LIKE = 0x20 | 0x80 | 0x200, /* co_flags of generators and coroutines */
	STACK_RESERVE = 256 << 10,
};

static eval_function default_eval;
static void *(*interpreter_get)(void);
static void (*set_eval)(void *interpreter, eval_function function);
static eval_function (*get_eval)(void *interpreter);

static uintptr_t stack_limit(void)
{
	static __thread uintptr_t limit __attribute__((tls_model("initial-exec")));
	pthread_attr_t attr;
	size_t size = 0;
	void *low = NULL;

	if (limit)
		return limit;
	if (pthread_getattr_np(pthread_self(), &attr))
		return 0;
	pthread_attr_getstack(&attr, &low, &size);
	pthread_attr_destroy(&attr);
	limit = (uintptr_t)low + (size / 2 < STACK_RESERVE ? size / 2 : STACK_RESERVE);
	return limit;
}

/* A generator's creation enters the evaluation function too, in 3.11: it is no call. */
static bool is_creation(const char *frame, PyObject *code)
{
	const struct viz_known *known;

	if (viz_python < 0x030b00 || frame[FRAME_OWNER_3_11] != OWNED_BY_THREAD)
		return false;
	known = viz_names__find(code);
	if (!known)
		known = viz_names__code(code);
	return known && viz_recorder.seen.funcs[known->func].code_flags & GENERATOR_LIKE;
}

static PyObject *hook(void *tstate, void *frame, int throwing);

static void give_back(void)
{
	if (get_eval(interpreter_get()) == hook)
		set_eval(interpreter_get(), default_eval);
}

/*
 * To give the slot back lets 3.11 inline calls again, which vizbpf outside, if it records this
 * process by uprobes, would not see then: the function stays for as long as it listens.
 */
static bool is_needed(void)
{
	return viz_python >= 0x030b00 && vizbpf_enabled();
}

static PyObject *step_back(struct viz_thread *t, void *tstate, void *frame, int throwing)
{
	PyObject *result;

	if (t)
		t->lost++;
	set_eval(interpreter_get(), default_eval);
	result = default_eval(tstate, frame, throwing);
	if ((viz_recorder.running ? viz_recorder.how == VIZ_BY_EVAL : is_needed()) &&
	    get_eval(interpreter_get()) == default_eval)
		set_eval(interpreter_get(), hook);
	return result;
}

static PyObject *hook(void *tstate, void *frame, int throwing)
{
	PyObject *code = *(PyObject **)((char *)frame + FRAME_CODE);
	PyObject *type, *error, *trace, *result;
	struct viz_thread *t = viz_recorder.running ? viz_thread__current() : NULL;

	if (__builtin_expect(!viz_recorder.running, 0) && !is_needed())
		give_back();
	else if (viz_python >= 0x030b00 && (uintptr_t)__builtin_frame_address(0) < stack_limit())
		return step_back(t, tstate, frame, throwing);
	if (viz_getitem_escapes) {
		viz_getitem__call(tstate);
		if (t && !viz_names__find(code))
			viz_getitem__keep_general(code);
	}
	if (!t || is_creation(frame, code))
		return default_eval(tstate, frame, throwing);
	if (throwing) {
		PyErr_Fetch(&type, &error, &trace);
		viz_fast__enter(t, code);
		PyErr_Restore(type, error, trace);
	} else {
		viz_fast__enter(t, code);
	}
	result = default_eval(tstate, frame, throwing);
	/* The recording may have been stopped, and cleared, meanwhile. */
	t = viz_recorder.running ? viz_thread__current() : NULL;
	if (t)
		viz_fast__leave(t, code, result, result ? 0 : VIZ_REC_RAISED);
	return result;
}

bool viz_eval__can(void)
{
	if (viz_python < 0x030900 || viz_python >= 0x030c00 || viz_recorder.with_c ||
	    viz_recorder.log_args)
		return false;
	if (!viz_getitem__can())
		return false;
	if (!default_eval) {
		interpreter_get = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyInterpreterState_Get");
		set_eval = (void (*)(void *, eval_function))dlsym(
			RTLD_DEFAULT, "_PyInterpreterState_SetEvalFrameFunc");
		get_eval = (eval_function(*)(void *))dlsym(RTLD_DEFAULT,
							   "_PyInterpreterState_GetEvalFrameFunc");
		default_eval = (eval_function)dlsym(RTLD_DEFAULT, "_PyEval_EvalFrameDefault");
	}
	if (!interpreter_get || !set_eval || !get_eval || !default_eval)
		return false;
	/* somebody else's (a compiler's, a debugger's) stays where it is */
	return get_eval(interpreter_get()) == default_eval || get_eval(interpreter_get()) == hook;
}

int viz_eval__start(void)
{
	/* of an earlier recording, whose counters have run down since */
	for (uint32_t i = 0; viz_getitem_escapes && i < viz_recorder.seen.nr_funcs; i++)
		if (viz_recorder.seen.funcs[i].code)
			viz_getitem__keep_general(viz_recorder.seen.funcs[i].code);
	set_eval(interpreter_get(), hook);
	return 0;
}

int viz_eval__stop(void)
{
	if (!is_needed())
		give_back();
	return 0;
}
