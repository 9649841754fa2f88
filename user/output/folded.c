// SPDX-License-Identifier: Apache-2.0
/* Stacks a line each, "process;outer;inner NANOSECONDS": what flame graph tools read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "spooled.h"

/* The separator of the format must not come from a name, nor an end of the line. */
static void put_label(struct viz_spooled *s, const struct viz_stacks *stacks, uint32_t node)
{
	size_t at = s->buffer.len;

	viz_spooled__label(s, stacks, node, &s->buffer);
	for (; at < s->buffer.len; at++) {
		unsigned char c = (unsigned char)s->buffer.data[at];

		if (c == ';')
			s->buffer.data[at] = ':';
		else if (c < 0x20 || c == 0x7f)
			s->buffer.data[at] = '?';
	}
}

static int put_line(struct viz_spooled *s, const struct viz_stacks *stacks, uint32_t node,
		    const uint32_t *path, size_t depth)
{
	size_t i;

	for (i = 0; i < depth; i++) {
		put_label(s, stacks, path[i]);
		viz_buffer__text(&s->buffer, i + 1 < depth ? ";" : " ");
	}
	viz_buffer__printf(&s->buffer, "%llu\n",
			   (unsigned long long)viz_stack_node__self(&stacks->nodes[node]));
	return viz_spooled__put(s);
}

/* Depth first without recursion: @path is the stack. */
static int put_lines(struct viz_spooled *s, const struct viz_stacks *stacks)
{
	uint32_t *path = malloc(stacks->nr * sizeof(*path)), node = stacks->nodes[0].child;
	size_t depth = 0;
	int err = path ? 0 : -ENOMEM;

	while (node && !err) {
		path[depth++] = node;
		/* a process has no time of its own */
		if (depth > 1 && viz_stack_node__self(&stacks->nodes[node]))
			err = put_line(s, stacks, node, path, depth);
		if (stacks->nodes[node].child) {
			node = stacks->nodes[node].child;
			continue;
		}
		while (depth && !stacks->nodes[path[depth - 1]].next)
			depth--;
		node = depth ? stacks->nodes[path[--depth]].next : 0;
	}
	free(path);
	return err;
}

static int folded__end(struct viz_writer *w)
{
	return viz_spooled__end(w, put_lines);
}

const struct viz_writer_ops viz_writer_folded = {
	.suffix = ".folded",
	.what = "stacks with their own time in ns, for flame graph tools",
	.begin = viz_spooled__begin,
	.process = viz_spooled__name,
	.track = viz_spooled__name,
	.calls = viz_spooled__calls,
	.event = viz_spooled__event,
	.end = folded__end,
	.free = viz_spooled__free,
	.calls_only = true,
	.size = sizeof(struct viz_spooled),
};
