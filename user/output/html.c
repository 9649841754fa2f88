// SPDX-License-Identifier: Apache-2.0
/*
 * One page that holds the trace and the viewer: Chrome JSON, gzip and base64, in the page's
 * template. The JSON goes to a file of its own first, as base64 ends with a padding.
 */
#include <errno.h>
#include <string.h>

#include "user/output/html_template.h"

#include "buffer.h"
#include "file.h"
#include "writer.h"

#define PLACE "<!--VIZBPF-TRACE-->"

struct html {
	struct viz_writer w;
	struct viz_writer *inner; /* Chrome JSON, to a file without a name */
};

static int html__begin(struct viz_writer *w)
{
	struct html *h = (struct html *)w;
	struct viz_output *out = viz_output__scratch(true);

	if (!out)
		return -errno;
	h->inner = viz_writer__new(w->trace, ".json", out);
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

static char *encode3(char *p, const unsigned char *in)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	p[0] = letters[in[0] >> 2];
	p[1] = letters[(in[0] & 3) << 4 | in[1] >> 4];
	p[2] = letters[(in[1] & 15) << 2 | in[2] >> 6];
	p[3] = letters[in[2] & 63];
	return p + 4;
}

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
		p = encode3(p, e->rest);
		e->nr_rest = 0;
		for (; size >= 3 && p - start < 16000; size -= 3, in += 3)
			p = encode3(p, in);
		viz_output__commit(e->out, (size_t)(p - start));
	}
	return 0;
}

static int end_base64(struct encoder *e)
{
	char text[4];

	if (!e->nr_rest)
		return 0;
	memset(e->rest + e->nr_rest, 0, 3 - e->nr_rest);
	encode3(text, e->rest);
	memset(text + e->nr_rest + 1, '=', 3 - e->nr_rest);
	return viz_output__write(e->out, text, 4);
}

static int put_text(struct html *h, const char *text, size_t len)
{
	return viz_output__write(h->w.out, text, len);
}

static int html__end(struct viz_writer *w)
{
	static const char open[] = "<script type=\"application/octet-stream\" id=\"trace\">";
	struct html *h = (struct html *)w;
	struct encoder encoder = {.out = w->out};
	const char *place = strstr(html_template, PLACE);
	int err;

	if (!h->inner)
		return -EBADF;
	h->inner->read_source = w->read_source;
	h->inner->source_ctx = w->source_ctx;
	err = h->inner->ops->end(h->inner);
	if (!err)
		err = put_text(h, html_template, (size_t)(place - html_template));
	if (!err)
		err = put_text(h, open, sizeof(open) - 1);
	if (!err)
		err = viz_output__copy(h->inner->out, put_base64, &encoder);
	if (!err)
		err = end_base64(&encoder);
	if (!err)
		err = put_text(h, "</script>", 9);
	if (!err)
		err = put_text(h, place + sizeof(PLACE) - 1, strlen(place + sizeof(PLACE) - 1));
	return err ? err : viz_output__close(w->out);
}

static void html__free(struct viz_writer *w)
{
	viz_writer__free(((struct html *)w)->inner);
}

const struct viz_writer_ops viz_writer_html = {
	.suffix = ".html",
	.what = "one page with the trace and a viewer in it",
	.begin = html__begin,
	.process = html__process,
	.track = html__track,
	.calls = html__calls,
	.event = html__event,
	.end = html__end,
	.free = html__free,
	.sources = true,
	.size = sizeof(struct html),
};
