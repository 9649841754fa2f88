// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEPTH_MAX = 6, /* of nested containers */
	ITEMS_MAX = 64, /* of one container */
	BITS_MAX = 256, /* of an int that is written out */
	REPR_BYTES_MAX = 4096, /* of one repr in Python's notation */
};

unsigned int viz_python;

static bool has_no_arguments(PyObject *error)
{
	PyObject *args = PyObject_GetAttrString(error, "args");
	bool none = args && PyTuple_Check(args) && PyTuple_Size(args) == 0;

	Py_XDECREF(args);
	return none;
}

void viz_error__drop(void)
{
	PyObject *type, *error, *trace;
	bool interrupted;

	if (!PyErr_Occurred())
		return;
	if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
		PyErr_Clear();
		return;
	}
	PyErr_Fetch(&type, &error, &trace);
	PyErr_NormalizeException(&type, &error, &trace);
	interrupted =
		(PyObject *)Py_TYPE(error) == PyExc_KeyboardInterrupt && has_no_arguments(error);
	Py_XDECREF(type);
	Py_XDECREF(error);
	Py_XDECREF(trace);
	PyErr_Clear();
	if (interrupted)
		PyErr_SetInterrupt();
}

int viz_rules__init(struct viz_rules *rules)
{
	PyObject *dict = PyObject_GetAttrString((PyObject *)&PyType_Type, "__dict__");
	PyObject *name = PyUnicode_FromString("__name__");

	rules->excluded = NULL;
	rules->repr_max = 200;
	rules->type_name = dict && name ? PyObject_GetItem(dict, name) : NULL;
	Py_XDECREF(dict);
	Py_XDECREF(name);
	return rules->type_name ? 0 : -1;
}

void viz_text__start(struct viz_text *text, const struct viz_rules *rules, char *data, size_t size)
{
	text->rules = rules;
	text->python = false;
	text->data = data;
	text->size = size;
	text->len = 0;
	text->closers = 0;
	text->cut = false;
}

static size_t room(const struct viz_text *text)
{
	size_t used = text->len + text->closers + 1;

	return used < text->size ? text->size - used : 0;
}

bool viz_text__put(struct viz_text *text, const char *bytes, size_t n)
{
	if (n > room(text)) {
		text->cut = true;
		return false;
	}
	memcpy(text->data + text->len, bytes, n);
	text->len += n;
	return true;
}

bool viz_text__puts(struct viz_text *text, const char *string)
{
	return viz_text__put(text, string, strlen(string));
}

const char *viz_text__end(struct viz_text *text)
{
	text->data[text->len] = '\0';
	return text->data;
}

/* One character of valid UTF-8, escaped for JSON, into @out (at least 7 bytes). Returns the
 * bytes of input it took. */
static size_t escape(const unsigned char *in, size_t n, char *out, size_t *out_n)
{
	size_t take = *in < 0x80 ? 1 : *in < 0xe0 ? 2 : *in < 0xf0 ? 3 : 4;
	static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	if (take > n)
		take = n;
	if (take > 1 || (*in >= 0x20 && *in != '"' && *in != '\\' && *in != 0x7f)) {
		memcpy(out, in, take);
		*out_n = take;
		return take;
	}
	for (size_t i = 0; i < sizeof(names) - 1; i += 2) {
		if (names[i] == (char)*in) {
			out[0] = '\\';
			out[1] = names[i + 1];
			*out_n = 2;
			return 1;
		}
	}
	*out_n = (size_t)snprintf(out, 7, "\\u%04x", *in);
	return 1;
}

/* As much as fits, up to a whole character. */
static bool put_plain(struct viz_text *text, const char *bytes, size_t n, bool more)
{
	size_t fits = room(text) > 3 ? room(text) - 3 : 0, take = n;

	if (n > fits) {
		more = true;
		for (take = fits; take && ((unsigned char)bytes[take] & 0xc0) == 0x80; take--)
			;
	}
	text->cut |= more;
	return viz_text__put(text, bytes, take) && (!more || viz_text__puts(text, "..."));
}

/* @more: @bytes are only the beginning, say so. */
static bool put_string(struct viz_text *text, const char *bytes, size_t n, bool more)
{
	const unsigned char *in = (const unsigned char *)bytes;
	char out[8];
	size_t out_n;

	if (text->python)
		return put_plain(text, bytes, n, more);
	if (room(text) < 5) {
		text->cut = true;
		return false;
	}
	text->data[text->len++] = '"';
	text->closers += 4; /* ..." */
	while (n) {
		size_t took = escape(in, n, out, &out_n);

		if (!viz_text__put(text, out, out_n))
			break;
		in += took;
		n -= took;
	}
	text->closers -= 4;
	text->cut |= n || more;
	return viz_text__puts(text, n || more ? "...\"" : "\"");
}

