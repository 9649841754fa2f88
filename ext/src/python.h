/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python.h for one binary that serves every CPython from 3.8 on, and the few functions that
 * all of them export although the limited API of 3.8 does not declare them.
 */
#ifndef VIZ_EXT_PYTHON_H
#define VIZ_EXT_PYTHON_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x03080000
#endif
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* Part of the limited API from 3.10 on, exported with the same meaning since 3.3. */
#if Py_LIMITED_API + 0 < 0x030a0000
PyAPI_FUNC(const char *) PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size);
#endif

/* Part of the limited API from 3.10 on; value and calling convention are those of 3.7. */
#ifndef METH_FASTCALL
#define METH_FASTCALL 0x0080
#endif

/* CPython 3.12's header leaves the count of None alone, which is immortal there, whatever
 * limited API is asked for; the binary runs with older ones too. */
#undef Py_RETURN_NONE
#define Py_RETURN_NONE                                                                             \
	do {                                                                                       \
		Py_INCREF(Py_None);                                                                \
		return Py_None;                                                                    \
	} while (0)

typedef PyObject *(*viz_fastcall)(PyObject *self, PyObject *const *args, Py_ssize_t nr);
typedef PyObject *(*viz_fastcall_keywords)(PyObject *self, PyObject *const *args, Py_ssize_t nr,
					   PyObject *names);

#define VIZ_METHOD(name, function, flags, doc)                                                     \
	{                                                                                          \
		name, (PyCFunction)(void (*)(void))function, flags, PyDoc_STR(doc)                 \
	}

/* The version that runs, as in PY_VERSION_HEX without the lowest byte: 0x030c01 is 3.12.1. */
extern unsigned int viz_python;

#endif
