// SPDX-License-Identifier: Apache-2.0
#include "emit.h"

#include <string.h>

enum {
	NAME_SIZE = 256, /* as the tracer keeps them: enum viz_limit in bpf/records.h */
	CATEGORY_SIZE = 64,
	ARGS_SIZE = 1700, /* fits one record beside the longest name and category */
};

viz_emit_fn volatile viz_emit_sink;

/* The UTF-8 of a str, cut at a whole character; of other values, their bounded repr. */
static const char *plain(struct viz_module *module, PyObject *value, char *data, size_t size)
{
	struct viz_text text;

	viz_text__start(&text, &module->rules, data, size);
	viz_text__plain(&text, value);
	return viz_text__end(&text);
}

void viz_emit__send(struct viz_module *module, enum vizbpf_type type, PyObject *name,
		    PyObject *category, PyObject *args, uint64_t id, uint64_t value)
{
	char name_data[NAME_SIZE], category_data[CATEGORY_SIZE], args_data[ARGS_SIZE];
	viz_emit_fn sink = viz_emit_sink;
	struct viz_emitted event = {type, "", "", "", id, value};
	struct viz_text text;

	if (name)
		event.name = plain(module, name, name_data, sizeof(name_data));
	if (category && category != Py_None)
		event.category = plain(module, category, category_data, sizeof(category_data));
	if (args && args != Py_None) {
		viz_text__start(&text, &module->rules, args_data, sizeof(args_data));
		if (viz_text__object(&text, args))
			event.args = viz_text__end(&text);
	}
	if (vizbpf_enabled())
		vizbpf_emit(event.type, event.name, event.category, event.args, id, value);
	if (sink)
		sink(module, &event);
}

/* Joins events of several processes, so equal texts must give equal ids everywhere: hash()
 * of a str does not. */
static uint64_t identity(struct viz_module *module, PyObject *value)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */
	char data[NAME_SIZE];

	if (!value)
		return 0;
	if (PyLong_Check(value)) {
		hash = PyLong_AsUnsignedLongLongMask(value);
		viz_error__drop();
		return hash;
	}
	for (const char *c = plain(module, value, data, sizeof(data)); *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	return hash;
}

static PyObject *emit_instant(PyObject *self, PyObject *const *args, Py_ssize_t nr,
			      PyObject *keywords)
{
	static const char *const names[] = {"name", "args", "scope", "category", NULL};
	PyObject *slots[4];
	uint64_t scope = 't';
	char data[8];

	if (viz_args__parse("instant", names, 1, args, nr, keywords, slots))
		return NULL;
	if (viz_emit__wanted()) {
		if (slots[2])
			scope = (unsigned char)*plain(viz_module__of(self), slots[2], data,
						      sizeof(data));
		if (scope != 'p' && scope != 'g')
			scope = 't';
		viz_emit__send(viz_module__of(self), VIZBPF_INSTANT, slots[0], slots[3], slots[1],
			       0, scope);
	}
	Py_RETURN_NONE;
}

static PyObject *emit_begin(PyObject *self, PyObject *const *args, Py_ssize_t nr,
			    PyObject *keywords)
{
	static const char *const names[] = {"name", "args", "category", NULL};
	PyObject *slots[3];

	if (viz_args__parse("begin", names, 1, args, nr, keywords, slots))
		return NULL;
	if (viz_emit__wanted())
		viz_emit__send(viz_module__of(self), VIZBPF_BEGIN, slots[0], slots[2], slots[1], 0,
			       0);
	Py_RETURN_NONE;
}

static PyObject *emit_end(PyObject *self, PyObject *const *args, Py_ssize_t nr, PyObject *keywords)
{
	static const char *const names[] = {"name", NULL};
	PyObject *slots[1];

	if (viz_args__parse("end", names, 0, args, nr, keywords, slots))
		return NULL;
	if (viz_emit__wanted())
		viz_emit__send(viz_module__of(self), VIZBPF_END, slots[0], NULL, NULL, 0, 0);
	Py_RETURN_NONE;
}

static PyObject *emit_counter(PyObject *self, PyObject *const *args, Py_ssize_t nr,
			      PyObject *keywords)
{
	static const char *const names[] = {"name", "value", NULL};
	PyObject *slots[2], *many = NULL;
	uint64_t bits = 0;
	double number;

	if (viz_args__parse("counter", names, 2, args, nr, keywords, slots))
		return NULL;
	if (!viz_emit__wanted())
		Py_RETURN_NONE;
	if (PyFloat_Check(slots[1]) || PyLong_Check(slots[1])) {
		number = PyFloat_AsDouble(slots[1]); /* an int too large for it gives -1 */
		viz_error__drop();
		memcpy(&bits, &number, sizeof(bits));
	} else {
		many = slots[1];
	}
	viz_emit__send(viz_module__of(self), VIZBPF_COUNTER, slots[0], NULL, many, 0, bits);
	Py_RETURN_NONE;
}

