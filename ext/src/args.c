// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include <string.h>

static int keyword_index(const char *const *names, PyObject *keyword)
{
	for (int i = 0; names[i]; i++)
		if (!PyUnicode_CompareWithASCIIString(keyword, names[i]))
			return i;
	return -1;
}

int viz_args__parse(const char *function, const char *const *names, int required,
		    PyObject *const *args, Py_ssize_t nr, PyObject *keywords, PyObject **slots)
{
	Py_ssize_t nr_keywords = keywords ? PyTuple_Size(keywords) : 0;
	int max = 0;

	while (names[max])
		slots[max++] = NULL;
	if (nr > max) {
		PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)",
			     function, max, nr);
		return -1;
	}
	for (Py_ssize_t i = 0; i < nr; i++)
		slots[i] = args[i];
	for (Py_ssize_t i = 0; i < nr_keywords; i++) {
		PyObject *keyword = PyTuple_GetItem(keywords, i);
		int index = keyword_index(names, keyword);

		if (index < 0 || slots[index]) {
			PyErr_Format(PyExc_TypeError,
				     "%s() got an unexpected or repeated argument '%U'", function,
				     keyword);
			return -1;
		}
		slots[index] = args[nr + i];
	}
	for (int i = 0; i < required; i++) {
		if (!slots[i]) {
			PyErr_Format(PyExc_TypeError, "%s() misses its argument '%s'", function,
				     names[i]);
			return -1;
		}
	}
	return 0;
}
