// SPDX-License-Identifier: Apache-2.0
/* What code objects and callables are called, and whether they are wanted. */
#include "recorder.h"

#include <stdlib.h>
#include <string.h>

enum {
	NAME_SIZE = 1024,
	KNOWN_MIN = 1024,
	NAMES_BLOCK = 32 << 10,
	/* Programs that make functions without end (exec, lambdas of a template engine) must
	 * not make this table grow without end. */
	FUNCS_MAX = 1 << 20,
};

static bool grow_known(void)
{
	uint32_t cap = viz_recorder.cap_known ? 2 * viz_recorder.cap_known : KNOWN_MIN;
	struct viz_known *old = viz_recorder.known, *slots = calloc(cap, sizeof(*slots));
	uint32_t old_cap = viz_recorder.cap_known;

	if (!slots)
		return false;
	viz_recorder.known = slots;
	viz_recorder.cap_known = cap;
	for (uint32_t i = 0; i < old_cap; i++) {
		uint32_t at =
			(uint32_t)(((uintptr_t)old[i].key >> 4) * 0x9e3779b1u) >> 7 & (cap - 1);

		if (!old[i].key)
			continue;
		while (slots[at].key)
			at = (at + 1) & (cap - 1);
		slots[at] = old[i];
	}
	free(old);
	return true;
}

/* The key's object must stay alive, or another one could take its address. */
static const struct viz_known *remember(const void *key, PyObject *keep, uint32_t func,
					uint32_t verdict)
{
	uint32_t at;

	if (viz_recorder.nr_known >= viz_recorder.cap_known / 2 && !grow_known())
		return NULL;
	if (keep && PyList_Append(viz_recorder.kept, keep)) {
		viz_error__drop();
		return NULL;
	}
	at = (uint32_t)(((uintptr_t)key >> 4) * 0x9e3779b1u) >> 7 & (viz_recorder.cap_known - 1);
	while (viz_recorder.known[at].key)
		at = (at + 1) & (viz_recorder.cap_known - 1);
	viz_recorder.known[at] = (struct viz_known){key, func, verdict};
	viz_recorder.nr_known++;
	return &viz_recorder.known[at];
}

static bool new_func(const char *name, size_t len, PyObject *code, uint32_t line, uint32_t *index)
{
	struct viz_func *func;
	char *copy;

	if (viz_recorder.seen.nr_funcs == FUNCS_MAX)
		return false;
	if (viz_recorder.seen.nr_funcs == viz_recorder.cap_funcs) {
		uint32_t cap = viz_recorder.cap_funcs ? 2 * viz_recorder.cap_funcs : 256;

		func = realloc(viz_recorder.seen.funcs, cap * sizeof(*func));
		if (!func)
			return false;
		viz_recorder.seen.funcs = func;
		viz_recorder.cap_funcs = cap;
	}
	copy = malloc(len + 1);
	if (!copy)
		return false;
	memcpy(copy, name, len);
	copy[len] = '\0';
	*index = viz_recorder.seen.nr_funcs;
	func = &viz_recorder.seen.funcs[viz_recorder.seen.nr_funcs++];
	*func = (struct viz_func){
		.name = copy, .name_len = (uint32_t)len, .line = line, .code = code};
	return true;
}

static bool has_prefix(PyObject *path, PyObject *prefixes)
{
	for (Py_ssize_t i = 0; i < PyTuple_Size(prefixes); i++)
		if (PyUnicode_Tailmatch(path, PyTuple_GetItem(prefixes, i), 0, PY_SSIZE_T_MAX,
					-1) == 1)
			return true;
	return false;
}

static uint32_t verdict_of(PyObject *path)
{
	if (viz_recorder.own_path &&
	    PyUnicode_Tailmatch(path, viz_recorder.own_path, 0, PY_SSIZE_T_MAX, -1) == 1)
		return VIZ_HIDE;
	if (viz_recorder.no_frozen) {
		PyObject *frozen = PyUnicode_FromString("<frozen ");
		bool is = frozen && PyUnicode_Tailmatch(path, frozen, 0, PY_SSIZE_T_MAX, -1) == 1;

		Py_XDECREF(frozen);
		if (is)
			return VIZ_HIDE;
	}
	if (viz_recorder.include && !has_prefix(path, viz_recorder.include))
		return VIZ_HIDE;
	if (viz_recorder.exclude && has_prefix(path, viz_recorder.exclude))
		return VIZ_HIDE;
	return VIZ_SHOW;
}

