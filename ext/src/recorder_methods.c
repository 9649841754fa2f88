// SPDX-License-Identifier: Apache-2.0
/* The recorder as Python sees it: functions of vizbpf._native whose callers are in tracer.py. */
#include "emit.h"
#include "getitem.h"
#include "recorder.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TEXTS_MAX = 256 << 20, /* bytes of arguments and other events */
	ENTRIES_MIN = 2048,
};

static PyObject *or_null(PyObject *object)
{
	return object == Py_None ? NULL : object;
}

static void set_object(PyObject **slot, PyObject *object)
{
	PyObject *old = *slot;

	Py_XINCREF(object);
	*slot = object;
	Py_XDECREF(old);
}

static int find_types(void)
{
	PyObject *types = PyImport_ImportModule("types"), *threading;

	if (types && !viz_recorder.function_type) {
		viz_recorder.function_type = PyObject_GetAttrString(types, "FunctionType");
		viz_recorder.method_type = PyObject_GetAttrString(types, "MethodType");
	}
	Py_XDECREF(types);
	threading = PyImport_ImportModule("threading");
	Py_XDECREF(viz_recorder.active_threads);
	viz_recorder.active_threads =
		threading ? PyObject_GetAttrString(threading, "_active") : NULL;
	Py_XDECREF(threading);
	if (viz_recorder.active_threads && !PyDict_Check(viz_recorder.active_threads))
		Py_CLEAR(viz_recorder.active_threads);
	return PyErr_Occurred() ? -1 : 0;
}

/* Several VizTracer objects may exist; the one that starts sets its options. */
static PyObject *recorder_configure(PyObject *self, PyObject *args)
{
	PyObject *include, *exclude, *own_path, *repr;
	long long entries, min_ns;
	int with_c, no_frozen, log_args, log_retval, log_async, log_exception;
	long max_depth;

	if (!PyArg_ParseTuple(args, "LlLppppppOOOO", &entries, &max_depth, &min_ns, &with_c,
			      &no_frozen, &log_args, &log_retval, &log_async, &log_exception,
			      &include, &exclude, &own_path, &repr))
		return NULL;
	if (viz_recorder.running) {
		PyErr_SetString(PyExc_RuntimeError, "recording is under way");
		return NULL;
	}
	if (viz_recorder.kept && viz_recorder.interpreter != viz_module__of(self)->interpreter) {
		PyErr_SetString(PyExc_RuntimeError,
				"another interpreter of this process has recorded");
		return NULL;
	}
	viz_recorder.interpreter = viz_module__of(self)->interpreter;
	if (find_types())
		return NULL;
	if (!viz_recorder.kept) {
		viz_clock__init();
		viz_names__clear();
	}
	viz_recorder.module = viz_module__of(self);
	viz_recorder.max_cap = entries > ENTRIES_MIN ? (uint64_t)entries : ENTRIES_MIN;
	viz_recorder.more_max = TEXTS_MAX / sizeof(struct viz_record);
	viz_recorder.max_depth = max_depth;
	viz_recorder.min_ticks = min_ns > 0 ? viz_clock__ticks_of((uint64_t)min_ns) : 0;
	viz_recorder.with_c = with_c;
	viz_recorder.no_frozen = no_frozen;
	viz_recorder.log_args = log_args;
	viz_recorder.log_retval = log_retval;
	viz_recorder.log_async = log_async;
	viz_recorder.log_exception = log_exception;
	viz_recorder.slow = max_depth >= 0 || min_ns > 0 || log_args || log_retval || log_async;
	set_object(&viz_recorder.include, or_null(include));
	set_object(&viz_recorder.exclude, or_null(exclude));
	set_object(&viz_recorder.own_path, or_null(own_path));
	set_object(&viz_recorder.repr, or_null(repr));
	Py_RETURN_NONE;
}

static void record_custom(const struct viz_module *module, const struct viz_emitted *event);

static PyObject *recorder_start(PyObject *self, PyObject *unused)
{
	int err;

	(void)unused;
	if (!viz_recorder.module || viz_recorder.running) {
		PyErr_SetString(PyExc_RuntimeError,
				"recording is under way, or was not configured");
		return NULL;
	}
	if (!viz_recorder.seen.first.ns)
		viz_clock__mark(&viz_recorder.seen.first);
	viz_recorder.seen.pid = (uint32_t)getpid();
	viz_recorder.how = viz_python >= 0x030c00 ? VIZ_BY_MONITORING
			   : viz_eval__can()	  ? VIZ_BY_EVAL
						  : VIZ_BY_PROFILE;
	viz_recorder.running = true;
	err = viz_recorder.how == VIZ_BY_MONITORING ? viz_monitoring__start(self)
	      : viz_recorder.how == VIZ_BY_EVAL	    ? viz_eval__start()
						    : viz_profile__start();
	if (err) {
		viz_recorder.running = false;
		return NULL;
	}
	viz_emit_sink = record_custom;
	Py_RETURN_NONE;
}