bool viz_text__string(struct viz_text *text, const char *bytes, size_t n)
{
	return put_string(text, bytes, n, false);
}

/* A str of any kind, at most @max characters of it. */
static bool put_str(struct viz_text *text, PyObject *value, Py_ssize_t max)
{
	Py_ssize_t length = PyUnicode_GetLength(value), size;
	PyObject *part, *bytes = NULL;
	const char *utf8;
	char *raw;
	bool ok = false;

	/* A copy, cut first: CPython keeps the UTF-8 form of a str for as long as the str lives,
	 * and a subclass may have a __str__ of its own. */
	part = PyUnicode_Substring(value, 0, length > max ? max : length);
	if (!part)
		goto cleanup;
	utf8 = PyUnicode_AsUTF8AndSize(part, &size);
	if (!utf8) { /* lone surrogates */
		viz_error__drop();
		bytes = PyUnicode_AsEncodedString(part, "utf-8", "backslashreplace");
		if (!bytes || PyBytes_AsStringAndSize(bytes, &raw, &size))
			goto cleanup;
		utf8 = raw;
	}
	ok = put_string(text, utf8, (size_t)size, length > max);
cleanup:
	Py_XDECREF(part);
	Py_XDECREF(bytes);
	viz_error__drop();
	return ok;
}

/* "<Name object>", with the name that the type itself holds: a metaclass is not asked. */
static bool put_type_name(struct viz_text *text, PyTypeObject *type)
{
	PyObject *name = PyObject_CallMethod(text->rules->type_name, "__get__", "O", type);
	PyObject *shown = NULL;
	bool ok;

	if (name && PyUnicode_Check(name))
		shown = PyUnicode_FromFormat("<%.100U object>", name);
	ok = shown ? put_str(text, shown, 200) : put_string(text, "<object>", 8, false);
	Py_XDECREF(name);
	Py_XDECREF(shown);
	viz_error__drop();
	return ok;
}

static bool is_excluded(const struct viz_text *text, PyObject *value)
{
	PyObject *types = text->rules->excluded;
	Py_ssize_t n = types ? PyTuple_Size(types) : 0;

	for (Py_ssize_t i = 0; i < n; i++)
		if (PyType_IsSubtype(Py_TYPE(value), (PyTypeObject *)PyTuple_GetItem(types, i)))
			return true;
	return false;
}

static bool put_repr(struct viz_text *text, PyObject *value)
{
	PyObject *shown;
	bool ok;

	if (is_excluded(text, value))
		return put_type_name(text, Py_TYPE(value));
	shown = PyObject_Repr(value);
	if (!shown) {
		viz_error__drop();
		return put_type_name(text, Py_TYPE(value));
	}
	ok = put_str(text, shown, text->rules->repr_max);
	Py_DECREF(shown);
	return ok;
}

static bool put_digits(struct viz_text *text, PyObject *digits)
{
	Py_ssize_t size;
	const char *utf8 = PyUnicode_AsUTF8AndSize(digits, &size);

	return utf8 && viz_text__put(text, utf8, (size_t)size);
}

static bool put_int(struct viz_text *text, PyObject *value)
{
	char digits[32];
	int overflow;
	long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
	PyObject *bits, *plain;
	long nr_bits;
	bool ok;

	if (!overflow && !(number == -1 && PyErr_Occurred())) {
		snprintf(digits, sizeof(digits), "%lld", number);
		return viz_text__puts(text, digits);
	}
	viz_error__drop();
	/* Decimal digits of a huge int take quadratic time; asked of int itself, a subclass may
	 * answer anything. */
	bits = PyObject_CallMethod((PyObject *)&PyLong_Type, "bit_length", "O", value);
	nr_bits = bits ? PyLong_AsLong(bits) : -1;
	Py_XDECREF(bits);
	viz_error__drop();
	if (nr_bits >= 0 && nr_bits <= BITS_MAX) {
		plain = PyObject_CallMethod((PyObject *)&PyLong_Type, "__repr__", "O", value);
		ok = plain && put_digits(text, plain);
		Py_XDECREF(plain);
		viz_error__drop();
		return ok;
	}
	snprintf(digits, sizeof(digits), "<int of %ld bits>", nr_bits);
	return viz_text__string(text, digits, strlen(digits));
}

