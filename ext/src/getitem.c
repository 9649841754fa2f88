// SPDX-License-Identifier: Apache-2.0
#include "getitem.h"

#include "text.h"

#include <string.h>

/* co_code_adaptive, Include/cpython/code.h of 3.11 */
enum { CODE_INSTRUCTIONS = 184 };

bool viz_getitem_escapes;

static bool is_where_expected(void)
{
	PyObject *code = Py_CompileString("a[b]\n", "<vizbpf>", Py_eval_input);
	PyObject *bytes = code ? PyObject_GetAttrString(code, "co_code") : NULL;
	Py_ssize_t size = 0;
	char *expected = NULL;
	bool is = bytes && !PyBytes_AsStringAndSize(bytes, &expected, &size) &&
		  memchr(expected, VIZ_SUBSCR, (size_t)size) &&
		  !memcmp((char *)code + CODE_INSTRUCTIONS, expected, (size_t)size);

	Py_XDECREF(bytes);
	Py_XDECREF(code);
	viz_error__drop();
	return is;
}

bool viz_getitem__can(void)
{
	static bool asked, can;

	if (!asked) {
		bool escapes = viz_python >= 0x030b00 && viz_python < 0x030b04;

		can = !escapes || is_where_expected();
		viz_getitem_escapes = escapes && can;
		asked = true;
	}
	return can;
}

void viz_getitem__keep_general(PyObject *code)
{
	PyObject *type, *error, *trace, *bytes;
	uint16_t *instructions = (uint16_t *)((char *)code + CODE_INSTRUCTIONS);
	Py_ssize_t size = 0;
	char *plain = NULL;

	PyErr_Fetch(&type, &error, &trace);
	/* as it was compiled, with zeros where counters and other caches are */
	bytes = PyObject_GetAttrString(code, "co_code");
	if (bytes && !PyBytes_AsStringAndSize(bytes, &plain, &size))
		for (Py_ssize_t i = 0; i + 1 < size / 2; i++)
			if ((unsigned char)plain[2 * i] == VIZ_SUBSCR)
				instructions[i + 1] |= VIZ_COUNTER;
	Py_XDECREF(bytes);
	viz_error__drop();
	PyErr_Restore(type, error, trace);
}

PyObject *viz_getitem__forget(PyObject *self, PyObject *type)
{
	(void)self;
	if (PyType_Check(type))
		PyType_Modified((PyTypeObject *)type);
	Py_RETURN_NONE;
}

PyObject *viz_getitem__prepare(PyObject *self, PyObject *code)
{
	(void)self;
	if (viz_getitem__can() && viz_getitem_escapes &&
	    !strcmp(((struct { PyObject_VAR_HEAD const char *name; } *)Py_TYPE(code))->name,
		    "code"))
		viz_getitem__keep_general(code);
	Py_RETURN_NONE;
}
