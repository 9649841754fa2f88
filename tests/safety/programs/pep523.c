// SPDX-License-Identifier: Apache-2.0
/*
 * Another user of the PEP 523 slot, as debuggers and compilers are: it takes what was there,
 * puts its own function in, and later puts back what it found.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030b0000
struct _frame;
#define FRAME PyFrameObject
#else
#define FRAME struct _PyInterpreterFrame
struct _PyInterpreterFrame;
#endif

typedef PyObject *(*eval_function)(PyThreadState *, FRAME *, int);
extern eval_function _PyInterpreterState_GetEvalFrameFunc(PyInterpreterState *);
extern void _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState *, eval_function);
extern PyObject *_PyEval_EvalFrameDefault(PyThreadState *, FRAME *, int);

static eval_function found;
static unsigned long count;

static PyObject *evaluate(PyThreadState *tstate, FRAME *frame, int throwflag)
{
	count++;
	return _PyEval_EvalFrameDefault(tstate, frame, throwflag);
}

static PyObject *install(PyObject *self, PyObject *unused)
{
	PyInterpreterState *interp = PyInterpreterState_Get();

	found = _PyInterpreterState_GetEvalFrameFunc(interp);
	_PyInterpreterState_SetEvalFrameFunc(interp, evaluate);
	Py_RETURN_NONE;
}

static PyObject *uninstall(PyObject *self, PyObject *unused)
{
	_PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(), found);
	Py_RETURN_NONE;
}

static PyObject *get_count(PyObject *self, PyObject *unused)
{
	return PyLong_FromUnsignedLong(count);
}

static PyObject *installed(PyObject *self, PyObject *unused)
{
	return PyBool_FromLong(_PyInterpreterState_GetEvalFrameFunc(PyInterpreterState_Get()) ==
			       evaluate);
}

static PyMethodDef methods[] = {
	{"install", install, METH_NOARGS, NULL},
	{"uninstall", uninstall, METH_NOARGS, NULL},
	{"count", get_count, METH_NOARGS, NULL},
	{"installed", installed, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT, "viz_pep523", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_viz_pep523(void)
{
	return PyModule_Create(&definition);
}