/* JSON-escaped text without its quotes: what goes into the output as it is. */
static bool make_name(struct viz_text *text, PyObject *name)
{
	if (!viz_text__value(text, name) || text->len < 2 || text->data[0] != '"')
		return false;
	memmove(text->data, text->data + 1, text->len - 2);
	text->len -= 2;
	return true;
}

const struct viz_known *viz_names__code(PyObject *code)
{
	PyObject *name = NULL, *path = NULL, *line = NULL, *full = NULL, *flags = NULL;
	const struct viz_known *known = NULL;
	char data[NAME_SIZE];
	struct viz_text text;
	uint32_t func = 0, verdict;

	name = PyObject_GetAttrString(code, viz_python >= 0x030b00 ? "co_qualname" : "co_name");
	path = PyObject_GetAttrString(code, "co_filename");
	line = PyObject_GetAttrString(code, "co_firstlineno");
	flags = PyObject_GetAttrString(code, "co_flags");
	if (!name || !path || !line || !flags || !PyUnicode_Check(path))
		goto cleanup;
	full = PyUnicode_FromFormat("%U (%U:%ld)", name, path, PyLong_AsLong(line));
	if (!full)
		goto cleanup;
	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	verdict = verdict_of(path);
	if (!make_name(&text, full) ||
	    !new_func(data, text.len, code, (uint32_t)PyLong_AsLong(line), &func))
		goto cleanup;
	viz_recorder.seen.funcs[func].code_flags = (uint32_t)PyLong_AsUnsignedLongMask(flags);
	known = remember(code, code, func, verdict);
	viz_names__tell();
cleanup:
	Py_XDECREF(name);
	Py_XDECREF(path);
	Py_XDECREF(line);
	Py_XDECREF(flags);
	Py_XDECREF(full);
	viz_error__drop();
	return known;
}

/* tp_name, as VizTracer has it: with the module for types of C extensions ("re.Pattern"), without
 * for built-in ones and classes. Behind PyObject_VAR_HEAD in CPython 3.8 to 3.15, see
 * Include/cpython/object.h. */
static PyObject *type_name(PyTypeObject *type)
{
	return PyUnicode_FromString(((struct { PyObject_VAR_HEAD const char *name; } *)type)->name);
}

/* "module.name" of a function, "type.name" of a method. */
static PyObject *c_function_name(PyObject *callable)
{
	PyObject *self = PyObject_GetAttrString(callable, "__self__");
	PyObject *name = PyObject_GetAttrString(callable, "__name__"), *owner = NULL, *full = NULL;

	viz_error__drop();
	if (!name)
		goto cleanup;
	if (!self || self == Py_None || PyModule_Check(self))
		owner = PyObject_GetAttrString(callable, "__module__");
	else
		owner = type_name(PyType_Check(self) ? (PyTypeObject *)self : Py_TYPE(self));
	viz_error__drop();
	full = owner && PyUnicode_Check(owner) ? PyUnicode_FromFormat("%U.%S", owner, name)
					       : PyUnicode_FromFormat("%S", name);
cleanup:
	Py_XDECREF(self);
	Py_XDECREF(name);
	Py_XDECREF(owner);
	return full;
}

/* Method descriptors: list.append called as a method of a list. */
static PyObject *descriptor_name(PyObject *callable)
{
	PyObject *owner = PyObject_GetAttrString(callable, "__objclass__");
	PyObject *name = PyObject_GetAttrString(callable, "__name__"), *full = NULL, *type = NULL;

	if (owner && name && PyType_Check(owner)) {
		type = type_name((PyTypeObject *)owner);
		full = type ? PyUnicode_FromFormat("%U.%U", type, name) : NULL;
	}
	Py_XDECREF(owner);
	Py_XDECREF(name);
	Py_XDECREF(type);
	return full;
}

static PyObject *class_name(PyObject *callable)
{
	PyObject *module = PyObject_GetAttrString(callable, "__module__");
	PyObject *name = PyObject_GetAttrString(callable, "__qualname__"), *full = NULL;

	if (name && module && PyUnicode_Check(module))
		full = PyUnicode_FromFormat("%U.%S", module, name);
	Py_XDECREF(module);
	Py_XDECREF(name);
	return full;
}

