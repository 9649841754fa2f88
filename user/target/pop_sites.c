// SPDX-License-Identifier: Apache-2.0
/*
 * Pops are found by their store: the previous frame, just loaded from the frame, becomes the
 * current one. Python/bytecodes.c of 3.12 and 3.13 has two kinds. Returns and the unwinding of
 * exceptions then call _PyEval_FrameClearAndPop, in which the sites are behind the clearing,
 * so that the destructors of a call's locals belong to it. Suspended and fresh generators
 * are not cleared: SUSPENDING_POPS places, each with a site of its own behind the store.
 */
#include "pop_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "control_flow.h"
#include "eval_sites.h"

/* YIELD_VALUE, INSTRUMENTED_YIELD_VALUE, RETURN_GENERATOR. */
#define SUSPENDING_POPS 3
/* RETURN_VALUE, RETURN_CONST, their instrumented forms, exit_unwind; compilers merge some. */
#define CLEARING_POPS_MIN 2
#define STEPS_MAX 64
#define PASSES_MAX 1000

struct search {
	const struct viz_elf *elf;
	const struct viz_offsets *off;
	struct viz_flow flow;
	bool *open; /* by instruction: may still go on interpreting */
	bool *pop;
	bool *out; /* a return can be reached from it without a pop */
	uint32_t *last, *before; /* see link_back() */
	bool slot_known;
	int32_t slot; /* sp at the function's start minus the address of the current frame */
	uint64_t clear; /* the target of the calls behind clearing pops */
	int32_t clear_delta; /* sp_delta at all of them */
	unsigned int nr_clearing, nr_suspending;
	struct viz_pop_sites *result;
};

static uint32_t following(const struct viz_flow *flow, uint32_t i)
{
	uint32_t next = flow->nodes[i].next;

	if (next == VIZ_FLOW_NONE || flow->nodes[next].joined || flow->nodes[next].landing)
		return VIZ_FLOW_NONE;
	return next;
}

/* Backwards over the flow from what @mark has already, not through what @stop has. */
static int spread(const struct viz_flow *flow, bool *mark, const bool *stop)
{
	bool changed = true;

	for (unsigned int pass = 0; changed; pass++) {
		if (pass == PASSES_MAX)
			return -E2BIG;
		changed = false;
		for (size_t i = flow->nr; i-- > 0;) {
			const struct viz_flow_node *n = &flow->nodes[i];

			if (mark[i] || !n->reached || (stop && stop[i]))
				continue;
			if ((n->next != VIZ_FLOW_NONE && mark[n->next]) ||
			    (n->branch != VIZ_FLOW_NONE && mark[n->branch]))
				mark[i] = changed = true;
		}
	}
	return 0;
}

/*
 * 3.12 has the current frame in a _PyCFrame, a local variable whose address the start of the
 * function stores to the thread state.
 */
static void find_slot(struct search *s)
{
	const struct viz_flow *flow = &s->flow;
	bool known[16] = {false};
	int32_t at[16] = {0};
	uint32_t i = flow->entry;

	for (unsigned int step = 0; step < STEPS_MAX && i != VIZ_FLOW_NONE && !s->slot_known;
	     step++, i = following(flow, i)) {
		const struct viz_insn *in = &flow->insns[i];

		if (in->move == VIZ_MOVE_STORE && in->move_base != VIZ_REG_SP &&
		    in->move_disp == (int32_t)s->off->tstate_frame && known[in->move_reg]) {
			s->slot = at[in->move_reg] - (int32_t)s->off->cframe_current;
			s->slot_known = true;
		}
		for (unsigned int reg = 0; reg < 16; reg++)
			known[reg] = known[reg] && !(in->writes & 1u << reg);
		if (in->move == VIZ_MOVE_ADDRESS && in->move_base == VIZ_REG_SP &&
		    flow->nodes[i].sp_known) {
			known[in->move_reg] = true;
			at[in->move_reg] = flow->nodes[i].sp_delta - in->move_disp;
		}
	}
}

static bool sets_current(const struct search *s, uint32_t i)
{
	const struct viz_insn *in = &s->flow.insns[i];

	if (in->move != VIZ_MOVE_STORE)
		return false;
	if (s->off->cframe_current == VIZ_NONE)
		return in->move_base != VIZ_REG_SP &&
		       in->move_disp == (int32_t)s->off->tstate_frame;
	return s->slot_known && in->move_base == VIZ_REG_SP && s->flow.nodes[i].sp_known &&
	       s->flow.nodes[i].sp_delta - in->move_disp == s->slot;
}

