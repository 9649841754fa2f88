// SPDX-License-Identifier: Apache-2.0
#include "eval_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "control_flow.h"
#include "exit_cut.h"

#define ENTER_STEPS_MAX 32
/* Each costs an attachment, and a few more save little. */
#define EXACT_SITES_MAX 4
/* A single-stepped probe is about this much dearer than an emulated one. */
#define COST_EMULATED 10
#define COST_STEPPED 100
/* What one arriving edge of the exit region counts; halved at each branch. */
#define EDGE_WEIGHT 4096

static int set_site(const struct viz_elf *elf, const struct viz_flow *flow, uint32_t index,
		    struct viz_site *out)
{
	const struct viz_insn *in = &flow->insns[index];

	if (!viz_elf__to_offset(elf, in->addr, &out->offset) || !out->offset)
		return -EFAULT;
	out->sp_delta = flow->nodes[index].sp_delta;
	out->emulated = in->emulated;
	return 0;
}

/*
 * Walks on from the first instruction while nothing can have gone another way and the
 * arguments are intact. The first one itself always will do, if at ten times the price.
 */
static int find_enter(const struct viz_flow *flow, unsigned int args, uint32_t *enter)
{
	uint32_t i = flow->entry;

	for (unsigned int steps = 0; steps < ENTER_STEPS_MAX && i != VIZ_FLOW_NONE; steps++) {
		const struct viz_insn *in = &flow->insns[i];
		const struct viz_flow_node *node = &flow->nodes[i];

		if (steps && (node->joined || node->landing))
			break;
		if (!node->sp_known)
			break;
		if (in->emulated) {
			*enter = i;
			return 0;
		}
		if (in->kind != VIZ_INSN_PLAIN || in->clobbers & args)
			break;
		i = node->next;
	}
	if (!flow->insns[flow->entry].probeable || flow->nodes[flow->entry].joined)
		return -ENOTSUP;
	*enter = flow->entry;
	return 0;
}

int viz_enter_site__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			 unsigned int args, struct viz_site *out)
{
	struct viz_flow flow;
	uint32_t enter;
	int err;

	err = viz_flow__build(elf, entry, size, &flow, NULL, 0);
	if (err)
		return err;
	err = find_enter(&flow, args, &enter);
	if (!err)
		err = set_site(elf, &flow, enter, out);
	viz_flow__free(&flow);
	return err;
}

/* The exit region: what is reached and can never come to an indirect jump again. */
struct region {
	const struct viz_flow *flow;
	uint32_t *place; /* by instruction: its index in nodes, VIZ_FLOW_NONE: outside */
	uint32_t *insn; /* by node: its instruction */
	struct viz_cut_node *nodes;
	double *weight;
	size_t nr;
	uint32_t enter; /* instruction of the entry's probe */
	bool dispatches; /* it interprets by itself */
};

static void region__free(struct region *r)
{
	free(r->place);
	free(r->insn);
	free(r->nodes);
	free(r->weight);
}

/* Marks in @open what may still go on interpreting. */
static int mark_open(const struct viz_flow *flow, bool *open)
{
	bool changed = true;

	/* Backwards over the addresses most edges are settled in one pass; the number of
	 * passes is that of backward jumps on the longest way. */
	for (size_t pass = 0; changed; pass++) {
		if (pass > 1000)
			return -E2BIG;
		changed = false;
		for (size_t i = flow->nr; i-- > 0;) {
			const struct viz_flow_node *n = &flow->nodes[i];

			if (open[i] || !n->reached)
				continue;
			if (!n->dispatch && !(n->next != VIZ_FLOW_NONE && open[n->next]) &&
			    !(n->branch != VIZ_FLOW_NONE && open[n->branch]))
				continue;
			open[i] = changed = true;
		}
	}
	return 0;
}

