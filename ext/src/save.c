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

/* A record, unpacked. */
struct item {
	uint64_t begin, end;
	uint32_t func, flags, lane, text_size;
	const char *text;
};

struct out {
	const struct viz_recorded *seen;
	struct viz_saved *saved;
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
static size_t make_head(const struct out *out, char *head, size_t size, uint32_t tid)
{
	return (size_t)snprintf(head, size, "{\"pid\":%u,\"tid\":%u,\"ts\":", out->seen->pid, tid);
}

static void put_call(struct out *out, const struct item *item, const char *head, size_t head_len)
{
	const struct viz_func *func = &out->seen->funcs[item->func];
	uint64_t begin = viz_clock__ns(&out->scale, item->begin);
	uint64_t end = viz_clock__ns(&out->scale, item->end);
	char *p;

	next_event(out);
	make_room(out, FIXED_MAX + func->name_len);
	p = (char *)memcpy(out->at, head, head_len) + head_len;
	p = put_us(p, begin);
	if (item->flags & VIZ_REC_OPEN) {
		p = PUT_LITERAL(p, ",\"ph\":\"B\",\"name\":\"");
	} else {
		p = PUT_LITERAL(p, ",\"ph\":\"X\",\"dur\":");
		p = put_us(p, end - begin);
		p = PUT_LITERAL(p, ",\"name\":\"");
	}
	p = (char *)memcpy(p, func->name, func->name_len) + func->name_len;
	out->at = PUT_LITERAL(p, "\",\"cat\":\"FEE\"");
	if (item->text_size || item->flags & VIZ_REC_RAISED) {
		puts_(out, ",\"args\":{");
		if (item->flags & VIZ_REC_RAISED)
			puts_(out, item->text_size ? "\"raised\":true," : "\"raised\":true");
		put(out, item->text, item->text_size);
		puts_(out, "}");
	}
	put(out, "}", 1);
}

static void put_event(struct out *out, const struct item *item, const char *head, size_t head_len)
{
	uint64_t begin = viz_clock__ns(&out->scale, item->begin);
	char *p;

	next_event(out);
	make_room(out, FIXED_MAX);
	p = (char *)memcpy(out->at, head, head_len) + head_len;
	p = put_us(p, begin);
	if (item->end) {
		p = PUT_LITERAL(p, ",\"dur\":");
		p = put_us(p, viz_clock__ns(&out->scale, item->end) - begin);
	}
	*p++ = ',';
	out->at = p;
	put(out, item->text, item->text_size);
	put(out, "}", 1);
}

/* Unpacks the record in the first of @nr places. Returns how many it takes; 0: there is none. A
 * file that a process left behind may hold anything. */
static uint32_t unpack(const struct viz_recorded *seen, const struct viz_record *r, uint32_t nr,
		       struct item *item)
{
	const struct viz_record_more *more = (const struct viz_record_more *)(r + 1);
	uint64_t places = 1;

	if (!nr || !r->begin)
		return 0;
	*item = (struct item){.begin = r->begin,
			      .end = r->begin + r->ticks,
			      .func = r->what >> VIZ_REC_FUNC_SHIFT,
			      .flags = r->what & ((1u << VIZ_REC_FUNC_SHIFT) - 1)};
	if (item->flags & VIZ_REC_LONG) {
		places = 2;
		if (nr < places)
			return 0;
		places += ((uint64_t)more->text_size + sizeof(*r) - 1) / sizeof(*r);
		item->end = more->end;
		item->lane = more->lane;
		item->text_size = more->text_size;
		item->text = (const char *)(more + 1);
	}
	if (places > nr || item->lane > seen->nr_lanes)
		return 0;
	if (item->flags & VIZ_REC_EVENT ? !item->text_size : item->func >= seen->nr_funcs)
		return 0;
	return (uint32_t)places;
}

static void put_item(struct out *out, const struct item *item, const char *head, size_t head_len)
{
	char lane_head[96];

	if (item->lane) {
		head_len = make_head(out, lane_head, sizeof(lane_head),
				     out->seen->lanes[item->lane - 1].tid);
		head = lane_head;
	}
	if (item->flags & VIZ_REC_EVENT) {
		put_event(out, item, head, head_len);
		out->saved->events++;
	} else {
		put_call(out, item, head, head_len);
		out->saved->calls++;
	}
}

static void put_thread(struct out *out, const struct viz_thread *t)
{
	const struct viz_chunk *chunk = t->nr_chunks ? t->oldest : NULL;
	char head[96];
	size_t len = make_head(out, head, sizeof(head), t->tid);

	for (; chunk && !out->err; chunk = chunk->next) {
		uint32_t at = 0, places;
		struct item item;

		while ((places = unpack(out->seen, chunk->records + at, chunk->nr - at, &item))) {
			put_item(out, &item, head, len);
			at += places;
		}
	}
}

/* Calls that were open when the process was killed. */
static void put_open(struct out *out, const struct viz_thread *t)
{
	char head[96];
	size_t len = make_head(out, head, sizeof(head), t->tid);

	for (const struct viz_frame *frame = t->base; frame < t->top; frame++) {
		struct item item = {.begin = frame->begin,
				    .func = frame->func,
				    .flags = VIZ_REC_OPEN |
					     (frame->flags & VIZ_FRAME_C ? VIZ_REC_C : 0)};

		if (frame->flags & VIZ_FRAME_HIDDEN || !frame->begin ||
		    frame->func >= out->seen->nr_funcs)
			continue;
		if (frame->flags & VIZ_FRAME_DETAILS && frame->lane <= out->seen->nr_lanes)
			item.lane = frame->lane;
		put_item(out, &item, head, len);
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
		 out->seen->pid, tid, what);
	next_event(out);
	puts_(out, head);
	put_quoted(out, name);
	puts_(out, "}}");
}

static void put_names(struct out *out, const char *process_name, bool open)
{
	const struct viz_recorded *seen = out->seen;

	put_metadata(out, "process_name", seen->pid, process_name);
	for (const struct viz_thread *t = seen->threads; t; t = t->next)
		if ((t->nr_chunks || (open && t->top > t->base)) && t->name[0])
			put_metadata(out, "thread_name", t->tid, t->name);
	for (uint32_t i = 0; i < seen->nr_lanes; i++)
		if (seen->lanes[i].name)
			put_metadata(out, "thread_name", seen->lanes[i].tid, seen->lanes[i].name);
}

int viz_save__write(const struct viz_recorded *seen, int fd, const char *process_name, bool open,
		    struct viz_saved *saved)
{
	struct out out = {.fd = fd, .seen = seen, .saved = saved};

	out.data = malloc(BUFFER_SIZE);
	if (!out.data)
		return -ENOMEM;
	out.at = out.data;
	out.end = out.data + BUFFER_SIZE;
	viz_clock__scale(&seen->first, &out.scale);
	put_names(&out, process_name, open);
	for (const struct viz_thread *t = seen->threads; t; t = t->next) {
		put_thread(&out, t);
		if (open)
			put_open(&out, t);
	}
	flush(&out);
	free(out.data);
	return out.err;
}