static bool put_float(struct viz_text *text, PyObject *value)
{
	double number = PyFloat_AsDouble(value);
	char digits[40];

	if (!isfinite(number)) { /* JSON has no word for these */
		snprintf(digits, sizeof(digits), "%s",
			 isnan(number) ? "nan"
			 : number > 0  ? "inf"
				       : "-inf");
		return viz_text__string(text, digits, strlen(digits));
	}
	for (int precision = 15; precision <= 17; precision++) {
		snprintf(digits, sizeof(digits) - 2, "%.*g", precision, number);
		if (strtod(digits, NULL) == number)
			break;
	}
	/* A program may have set a locale with a decimal comma. */
	for (char *c = digits; *c; c++)
		if (*c == ',')
			*c = '.';
	if (!strpbrk(digits, ".e"))
		strcat(digits, ".0");
	return viz_text__puts(text, digits);
}

static bool put_value(struct viz_text *text, PyObject *value, int depth);

static bool open_container(struct viz_text *text, const char *bracket)
{
	if (room(text) < 3) {
		text->cut = true;
		return false;
	}
	text->closers += 2;
	return viz_text__puts(text, bracket);
}

static void close_container(struct viz_text *text, const char *bracket)
{
	text->closers -= 2;
	viz_text__puts(text, bracket);
}

static bool put_comma(struct viz_text *text, Py_ssize_t index)
{
	return !index || viz_text__puts(text, text->python ? ", " : ",");
}

/* The code that a repr runs may change the container: its size is asked for each time. */
static bool put_sequence(struct viz_text *text, PyObject *value, int depth)
{
	bool list = PyList_Check(value), tuple = !list && text->python;
	Py_ssize_t i;

	if (!open_container(text, tuple ? "(" : "["))
		return false;
	for (i = 0; i < (list ? PyList_Size(value) : PyTuple_Size(value)); i++) {
		PyObject *item = list ? PyList_GetItem(value, i) : PyTuple_GetItem(value, i);
		size_t before = text->len;
		bool ok;

		if (!item)
			break;
		Py_INCREF(item);
		ok = put_comma(text, i) && (i == ITEMS_MAX ? viz_text__string(text, "...", 3)
							   : put_value(text, item, depth + 1));
		Py_DECREF(item);
		if (!ok)
			text->len = before;
		if (!ok || i == ITEMS_MAX) {
			text->cut = true;
			break;
		}
	}
	viz_error__drop();
	close_container(text, !tuple ? "]" : i == 1 ? ",)" : ")");
	return true;
}

/* JSON has only strings for keys. */
static bool put_key(struct viz_text *text, PyObject *key)
{
	struct viz_text number;
	char data[128];

	if (text->python)
		return put_value(text, key, DEPTH_MAX - 1);
	if (PyUnicode_Check(key))
		return put_str(text, key, text->rules->repr_max);
	if (!PyLong_Check(key) || PyBool_Check(key))
		return put_repr(text, key);
	viz_text__start(&number, text->rules, data, sizeof(data));
	number.python = true;
	return put_int(&number, key) && viz_text__string(text, data, number.len);
}

static bool put_dict(struct viz_text *text, PyObject *value, int depth)
{
	PyObject *key, *item;
	Py_ssize_t pos = 0;

	if (!open_container(text, "{"))
		return false;
	for (int i = 0; PyDict_Next(value, &pos, &key, &item); i++) {
		size_t before = text->len;
		bool ok;

		Py_INCREF(key);
		Py_INCREF(item);
		ok = put_comma(text, i);
		if (ok && i == ITEMS_MAX)
			ok = viz_text__puts(text, text->python ? "..." : "\"...\":\"...\"");
		else if (ok)
			ok = put_key(text, key) &&
			     viz_text__puts(text, text->python ? ": " : ":") &&
			     put_value(text, item, depth + 1);
		Py_DECREF(key);
		Py_DECREF(item);
		if (!ok)
			text->len = before;
		if (!ok || i == ITEMS_MAX) {
			text->cut = true;
			break;
		}
	}
	viz_error__drop();
	close_container(text, "}");
	return true;
}

/* For containers and byte strings whose own repr would be as long as they are. */
static bool put_summary(struct viz_text *text, const char *what, Py_ssize_t size)
{
	char shown[64];

	snprintf(shown, sizeof(shown), "<%s of %zd>", what, size);
	return viz_text__string(text, shown, strlen(shown));
}

