/* SPDX-License-Identifier: Apache-2.0 */
/* All calls of a trace, summed up by the stack that they were made on: a flame graph. */
#ifndef VIZ_STACKS_H
#define VIZ_STACKS_H

#include "spool.h"

struct viz_stack_node {
	uint32_t func; /* index; of a process for the nodes below the root */
	uint32_t parent; /* index of a node; the root is 0 and its own parent */
	uint32_t child, next; /* first child, next sibling; 0: none */
	uint64_t total; /* ns, with callees */
	uint64_t below; /* ns of the callees */
	uint64_t calls;
};

struct viz_stacks {
	struct viz_stack_node *nodes;
	uint32_t nr, cap;
	uint32_t *slots; /* by (parent, func): index of a node, 0: free */
	uint32_t nr_slots;
	uint64_t dropped; /* calls that found no room and count as their caller's own time */
};

/* Sums up what the spool holds. 0 or -errno. */
int viz_stacks__build(struct viz_stacks *stacks, const struct viz_trace *trace,
		      struct viz_spool *spool);
void viz_stacks__free(struct viz_stacks *stacks);

static inline uint64_t viz_stack_node__self(const struct viz_stack_node *node)
{
	return node->total > node->below ? node->total - node->below : 0;
}

#endif
