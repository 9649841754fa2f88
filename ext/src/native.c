// SPDX-License-Identifier: Apache-2.0
/* The module vizbpf._native: one binary for CPython 3.8 and later. */
#include "recorder.h"

#include <dlfcn.h>
#include <stdio.h>

/* PyInterpreterState_Get(): in the limited API from 3.9 on, with an underscore before. */
static void *this_interpreter(void)
{
	void *(*get)(void) = dlsym(RTLD_DEFAULT, "PyInterpreterState_Get");

	if (!get)
		get = dlsym(RTLD_DEFAULT, "_PyInterpreterState_Get");
	return get ? get() : NULL;
}

static int native_exec(PyObject *module)
{
	struct viz_module *state = viz_module__of(module);

	state->interpreter = this_interpreter();
	if (viz_rules__init(&state->rules))
		return -1;
	Py_INCREF(Py_None);
	state->decorate = Py_None;
	if (viz_emit__init(module))
		return -1;
	return PyModule_AddFunctions(module, viz_recorder_methods);
}

static int native_traverse(PyObject *module, visitproc visit, void *arg)
{
	struct viz_module *state = viz_module__of(module);

	if (!state)
		return 0;
	Py_VISIT(state->rules.excluded);
	Py_VISIT(state->event_type);
	Py_VISIT(state->decorate);
	return 0;
}

static int native_clear(PyObject *module)
{
	struct viz_module *state = viz_module__of(module);

	if (!state)
		return 0;
	if (viz_recorder.module == state && !viz_recorder.running)
		viz_recorder.module = NULL;
	Py_CLEAR(state->rules.excluded);
	Py_CLEAR(state->rules.type_name);
	Py_CLEAR(state->event_type);
	Py_CLEAR(state->decorate);
	return 0;
}

static void native_free(void *module)
{
	native_clear(module);
}

/* Known by their numbers: the headers that are built with may be older than the slots. An
 * interpreter refuses slots that it does not know. */
enum {
	SLOT_INTERPRETERS = 3, /* Py_mod_multiple_interpreters, 3.12+ */
};
#define OWN_GIL_SUPPORTED ((void *)2) /* Py_MOD_PER_INTERPRETER_GIL_SUPPORTED */

static PyModuleDef_Slot slots_3_12[] = {
	{Py_mod_exec, native_exec},
	{SLOT_INTERPRETERS, OWN_GIL_SUPPORTED},
	{0, NULL},
};

static PyModuleDef_Slot slots_3_8[] = {
	{Py_mod_exec, native_exec},
	{0, NULL},
};

static struct PyModuleDef native_def = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "vizbpf._native",
	.m_doc = "Events and the in-process recorder of vizbpf.",
	.m_size = sizeof(struct viz_module),
	.m_slots = slots_3_8,
	.m_traverse = native_traverse,
	.m_clear = native_clear,
	.m_free = native_free,
};

__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__native(void)
{
	unsigned int major = 0, minor = 0, micro = 0;

	sscanf(Py_GetVersion(), "%u.%u.%u", &major, &minor, &micro);
	viz_python = major << 16 | (minor & 0xff) << 8 | (micro & 0xff);
	if (viz_python >= 0x030c00)
		native_def.m_slots = slots_3_12;
	return PyModuleDef_Init(&native_def);
}
