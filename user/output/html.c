// SPDX-License-Identifier: Apache-2.0
/*
 * One page that holds the trace and the viewer: speedscope where it is installed, with the trace
 * in its format, else a page of our own with Chrome JSON; gzip and base64. The trace goes to a
 * file of its own first, as base64 ends with a padding.
 */
#include <errno.h>
#include <string.h>

#include "user/output/html_template.h"

#include "base64.h"
#include "bundle.h"
#include "file.h"
#include "writer.h"

#define PLACE "<!--VIZBPF-TRACE-->"

struct html {
	struct viz_writer w;
	struct viz_writer *inner; /* of the trace, to a file without a name */
	struct viz_buffer head, tail; /* the page, around it */
};

/* What is written where only calls can be shown. */
static const struct viz_writer_ops calls_only;

static const char trace_tag[] = "<script type=\"application/octet-stream\" id=\"trace\">";

/* The page around the trace; returns the trace's format. */
static const char *make_page(struct html *h)
{
	const char *place = strstr(html_template, PLACE);

	if (!viz_bundle__page(&h->head, &h->tail)) {
		h->w.ops = &calls_only;
		return ".speedscope.json";
	}
	h->head.len = h->tail.len = 0;
	viz_buffer__add(&h->head, html_template, (size_t)(place - html_template));
	viz_buffer__text(&h->head, trace_tag);
	viz_buffer__text(&h->tail, "</script>");
	viz_buffer__text(&h->tail, place + sizeof(PLACE) - 1);
	return ".json";
}

static int html__begin(struct viz_writer *w)
{
	struct html *h = (struct html *)w;
	struct viz_output *out = viz_output__scratch(true);
	const char *format;

	if (!out)
		return -errno;
	format = make_page(h);
	h->inner = h->head.failed || h->tail.failed ? NULL : viz_writer__new(w->trace, format, out);
	if (!h->inner) {
		viz_output__free(out);
		return -ENOMEM;
	}
	return h->inner->ops->begin(h->inner);
}

static int html__process(struct viz_writer *w, uint32_t process)
{
	struct html *h = (struct html *)w;

	return h->inner->ops->process(h->inner, process);
}

static int html__track(struct viz_writer *w, uint32_t track)
{
	struct html *h = (struct html *)w;

	return h->inner->ops->track(h->inner, track);
}

static int html__calls(struct viz_writer *w, const struct viz_call *calls, size_t nr)
{
	struct html *h = (struct html *)w;

	return h->inner->ops->calls(h->inner, calls, nr);
}

static int html__event(struct viz_writer *w, const struct viz_event *event)
{
	struct html *h = (struct html *)w;

	return h->inner->ops->event(h->inner, event);
}

/* Pieces come in any size; base64 takes three bytes at a time. */
struct encoder {
	struct viz_output *out;
	unsigned char rest[3];
	size_t nr_rest;
};

static int put_base64(void *ctx, const void *data, size_t size)
{
	struct encoder *e = ctx;
	const unsigned char *in = data;
	char *start, *p;

	while (size) {
		while (e->nr_rest < 3 && size) {
			e->rest[e->nr_rest++] = *in++;
			size--;
		}
		if (e->nr_rest < 3)
			return 0;
		start = p = viz_output__reserve(e->out, 16384);
		if (!p)
			return viz_output__error(e->out);
		p = viz_base64__three(p, e->rest);
		e->nr_rest = 0;
		for (; size >= 3 && p - start < 16000; size -= 3, in += 3)
			p = viz_base64__three(p, in);
		viz_output__commit(e->out, (size_t)(p - start));
	}
	return 0;
}

static int end_base64(struct encoder *e)
{
	char text[4];

	if (!e->nr_rest)
		return 0;
	viz_base64__rest(text, e->rest, e->nr_rest);
	return viz_output__write(e->out, text, 4);
}

static int html__end(struct viz_writer *w)
{
	struct html *h = (struct html *)w;
	struct encoder encoder = {.out = w->out};
	int err;

	if (!h->inner)
		return -EBADF;
	h->inner->read_source = w->read_source;
	h->inner->source_ctx = w->source_ctx;
	err = h->inner->ops->end(h->inner);
	if (!err)
		err = viz_output__write(w->out, h->head.data, h->head.len);
	if (!err)
		err = viz_output__copy(h->inner->out, put_base64, &encoder);
	if (!err)
		err = end_base64(&encoder);
	if (!err)
		err = viz_output__write(w->out, h->tail.data, h->tail.len);
	return err ? err : viz_output__close(w->out);
}

static void html__free(struct viz_writer *w)
{
	struct html *h = (struct html *)w;

	viz_writer__free(h->inner);
	viz_buffer__free(&h->head);
	viz_buffer__free(&h->tail);
}

#define OPERATIONS                                                                                 \
	.suffix = ".html", .what = "one page with the trace and a viewer in it",                   \
	.begin = html__begin, .process = html__process, .track = html__track,                      \
	.calls = html__calls, .event = html__event, .end = html__end, .free = html__free,          \
	.size = sizeof(struct html)

const struct viz_writer_ops viz_writer_html = {OPERATIONS, .sources = true};

static const struct viz_writer_ops calls_only = {OPERATIONS, .calls_only = true};
