// SPDX-License-Identifier: Apache-2.0
#include "calltree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	NODES_MAX = 1000000, /* 40 MB */
	WAITING_MAX = 4096, /* calls of one track that wait for their caller */
	KEPT_WHOLE = 256, /* of those, the slowest are not merged */
	KEPT_LEAST = 16,
	SHARE = 400, /* less than this part of its root call is not worth a node */
	CHILDREN_MAX = 128,
	LIST_MAX = 32, /* functions in what was merged */
	HEIGHT_MAX = 512, /* deeper calls are cut off below */
	HEIGHT_CUT = 256,
};

/* What completed and has no caller yet: one call, or several neighbours merged. */
struct waiting {
	uint64_t begin, end;
	uint64_t total;
	uint32_t list; /* number of the first node */
	uint32_t nr;
};

struct viz_calltree_track {
	struct waiting *waiting;
	uint32_t nr, room;
};

struct viz_calltree *viz_calltree__new(void)
{
	struct viz_calltree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return NULL;
	tree->budget = NODES_MAX;
	tree->nr_nodes = 1;
	return tree;
}

void viz_calltree__free(struct viz_calltree *tree)
{
	uint32_t i;

	if (!tree)
		return;
	for (i = 0; i < tree->nr_tracks; i++)
		free(tree->tracks[i].waiting);
	free(tree->tracks);
	free(tree->nodes);
	free(tree);
}

/* Number of a new node, 0: out of memory. Moves tree->nodes. */
static uint32_t node__new(struct viz_calltree *tree)
{
	uint32_t node = tree->free;

	if (node) {
		tree->free = tree->nodes[node].next;
	} else {
		if (tree->nr_nodes >= tree->room) {
			uint32_t room = tree->room ? tree->room * 2 : 1024;
			void *nodes = reallocarray(tree->nodes, room, sizeof(*tree->nodes));

			if (!nodes)
				return 0;
			tree->nodes = nodes;
			tree->room = room;
		}
		node = tree->nr_nodes++;
	}
	tree->nodes[node] = (struct viz_node){.height = 1};
	tree->live++;
	return node;
}

static void node__free(struct viz_calltree *tree, uint32_t node)
{
	tree->nodes[node].next = tree->free;
	tree->free = node;
	tree->live--;
}

/* Recursion is as deep as the tree is high: HEIGHT_MAX. */
static void node__free_tree(struct viz_calltree *tree, uint32_t node)
{
	uint32_t child = tree->nodes[node].child, next;

	for (; child; child = next) {
		next = tree->nodes[child].next;
		node__free_tree(tree, child);
	}
	node__free(tree, node);
}

/* Takes the smallest child of @parent out of the list into its "other" child. */
static void sum_up_smallest(struct viz_calltree *tree, uint32_t *list, uint16_t *nr)
{
	uint32_t *link, *smallest = NULL, other = 0, gone;

	for (link = list; *link; link = &tree->nodes[*link].next) {
		if (tree->nodes[*link].func == (uint32_t)VIZ_CALLTREE_OTHER)
			other = *link;
		else if (!smallest || tree->nodes[*link].total < tree->nodes[*smallest].total)
			smallest = link;
	}
	if (!smallest)
		return;
	gone = *smallest;
	if (!other) { /* the smallest itself becomes it */
		uint32_t child, next;

		for (child = tree->nodes[gone].child; child; child = next) {
			next = tree->nodes[child].next;
			node__free_tree(tree, child);
		}
		tree->nodes[gone].child = 0;
		tree->nodes[gone].nr_children = 0;
		tree->nodes[gone].height = 1;
		tree->nodes[gone].func = (uint32_t)VIZ_CALLTREE_OTHER;
		return;
	}
	*smallest = tree->nodes[gone].next;
	tree->nodes[other].total += tree->nodes[gone].total;
	tree->nodes[other].calls += tree->nodes[gone].calls;
	node__free_tree(tree, gone);
	(*nr)--;
}

static void merge_lists(struct viz_calltree *tree, uint32_t *into, uint16_t *nr, uint32_t from,
			uint16_t most);

