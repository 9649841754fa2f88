// SPDX-License-Identifier: Apache-2.0
/* What is recorded on request: arguments, results, the asyncio task. */
#include "recorder.h"

#include <stdlib.h>
#include <string.h>

enum {
	ARGS_SIZE = 1700,
	ADDED_MAX = 3000, /* with them: room for the result is left, see write_detailed() */
	LANES_MAX = 1 << 16,
	LANE_NAME_MAX = 255,
	/* above the largest thread id that Linux gives (PID_MAX_LIMIT) */
	FIRST_LANE_TID = 4194305,
};

/* The names of the arguments: the first of co_varnames. */
static PyObject *argument_names(PyObject *code)
{
	static const char *const counts[] = {"co_argcount", "co_kwonlyargcount", "co_flags"};
	PyObject *names = PyObject_GetAttrString(code, "co_varnames"), *part = NULL;
	long numbers[3] = {0, 0, 0};

	for (int i = 0; i < 3; i++) {
		PyObject *number = PyObject_GetAttrString(code, counts[i]);

		numbers[i] = number ? PyLong_AsLong(number) : 0;
		Py_XDECREF(number);
	}
	if (names && PyTuple_Check(names))
		part = PyTuple_GetSlice(names, 0,
					numbers[0] + numbers[1] +
						!!(numbers[2] & 4) /* CO_VARARGS */ +
						!!(numbers[2] & 8) /* CO_VARKEYWORDS */);
	Py_XDECREF(names);
	return part;
}

static bool put_shown(struct viz_text *text, PyObject *value)
{
	PyObject *shown;
	bool ok;

	if (!viz_recorder.repr)
		return viz_text__repr(text, value);
	shown = PyObject_CallFunctionObjArgs(viz_recorder.repr, value, NULL);
	if (!shown || !PyUnicode_Check(shown)) {
		Py_XDECREF(shown);
		viz_error__drop();
		return viz_text__puts(text, "\"(not representable)\"");
	}
	ok = viz_text__value(text, shown);
	Py_DECREF(shown);
	return ok;
}

bool viz_details__retval(struct viz_text *text, PyObject *value)
{
	PyObject *type, *error, *trace;
	bool ok;

	PyErr_Fetch(&type, &error, &trace);
	ok = put_shown(text, value);
	viz_error__drop();
	PyErr_Restore(type, error, trace);
	return ok;
}

static void put_arguments(struct viz_text *text, PyObject *names, PyObject *locals)
{
	bool first = true;

	viz_text__puts(text, "\"func_args\":{");
	text->closers += 2;
	for (Py_ssize_t i = 0; i < PyTuple_Size(names); i++) {
		PyObject *name = PyTuple_GetItem(names, i), *value = PyObject_GetItem(locals, name);
		size_t before = text->len;
		bool ok;

		if (!value) { /* a cell that is not filled yet, or deleted */
			viz_error__drop();
			continue;
		}
		ok = (first || viz_text__puts(text, ",")) && viz_text__value(text, name) &&
		     viz_text__puts(text, ":") && put_shown(text, value);
		Py_DECREF(value);
		if (!ok) {
			text->len = before;
			break;
		}
		first = false;
	}
	text->closers -= 2;
	viz_text__puts(text, "}");
}

char *viz_details__args(uint32_t index)
{
	struct viz_func *func = &viz_recorder.seen.funcs[index];
	PyObject *type, *error, *trace, *locals, *names;
	struct viz_text text;
	char data[ARGS_SIZE];
	char *copy = NULL;

	PyErr_Fetch(&type, &error, &trace);
	if (!func->arg_names)
		func->arg_names = argument_names(func->code);
	/* Of the traced function: our callbacks, being C, have no frame. A repr may make new
	 * functions known, so that `func` moves. */
	names = func->arg_names;
	locals = PyEval_GetLocals();
	if (!names || !locals)
		goto cleanup;
	Py_INCREF(names);
	Py_INCREF(locals);
	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	put_arguments(&text, names, locals);
	copy = strdup(viz_text__end(&text));
	Py_DECREF(names);
	Py_DECREF(locals);
cleanup:
	viz_error__drop();
	PyErr_Restore(type, error, trace);
	return copy;
}

