// SPDX-License-Identifier: Apache-2.0
/* From records to Chrome Trace JSON. */
#include "recorder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BUFFER_SIZE = 1 << 20,
	NUMBER_MAX = 32, /* digits, point and sign of one number */
	FIXED_MAX = 256, /* of an event beside its name and text */
};

struct out {
	int fd, err;
	bool any; /* an event has been written */
	char *at, *end;
	char *data;
	struct viz_clock_scale scale;
};

static void flush(struct out *out)
{
	char *from = out->data;

	while (from < out->at && !out->err) {
		ssize_t n = write(out->fd, from, (size_t)(out->at - from));

		if (n > 0)
			from += n;
		else if (n < 0 && errno != EINTR)
			out->err = -errno;
	}
	out->at = out->data;
}

static void make_room(struct out *out, size_t size)
{
	if ((size_t)(out->end - out->at) < size)
		flush(out);
}

/* @n bytes of any length. */
static void put(struct out *out, const char *bytes, size_t n)
{
	while (n && !out->err) {
		size_t part = n < BUFFER_SIZE / 2 ? n : BUFFER_SIZE / 2;

		make_room(out, part);
		memcpy(out->at, bytes, part);
		out->at += part;
		bytes += part;
		n -= part;
	}
}

static void puts_(struct out *out, const char *text)
{
	put(out, text, strlen(text));
}

/* The following write into room that is there already. */
#define PUT_LITERAL(p, text) ((char *)memcpy(p, text, sizeof(text) - 1) + sizeof(text) - 1)

static char *put_number(char *p, uint64_t number)
{
	char digits[NUMBER_MAX];
	int n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (n)
		*p++ = digits[--n];
	return p;
}

/* Nanoseconds as microseconds with three decimals. */
static char *put_us(char *p, uint64_t ns)
{
	unsigned int rest = (unsigned int)(ns % 1000);

	p = put_number(p, ns / 1000);
	*p++ = '.';
	*p++ = (char)('0' + rest / 100);
	*p++ = (char)('0' + rest / 10 % 10);
	*p++ = (char)('0' + rest % 10);
	return p;
}

static void next_event(struct out *out)
{
	if (out->any)
		put(out, ",\n", 2);
	out->any = true;
}

/* `{"pid":1,"tid":2,"ts":` */
static int make_head(char *head, size_t size, uint32_t tid)
{
	return snprintf(head, size, "{\"pid\":%u,\"tid\":%u,\"ts\":", viz_recorder.pid, tid);
}

static void put_call(struct out *out, const struct viz_record *r, const struct viz_chunk *chunk,
		     const char *head, size_t head_len)
{
	const struct viz_func *func = &viz_recorder.funcs[r->func];
	const char *text = r->text ? chunk->texts + r->text - 1 : NULL;
	uint64_t begin = viz_clock__ns(&out->scale, r->begin);
	uint64_t end = viz_clock__ns(&out->scale, r->end);
	char *p;

	next_event(out);
	make_room(out, FIXED_MAX + func->name_len);
	p = (char *)memcpy(out->at, head, head_len) + head_len;
	p = put_us(p, begin);
	if (r->flags & VIZ_REC_OPEN) {
		p = PUT_LITERAL(p, ",\"ph\":\"B\",\"name\":\"");
	} else {
		p = PUT_LITERAL(p, ",\"ph\":\"X\",\"dur\":");
		p = put_us(p, end - begin);
		p = PUT_LITERAL(p, ",\"name\":\"");
	}
	p = (char *)memcpy(p, func->name, func->name_len) + func->name_len;
	out->at = PUT_LITERAL(p, "\",\"cat\":\"FEE\"");
	if (text || r->flags & VIZ_REC_RAISED) {
		puts_(out, ",\"args\":{");
		if (r->flags & VIZ_REC_RAISED)
			puts_(out, text ? "\"raised\":true," : "\"raised\":true");
		if (text)
			puts_(out, text);
		puts_(out, "}");
	}
	put(out, "}", 1);
}

