// SPDX-License-Identifier: Apache-2.0
#include "stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Distinct stacks that are kept: some 100 MB. Recursion over data can make any number. */
#define NODES_MAX 2000000

struct builder {
	struct viz_stacks *stacks;
	uint32_t process; /* the node that the track's stacks stand on */
};

static uint32_t hash(uint32_t parent, uint32_t func)
{
	uint64_t h = ((uint64_t)parent << 32 | func) * 0x9e3779b97f4a7c15ULL;

	return (uint32_t)(h ^ h >> 32);
}

static uint32_t *find(struct viz_stacks *s, uint32_t parent, uint32_t func)
{
	uint32_t at;

	for (at = hash(parent, func) & (s->nr_slots - 1); s->slots[at];
	     at = (at + 1) & (s->nr_slots - 1))
		if (s->nodes[s->slots[at]].parent == parent && s->nodes[s->slots[at]].func == func)
			break;
	return &s->slots[at];
}

static int grow(struct viz_stacks *s)
{
	uint32_t nr = s->nr_slots ? s->nr_slots * 2 : 4096, cap = nr / 2, i, *slots;
	struct viz_stack_node *nodes;

	nodes = realloc(s->nodes, cap * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	s->nodes = nodes;
	s->cap = cap;
	slots = calloc(nr, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(s->slots);
	s->slots = slots;
	s->nr_slots = nr;
	for (i = 1; i < s->nr; i++)
		*find(s, s->nodes[i].parent, s->nodes[i].func) = i;
	return 0;
}

/* The node, added when new; 0 when there is no room, negative errno in @err. */
static uint32_t node__get(struct viz_stacks *s, uint32_t parent, uint32_t func, int *err)
{
	uint32_t *slot, index;

	if (s->nr == s->cap) {
		*err = grow(s);
		if (*err)
			return 0;
	}
	slot = find(s, parent, func);
	if (*slot)
		return *slot;
	if (s->nr >= NODES_MAX)
		return 0;
	index = s->nr++;
	s->nodes[index] = (struct viz_stack_node){
		.func = func,
		.parent = parent,
		.next = s->nodes[parent].child,
	};
	s->nodes[parent].child = index;
	*slot = index;
	return index;
}

static int enter(void *ctx, struct viz_frame *stack, size_t depth)
{
	struct builder *b = ctx;
	struct viz_frame *frame = &stack[depth - 1];
	uint32_t parent = depth > 1 ? stack[depth - 2].user : b->process, index;
	uint64_t dur = frame->end > frame->call.begin ? frame->end - frame->call.begin : 0;
	int err = 0;

	index = node__get(b->stacks, parent, frame->call.func, &err);
	if (err)
		return err;
	if (!index) {
		b->stacks->dropped++;
		frame->user = parent;
		return 0;
	}
	frame->user = index;
	b->stacks->nodes[index].total += dur;
	b->stacks->nodes[index].calls++;
	b->stacks->nodes[parent].below += dur;
	return 0;
}

int viz_stacks__build(struct viz_stacks *stacks, const struct viz_trace *trace,
		      struct viz_spool *spool)
{
	struct builder b = {.stacks = stacks};
	struct viz_walk walk = {.enter = enter, .ctx = &b};
	uint32_t i;
	int err;

	memset(stacks, 0, sizeof(*stacks));
	stacks->nr = 1;
	err = grow(stacks);
	if (err)
		return err;
	memset(&stacks->nodes[0], 0, sizeof(stacks->nodes[0]));
	for (i = 0; i < trace->nr_tracks; i++) {
		b.process = node__get(stacks, 0, trace->tracks[i].process, &err);
		if (!err && b.process)
			err = viz_spool__walk(spool, i, &walk);
		if (err)
			return err;
	}
	/* a process is as long as what its threads called, so that widths add up */
	for (i = stacks->nodes[0].child; i; i = stacks->nodes[i].next) {
		stacks->nodes[i].total = stacks->nodes[i].below;
		stacks->nodes[0].below += stacks->nodes[i].total;
	}
	stacks->nodes[0].total = stacks->nodes[0].below;
	return 0;
}

void viz_stacks__free(struct viz_stacks *stacks)
{
	free(stacks->nodes);
	free(stacks->slots);
	memset(stacks, 0, sizeof(*stacks));
}
