// SPDX-License-Identifier: Apache-2.0
/* The document around the events of the Chrome format. */
#include "reader_json.h"

#include <errno.h>
#include <string.h>

#include "../base/log.h"

/* One event, or one metadata document, has to fit into this. */
#define EVENT_MAX (64 * 1024 * 1024)
/* Of a key, which can be a path, and of a source with its escapes: longer ones are left out. */
#define KEY_MAX (64 * 1024)
#define SOURCE_MAX (8 * 1024 * 1024)

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

/* The string that comes next, as it stands in the file; what is longer than @most is left out,
 * and @b empty. */
static int read_string(struct viz_reading *r, struct viz_buffer *b, size_t most)
{
	struct viz_input *in = &r->input;
	bool escape = false, long_ = false;
	size_t start;
	int err = expect(r, '"');

	for (b->len = 0; !err; err = more(r)) {
		for (start = in->pos; in->pos < in->len; in->pos++) {
			if (in->data[in->pos] == '"' && !escape)
				break;
			escape = !escape && in->data[in->pos] == '\\';
		}
		long_ |= in->pos - start > most - b->len;
		if (!long_)
			viz_buffer__add(b, in->data + start, in->pos - start);
		if (in->pos == in->len)
			continue;
		in->pos++;
		if (long_)
			b->len = 0;
		return b->failed ? -ENOMEM : 0;
	}
	return err;
}

/* Behind '{' or the value of a member: *@there says whether another member follows, the key of
 * which is in @key. Takes the closing brace. A comma may stand before it. */
static int next_member(struct viz_reading *r, bool first, struct viz_buffer *key, bool *there)
{
	char c;
	int err = peek(r, &c);

	if (!err && c == ',' && !first) {
		r->input.pos++;
		err = peek(r, &c);
	} else if (!err && c != '}' && !first) {
		return broken(r, "expected ',' or '}'");
	}
	if (err)
		return err;
	*there = c != '}';
	if (!*there) {
		r->input.pos++;
		return 0;
	}
	err = read_string(r, key, KEY_MAX);
	viz_buffer__add(key, "", 1);
	if (!err && key->failed)
		err = -ENOMEM;
	return err ? err : expect(r, ':');
}

/* What is read of "file_info": a path, a source, and both without escapes. */
struct texts {
	struct viz_buffer key, source, path, text;
};

/* [source, number of lines] */
static int read_source(struct viz_reading *r, struct texts *t)
{
	char c;
	int err = peek(r, &c);

	if (err)
		return err;
	if (c != '[')
		return skip_value(r);
	r->input.pos++;
	err = peek(r, &c);
	if (!err && c == '"')
		err = read_string(r, &t->source, SOURCE_MAX);
	for (; !err; err = skip_value(r)) {
		err = peek(r, &c);
		if (err || (c != ',' && c != ']'))
			return err ? err : broken(r, "expected ',' or ']'");
		r->input.pos++;
		if (c == ']')
			break;
	}
	if (err || !t->source.len)
		return err;
	t->path.len = t->text.len = 0;
	viz_json__unescape(&t->path, t->key.data, strlen(t->key.data));
	viz_buffer__add(&t->path, "", 1);
	viz_json__unescape(&t->text, t->source.data, t->source.len);
	if (t->path.failed || t->text.failed)
		return -ENOMEM;
	return viz_intake__source(r->intake, t->path.data, t->text.data, t->text.len);
}

static int read_files(struct viz_reading *r, struct texts *t)
{
	bool there = false, first = true;
	int err = expect(r, '{');

	for (; !err; first = false) {
		err = next_member(r, first, &t->key, &there);
		if (err || !there)
			break;
		t->source.len = 0;
		err = read_source(r, t);
	}
	return err;
}

/* {"files": {path: [source, lines]}, "functions": ...}, of which the sources are kept: the rest
 * follows from the calls. */
static int read_file_info(struct viz_reading *r)
{
	struct texts t = {0};
	bool there = false, first = true;
	char c;
	int err;

	err = peek(r, &c);
	if (err)
		return err;
	if (c != '{' || !viz_intake__wants_sources(r->intake))
		return skip_value(r);
	r->input.pos++;
	for (; !err; first = false) {
		err = next_member(r, first, &t.key, &there);
		if (err || !there)
			break;
		err = peek(r, &c);
		if (!err)
			err = c == '{' && !strcmp(t.key.data, "files") ? read_files(r, &t)
								       : skip_value(r);
	}
	viz_buffer__free(&t.key);
	viz_buffer__free(&t.source);
	viz_buffer__free(&t.path);
	viz_buffer__free(&t.text);
	return err;
}

static int read_object(struct viz_reading *r)
{
	struct viz_buffer key = {0};
	bool there = false, first = true, any = false;
	int err = expect(r, '{');

	for (; !err; first = false) {
		err = next_member(r, first, &key, &there);
		if (err || !there)
			break;
		any |= !strcmp(key.data, "traceEvents");
		if (!strcmp(key.data, "traceEvents"))
			err = read_events(r);
		else if (!strcmp(key.data, "viztracer_metadata") ||
			 !strcmp(key.data, "vizbpf_metadata"))
			err = read_document(r, key.data);
		else if (!strcmp(key.data, "file_info"))
			err = read_file_info(r);
		else
			err = skip_value(r);
	}
	viz_buffer__free(&key);
	return err || any ? err : broken(r, "this is no trace: no \"traceEvents\" in it");
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
