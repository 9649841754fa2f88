/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of who called whom, built in one pass from calls in order of completion. Calls of
 * one function by the same caller are one node. Memory is bounded: calls that wait for
 * their caller are merged when too many wait, and what is too small to matter is summed up as
 * "other" when the tree has too many nodes.
 */
#ifndef VIZ_CALLTREE_H
#define VIZ_CALLTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../trace/model.h"

enum { VIZ_CALLTREE_OTHER = -1 }; /* as a node's func: many small ones */

struct viz_node {
	uint64_t total; /* ns */
	uint64_t calls;
	uint32_t func; /* index, or (uint32_t)VIZ_CALLTREE_OTHER */
	uint32_t child, next; /* numbers of nodes, 0: none */
	uint32_t folded; /* library frames below that are not shown, see __fold() */
	uint16_t nr_children;
	uint16_t height; /* of the tree below, itself included */
};

struct viz_root {
	uint32_t node; /* its number */
	uint32_t track;
	uint64_t begin; /* of the first call, ns */
};

struct viz_calltree {
	struct viz_node *nodes; /* by number; [0] is unused */
	uint32_t nr_nodes, room, free; /* free: first of the chain of free ones, by next */
	uint32_t live;
	uint32_t budget; /* nodes that may live at once; set after __new() in tests */
	uint64_t small; /* what has been summed up so far is shorter, ns */
	uint64_t calls;
	uint64_t merged; /* pairs of waiting calls that were merged */
	struct viz_calltree_track *tracks;
	uint32_t nr_tracks;
};

struct viz_calltree *viz_calltree__new(void);
void viz_calltree__free(struct viz_calltree *tree);
/* A sink (@ctx is the tree). Returns 0 or -ENOMEM. */
int viz_calltree__calls(void *ctx, const struct viz_call *calls, size_t nr);

/* The roots, the slowest first (merged ones by their mean); freed by the caller. NULL when out of memory. */
struct viz_root *viz_calltree__roots(const struct viz_calltree *tree, size_t *nr);

/* Below @node: library functions called by library functions disappear, what they called of
 * the program's own code moves up. @is_library is asked with the index of a function. */
void viz_calltree__fold(struct viz_calltree *tree, uint32_t node,
			bool (*is_library)(void *ctx, uint32_t func), void *ctx);

/* Sorts the children of @node and all below by time, the slowest first. */
void viz_calltree__sort(struct viz_calltree *tree, uint32_t node);

#endif