static int region__build(struct region *r, const struct viz_flow *flow)
{
	bool *open = calloc(flow->nr, sizeof(*open));
	int err;

	memset(r, 0, sizeof(*r));
	r->flow = flow;
	r->place = calloc(flow->nr, sizeof(*r->place));
	r->insn = calloc(flow->nr, sizeof(*r->insn));
	if (!open || !r->place || !r->insn) {
		err = -ENOMEM;
		goto cleanup;
	}
	err = mark_open(flow, open);
	if (err)
		goto cleanup;
	for (size_t i = 0; i < flow->nr; i++) {
		r->place[i] = VIZ_FLOW_NONE;
		if (!flow->nodes[i].reached || open[i])
			continue;
		r->place[i] = (uint32_t)r->nr;
		r->insn[r->nr++] = (uint32_t)i;
	}
	err = r->nr ? 0 : -ENOENT;
	if (err)
		goto cleanup;
	r->nodes = calloc(r->nr, sizeof(*r->nodes));
	r->weight = calloc(r->nr, sizeof(*r->weight));
	if (!r->nodes || !r->weight)
		err = -ENOMEM;
cleanup:
	free(open);
	return err;
}

static uint32_t place_of(const struct region *r, uint32_t insn)
{
	return insn == VIZ_FLOW_NONE ? VIZ_FLOW_NONE : r->place[insn];
}

/* Edges, entries and exits. -ENOTSUP when a way out does not pass through the region. */
static int region__link(struct region *r)
{
	const struct viz_flow *flow = r->flow;

	for (size_t i = 0; i < flow->nr; i++) {
		const struct viz_flow_node *n = &flow->nodes[i];
		uint32_t at = r->place[i];
		uint32_t to[2] = {place_of(r, n->next), place_of(r, n->branch)};

		if (!n->reached)
			continue;
		if (at == VIZ_FLOW_NONE) {
			/* A conditional jump that leaves or goes on interpreting. */
			if (n->leaves)
				return -ENOTSUP;
			for (int k = 0; k < 2; k++)
				if (to[k] != VIZ_FLOW_NONE) {
					r->nodes[to[k]].entry = true;
					r->weight[to[k]] += EDGE_WEIGHT;
				}
			continue;
		}
		r->nodes[at].next[0] = to[0];
		r->nodes[at].next[1] = to[1];
		r->nodes[at].exit = n->leaves;
		if (n->landing || i == flow->entry) {
			r->nodes[at].entry = true;
			r->weight[at] += EDGE_WEIGHT;
		}
	}
	return 0;
}

/* How often each is executed, roughly: what arrives is shared among the ways on. Loops are
 * not followed round; nothing in a loop can be chosen anyway. */
static void region__weigh(struct region *r)
{
	double *arriving = calloc(r->nr, sizeof(*arriving));

	if (!arriving)
		return; /* equal weights choose worse, not wrong */
	memcpy(arriving, r->weight, r->nr * sizeof(*arriving));
	for (int pass = 0; pass < 64; pass++) {
		double moved = 0;

		for (size_t i = 0; i < r->nr; i++) {
			const struct viz_cut_node *n = &r->nodes[i];
			double share = arriving[i];
			int ways = (n->next[0] < r->nr) + (n->next[1] < r->nr);

			arriving[i] = 0;
			if (!ways || share < 1e-6)
				continue;
			for (int k = 0; k < 2; k++)
				if (n->next[k] < r->nr) {
					arriving[n->next[k]] += share / ways;
					r->weight[n->next[k]] += share / ways;
					moved += share;
				}
		}
		if (moved < 1)
			break;
	}
	free(arriving);
}

/*
 * Code that nothing leads to means that some indirect jump's targets are not known. They may
 * lie anywhere, so only what ends a call by itself is certain then.
 */
static void region__price(struct region *r, double each)
{
	bool unsure = r->flow->unreached > 0;

	for (size_t i = 0; i < r->nr; i++) {
		const struct viz_insn *in = &r->flow->insns[r->insn[i]];
		double cost = r->weight[i] * (in->emulated ? COST_EMULATED : COST_STEPPED) + each;

		r->nodes[i].cost = VIZ_CUT_NEVER;
		if (in->probeable && r->flow->nodes[r->insn[i]].sp_known &&
		    (r->nodes[i].exit || !unsure))
			r->nodes[i].cost = cost < 1e9 ? (uint32_t)cost + 1 : 1000000000;
	}
}

/*
 * What must come first: the entry's own site, with @stores the stores in question, and where
 * the work is done by a function that is called, every call.
 */
