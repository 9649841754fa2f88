// SPDX-License-Identifier: Apache-2.0
/*
 * Each instruction is two vertices, in and out, with an arc of its cost between them. What
 * the flow must not do is an arc that cannot be cut: both ends of a flow edge lie on the same
 * side, and nobody goes from "after" back to "before". So a cut of finite cost is crossed
 * exactly once on every way. Of several cheapest ones, the nearest to the exits is taken.
 */
#include "exit_cut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INFINITE (1ull << 50)
#define NODES_MAX 20000
/* One augmenting path saturates at least one choice; more means something hostile. */
#define PATHS_MAX 20000

struct arc {
	uint32_t to;
	uint32_t next; /* of the same vertex, UINT32_MAX: last */
	uint64_t left; /* capacity */
};

struct network {
	struct arc *arcs;
	size_t nr_arcs, max_arcs;
	uint32_t *first; /* by vertex */
	uint32_t *via; /* the arc by which the search came */
	uint32_t *queue;
	size_t nr; /* vertices */
};

static void connect(struct network *net, uint32_t from, uint32_t to, uint64_t forth, uint64_t back)
{
	struct arc *a = &net->arcs[net->nr_arcs];

	a[0] = (struct arc){.to = to, .next = net->first[from], .left = forth};
	a[1] = (struct arc){.to = from, .next = net->first[to], .left = back};
	net->first[from] = (uint32_t)net->nr_arcs;
	net->first[to] = (uint32_t)net->nr_arcs + 1;
	net->nr_arcs += 2;
}

static uint32_t in_of(size_t node)
{
	return 2 * (uint32_t)node + 2;
}

static uint32_t out_of(size_t node)
{
	return 2 * (uint32_t)node + 3;
}

enum { SOURCE = 0, SINK = 1 };

static void build(struct network *net, const struct viz_cut_node *nodes, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct viz_cut_node *n = &nodes[i];

		connect(net, in_of(i), out_of(i), n->cost == VIZ_CUT_NEVER ? INFINITE : n->cost,
			INFINITE);
		for (int k = 0; k < 2; k++)
			if (n->next[k] < nr)
				connect(net, out_of(i), in_of(n->next[k]), INFINITE, INFINITE);
		if (n->entry)
			connect(net, SOURCE, in_of(i), INFINITE, 0);
		if (n->before)
			connect(net, SOURCE, out_of(i), INFINITE, 0);
		if (n->exit)
			connect(net, out_of(i), SINK, INFINITE, 0);
	}
}

/* A shortest way from the source to the sink with capacity left; false: there is none. */
static bool search(struct network *net)
{
	size_t head = 0, tail = 0;

	memset(net->via, 0xff, net->nr * sizeof(*net->via));
	net->queue[tail++] = SOURCE;
	while (head < tail) {
		uint32_t at = net->queue[head++];

		for (uint32_t a = net->first[at]; a != UINT32_MAX; a = net->arcs[a].next) {
			uint32_t to = net->arcs[a].to;

			if (!net->arcs[a].left || to == SOURCE || net->via[to] != UINT32_MAX)
				continue;
			net->via[to] = a;
			if (to == SINK)
				return true;
			net->queue[tail++] = to;
		}
	}
	return false;
}

static int saturate(struct network *net)
{
	for (unsigned int paths = 0; search(net); paths++) {
		uint64_t room = INFINITE;
		uint32_t at;

		if (paths == PATHS_MAX)
			return -E2BIG;
		for (at = SINK; at != SOURCE; at = net->arcs[net->via[at] ^ 1].to)
			if (net->arcs[net->via[at]].left < room)
				room = net->arcs[net->via[at]].left;
		if (room >= INFINITE / 2)
			return -ENOENT;
		for (at = SINK; at != SOURCE; at = net->arcs[net->via[at] ^ 1].to) {
			net->arcs[net->via[at]].left -= room;
			net->arcs[net->via[at] ^ 1].left += room;
		}
	}
	return 0;
}

/* Marks in `via` what can still reach the sink: that side is "after". */
static void mark_after(struct network *net)
{
	size_t head = 0, tail = 0;

	memset(net->via, 0xff, net->nr * sizeof(*net->via));
	net->via[SINK] = 0;
	net->queue[tail++] = SINK;
	while (head < tail) {
		uint32_t at = net->queue[head++];

		for (uint32_t a = net->first[at]; a != UINT32_MAX; a = net->arcs[a].next) {
			uint32_t from = net->arcs[a].to;

			if (!net->arcs[a ^ 1].left || net->via[from] != UINT32_MAX)
				continue;
			net->via[from] = 0;
			net->queue[tail++] = from;
		}
	}
}

int viz_cut__find(struct viz_cut_node *nodes, size_t nr)
{
	struct network net = {.nr = 2 * nr + 2, .max_arcs = 12 * nr + 16};
	int err = -ENOMEM;

	if (!nr || nr > NODES_MAX)
		return -E2BIG;
	net.arcs = calloc(net.max_arcs, sizeof(*net.arcs));
	net.first = calloc(net.nr, sizeof(*net.first));
	net.via = calloc(net.nr, sizeof(*net.via));
	net.queue = calloc(net.nr, sizeof(*net.queue));
	if (!net.arcs || !net.first || !net.via || !net.queue)
		goto cleanup;
	memset(net.first, 0xff, net.nr * sizeof(*net.first));
	build(&net, nodes, nr);
	err = saturate(&net);
	if (err)
		goto cleanup;
	mark_after(&net);
	for (size_t i = 0; i < nr; i++) {
		bool in_after = net.via[in_of(i)] != UINT32_MAX;
		bool out_after = net.via[out_of(i)] != UINT32_MAX;

		nodes[i].chosen = !in_after && out_after;
		nodes[i].after = in_after;
	}
cleanup:
	free(net.arcs);
	free(net.first);
	free(net.via);
	free(net.queue);
	return err;
}