static void merge_nodes(struct viz_calltree *tree, uint32_t into, uint32_t from)
{
	struct viz_node *a = &tree->nodes[into], *b = &tree->nodes[from];

	a->total += b->total;
	a->calls += b->calls;
	a->folded += b->folded;
	if (b->height > a->height)
		a->height = b->height;
	merge_lists(tree, &a->child, &a->nr_children, b->child, CHILDREN_MAX);
	node__free(tree, from);
}

/* Adds the nodes of list @from to list @into; the same functions become one node, and beyond
 * @most the smallest are summed up. Allocates nothing, so pointers into tree->nodes stay valid. */
static void merge_lists(struct viz_calltree *tree, uint32_t *into, uint16_t *nr, uint32_t from,
			uint16_t most)
{
	uint32_t next, same;

	for (; from; from = next) {
		next = tree->nodes[from].next;
		for (same = *into; same; same = tree->nodes[same].next)
			if (tree->nodes[same].func == tree->nodes[from].func)
				break;
		if (same) {
			merge_nodes(tree, same, from);
			continue;
		}
		tree->nodes[from].next = *into;
		*into = from;
		if (++*nr > most)
			sum_up_smallest(tree, into, nr);
	}
}

/* Cuts everything deeper than @depth below @node. Its height afterwards. */
static uint16_t cut_below(struct viz_calltree *tree, uint32_t node, uint16_t depth)
{
	struct viz_node *n = &tree->nodes[node];
	uint32_t child, next;
	uint16_t height = 0, h;

	for (child = n->child; child; child = next) {
		next = tree->nodes[child].next;
		if (!depth) {
			node__free_tree(tree, child);
			continue;
		}
		h = cut_below(tree, child, depth - 1);
		if (h > height)
			height = h;
	}
	if (!depth) {
		n->child = 0;
		n->nr_children = 0;
	}
	n->height = height + 1;
	return n->height;
}

static int compare_totals(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x < y) - (x > y);
}

/* Merges pairs of neighbours, except the @keep slowest, which a person wants to see one by
 * one. */
static int merge_waiting(struct viz_calltree *tree, struct viz_calltree_track *track, uint32_t keep)
{
	uint64_t *totals = malloc(((size_t)track->nr + 1) * sizeof(*totals)), whole;
	uint32_t i, n = 0;

	if (!totals)
		return -ENOMEM;
	for (i = 0; i < track->nr; i++)
		totals[i] = track->waiting[i].total;
	qsort(totals, track->nr, sizeof(*totals), compare_totals);
	whole = track->nr > keep ? totals[keep] : 0;
	free(totals);
	for (i = 0; i < track->nr; i++) {
		struct waiting *b = &track->waiting[i], *a = n ? &track->waiting[n - 1] : NULL;
		uint16_t nr;

		/* nr > 1 marks a pair made in this pass */
		if (!a || a->nr & 0x80000000u || a->total > whole || b->total > whole) {
			track->waiting[n++] = *b;
			continue;
		}
		nr = (uint16_t)a->nr;
		merge_lists(tree, &a->list, &nr, b->list, LIST_MAX);
		a->nr = nr | 0x80000000u;
		a->end = b->end > a->end ? b->end : a->end;
		a->begin = b->begin < a->begin ? b->begin : a->begin;
		a->total += b->total;
		tree->merged++;
	}
	track->nr = n;
	for (i = 0; i < n; i++)
		track->waiting[i].nr &= 0x7fffffffu;
	return 0;
}

/* Sums up the children below @node that are shorter than @least. */
static void sum_up_small(struct viz_calltree *tree, uint32_t node, uint64_t least)
{
	struct viz_node *n = &tree->nodes[node];
	uint32_t *link = &n->child, other = 0, child;

	for (child = n->child; child; child = tree->nodes[child].next)
		if (tree->nodes[child].func == (uint32_t)VIZ_CALLTREE_OTHER)
			other = child;
	while ((child = *link)) {
		struct viz_node *c = &tree->nodes[child];

		if (child == other || c->total >= least) {
			sum_up_small(tree, child, least);
			link = &c->next;
			continue;
		}
		if (!other) {
			cut_below(tree, child, 0);
			c->func = (uint32_t)VIZ_CALLTREE_OTHER;
			other = child;
			link = &c->next;
			continue;
		}
		tree->nodes[other].total += c->total;
		tree->nodes[other].calls += c->calls;
		*link = c->next;
		n->nr_children--;
		node__free_tree(tree, child);
	}
}

