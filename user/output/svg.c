// SPDX-License-Identifier: Apache-2.0
/* A flame graph that stands alone: seen as a picture anywhere, and with zoom and search where
 * scripts run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/output/svg_script.h"

#include "spooled.h"

#define WIDTH 1200.0
#define ROW 17
#define HEAD 40
/* Narrower frames are not drawn: they could not be seen, and there may be millions. */
#define NARROWEST 0.1
#define LETTER 7.25

struct place {
	uint32_t node;
	uint32_t depth;
	double x;
};

struct drawing {
	struct viz_spooled *s;
	const struct viz_stacks *stacks;
	double scale; /* pixels for a nanosecond */
	struct place *todo; /* a stack */
	size_t nr, cap;
	uint32_t deepest;
	bool measure; /* only how deep it gets */
	uint32_t *children;
	size_t cap_children;
	struct viz_buffer label;
};

/* XML allows fewer characters than names can have. */
static void put_xml(struct viz_buffer *b, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '&')
			viz_buffer__text(b, "&amp;");
		else if (c == '<')
			viz_buffer__text(b, "&lt;");
		else if (c == '>')
			viz_buffer__text(b, "&gt;");
		else if (c == '"')
			viz_buffer__text(b, "&quot;");
		else if (c < 0x20 || c == 0x7f)
			viz_buffer__text(b, "?");
		else if (c == 0xef && i + 2 < len && !memcmp(text + i, "\xef\xbf\xbe", 2) &&
			 (unsigned char)text[i + 2] >= 0xbe)
			i += 2; /* U+FFFE and U+FFFF */
		else
			viz_buffer__add(b, text + i, 1);
	}
}

/* How much of UTF-8 makes up @chars characters. */
static size_t prefix(const char *text, size_t len, size_t chars)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80 && !chars--)
			break;
	return i;
}

static uint32_t hue(const struct drawing *d, const struct viz_stack_node *node)
{
	const char *file = node->parent ? d->s->w.trace->funcs[node->func].file : "";
	uint32_t hash = 2166136261u;

	for (; *file; file++)
		hash = (hash ^ (unsigned char)*file) * 16777619u;
	return (hash ^ hash >> 15) % 360;
}

static int put_frame(struct drawing *d, const struct place *place)
{
	const struct viz_stack_node *node = &d->stacks->nodes[place->node];
	struct viz_buffer *b = &d->s->buffer;
	double width = (double)node->total * d->scale;
	double all = (double)d->stacks->nodes[0].total;
	size_t chars = width > 3 * LETTER ? (size_t)((width - 8) / LETTER) : 0, shown;
	/* callers above: what a browser shows first is where to begin */
	uint32_t y = HEAD + (place->depth - 1) * ROW;

	d->label.len = 0;
	viz_spooled__label(d->s, d->stacks, place->node, &d->label);
	if (d->label.failed)
		return -ENOMEM;
	viz_buffer__printf(b, "<g class=\"f\" data-x=\"%.3f\" data-w=\"%.3f\" data-n=\"", place->x,
			   width);
	put_xml(b, d->label.data, d->label.len);
	viz_buffer__text(b, "\"><title>");
	put_xml(b, d->label.data, d->label.len);
	viz_buffer__printf(b, "\n%.3f ms, %.2f %%; itself %.3f ms; %llu calls</title>",
			   (double)node->total / 1e6, 100.0 * (double)node->total / all,
			   (double)viz_stack_node__self(node) / 1e6,
			   (unsigned long long)node->calls);
	viz_buffer__printf(b,
			   "<rect x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%d\" "
			   "fill=\"hsl(%u,%s)\"/><text x=\"%.2f\" y=\"%u\">",
			   place->x, y, width > 0.6 ? width - 0.5 : 0.1, ROW - 1, hue(d, node),
			   node->parent ? "62%,72%" : "0%,80%", place->x + 4, y + 12);
	shown = prefix(d->label.data, d->label.len, chars);
	if (chars >= 3 && shown < d->label.len) {
		put_xml(b, d->label.data, prefix(d->label.data, d->label.len, chars - 1));
		viz_buffer__text(b, "\xe2\x80\xa6");
	} else if (chars >= 3) {
		put_xml(b, d->label.data, shown);
	}
	viz_buffer__text(b, "</text></g>\n");
	return b->len > 65536 || b->failed ? viz_spooled__put(d->s) : 0;
}

static int push(struct drawing *d, uint32_t node, uint32_t depth, double x)
{
	size_t cap = d->cap ? d->cap * 2 : 256;
	struct place *todo;

	if (d->nr == d->cap) {
		todo = realloc(d->todo, cap * sizeof(*todo));
		if (!todo)
			return -ENOMEM;
		d->todo = todo;
		d->cap = cap;
	}
	d->todo[d->nr++] = (struct place){.node = node, .depth = depth, .x = x};
	return 0;
}