/* The types whose functions take name, id and args. */
static PyObject *emit_with_id(PyObject *self, const char *function, enum vizbpf_type type,
			      PyObject *const *args, Py_ssize_t nr, PyObject *keywords)
{
	static const char *const names[] = {"name", "id", "args", "category", NULL};
	PyObject *slots[4];

	if (viz_args__parse(function, names, 2, args, nr, keywords, slots))
		return NULL;
	if (viz_emit__wanted())
		viz_emit__send(viz_module__of(self), type, slots[0], slots[3], slots[2],
			       identity(viz_module__of(self), slots[1]), 0);
	Py_RETURN_NONE;
}

#define WITH_ID(function, type)                                                                    \
	static PyObject *emit_##function(PyObject *self, PyObject *const *args, Py_ssize_t nr,     \
					 PyObject *keywords)                                       \
	{                                                                                          \
		return emit_with_id(self, #function, type, args, nr, keywords);                    \
	}

WITH_ID(async_begin, VIZBPF_ASYNC_BEGIN)
WITH_ID(async_end, VIZBPF_ASYNC_END)
WITH_ID(flow_start, VIZBPF_FLOW_START)
WITH_ID(flow_step, VIZBPF_FLOW_STEP)
WITH_ID(flow_end, VIZBPF_FLOW_END)
WITH_ID(object_new, VIZBPF_OBJECT_NEW)
WITH_ID(object_snapshot, VIZBPF_OBJECT_SNAPSHOT)
WITH_ID(object_delete, VIZBPF_OBJECT_DELETE)

static PyObject *emit_enabled(PyObject *self, PyObject *unused)
{
	(void)self, (void)unused;
	return PyBool_FromLong(viz_emit__wanted());
}

/* What event() returns: a context manager and decorator. */
struct event {
	PyObject_HEAD PyObject *module, *name, *args, *category;
};

static PyObject *emit_event(PyObject *self, PyObject *const *args, Py_ssize_t nr,
			    PyObject *keywords)
{
	static const char *const names[] = {"name", "args", "category", NULL};
	struct viz_module *module = viz_module__of(self);
	PyTypeObject *type = (PyTypeObject *)module->event_type;
	PyObject *slots[3];
	struct event *event;

	if (viz_args__parse("event", names, 1, args, nr, keywords, slots))
		return NULL;
	if (!PyUnicode_Check(slots[0]) && PyCallable_Check(slots[0])) /* a bare @event */
		return PyObject_CallFunctionObjArgs(module->decorate, Py_None, Py_None, Py_None,
						    slots[0], NULL);
	event = (struct event *)PyType_GenericAlloc(type, 0);
	if (!event)
		return NULL;
	Py_INCREF(self);
	event->module = self;
	Py_INCREF(slots[0]);
	event->name = slots[0];
	Py_XINCREF(slots[1]);
	event->args = slots[1];
	Py_XINCREF(slots[2]);
	event->category = slots[2];
	return (PyObject *)event;
}

static PyObject *event_enter(struct event *self, PyObject *unused)
{
	(void)unused;
	if (viz_emit__wanted())
		viz_emit__send(viz_module__of(self->module), VIZBPF_BEGIN, self->name,
			       self->category, self->args, 0, 0);
	Py_INCREF(self);
	return (PyObject *)self;
}

static PyObject *event_exit(struct event *self, PyObject *const *args, Py_ssize_t nr)
{
	(void)args, (void)nr;
	if (viz_emit__wanted())
		viz_emit__send(viz_module__of(self->module), VIZBPF_END, self->name, NULL, NULL, 0,
			       0);
	Py_RETURN_NONE;
}

static PyObject *event_call(struct event *self, PyObject *args, PyObject *keywords)
{
	PyObject *function;

	if (keywords && PyDict_Size(keywords)) {
		PyErr_SetString(PyExc_TypeError, "event() as a decorator takes one function");
		return NULL;
	}
	if (!PyArg_ParseTuple(args, "O", &function))
		return NULL;
	return PyObject_CallFunctionObjArgs(viz_module__of(self->module)->decorate, self->name,
					    self->args ? self->args : Py_None,
					    self->category ? self->category : Py_None, function,
					    NULL);
}

static void event_free(struct event *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	Py_XDECREF(self->name);
	Py_XDECREF(self->args);
	Py_XDECREF(self->category);
	Py_XDECREF(self->module);
	release(self);
	Py_DECREF(type);
}

static PyMethodDef event_methods[] = {
	VIZ_METHOD("__enter__", event_enter, METH_NOARGS, ""),
	VIZ_METHOD("__exit__", event_exit, METH_FASTCALL, ""),
	{NULL, NULL, 0, NULL},
};

static PyType_Slot event_slots[] = {
	{Py_tp_dealloc, event_free},
	{Py_tp_call, event_call},
	{Py_tp_methods, event_methods},
	{Py_tp_doc,
	 "A slice on the thread's track while the block, or the decorated function, runs."},
	{0, NULL},
};

static PyType_Spec event_spec = {
	.name = "vizbpf._native.Event",
	.basicsize = sizeof(struct event),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = event_slots,
};

static PyObject *set_decorate(PyObject *self, PyObject *function)
{
	struct viz_module *module = viz_module__of(self);

	Py_INCREF(function);
	Py_XDECREF(module->decorate);
	module->decorate = function;
	Py_RETURN_NONE;
}

static PyObject *exclude_repr(PyObject *self, PyObject *types)
{
	struct viz_module *module = viz_module__of(self);
	PyObject *old = module->rules.excluded;

	if (!PyTuple_Check(types)) {
		PyErr_SetString(PyExc_TypeError, "a tuple of types is needed");
		return NULL;
	}
	for (Py_ssize_t i = 0; i < PyTuple_Size(types); i++) {
		if (!PyType_Check(PyTuple_GetItem(types, i))) {
			PyErr_SetString(PyExc_TypeError, "a tuple of types is needed");
			return NULL;
		}
	}
	Py_INCREF(types);
	module->rules.excluded = types;
	Py_XDECREF(old);
	Py_RETURN_NONE;
}

static PyObject *to_json(PyObject *self, PyObject *const *args, Py_ssize_t nr)
{
	char data[ARGS_SIZE];
	struct viz_text text;
	long size = sizeof(data);
	bool ok;

	if (nr < 1 || nr > 3) {
		PyErr_SetString(PyExc_TypeError, "to_json(value, size=1700, repr=False)");
		return NULL;
	}
	if (nr > 1)
		size = PyLong_AsLong(args[1]);
	if (size < 8 || size > (long)sizeof(data)) {
		PyErr_SetString(PyExc_ValueError, "size must be between 8 and 1700");
		return NULL;
	}
	viz_text__start(&text, &viz_module__of(self)->rules, data, (size_t)size);
	ok = nr > 2 && PyObject_IsTrue(args[2]) ? viz_text__repr(&text, args[0])
						: viz_text__value(&text, args[0]);
	if (!ok)
		Py_RETURN_NONE;
	return PyUnicode_DecodeUTF8(data, (Py_ssize_t)text.len, NULL);
}

#define EMIT(name, doc) VIZ_METHOD(#name, emit_##name, METH_FASTCALL | METH_KEYWORDS, doc)

PyMethodDef viz_emit_methods[] = {
	EMIT(instant,
	     "instant(name, args=None, scope='t', category=None)\n\nA moment on this track."),
	EMIT(event,
	     "event(name, args=None, category=None)\n\nA slice: context manager or decorator."),
	EMIT(begin,
	     "begin(name, args=None, category=None)\n\nOpens a slice on this thread's track."),
	EMIT(end, "end(name=None)\n\nCloses the innermost slice of that name, or the innermost."),
	EMIT(counter, "counter(name, value)\n\nA number, or a dict of numbers, over time."),
	EMIT(async_begin, "async_begin(name, id, args=None, category=None)"),
	EMIT(async_end, "async_end(name, id, args=None, category=None)"),
	EMIT(flow_start, "flow_start(name, id, args=None, category=None)"),
	EMIT(flow_step, "flow_step(name, id, args=None, category=None)"),
	EMIT(flow_end, "flow_end(name, id, args=None, category=None)"),
	EMIT(object_new, "object_new(name, id, args=None, category=None)"),
	EMIT(object_snapshot, "object_snapshot(name, id, args=None, category=None)"),
	EMIT(object_delete, "object_delete(name, id, args=None, category=None)"),
	VIZ_METHOD("enabled", emit_enabled, METH_NOARGS, "Whether anybody listens to events now."),
	VIZ_METHOD("_set_decorate", set_decorate, METH_O, ""),
	VIZ_METHOD("_exclude_repr", exclude_repr, METH_O, ""),
	VIZ_METHOD("_to_json", to_json, METH_FASTCALL, "to_json(value, size=1700, repr=False)"),
	{NULL, NULL, 0, NULL},
};

int viz_emit__init(PyObject *module)
{
	struct viz_module *state = viz_module__of(module);

	state->event_type = PyType_FromSpec(&event_spec);
	if (!state->event_type)
		return -1;
	return PyModule_AddFunctions(module, viz_emit_methods);
}