/* Everything without a JSON form. */
static bool put_other(struct viz_text *text, PyObject *value, int depth)
{
	Py_ssize_t size, max = text->rules->repr_max;

	if (PyBytes_Check(value) && (size = PyBytes_Size(value)) > max)
		return put_summary(text, "bytes", size);
	if (PyByteArray_Check(value) && (size = PyByteArray_Size(value)) > max)
		return put_summary(text, "bytearray", size);
	if (PyAnySet_Check(value)) {
		size = PySet_Size(value);
		if (size > ITEMS_MAX || depth >= DEPTH_MAX)
			return put_summary(text, "set", size);
	}
	return put_repr(text, value);
}

static bool put_text_value(struct viz_text *text, PyObject *value)
{
	Py_ssize_t max = text->rules->repr_max;
	PyObject *part, *shown;
	bool ok;

	if (!text->python)
		return put_str(text, value, (Py_ssize_t)text->size);
	part = PyUnicode_Substring(value, 0, max);
	shown = part ? PyObject_Repr(part) : NULL;
	ok = shown && put_str(text, shown, max);
	Py_XDECREF(part);
	Py_XDECREF(shown);
	viz_error__drop();
	return ok;
}

static bool put_container(struct viz_text *text, PyObject *value, int depth)
{
	if (depth >= DEPTH_MAX)
		return viz_text__string(text, "...", 3);
	return PyDict_Check(value) ? put_dict(text, value, depth)
				   : put_sequence(text, value, depth);
}

static bool put_value(struct viz_text *text, PyObject *value, int depth)
{
	bool exact =
		PyList_CheckExact(value) || PyTuple_CheckExact(value) || PyDict_CheckExact(value);

	if (value == Py_None)
		return viz_text__puts(text, text->python ? "None" : "null");
	if (value == Py_True)
		return viz_text__puts(text, text->python ? "True" : "true");
	if (value == Py_False)
		return viz_text__puts(text, text->python ? "False" : "false");
	if (is_excluded(text, value))
		return put_type_name(text, Py_TYPE(value));
	/* An enum or a namedtuple has a repr of its own that says more than the value. */
	if (text->python && !exact && !PyLong_CheckExact(value) && !PyUnicode_CheckExact(value) &&
	    !PyFloat_CheckExact(value))
		return put_other(text, value, depth);
	if (PyLong_Check(value))
		return put_int(text, value);
	if (PyFloat_Check(value))
		return put_float(text, value);
	if (PyUnicode_Check(value))
		return put_text_value(text, value);
	if (exact || PyList_Check(value) || PyTuple_Check(value) || PyDict_Check(value))
		return put_container(text, value, depth);
	return put_other(text, value, depth);
}

bool viz_text__value(struct viz_text *text, PyObject *value)
{
	PyObject *type, *error, *trace;
	bool ok;

	PyErr_Fetch(&type, &error, &trace);
	ok = put_value(text, value, 0);
	viz_error__drop();
	PyErr_Restore(type, error, trace);
	return ok;
}

bool viz_text__object(struct viz_text *text, PyObject *value)
{
	size_t start = text->len;
	bool ok;

	if (PyDict_Check(value) && !is_excluded(text, value))
		return viz_text__value(text, value);
	if (!open_container(text, "{"))
		return false;
	ok = viz_text__puts(text, "\"value\":") && viz_text__value(text, value);
	if (!ok)
		text->len = start + 1;
	close_container(text, "}");
	return true;
}

bool viz_text__plain(struct viz_text *text, PyObject *value)
{
	PyObject *type, *error, *trace;
	bool ok;

	PyErr_Fetch(&type, &error, &trace);
	text->python = true;
	ok = PyUnicode_Check(value) ? put_str(text, value, (Py_ssize_t)text->size)
				    : put_value(text, value, 0);
	viz_error__drop();
	PyErr_Restore(type, error, trace);
	return ok;
}

bool viz_text__repr(struct viz_text *text, PyObject *value)
{
	char data[REPR_BYTES_MAX];
	PyObject *type, *error, *trace;
	struct viz_text plain;
	size_t size = (size_t)text->rules->repr_max + 4;
	bool ok;

	PyErr_Fetch(&type, &error, &trace);
	viz_text__start(&plain, text->rules, data, size < sizeof(data) ? size : sizeof(data));
	plain.python = true;
	ok = put_value(&plain, value, 0) && viz_text__string(text, data, plain.len);
	text->cut |= plain.cut;
	viz_error__drop();
	PyErr_Restore(type, error, trace);
	return ok;
}
