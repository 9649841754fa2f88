/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text in a buffer of fixed size, and any Python value as JSON in it. What does not fit is
 * left out in such a way that the JSON stays valid: strings end in "...", containers close.
 */
#ifndef VIZ_EXT_TEXT_H
#define VIZ_EXT_TEXT_H

#include "python.h"

/*
 * Forgets the error that is set, if any. A Ctrl-C whose handler happened to run in our code
 * (KeyboardInterrupt, and nothing said with it) is not forgotten: it comes again in the
 * program's own.
 */
void viz_error__drop(void);

/* What a program asked for; one for each interpreter. */
struct viz_rules {
	PyObject *excluded; /* tuple of types whose instances are shown by type name; or NULL */
	PyObject *type_name; /* type.__dict__["__name__"] */
	Py_ssize_t repr_max; /* most characters of one repr */
};

struct viz_text {
	const struct viz_rules *rules;
	char *data;
	size_t len;
	size_t size; /* of data; one byte is kept for the NUL */
	size_t closers; /* bytes that open strings and containers will still need */
	bool cut; /* something was left out */
	bool python; /* write Python's notation instead of JSON */
};

int viz_rules__init(struct viz_rules *rules); /* 0, or -1 with an exception set */

/* @rules may be NULL where no value will be written. */
void viz_text__start(struct viz_text *text, const struct viz_rules *rules, char *data, size_t size);
/* Appends @n bytes; false and nothing written when they do not fit. */
bool viz_text__put(struct viz_text *text, const char *bytes, size_t n);
bool viz_text__puts(struct viz_text *text, const char *string);
/* Appends a JSON string of @n bytes of UTF-8; false when not even `""` fits. */
bool viz_text__string(struct viz_text *text, const char *bytes, size_t n);
/* The text with its NUL. */
const char *viz_text__end(struct viz_text *text);

/*
 * Appends @value as JSON: None, bool, numbers, str, list, tuple and dict as themselves, sets
 * and bytes as strings of bounded length, everything else by its repr, cut to a bounded
 * length. Code of the value's class may run (repr); whatever it raises is dropped, and an
 * exception that was pending on entry still is. false when nothing fitted.
 */
bool viz_text__value(struct viz_text *text, PyObject *value);
/* As a JSON object: a dict as itself, anything else as {"value": ...}. */
bool viz_text__object(struct viz_text *text, PyObject *value);
/* A str as it is, anything else by its repr: plain text, not JSON. */
bool viz_text__plain(struct viz_text *text, PyObject *value);
/* The repr of @value as a JSON string, bounded as above. */
bool viz_text__repr(struct viz_text *text, PyObject *value);

#endif
