// SPDX-License-Identifier: Apache-2.0
/* The document around the events of the Chrome format. */
#include "reader_json.h"

#include <errno.h>
#include <string.h>

#include "../base/log.h"

/* One event, or one metadata document, has to fit into this. */
#define EVENT_MAX (64 * 1024 * 1024)

static int broken(struct viz_reading *r, const char *what)
{
	return viz_why(r->why, r->why_size, -EBADMSG, "%s: byte %llu: %s", r->path,
		       (unsigned long long)viz_input__offset(&r->input), what);
}

/* More of the file, or why there is none. */
static int more(struct viz_reading *r)
{
	int err = viz_input__fill(&r->input, EVENT_MAX);
	unsigned long long at = r->input.base + r->input.len;

	if (err == -ENODATA)
		return viz_why(r->why, r->why_size, -ENODATA,
			       "%s: byte %llu: the file ends in the middle", r->path, at);
	if (err == -EFBIG)
		return broken(r, "an event of more than 64 MiB");
	if (err)
		return viz_why(r->why, r->why_size, err, "%s: byte %llu: %s", r->path, at,
			       r->input.reason ? r->input.reason : strerror(-err));
	return 0;
}

/* The next character that is not white space; it is not consumed. */
static int peek(struct viz_reading *r, char *c)
{
	struct viz_input *in = &r->input;
	int err;

	for (;;) {
		while (in->pos < in->len) {
			*c = in->data[in->pos];
			if (*c != ' ' && *c != '\n' && *c != '\t' && *c != '\r')
				return 0;
			in->pos++;
		}
		err = more(r);
		if (err)
			return err;
	}
}

static int expect(struct viz_reading *r, char want)
{
	char c, what[] = "expected ' '";
	int err = peek(r, &c);

	if (err)
		return err;
	if (c != want) {
		what[10] = want;
		return broken(r, what);
	}
	r->input.pos++;
	return 0;
}

/* A value that nobody wants, of any size: sources, for one. */
static int skip_value(struct viz_reading *r)
{
	struct viz_input *in = &r->input;
	bool string = false, escape = false, any = false;
	size_t depth = 0;
	char c;
	int err;

	err = peek(r, &c);
	for (; !err; err = more(r)) {
		for (; in->pos < in->len; in->pos++) {
			c = in->data[in->pos];
			if (string) {
				string = escape || c != '"';
				escape = !escape && c == '\\';
			} else if (c == '"') {
				string = true;
			} else if (c == '{' || c == '[') {
				depth++;
			} else if ((c == '}' || c == ']' || c == ',') && !depth) {
				return any ? 0 : broken(r, "expected a value");
			} else if (c == '}' || c == ']') {
				depth--;
			}
			any = true;
		}
	}
	return err;
}

static int read_events(struct viz_reading *r)
{
	struct viz_input *in = &r->input;
	struct viz_json_event event;
	const char *next, *bad;
	char c;
	int err;

	err = expect(r, '[');
	if (err)
		return err;
	err = peek(r, &c);
	if (!err && c == ']') {
		in->pos++;
		return 0;
	}
	while (!err) {
		err = peek(r, &c);
		if (err)
			break;
		/* Chrome and some writers leave a comma behind the last event */
		if (c == ']') {
			in->pos++;
			return 0;
		}
		if (c != '{')
			return broken(r, "expected an event");
		next = viz_json_event__scan(&event, in->data + in->pos, in->data + in->len, &bad);
		if (!next && bad) {
			in->pos = (size_t)(bad - in->data);
			return broken(r, "broken event");
		}
		if (!next) {
			err = more(r);
			continue;
		}
		err = viz_json_event__take(&event, r);
		if (err)
			return err;
		in->pos = (size_t)(next - in->data);
		err = peek(r, &c);
		if (err)
			break;
		if (c == ',')
			in->pos++;
		else if (c != ']')
			return broken(r, "expected ',' or ']' behind an event");
	}
	return err;
}

/* A value that is wanted as a whole. */
static int read_document(struct viz_reading *r, const char *key)
{
	struct viz_input *in = &r->input;
	struct viz_json_event event;
	const char *next, *bad;
	char c;
	int err;

	err = peek(r, &c);
	if (err)
		return err;
	if (c != '{')
		return skip_value(r);
	for (;;) {
		next = viz_json_event__scan(&event, in->data + in->pos, in->data + in->len, &bad);
		if (next || bad)
			break;
		err = more(r);
		if (err)
			return err;
	}
	if (!next)
		return broken(r, "broken metadata");
	err = viz_reading__metadata(r, key, in->data + in->pos,
				    (size_t)(next - in->data) - in->pos);
	in->pos = (size_t)(next - in->data);
	return err;
}

/* The key of the next member, up to behind the colon. */
static int read_key(struct viz_reading *r, char *key, size_t size)
{
	struct viz_input *in = &r->input;
	size_t n = 0;
	char c = 0;
	int err;

	err = expect(r, '"');
	while (!err) {
		for (; in->pos < in->len; in->pos++) {
			c = in->data[in->pos];
			if (c == '"')
				break;
			/* no key that matters has a backslash */
			if (c == '\\')
				return broken(r, "unexpected key");
			if (n + 1 < size)
				key[n++] = c;
		}
		if (in->pos < in->len)
			break;
		err = more(r);
	}
	key[n] = '\0';
	if (err)
		return err;
	in->pos++;
	return expect(r, ':');
}

static int read_object(struct viz_reading *r)
{
	char key[64], c;
	int err;

	err = expect(r, '{');
	if (err)
		return err;
	err = peek(r, &c);
	while (!err && c != '}') {
		err = read_key(r, key, sizeof(key));
		if (err)
			return err;
		if (!strcmp(key, "traceEvents"))
			err = read_events(r);
		else if (!strcmp(key, "viztracer_metadata") || !strcmp(key, "vizbpf_metadata"))
			err = read_document(r, key);
		else
			err = skip_value(r);
		if (!err)
			err = peek(r, &c);
		if (!err && c == ',') {
			r->input.pos++;
			err = peek(r, &c);
		} else if (!err && c != '}') {
			return broken(r, "expected ',' or '}'");
		}
	}
	return err;
}

int viz_reading__json(struct viz_reading *r)
{
	char c;
	int err;

	err = peek(r, &c);
	if (err == -ENODATA)
		return viz_why(r->why, r->why_size, -EBADMSG, "%s: the file is empty", r->path);
	if (err)
		return err;
	if (c == '[') {
		err = read_events(r);
		/* the array form may lack its end: a program that died wrote it */
		return err == -ENODATA && r->input.pos == r->input.len ? 0 : err;
	}
	if (c != '{')
		return broken(r, "this is no trace: expected '{' or '['");
	return read_object(r);
}