static void region__hold(struct region *r, bool stores, int32_t store_disp)
{
	for (size_t i = 0; i < r->nr; i++) {
		const struct viz_insn *in = &r->flow->insns[r->insn[i]];

		r->nodes[i].before = r->insn[i] == r->enter ||
				     (stores && in->store && in->store_disp == store_disp) ||
				     (!r->dispatches && in->kind == VIZ_INSN_CALL);
	}
}

static size_t region__chosen(const struct region *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nr; i++)
		n += r->nodes[i].chosen;
	return n;
}

static int region__choose(struct region *r)
{
	double each = 1;

	/* A rising price for each site makes for fewer, down to one for each return. */
	for (int round = 0; round < 8; round++, each *= 16) {
		int err;

		region__price(r, each);
		err = viz_cut__find(r->nodes, r->nr);
		if (err)
			return err;
		if (region__chosen(r) <= EXACT_SITES_MAX)
			return 0;
	}
	return -E2BIG;
}

static bool is_late_store(const struct region *r, size_t node, int32_t store_disp)
{
	const struct viz_insn *in = &r->flow->insns[r->insn[node]];

	return (r->nodes[node].chosen || r->nodes[node].after) && in->store &&
	       in->store_disp == store_disp;
}

static bool region__settled(const struct region *r, int32_t store_disp)
{
	for (size_t i = 0; i < r->nr; i++)
		if (is_late_store(r, i, store_disp))
			return false;
	return true;
}

static uint64_t region__cost(const struct region *r)
{
	uint64_t cost = 0;

	for (size_t i = 0; i < r->nr; i++)
		if (r->nodes[i].chosen)
			cost += r->nodes[i].cost;
	return cost;
}

/* Moves the choice behind the stores in question if that is not much dearer. */
static int settle(struct region *r, int32_t store_disp)
{
	uint64_t cost = region__cost(r);

	if (region__settled(r, store_disp))
		return 0;
	region__hold(r, true, store_disp);
	if (!region__choose(r) && region__cost(r) <= 2 * cost)
		return 0;
	region__hold(r, false, store_disp);
	return region__choose(r);
}

static int collect(const struct viz_elf *elf, const struct region *r, int32_t store_disp,
		   struct viz_eval_sites *out)
{
	out->settled = region__settled(r, store_disp);
	for (size_t i = 0; i < r->nr; i++) {
		int err;

		if (!r->nodes[i].chosen)
			continue;
		err = set_site(elf, r->flow, r->insn[i], &out->leave[out->nr_leave++]);
		if (err)
			return err;
	}
	return out->nr_leave ? 0 : -ENOENT;
}

/*
 * Without a dispatch of its own (3.14's interpreter of tail calls, or a loop that the compiler
 * made a function of its own) it must at least be there again when the work is done.
 */
static int check_work(struct region *r)
{
	for (size_t i = 0; i < r->flow->nr; i++)
		r->dispatches |= r->flow->nodes[i].dispatch;
	for (size_t i = 0; i < r->flow->nr && !r->dispatches; i++)
		if (r->flow->nodes[i].leaves && r->flow->insns[i].kind != VIZ_INSN_RETURN)
			return -ENOTSUP;
	return 0;
}

static int find_leaves(const struct viz_elf *elf, const struct viz_flow *flow, uint32_t enter,
		       int32_t store_disp, struct viz_eval_sites *out, char *why, size_t why_size)
{
	struct region r;
	int err;

	err = region__build(&r, flow);
	if (!err)
		err = region__link(&r);
	if (err) {
		viz_why(why, why_size, err, "the ways out of the eval function are not clear");
		goto cleanup;
	}
	err = check_work(&r);
	if (err) {
		viz_why(why, why_size, err, "the eval function gives its place to another one");
		goto cleanup;
	}
	r.enter = enter;
	region__hold(&r, false, store_disp);
	region__weigh(&r);
	err = region__choose(&r);
	if (!err)
		err = settle(&r, store_disp);
	if (!err)
		err = collect(elf, &r, store_disp, out);
	if (err)
		viz_why(why, why_size, err,
			"the exits of the eval function cannot be probed exactly once each");
cleanup:
	region__free(&r);
	return err;
}