/* Who comes before whom: edge 2i is that of i to the next one, 2i+1 that of its jump. */
static int link_back(struct search *s)
{
	const struct viz_flow *flow = &s->flow;

	s->last = malloc(flow->nr * sizeof(*s->last));
	s->before = malloc(2 * flow->nr * sizeof(*s->before));
	if (!s->last || !s->before)
		return -ENOMEM;
	memset(s->last, 0xff, flow->nr * sizeof(*s->last));
	for (uint32_t i = 0; i < flow->nr; i++) {
		uint32_t to[2] = {flow->nodes[i].next, flow->nodes[i].branch};

		for (uint32_t k = 0; k < 2; k++)
			if (to[k] != VIZ_FLOW_NONE && flow->nodes[i].reached) {
				s->before[2 * i + k] = s->last[to[k]];
				s->last[to[k]] = 2 * i + k;
			}
	}
	return 0;
}

/*
 * On some way, the value that @i stores has been loaded from a frame's `previous`. That it
 * is not so on every way does no harm: a site is one more place to look, not a verdict.
 */
static bool stores_previous(const struct search *s, uint32_t i)
{
	uint8_t reg = s->flow.insns[i].move_reg;
	uint32_t seen[STEPS_MAX];
	unsigned int nr = 1, at, k;

	seen[0] = i;
	for (at = 0; at < nr; at++) {
		for (uint32_t e = s->last[seen[at]]; e != VIZ_FLOW_NONE; e = s->before[e]) {
			const struct viz_insn *in = &s->flow.insns[e / 2];

			if (in->writes & 1u << reg) {
				if (in->move == VIZ_MOVE_LOAD && in->move_base != VIZ_REG_SP &&
				    in->move_disp == (int32_t)s->off->frame_previous)
					return true;
				continue;
			}
			for (k = 0; k < nr && seen[k] != e / 2; k++)
				;
			if (k == nr && nr < STEPS_MAX)
				seen[nr++] = e / 2;
		}
	}
	return false;
}

static int add_site(struct search *s, uint32_t i)
{
	struct viz_site *site = &s->result->sites[s->result->nr];
	const struct viz_flow_node *node = &s->flow.nodes[i];

	if (s->result->nr == VIZ_LEAVE_SITES)
		return -E2BIG;
	if (!node->sp_known || !viz_elf__to_offset(s->elf, s->flow.insns[i].addr, &site->offset) ||
	    !site->offset)
		return -ENOTSUP;
	site->sp_delta = node->sp_delta;
	site->emulated = s->flow.insns[i].emulated;
	s->result->nr++;
	return 0;
}

/* Only code that cannot be reached but by this pop can have its site. */
static int settle_pop(struct search *s, uint32_t pop)
{
	uint32_t stepped = VIZ_FLOW_NONE, i = pop;

	for (unsigned int step = 0; step < STEPS_MAX; step++) {
		const struct viz_insn *in;

		i = following(&s->flow, i);
		if (i == VIZ_FLOW_NONE)
			break;
		in = &s->flow.insns[i];
		if (in->kind == VIZ_INSN_CALL && in->target) {
			if (!s->flow.nodes[i].sp_known || (s->clear && s->clear != in->target) ||
			    (s->clear && s->clear_delta != s->flow.nodes[i].sp_delta))
				return -ENOTSUP;
			s->clear = in->target;
			s->clear_delta = s->flow.nodes[i].sp_delta;
			s->nr_clearing++;
			return 0;
		}
		if (in->emulated) {
			stepped = i;
			break;
		}
		if (in->kind != VIZ_INSN_PLAIN)
			break;
		if (in->probeable && stepped == VIZ_FLOW_NONE)
			stepped = i;
	}
	s->nr_suspending++;
	return stepped == VIZ_FLOW_NONE ? -ENOTSUP : add_site(s, stepped);
}

/* Calls within one file may go by its linkage table when the function is exported. */
static uint64_t past_stub(const struct viz_elf *elf, uint64_t target)
{
	struct viz_elf_symbol symbol;
	struct viz_insn *insns;
	bool stub;
	size_t nr;

	if (viz_insns__decode(elf, target, target + 16, 16, &insns, &nr))
		return 0;
	/* It may begin with endbr64 and have a bnd prefix. */
	stub = nr && (insns[0].kind == VIZ_INSN_INDIRECT ||
		      (nr > 1 && insns[0].size == 4 && !insns[0].writes &&
		       insns[1].kind == VIZ_INSN_INDIRECT));
	free(insns);
	if (!stub)
		return target;
	return viz_elf__symbol(elf, "_PyEval_FrameClearAndPop", &symbol) ? symbol.value : 0;
}

