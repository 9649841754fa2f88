/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cheapest set of instructions of which every way out of a function passes exactly one,
 * exactly once: a minimum cut through the part of the flow graph from which the function
 * certainly returns.
 */
#ifndef VIZ_EXIT_CUT_H
#define VIZ_EXIT_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIZ_CUT_NEVER UINT32_MAX

struct viz_cut_node {
	uint32_t next[2]; /* indices, UINT32_MAX: none */
	uint32_t cost; /* VIZ_CUT_NEVER: must not be chosen */
	bool entry; /* the flow may arrive here from outside the graph */
	bool exit; /* the flow leaves the graph here */
	bool before; /* the choice must lie after this one */
	/* results */
	bool chosen;
	bool after; /* executed after the chosen one */
};

/* 0, -ENOENT when no such set exists, or another negative errno. */
int viz_cut__find(struct viz_cut_node *nodes, size_t nr);

#endif