static PyObject *recorder_stop(PyObject *self, PyObject *finish)
{
	int err;

	(void)self;
	if (!viz_recorder.running)
		Py_RETURN_NONE;
	viz_emit_sink = NULL;
	err = viz_recorder.how == VIZ_BY_MONITORING ? viz_monitoring__stop()
	      : viz_recorder.how == VIZ_BY_EVAL	    ? viz_eval__stop()
						    : viz_profile__stop();
	viz_recorder.running = false;
	viz_edge__close_all(PyObject_IsTrue(finish) == 1);
	if (err)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *recorder_clear(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (viz_recorder.kept && viz_recorder.interpreter != viz_module__of(self)->interpreter)
		Py_RETURN_NONE;
	if (viz_recorder.running) {
		PyErr_SetString(PyExc_RuntimeError, "recording is under way");
		return NULL;
	}
	if (viz_recorder.kept)
		viz_recorder__clear();
	memset(&viz_recorder.seen.first, 0, sizeof(viz_recorder.seen.first));
	Py_RETURN_NONE;
}

/* +1: the calling thread records nothing until -1. */
static PyObject *recorder_pause(PyObject *self, PyObject *by)
{
	struct viz_thread *t = viz_recorder.running ? viz_thread__current() : NULL;

	(void)self;
	if (t && PyLong_AsLong(by) > 0)
		t->busy++;
	else if (t)
		t->busy -= !!t->busy;
	Py_RETURN_NONE;
}

static PyObject *recorder_now(PyObject *self, PyObject *unused)
{
	(void)self, (void)unused;
	return PyFloat_FromDouble((double)viz_clock__monotonic() / 1000.0);
}

/* Members of an event, without pid, tid and ts. @begin: microseconds as recorder_now() gives
 * them, or None: now. @dur: microseconds or None. */
static PyObject *recorder_add(PyObject *self, PyObject *const *args, Py_ssize_t nr)
{
	struct viz_thread *t;
	struct viz_clock_scale scale;
	uint64_t begin = viz_clock__ticks(), end = 0;
	Py_ssize_t size;
	const char *members;

	(void)self;
	if (nr != 3 || !(members = PyUnicode_AsUTF8AndSize(args[0], &size)))
		return PyErr_Occurred() ? NULL : (PyErr_SetNone(PyExc_TypeError), NULL);
	if (!viz_recorder.module || !viz_recorder.seen.first.ns)
		Py_RETURN_NONE;
	t = viz_thread__current();
	if (args[1] != Py_None && t) {
		double us = PyFloat_AsDouble(args[1]);

		viz_clock__scale(&viz_recorder.seen.first, &scale);
		begin = scale.from.ticks +
			(uint64_t)(int64_t)((us * 1000.0 - (double)scale.from.ns) /
					    scale.ns_per_tick);
		if (args[2] != Py_None)
			end = begin +
			      (uint64_t)(PyFloat_AsDouble(args[2]) * 1000.0 / scale.ns_per_tick);
		if (PyErr_Occurred())
			return NULL;
	}
	if (t)
		viz_edge__event(t, begin, end, members);
	viz_recorder__settle();
	Py_RETURN_NONE;
}

static PyObject *recorder_add_arg(PyObject *self, PyObject *text)
{
	struct viz_thread *t = viz_recorder.running ? viz_thread__current() : NULL;
	Py_ssize_t size;
	const char *member = PyUnicode_AsUTF8AndSize(text, &size);

	(void)self;
	if (!member)
		return NULL;
	if (t && !t->busy)
		viz_details__add(t, member);
	Py_RETURN_NONE;
}

static PyObject *recorder_write(PyObject *self, PyObject *args)
{
	struct viz_saved saved = {0, 0};
	const char *process_name;
	int fd, err;

	(void)self;
	if (!PyArg_ParseTuple(args, "is", &fd, &process_name))
		return NULL;
	if (viz_recorder.running || !viz_recorder.module) {
		PyErr_SetString(PyExc_RuntimeError, "recording is under way, or never was");
		return NULL;
	}
	err = viz_save__write(&viz_recorder.seen, fd, process_name, false, &saved);
	if (err) {
		errno = -err;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	return Py_BuildValue("KK", (unsigned long long)saved.calls,
			     (unsigned long long)saved.events);
}

/* Of the interpreter's own: what is recorded goes into the file, which a process that is killed
 * leaves behind. Takes the descriptor over. */
static PyObject *recorder_keep_in(PyObject *self, PyObject *args)
{
	const char *process_name;
	int fd, err;

	if (!PyArg_ParseTuple(args, "is", &fd, &process_name))
		return NULL;
	if (viz_recorder.interpreter != viz_module__of(self)->interpreter) {
		PyErr_SetString(PyExc_RuntimeError, "this interpreter does not record");
		return NULL;
	}
	err = viz_recorder__keep_in(fd, process_name);
	if (err) {
		errno = -err;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	Py_RETURN_NONE;
}

static PyObject *recorder_recover(PyObject *self, PyObject *args)
{
	int spool, out;

	(void)self;
	if (!PyArg_ParseTuple(args, "ii", &spool, &out))
		return NULL;
	return viz_recover(spool, out);
}

/* [(name, file, line)] of the Python functions that were seen. */
static PyObject *recorder_functions(PyObject *self, PyObject *unused)
{
	PyObject *list = PyList_New(0);

	(void)self, (void)unused;
	for (uint32_t i = 0; list && i < viz_recorder.seen.nr_funcs; i++) {
		const struct viz_func *func = &viz_recorder.seen.funcs[i];
		PyObject *path =
			func->code ? PyObject_GetAttrString(func->code, "co_filename") : NULL;
		PyObject *item = path ? Py_BuildValue("sNI", func->name, path, func->line) : NULL;

		if (item && PyList_Append(list, item))
			Py_CLEAR(list);
		Py_XDECREF(item);
		PyErr_Clear();
	}
	return list;
}

/* (calls and events kept, evicted, lost, texts dropped) */
static PyObject *recorder_counts(PyObject *self, PyObject *unused)
{
	unsigned long long kept = 0, lost = 0;

	(void)self, (void)unused;
	viz_recorder__settle();
	for (struct viz_thread *t = viz_recorder.seen.threads; t; t = t->next) {
		if (t->nr_chunks)
			for (struct viz_chunk *chunk = t->oldest; chunk; chunk = chunk->next)
				kept += chunk->nr - chunk->more;
		lost += t->lost;
	}
	return Py_BuildValue("KKKK", kept, (unsigned long long)viz_recorder.evicted, lost,
			     (unsigned long long)viz_recorder.texts_dropped);
}

/* In the child of a fork: the parent's records are the parent's. Of its threads only the
 * caller lives on. */
static PyObject *recorder_after_fork(PyObject *self, PyObject *unused)
{
	bool running = viz_recorder.running;

	(void)self, (void)unused;
	if (!viz_recorder.kept)
		Py_RETURN_NONE;
	viz_recorder__forget_threads();
	viz_recorder.seen.pid = (uint32_t)getpid();
	if (running)
		viz_clock__mark(&viz_recorder.seen.first);
	Py_RETURN_NONE;
}

/* What the caller calls is shown although the caller is hidden, and counts as depth 1.
 * Returns what _unshield() needs to take it back. */
static PyObject *recorder_shield(PyObject *self, PyObject *unused)
{
	struct viz_thread *t = viz_recorder.running ? viz_thread__current() : NULL;
	unsigned long before = 0;

	(void)self, (void)unused;
	if (t && t->top > t->base) {
		before =
			(unsigned long)t->depth_base << 1 | !!(t->top[-1].flags & VIZ_FRAME_SHIELD);
		t->top[-1].flags |= VIZ_FRAME_SHIELD;
		t->depth_base = (uint32_t)(t->top - t->base);
	}
	return PyLong_FromUnsignedLong(before);
}

static PyObject *recorder_unshield(PyObject *self, PyObject *token)
{
	struct viz_thread *t = viz_recorder.running ? viz_thread__current() : NULL;
	unsigned long before = PyLong_AsUnsignedLong(token);

	(void)self;
	if (PyErr_Occurred())
		return NULL;
	if (t && t->top > t->base) {
		if (!(before & 1))
			t->top[-1].flags &= ~(uint32_t)VIZ_FRAME_SHIELD;
		t->depth_base = (uint32_t)(before >> 1);
	}
	Py_RETURN_NONE;
}

static void put_custom_args(struct viz_text *text, const struct viz_emitted *event)
{
	bool snapshot = event->type == VIZBPF_OBJECT_SNAPSHOT;
	char small[64];
	double number;

	if (event->args[0]) {
		viz_text__puts(text, snapshot ? ",\"args\":{\"snapshot\":" : ",\"args\":");
		viz_text__puts(text, event->args);
		viz_text__puts(text, snapshot ? "}" : "");
	} else if (event->type == VIZBPF_COUNTER) {
		memcpy(&number, &event->value, sizeof(number));
		/* JSON has no word for the others */
		snprintf(small, sizeof(small), ",\"args\":{\"value\":%.15g}",
			 isfinite(number) ? number : 0.0);
		viz_text__puts(text, small);
	}
}

/* Custom events while the recorder runs. Slices are kept as pairs of B and E, which viewers
 * nest as they came. */
static void record_custom(const struct viz_module *module, const struct viz_emitted *event)
{
	static const struct {
		const char *phase, *category;
	} shapes[] = {
		[VIZBPF_INSTANT] = {"i", "INSTANT"},
		[VIZBPF_BEGIN] = {"B", "FEE"},
		[VIZBPF_END] = {"E", "FEE"},
		[VIZBPF_COUNTER] = {"C", NULL},
		[VIZBPF_ASYNC_BEGIN] = {"b", "async"},
		[VIZBPF_ASYNC_END] = {"e", "async"},
		[VIZBPF_FLOW_START] = {"s", "flow"},
		[VIZBPF_FLOW_STEP] = {"t", "flow"},
		[VIZBPF_FLOW_END] = {"f", "flow"},
		[VIZBPF_OBJECT_NEW] = {"N", "object"},
		[VIZBPF_OBJECT_SNAPSHOT] = {"O", "object"},
		[VIZBPF_OBJECT_DELETE] = {"D", "object"},
	};
	struct viz_thread *t;
	struct viz_text text;
	char data[2600], small[96];
	const char *category = event->category[0] ? event->category : shapes[event->type].category;

	/* Another interpreter may have a GIL of its own: the record is not its to touch. */
	if (module->interpreter != viz_recorder.interpreter)
		return;
	t = viz_recorder.running ? viz_thread__current() : NULL;
	if (!t || t->busy)
		return;
	viz_text__start(&text, NULL, data, sizeof(data));
	snprintf(small, sizeof(small), "\"ph\":\"%s\"", shapes[event->type].phase);
	viz_text__puts(&text, small);
	if (event->type == VIZBPF_INSTANT) {
		snprintf(small, sizeof(small), ",\"s\":\"%c\"", (char)event->value);
		viz_text__puts(&text, small);
	}
	if (event->type >= VIZBPF_ASYNC_BEGIN) {
		snprintf(small, sizeof(small), ",\"id\":\"0x%llx\"%s",
			 (unsigned long long)event->id,
			 event->type == VIZBPF_FLOW_END ? ",\"bp\":\"e\"" : "");
		viz_text__puts(&text, small);
	}
	viz_text__puts(&text, ",\"name\":");
	viz_text__string(&text, event->name, strlen(event->name));
	if (category) {
		viz_text__puts(&text, ",\"cat\":");
		viz_text__string(&text, category, strlen(category));
	}
	put_custom_args(&text, event);
	viz_text__end(&text);
	viz_edge__event(t, viz_clock__ticks(), 0, data);
}

PyMethodDef viz_recorder_methods[] = {
	VIZ_METHOD("_configure", recorder_configure, METH_VARARGS, ""),
	VIZ_METHOD("_start", recorder_start, METH_NOARGS, ""),
	VIZ_METHOD("_stop", recorder_stop, METH_O, ""),
	VIZ_METHOD("_clear", recorder_clear, METH_NOARGS, ""),
	VIZ_METHOD("_pause", recorder_pause, METH_O, ""),
	VIZ_METHOD("_now", recorder_now, METH_NOARGS, ""),
	VIZ_METHOD("_add", recorder_add, METH_FASTCALL, ""),
	VIZ_METHOD("_add_arg", recorder_add_arg, METH_O, ""),
	VIZ_METHOD("_write", recorder_write, METH_VARARGS, ""),
	VIZ_METHOD("_keep_in", recorder_keep_in, METH_VARARGS, ""),
	VIZ_METHOD("_recover", recorder_recover, METH_VARARGS, ""),
	VIZ_METHOD("_functions", recorder_functions, METH_NOARGS, ""),
	VIZ_METHOD("_counts", recorder_counts, METH_NOARGS, ""),
	VIZ_METHOD("_after_fork", recorder_after_fork, METH_NOARGS, ""),
	VIZ_METHOD("_shield", recorder_shield, METH_NOARGS, ""),
	VIZ_METHOD("_unshield", recorder_unshield, METH_O, ""),
	VIZ_METHOD("_thread_hook", viz_profile__thread_hook, METH_FASTCALL, ""),
	VIZ_METHOD("_forget_specialised", viz_getitem__forget, METH_O, ""),
	VIZ_METHOD("_keep_general", viz_getitem__prepare, METH_O, ""),
	{NULL, NULL, 0, NULL},
};
