/* SPDX-License-Identifier: Apache-2.0 */
/* What one interpreter's instance of the module holds, and the parts it is made of. */
#ifndef VIZ_EXT_MODULE_H
#define VIZ_EXT_MODULE_H

#include "text.h"

struct viz_module {
	struct viz_rules rules;
	void *interpreter; /* that it belongs to */
	PyObject *event_type; /* of what event() returns */
	PyObject *decorate; /* Python: decorate(name, args, category, function) */
};

static inline struct viz_module *viz_module__of(PyObject *module)
{
	return PyModule_GetState(module);
}

/*
 * Positional and keyword arguments of a METH_FASTCALL function, into @slots (borrowed; NULL
 * where not given). @names ends in NULL; the first @required must be there.
 * 0, or -1 with TypeError set.
 */
int viz_args__parse(const char *function, const char *const *names, int required,
		    PyObject *const *args, Py_ssize_t nr, PyObject *keywords, PyObject **slots);

extern PyMethodDef viz_emit_methods[];
int viz_emit__init(PyObject *module); /* 0, or -1 with an exception set */

#endif