/* A caller that comes later is longer than what waits now: what is too small a part of this
 * will be too small a part of that. */
static void sum_up_waiting(struct viz_calltree *tree, const struct waiting *w)
{
	uint64_t least = w->total / SHARE > tree->small ? w->total / SHARE : tree->small;
	uint32_t node;

	for (node = w->list; node; node = tree->nodes[node].next)
		sum_up_small(tree, node, least);
}

/* Too many nodes: fewer waiting ones first, then fewer small ones. */
static int shrink(struct viz_calltree *tree)
{
	uint32_t goal = tree->budget / 2, keep = KEPT_WHOLE, t, i;
	int err;

	while (tree->live > goal && tree->small < UINT64_MAX / 4) {
		for (t = 0; t < tree->nr_tracks; t++) {
			struct viz_calltree_track *track = &tree->tracks[t];

			while (track->nr > 3 * keep) {
				err = merge_waiting(tree, track, keep);
				if (err)
					return err;
			}
			for (i = 0; i < track->nr; i++)
				sum_up_waiting(tree, &track->waiting[i]);
		}
		if (keep > KEPT_LEAST)
			keep /= 2;
		else
			tree->small = tree->small ? tree->small * 4 : 1000;
	}
	return 0;
}

/* The calls inside @call become the children of its node. */
static void adopt(struct viz_calltree *tree, struct viz_calltree_track *track, uint32_t node,
		  const struct viz_call *call)
{
	struct viz_node *n = &tree->nodes[node];
	uint32_t child;

	while (track->nr) {
		struct waiting *w = &track->waiting[track->nr - 1];

		/* of merged neighbours the larger part decides */
		if (w->begin < call->begin && (w->end <= call->begin || w->nr < 2 ||
					       call->begin - w->begin > w->end - call->begin))
			break;
		merge_lists(tree, &n->child, &n->nr_children, w->list, CHILDREN_MAX);
		track->nr--;
	}
	for (child = n->child; child; child = tree->nodes[child].next)
		if (tree->nodes[child].height >= n->height)
			n->height = tree->nodes[child].height + 1;
	if (n->height > HEIGHT_MAX)
		cut_below(tree, node, HEIGHT_CUT);
}

static int add_call(struct viz_calltree *tree, const struct viz_call *call)
{
	struct viz_calltree_track *track = &tree->tracks[call->track];
	uint32_t node = node__new(tree);
	int err;

	if (!node)
		return -ENOMEM;
	tree->nodes[node].func = call->func;
	tree->nodes[node].calls = 1;
	tree->nodes[node].total = call->dur;
	tree->calls++;
	adopt(tree, track, node, call);
	if (track->nr >= WAITING_MAX) {
		err = merge_waiting(tree, track, KEPT_WHOLE);
		if (err)
			return err;
	}
	if (track->nr == track->room) {
		uint32_t room = track->room ? track->room * 2 : 16;
		void *waiting = reallocarray(track->waiting, room, sizeof(*track->waiting));

		if (!waiting)
			return -ENOMEM;
		track->waiting = waiting;
		track->room = room;
	}
	track->waiting[track->nr++] = (struct waiting){
		.begin = call->begin,
		.end = call->begin + call->dur,
		.total = call->dur,
		.list = node,
		.nr = 1,
	};
	return tree->live > tree->budget ? shrink(tree) : 0;
}