static int add_clearing(struct search *s)
{
	struct viz_site sites[VIZ_LEAVE_SITES];
	struct viz_elf_symbol symbol;
	uint64_t clear = past_stub(s->elf, s->clear), size = 0;
	unsigned int nr;
	int err;

	if (!clear || clear == s->flow.insns[s->flow.entry].addr ||
	    !viz_elf__is_code(s->elf, clear))
		return -ENOTSUP;
	if (viz_elf__symbol(s->elf, "_PyEval_FrameClearAndPop", &symbol) && symbol.value == clear)
		size = symbol.size;
	err = viz_end_sites__find(s->elf, clear, size, sites, &nr);
	if (err)
		return err;
	for (unsigned int i = 0; i < nr; i++) {
		if (s->result->nr == VIZ_LEAVE_SITES)
			return -E2BIG;
		sites[i].sp_delta += s->clear_delta + 8; /* the return address */
		s->result->sites[s->result->nr++] = sites[i];
	}
	return 0;
}

/* Every way out must come by a pop, but for the one of INTERPRETER_EXIT, which follows one. */
static int check_returns(struct search *s)
{
	const struct viz_flow *flow = &s->flow;
	unsigned int exits = 0;
	int err;

	for (size_t i = 0; i < flow->nr; i++)
		s->out[i] = flow->nodes[i].reached && flow->nodes[i].leaves;
	err = spread(flow, s->out, s->pop);
	if (err)
		return err;
	for (size_t i = 0; i < flow->nr; i++)
		exits += flow->nodes[i].landing && s->out[i];
	return exits == 1 && !s->out[flow->entry] ? 0 : -ENOTSUP;
}

/* Whether the ordinary way out, from INTERPRETER_EXIT on, has nothing that is emulated. */
static int judge_exit(struct search *s)
{
	const struct viz_flow *flow = &s->flow;
	uint32_t ways[STEPS_MAX];
	unsigned int nr = 0, at, k;

	for (uint32_t i = 0; i < flow->nr && !nr; i++)
		if (flow->nodes[i].landing && s->out[i])
			ways[nr++] = i;
	s->result->needed = true;
	for (at = 0; at < nr; at++) {
		uint32_t to[2] = {flow->nodes[ways[at]].next, flow->nodes[ways[at]].branch};

		if (flow->insns[ways[at]].emulated)
			s->result->needed = false;
		for (int way = 0; way < 2; way++) {
			for (k = 0; k < nr && ways[k] != to[way]; k++)
				;
			if (to[way] == VIZ_FLOW_NONE || k < nr)
				continue;
			if (nr == STEPS_MAX)
				return -ENOTSUP;
			ways[nr++] = to[way];
		}
	}
	return 0;
}

static int check_calls(const struct search *s)
{
	unsigned int calls = 0;

	for (size_t i = 0; i < s->flow.nr; i++)
		calls += s->flow.insns[i].kind != VIZ_INSN_PLAIN && s->clear &&
			 s->flow.insns[i].target == s->clear;
	return s->nr_suspending == SUSPENDING_POPS && s->nr_clearing >= CLEARING_POPS_MIN &&
			       s->nr_clearing == calls
		       ? 0
		       : -ENOTSUP;
}

static int find_pops(struct search *s)
{
	int err;

	/* What no known jump leads to may pop frames too. */
	if (s->flow.unreached)
		return -ENOTSUP;
	for (size_t i = 0; i < s->flow.nr; i++)
		s->open[i] = s->flow.nodes[i].reached && s->flow.nodes[i].dispatch;
	err = spread(&s->flow, s->open, NULL);
	if (s->off->cframe_current != VIZ_NONE)
		find_slot(s);
	for (uint32_t i = 0; !err && i < s->flow.nr; i++) {
		if (!s->open[i] || !sets_current(s, i) || !stores_previous(s, i))
			continue;
		s->pop[i] = true;
		err = settle_pop(s, i);
	}
	return err;
}

int viz_pop_sites__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			const struct viz_offsets *off, struct viz_pop_sites *out)
{
	struct search s = {.elf = elf, .off = off, .result = out};
	int err;

	memset(out, 0, sizeof(*out));
	err = viz_flow__build(elf, entry, size, &s.flow, NULL, 0);
	if (err)
		return err;
	s.open = calloc(s.flow.nr, sizeof(bool));
	s.pop = calloc(s.flow.nr, sizeof(bool));
	s.out = calloc(s.flow.nr, sizeof(bool));
	err = s.open && s.pop && s.out ? 0 : -ENOMEM;
	if (!err)
		err = link_back(&s);
	if (!err)
		err = find_pops(&s);
	viz_debug(VIZ_LOG_ELF, "frames are popped at %u + %u places (%d)", s.nr_clearing,
		  s.nr_suspending, err);
	if (!err)
		err = check_calls(&s);
	if (!err)
		err = check_returns(&s);
	if (!err)
		err = judge_exit(&s);
	if (!err)
		err = add_clearing(&s);
	free(s.open);
	free(s.pop);
	free(s.out);
	free(s.last);
	free(s.before);
	viz_flow__free(&s.flow);
	return err;
}