/* How a callable is told apart. What runs Python code on being called is none of them: its
 * Python functions are recorded as such. */
static const void *callable_key(PyObject *callable, PyObject **keep)
{
	PyTypeObject *type = Py_TYPE(callable);

	*keep = NULL;
	if (type == &PyCFunction_Type || PyType_IsSubtype(type, &PyCFunction_Type))
		return viz_names__definition(callable);
	*keep = callable;
	if (type == &PyMethodDescr_Type || type == &PyClassMethodDescr_Type ||
	    type == &PyWrapperDescr_Type)
		return callable;
	if (PyType_Check(callable))
		return callable;
	*keep = (PyObject *)type;
	return NULL;
}

const struct viz_known *viz_names__callable(PyObject *callable)
{
	static const char own[] = "vizbpf.";
	const struct viz_known *known;
	PyObject *full = NULL, *keep;
	const void *key = callable_key(callable, &keep);
	char data[NAME_SIZE];
	struct viz_text text;
	uint32_t func = 0;

	if (!key)
		return NULL;
	known = viz_names__find(key);
	if (known)
		return known;
	if (PyType_Check(callable))
		full = class_name(callable);
	else
		full = keep ? descriptor_name(callable) : c_function_name(callable);
	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	if (full && make_name(&text, full) && new_func(data, text.len, NULL, 0, &func)) {
		known = remember(key, keep, func,
				 strncmp(data, own, sizeof(own) - 1) ? VIZ_SHOW : VIZ_HIDE);
		viz_names__tell();
	}
	Py_XDECREF(full);
	viz_error__drop();
	return known;
}

static bool tell(uint32_t index, uint32_t lane_tid, const char *text, size_t len)
{
	size_t bytes = (sizeof(struct viz_spool_name) + len + 7) & ~(size_t)7;
	struct viz_spool_name *name;

	if ((size_t)(viz_recorder.names_end - viz_recorder.names_at) < bytes + sizeof(*name)) {
		struct viz_block *block = viz_spool__get(VIZ_BLOCK_NAMES, NAMES_BLOCK);

		if (!block)
			return false;
		viz_recorder.names_at = (char *)(block + 1);
		viz_recorder.names_end = (char *)block + block->bytes;
	}
	name = (struct viz_spool_name *)viz_recorder.names_at;
	viz_recorder.names_at += bytes;
	name->index = index;
	name->lane_tid = lane_tid;
	name->len = (uint32_t)len;
	memcpy(name->text, text, len);
	__atomic_store_n(&name->bytes, (uint32_t)bytes, __ATOMIC_RELEASE);
	return true;
}

void viz_names__tell(void)
{
	struct viz_recorded *seen = &viz_recorder.seen;

	while (viz_recorder.head && viz_recorder.funcs_told < seen->nr_funcs) {
		const struct viz_func *func = &seen->funcs[viz_recorder.funcs_told];

		if (!tell(viz_recorder.funcs_told, 0, func->name, func->name_len))
			return;
		viz_recorder.funcs_told++;
	}
	while (viz_recorder.head && viz_recorder.lanes_told < seen->nr_lanes) {
		const struct viz_lane *lane = &seen->lanes[viz_recorder.lanes_told];

		if (!tell(viz_recorder.lanes_told, lane->tid, lane->name, strlen(lane->name)))
			return;
		viz_recorder.lanes_told++;
	}
}

void viz_names__clear(void)
{
	for (uint32_t i = 0; i < viz_recorder.seen.nr_funcs; i++) {
		free(viz_recorder.seen.funcs[i].name);
		Py_CLEAR(viz_recorder.seen.funcs[i].arg_names);
	}
	free(viz_recorder.seen.funcs);
	viz_recorder.seen.funcs = NULL;
	viz_recorder.seen.nr_funcs = viz_recorder.cap_funcs = 0;
	free(viz_recorder.known);
	viz_recorder.known = NULL;
	viz_recorder.nr_known = viz_recorder.cap_known = 0;
	grow_known();
	Py_XDECREF(viz_recorder.kept);
	viz_recorder.kept = PyList_New(0);
}
