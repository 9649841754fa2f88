// SPDX-License-Identifier: Apache-2.0
#include "spooled.h"

#include <errno.h>

#include "../base/log.h"
#include "file.h"

int viz_spooled__begin(struct viz_writer *w)
{
	struct viz_spooled *s = (struct viz_spooled *)w;

	s->first = UINT64_MAX;
	s->spool = viz_spool__new();
	return s->spool ? 0 : -errno;
}

int viz_spooled__calls(struct viz_writer *w, const struct viz_call *calls, size_t nr)
{
	struct viz_spooled *s = (struct viz_spooled *)w;
	size_t i;

	for (i = 0; i < nr; i++)
		if (calls[i].begin < s->first)
			s->first = calls[i].begin;
	return viz_spool__add(s->spool, calls, nr);
}

int viz_spooled__name(struct viz_writer *w, uint32_t index)
{
	(void)w;
	(void)index;
	return 0;
}

int viz_spooled__event(struct viz_writer *w, const struct viz_event *event)
{
	(void)w;
	(void)event;
	return 0;
}

void viz_spooled__free(struct viz_writer *w)
{
	struct viz_spooled *s = (struct viz_spooled *)w;

	viz_spool__free(s->spool);
	viz_buffer__free(&s->buffer);
}

int viz_spooled__put(struct viz_spooled *s)
{
	int err;

	if (s->buffer.failed)
		return -ENOMEM;
	err = viz_output__write(s->w.out, s->buffer.data, s->buffer.len);
	s->buffer.len = 0;
	return err;
}

int viz_spooled__end(struct viz_writer *w,
		     int (*write)(struct viz_spooled *s, const struct viz_stacks *stacks))
{
	struct viz_spooled *s = (struct viz_spooled *)w;
	struct viz_stacks stacks = {0};
	int err;

	if (!s->spool)
		return -EBADF;
	err = viz_stacks__build(&stacks, w->trace, s->spool);
	if (!err)
		err = write(s, &stacks);
	if (!err)
		err = viz_output__close(w->out);
	if (stacks.dropped)
		viz_warn("%llu calls were made on more different stacks than there is room for: "
			 "they count as their callers' own time",
			 (unsigned long long)stacks.dropped);
	viz_stacks__free(&stacks);
	return err;
}

void viz_spooled__label(struct viz_spooled *s, const struct viz_stacks *stacks, uint32_t node,
			struct viz_buffer *b)
{
	const struct viz_trace *trace = s->w.trace;
	const struct viz_stack_node *n = &stacks->nodes[node];

	if (!n->parent) {
		const struct viz_process *p = &trace->processes[n->func];

		viz_buffer__printf(b, "%s [%u]", p->name ? p->name : "python", p->pid);
		return;
	}
	viz_buffer__text(b, trace->funcs[n->func].name);
	if (trace->funcs[n->func].file[0])
		viz_buffer__printf(b, " (%s:%u)", trace->funcs[n->func].file,
				   trace->funcs[n->func].line);
}