int viz_eval_sites__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			 int32_t store_disp, struct viz_eval_sites *out, char *why, size_t why_size)
{
	struct viz_flow flow;
	uint32_t enter;
	int err;

	memset(out, 0, sizeof(*out));
	err = viz_flow__build(elf, entry, size, &flow, why, why_size);
	if (err)
		return err;
	viz_debug(VIZ_LOG_ELF, "eval function: %zu instructions in %u parts, %zu unreached",
		  flow.nr, flow.nr_parts, flow.unreached);
	err = find_enter(&flow, VIZ_ARG0 | VIZ_ARG1 | VIZ_ARG2, &enter);
	if (!err)
		err = set_site(elf, &flow, enter, &out->enter);
	if (err)
		viz_why(why, why_size, err, "the start of the eval function cannot be probed");
	else
		err = find_leaves(elf, &flow, enter, store_disp, out, why, why_size);
	viz_flow__free(&flow);
	return err;
}

/* How many calls, at least and at most, are made from a place on: 2 stands for any more. */
struct calls {
	uint8_t least, most;
};

static void count_calls(const struct region *r, struct calls *calls)
{
	bool changed = true;

	for (size_t i = 0; i < r->nr; i++)
		calls[i].least = 2;
	for (int pass = 0; changed && pass < 1000; pass++) {
		changed = false;
		for (size_t i = r->nr; i-- > 0;) {
			bool call = r->flow->insns[r->insn[i]].kind == VIZ_INSN_CALL;
			uint8_t least = r->nodes[i].exit ? call : 2, most = call;

			for (int k = 0; k < 2; k++) {
				uint32_t to = r->nodes[i].next[k];

				if (to >= r->nr)
					continue;
				if (calls[to].least + call < least)
					least = (uint8_t)(calls[to].least + call);
				if (calls[to].most + call > most)
					most = calls[to].most + call < 2 ? calls[to].most + call
									 : 2;
			}
			changed |= least != calls[i].least || most != calls[i].most;
			calls[i] = (struct calls){.least = least, .most = most};
		}
	}
}

/*
 * A call that is the last one, and which is made on one side of a conditional jump only, need
 * not come first: it is the rare freeing of a stack's chunk in _PyThreadState_PopFrame, which
 * compilers may have inlined, and the jump before it is cheaper than what is behind it.
 */
static int region__release(struct region *r)
{
	struct calls *calls = calloc(r->nr, sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	count_calls(r, calls);
	for (size_t i = 0; i < r->nr; i++) {
		size_t at = i;

		if (r->flow->insns[r->insn[i]].kind != VIZ_INSN_COND || calls[i].most != 1 ||
		    calls[i].least)
			continue;
		/* down to that call: what has none ahead is the other side */
		for (size_t steps = 0; steps < r->nr && calls[at].most == 1; steps++) {
			const uint32_t *next = r->nodes[at].next;

			if (r->flow->insns[r->insn[at]].kind == VIZ_INSN_CALL) {
				r->nodes[at].before = false;
				break;
			}
			at = next[0] < r->nr && calls[next[0]].most ? next[0] : next[1];
			if (at >= r->nr)
				break;
		}
	}
	free(calls);
	return 0;
}

int viz_end_sites__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			struct viz_site *sites, unsigned int *nr)
{
	struct viz_eval_sites found = {0};
	struct viz_flow flow;
	struct region r;
	int err;

	err = viz_flow__build(elf, entry, size, &flow, NULL, 0);
	if (err)
		return err;
	err = region__build(&r, &flow);
	if (!err)
		err = region__link(&r);
	if (err)
		goto cleanup;
	r.enter = flow.entry;
	region__hold(&r, false, 0);
	region__weigh(&r);
	err = region__release(&r);
	if (!err)
		err = region__choose(&r);
	if (!err)
		err = collect(elf, &r, 0, &found);
	memcpy(sites, found.leave, sizeof(found.leave));
	*nr = found.nr_leave;
cleanup:
	region__free(&r);
	viz_flow__free(&flow);
	return err;
}