int viz_calltree__calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct viz_calltree *tree = ctx;
	size_t i;
	int err;

	for (i = 0; i < nr; i++) {
		uint32_t want = calls[i].track + 1;

		if (want > tree->nr_tracks) {
			void *tracks = reallocarray(tree->tracks, want, sizeof(*tree->tracks));

			if (!tracks)
				return -ENOMEM;
			tree->tracks = tracks;
			memset(tree->tracks + tree->nr_tracks, 0,
			       (want - tree->nr_tracks) * sizeof(*tree->tracks));
			tree->nr_tracks = want;
		}
		err = add_call(tree, &calls[i]);
		if (err)
			return err;
	}
	return 0;
}

static int compare_roots(const void *a, const void *b, void *ctx)
{
	const struct viz_calltree *tree = ctx;
	const struct viz_root *x = a, *y = b;
	const struct viz_node *m = &tree->nodes[x->node], *n = &tree->nodes[y->node];
	uint64_t p = m->total / m->calls, q = n->total / n->calls;

	if (p != q)
		return p < q ? 1 : -1;
	return (x->begin > y->begin) - (x->begin < y->begin);
}

struct viz_root *viz_calltree__roots(const struct viz_calltree *tree, size_t *nr)
{
	struct viz_root *roots;
	uint32_t t, i, node;
	size_t n = 0;

	for (t = 0; t < tree->nr_tracks; t++)
		for (i = 0; i < tree->tracks[t].nr; i++)
			n += tree->tracks[t].waiting[i].nr;
	roots = calloc(n + 1, sizeof(*roots));
	if (!roots)
		return NULL;
	*nr = 0;
	for (t = 0; t < tree->nr_tracks; t++) {
		for (i = 0; i < tree->tracks[t].nr; i++) {
			const struct waiting *w = &tree->tracks[t].waiting[i];

			for (node = w->list; node && *nr < n; node = tree->nodes[node].next)
				if (tree->nodes[node].func != (uint32_t)VIZ_CALLTREE_OTHER)
					roots[(*nr)++] = (struct viz_root){node, t, w->begin};
		}
	}
	qsort_r(roots, *nr, sizeof(*roots), compare_roots, (void *)tree);
	return roots;
}

void viz_calltree__fold(struct viz_calltree *tree, uint32_t node,
			bool (*is_library)(void *ctx, uint32_t func), void *ctx)
{
	struct viz_node *n = &tree->nodes[node];
	uint32_t *link = &n->child, child;
	bool library = n->func != (uint32_t)VIZ_CALLTREE_OTHER && is_library(ctx, n->func);

	for (child = n->child; child; child = tree->nodes[child].next)
		viz_calltree__fold(tree, child, is_library, ctx);
	while (library && (child = *link)) {
		struct viz_node *c = &tree->nodes[child];
		uint32_t own = c->child;

		if (c->func != (uint32_t)VIZ_CALLTREE_OTHER && !is_library(ctx, c->func)) {
			link = &c->next;
			continue;
		}
		/* all that the library frame called is the program's own already: it was folded
		 * first. It goes in front of the list, behind what has been looked at. */
		n->folded += c->folded + 1;
		*link = c->next;
		n->nr_children--;
		c->child = 0;
		node__free(tree, child);
		merge_lists(tree, &n->child, &n->nr_children, own, CHILDREN_MAX);
		link = &n->child;
	}
}

static int compare_nodes(const void *a, const void *b, void *ctx)
{
	const struct viz_calltree *tree = ctx;
	const struct viz_node *x = &tree->nodes[*(const uint32_t *)a];
	const struct viz_node *y = &tree->nodes[*(const uint32_t *)b];

	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	return (x->func > y->func) - (x->func < y->func);
}

void viz_calltree__sort(struct viz_calltree *tree, uint32_t node)
{
	uint32_t order[CHILDREN_MAX + 2], *link = &tree->nodes[node].child, child;
	size_t n = 0, i;

	for (child = *link; child && n < CHILDREN_MAX + 2; child = tree->nodes[child].next) {
		viz_calltree__sort(tree, child);
		order[n++] = child;
	}
	qsort_r(order, n, sizeof(*order), compare_nodes, tree);
	for (i = 0; i < n; i++) {
		*link = order[i];
		link = &tree->nodes[order[i]].next;
	}
	*link = 0;
}