static int longest_first(const void *a, const void *b, void *ctx)
{
	const struct viz_stack_node *nodes = ctx;
	const struct viz_stack_node *x = &nodes[*(const uint32_t *)a];
	const struct viz_stack_node *y = &nodes[*(const uint32_t *)b];

	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return x->func < y->func ? -1 : x->func > y->func;
}

/* The children that can be seen, longest first from the left. */
static int push_children(struct drawing *d, const struct place *place)
{
	const struct viz_stack_node *nodes = d->stacks->nodes;
	uint32_t child, *list;
	double x = place->x;
	size_t nr = 0, i;
	int err;

	for (child = nodes[place->node].child; child; child = nodes[child].next) {
		if ((double)nodes[child].total * d->scale < NARROWEST)
			continue;
		if (nr == d->cap_children) {
			size_t cap = nr ? nr * 2 : 64;

			list = realloc(d->children, cap * sizeof(*list));
			if (!list)
				return -ENOMEM;
			d->children = list;
			d->cap_children = cap;
		}
		d->children[nr++] = child;
	}
	if (nr)
		qsort_r(d->children, nr, sizeof(*d->children), longest_first, (void *)nodes);
	for (i = 0; i < nr; i++) {
		err = push(d, d->children[i], place->depth + 1, x);
		if (err)
			return err;
		x += (double)nodes[d->children[i]].total * d->scale;
	}
	return 0;
}

static int draw(struct drawing *d, bool measure)
{
	struct place place = {.node = 0, .depth = 0};
	int err;

	d->nr = 0;
	err = push_children(d, &place);
	while (!err && d->nr) {
		place = d->todo[--d->nr];
		if (!measure)
			err = put_frame(d, &place);
		else if (place.depth > d->deepest)
			d->deepest = place.depth;
		if (!err)
			err = push_children(d, &place);
	}
	return err;
}

static void put_head(struct drawing *d)
{
	uint32_t height = HEAD + d->deepest * ROW + 8;

	viz_buffer__printf(
		&d->s->buffer,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %u\" "
		"width=\"%.0f\" height=\"%u\" tabindex=\"0\">\n"
		"<style>text{font:12px monospace;fill:#16181d;pointer-events:none}"
		".f{cursor:pointer}.f:hover rect{stroke:#16181d}.outer{opacity:.55}"
		".hit rect{fill:#e0409f}.button{pointer-events:all;cursor:pointer;fill:#2f6fde}"
		"#head{font-weight:bold}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fbfbfd\"/>\n"
		"<text id=\"head\" x=\"4\" y=\"16\">vizbpf: wall time by stack, %.3f ms</text>\n"
		"<text id=\"search\" class=\"button\" x=\"1140\" y=\"16\">search</text>\n"
		"<text id=\"reset\" class=\"button\" x=\"1030\" y=\"16\" "
		"style=\"display:none\">show all</text>\n"
		"<text id=\"matched\" x=\"880\" y=\"16\"></text>\n"
		"<text id=\"detail\" x=\"4\" y=\"32\"></text>\n",
		WIDTH, height, WIDTH, height, (double)d->stacks->nodes[0].total / 1e6);
}

static int put_svg(struct viz_spooled *s, const struct viz_stacks *stacks)
{
	struct drawing d = {.s = s, .stacks = stacks};
	int err;

	if (stacks->nodes[0].total)
		d.scale = WIDTH / (double)stacks->nodes[0].total;
	err = draw(&d, true);
	if (!err) {
		put_head(&d);
		err = draw(&d, false);
	}
	if (!err) {
		viz_buffer__text(&s->buffer, "<script><![CDATA[\n");
		viz_buffer__text(&s->buffer, svg_script);
		viz_buffer__text(&s->buffer, "]]></script>\n</svg>\n");
		err = viz_spooled__put(s);
	}
	free(d.todo);
	free(d.children);
	viz_buffer__free(&d.label);
	return err;
}

static int svg__end(struct viz_writer *w)
{
	return viz_spooled__end(w, put_svg);
}

const struct viz_writer_ops viz_writer_svg = {
	.suffix = ".svg",
	.what = "flame graph of wall time, with search and zoom",
	.begin = viz_spooled__begin,
	.process = viz_spooled__name,
	.track = viz_spooled__name,
	.calls = viz_spooled__calls,
	.event = viz_spooled__event,
	.end = svg__end,
	.free = viz_spooled__free,
	.calls_only = true,
	.size = sizeof(struct viz_spooled),
};