static void put_event(struct out *out, const struct viz_record *r, const struct viz_chunk *chunk,
		      const char *head, size_t head_len)
{
	uint64_t begin = viz_clock__ns(&out->scale, r->begin);
	char *p;

	next_event(out);
	make_room(out, FIXED_MAX);
	p = (char *)memcpy(out->at, head, head_len) + head_len;
	p = put_us(p, begin);
	if (r->end) {
		p = PUT_LITERAL(p, ",\"dur\":");
		p = put_us(p, viz_clock__ns(&out->scale, r->end) - begin);
	}
	*p++ = ',';
	out->at = p;
	puts_(out, chunk->texts + r->text - 1);
	put(out, "}", 1);
}

static void put_thread(struct out *out, const struct viz_thread *t, struct viz_saved *saved)
{
	char head[96], lane_head[96];
	size_t len = (size_t)make_head(head, sizeof(head), t->tid), lane_len = 0;
	uint32_t lane = 0;

	if (!t->nr_chunks)
		return;
	for (const struct viz_chunk *chunk = t->oldest; chunk && !out->err; chunk = chunk->next) {
		for (uint32_t i = 0; i < chunk->nr; i++) {
			const struct viz_record *r = &chunk->records[i];
			bool own = !r->lane;

			if (!own && r->lane != lane) {
				lane = r->lane;
				lane_len = (size_t)make_head(lane_head, sizeof(lane_head),
							     viz_recorder.lanes[lane - 1].tid);
			}
			if (r->flags & VIZ_REC_EVENT) {
				put_event(out, r, chunk, own ? head : lane_head,
					  own ? len : lane_len);
				saved->events++;
			} else {
				put_call(out, r, chunk, own ? head : lane_head,
					 own ? len : lane_len);
				saved->calls++;
			}
		}
	}
}

/* The name as a JSON string. */
static void put_quoted(struct out *out, const char *name)
{
	struct viz_text text;
	char data[512];

	viz_text__start(&text, NULL, data, sizeof(data));
	viz_text__string(&text, name, strlen(name));
	puts_(out, viz_text__end(&text));
}

static void put_metadata(struct out *out, const char *what, uint32_t tid, const char *name)
{
	char head[96];

	snprintf(head, sizeof(head),
		 "{\"ph\":\"M\",\"pid\":%u,\"tid\":%u,\"name\":\"%s\",\"args\":{\"name\":",
		 viz_recorder.pid, tid, what);
	next_event(out);
	puts_(out, head);
	put_quoted(out, name);
	puts_(out, "}}");
}

static void put_names(struct out *out, const char *process_name)
{
	put_metadata(out, "process_name", viz_recorder.pid, process_name);
	for (const struct viz_thread *t = viz_recorder.threads; t; t = t->next)
		if (t->nr_chunks && t->name[0])
			put_metadata(out, "thread_name", t->tid, t->name);
	for (uint32_t i = 0; i < viz_recorder.nr_lanes; i++) {
		PyObject *bytes =
			PyUnicode_AsEncodedString(viz_recorder.lanes[i].name, "utf-8", "replace");
		char *name = bytes ? PyBytes_AsString(bytes) : NULL;

		if (name)
			put_metadata(out, "thread_name", viz_recorder.lanes[i].tid, name);
		Py_XDECREF(bytes);
		PyErr_Clear();
	}
}

int viz_save__write(int fd, const char *process_name, struct viz_saved *saved)
{
	struct out out = {.fd = fd};

	out.data = malloc(BUFFER_SIZE);
	if (!out.data)
		return -ENOMEM;
	out.at = out.data;
	out.end = out.data + BUFFER_SIZE;
	viz_clock__scale(&viz_recorder.first, &out.scale);
	put_names(&out, process_name);
	for (const struct viz_thread *t = viz_recorder.threads; t; t = t->next)
		put_thread(&out, t, saved);
	flush(&out);
	free(out.data);
	return out.err;
}