/* asyncio.tasks.current_task, once the program has imported it. */
static PyObject *current_task_function(void)
{
	PyObject *modules, *tasks;

	if (viz_recorder.current_task)
		return viz_recorder.current_task;
	modules = PyImport_GetModuleDict();
	tasks = modules ? PyDict_GetItemString(modules, "asyncio.tasks") : NULL;
	if (tasks)
		viz_recorder.current_task = PyObject_GetAttrString(tasks, "current_task");
	viz_error__drop();
	return viz_recorder.current_task;
}

static uint32_t lane_of(const void *task, const char *name)
{
	struct viz_lane *lanes;
	char *copy;

	/* youngest first; the address may have been another task's before */
	for (uint32_t i = viz_recorder.seen.nr_lanes; i-- > 0;) {
		struct viz_lane *lane = &viz_recorder.seen.lanes[i];

		if (lane->task == task && !strcmp(lane->name, name))
			return i + 1;
		if (viz_recorder.seen.nr_lanes - i > 4096)
			break;
	}
	if (viz_recorder.seen.nr_lanes == LANES_MAX)
		return 0;
	lanes = realloc(viz_recorder.seen.lanes, (viz_recorder.seen.nr_lanes + 1) * sizeof(*lanes));
	if (!lanes)
		return 0;
	viz_recorder.seen.lanes = lanes;
	copy = strndup(name, LANE_NAME_MAX);
	if (!copy)
		return 0;
	lanes[viz_recorder.seen.nr_lanes] =
		(struct viz_lane){task, copy, FIRST_LANE_TID + viz_recorder.seen.nr_lanes};
	viz_recorder.seen.nr_lanes++;
	viz_names__tell();
	return viz_recorder.seen.nr_lanes;
}

uint32_t viz_details__lane(void)
{
	PyObject *type, *error, *trace, *function, *task = NULL, *name = NULL, *bytes = NULL;
	uint32_t lane = 0;

	PyErr_Fetch(&type, &error, &trace);
	function = current_task_function();
	if (function)
		task = PyObject_CallObject(function, NULL); /* raises outside of a loop */
	if (task && task != Py_None)
		name = PyObject_CallMethod(task, "get_name", NULL);
	if (name && PyUnicode_Check(name))
		bytes = PyUnicode_AsEncodedString(name, "utf-8", "replace");
	if (bytes)
		lane = lane_of(task, PyBytes_AsString(bytes));
	Py_XDECREF(bytes);
	Py_XDECREF(task);
	Py_XDECREF(name);
	viz_error__drop();
	PyErr_Restore(type, error, trace);
	return lane;
}

/* The innermost call of a Python function that is shown. */
static struct viz_frame *shown_call(const struct viz_thread *t)
{
	for (struct viz_frame *frame = t->top; frame-- > t->base;)
		if (!(frame->flags & (VIZ_FRAME_HIDDEN | VIZ_FRAME_C)))
			return frame;
	return NULL;
}

void viz_details__add(struct viz_thread *t, const char *member)
{
	struct viz_frame *frame = shown_call(t);
	size_t before = 0, more = strlen(member);
	char *args = NULL;

	if (!frame)
		return;
	if (frame->flags & VIZ_FRAME_DETAILS) {
		args = frame->args;
		before = args ? strlen(args) : 0;
	}
	if (before + more <= ADDED_MAX)
		args = realloc(args, before + more + 2);
	if (before + more > ADDED_MAX || !args) {
		viz_recorder.texts_dropped++;
		return;
	}
	if (before)
		args[before++] = ',';
	memcpy(args + before, member, more + 1);
	frame->args = args;
	if (!(frame->flags & VIZ_FRAME_DETAILS)) {
		frame->lane = 0;
		frame->flags |= VIZ_FRAME_DETAILS;
	}
}
