/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPython 3.11.0 to 3.11.3 enter a __getitem__ method without the evaluation function of PEP 523
 * once an instruction has been specialised for it (gh-104405, BINARY_SUBSCR_GETITEM in
 * Python/ceval.c). Here it is kept from that: an instruction is specialised when its counter,
 * which stands behind it, has run down, so the counters are raised, at all subscripts of a code
 * object before it runs and again at each call that comes by one. An instruction that has gone
 * 4095 times by other types, none of which it could be specialised for, can still escape.
 */
#ifndef VIZ_EXT_GETITEM_H
#define VIZ_EXT_GETITEM_H

#include "python.h"

extern bool viz_getitem_escapes; /* in the interpreter that runs; set by the following */

/* Whether the evaluation function sees, or can be made to see, all calls. */
bool viz_getitem__can(void);
/* Raises the counters of the code object. Leaves an exception that is set alone. */
void viz_getitem__keep_general(PyObject *code);

/* Where things are in 3.11: struct _ts in Include/cpython/pystate.h, _PyInterpreterFrame in
 * Include/internal/pycore_frame.h, opcodes in Include/opcode.h. */
enum {
	VIZ_TSTATE_CFRAME = 56,
	VIZ_CFRAME_FRAME = 8,
	VIZ_FRAME_INSTRUCTION = 56,
	VIZ_SUBSCR = 25,
	VIZ_SUBSCR_FIRST = 17, /* what 25 is specialised to: adaptive, dict, getitem, list, tuple */
	VIZ_SUBSCR_LAST = 21,
	VIZ_COUNTER = 0xfff0, /* the lower bits say how long it is the next time */
};

/* A call is about to begin: keeps the instruction that makes it general, if it is a subscript. */
static inline void viz_getitem__call(const void *tstate)
{
	const char *cframe = *(char *const *)((const char *)tstate + VIZ_TSTATE_CFRAME);
	const char *caller = *(char *const *)(cframe + VIZ_CFRAME_FRAME);
	uint16_t *at = caller ? *(uint16_t *const *)(caller + VIZ_FRAME_INSTRUCTION) : NULL;
	unsigned int opcode = at ? *at & 0xff : 0;

	if (opcode == VIZ_SUBSCR || (opcode >= VIZ_SUBSCR_FIRST && opcode <= VIZ_SUBSCR_LAST))
		at[1] |= VIZ_COUNTER;
}

/* For getitem.py: what has been specialised for methods of the class is so no more. */
PyObject *viz_getitem__forget(PyObject *self, PyObject *type);
PyObject *viz_getitem__prepare(PyObject *self, PyObject *code);

#endif
