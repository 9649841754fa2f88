// SPDX-License-Identifier: Apache-2.0
#include "control_flow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

#define INSNS_MAX 200000
#define ROUNDS_MAX VIZ_FLOW_PARTS
#define TABLE_ENTRIES_MAX 4096
/* A pass over the function changes a node's state at most a few times. */
#define VISITS_PER_NODE 16

struct builder {
	const struct viz_elf *elf;
	struct viz_flow *flow;
	uint32_t *work;
	size_t nr_work, max_work;
	struct viz_flow_node dispatch; /* the state that indirect jumps hand on */
	bool dispatched;
	size_t visits;
};

static uint32_t find(const struct viz_flow *flow, uint64_t addr)
{
	size_t lo = 0, hi = flow->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (flow->insns[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < flow->nr && flow->insns[lo].addr == addr ? (uint32_t)lo : VIZ_FLOW_NONE;
}

static bool inside(const struct viz_flow *flow, uint64_t addr)
{
	for (unsigned int i = 0; i < flow->nr_parts; i++)
		if (addr >= flow->parts[i].start && addr < flow->parts[i].end)
			return true;
	return false;
}

static int compare_insns(const void *a, const void *b)
{
	const struct viz_insn *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int add_part(const struct viz_elf *elf, struct viz_flow *flow, uint64_t start, uint64_t end)
{
	struct viz_insn *more, *grown;
	size_t nr;
	int err;

	if (flow->nr_parts == VIZ_FLOW_PARTS)
		return -E2BIG;
	for (unsigned int i = 0; i < flow->nr_parts; i++)
		if (start < flow->parts[i].end && end > flow->parts[i].start)
			return -EINVAL;
	err = viz_insns__decode(elf, start, end, INSNS_MAX - flow->nr, &more, &nr);
	if (err)
		return err;
	grown = realloc(flow->insns, (flow->nr + nr) * sizeof(*grown));
	if (!grown) {
		free(more);
		return -ENOMEM;
	}
	memcpy(grown + flow->nr, more, nr * sizeof(*grown));
	free(more);
	flow->insns = grown;
	flow->nr += nr;
	flow->parts[flow->nr_parts].start = start;
	flow->parts[flow->nr_parts++].end = end;
	qsort(flow->insns, flow->nr, sizeof(*flow->insns), compare_insns);
	return 0;
}

static void link_nodes(struct viz_flow *flow, uint64_t entry)
{
	memset(flow->nodes, 0, flow->nr * sizeof(*flow->nodes));
	flow->entry = find(flow, entry);
	for (size_t i = 0; i < flow->nr; i++) {
		const struct viz_insn *in = &flow->insns[i];
		struct viz_flow_node *node = &flow->nodes[i];

		node->next = node->branch = VIZ_FLOW_NONE;
		if (in->kind <= VIZ_INSN_CALL || in->kind == VIZ_INSN_COND)
			node->next = find(flow, in->addr + in->size);
		if (in->kind == VIZ_INSN_JUMP || in->kind == VIZ_INSN_COND)
			node->branch = find(flow, in->target);
		if (node->branch != VIZ_FLOW_NONE)
			flow->nodes[node->branch].joined = true;
		if (in->kind == VIZ_INSN_RETURN)
			node->leaves = true;
	}
}

static void mark_landing(uint64_t value, void *ctx)
{
	struct viz_flow *flow = ctx;
	uint32_t i = find(flow, value);

	/* A pointer to the function itself is for calls. */
	if (i != VIZ_FLOW_NONE && i != flow->entry)
		flow->nodes[i].landing = true;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Position-independent switch tables: 32-bit distances from the table to the cases. */
static int mark_tables(const struct viz_elf *elf, struct viz_flow *flow)
{
	uint64_t *tables;
	size_t nr = 0, i;

	if (!flow->nr)
		return 0;
	tables = calloc(flow->nr, sizeof(*tables));
	if (!tables)
		return -ENOMEM;
	for (i = 0; i < flow->nr; i++)
		if (flow->insns[i].ref && !viz_elf__is_code(elf, flow->insns[i].ref))
			tables[nr++] = flow->insns[i].ref;
	qsort(tables, nr, sizeof(*tables), compare_u64);
	for (i = 0; i < nr; i++) {
		uint64_t at = tables[i], end = at + 4ull * TABLE_ENTRIES_MAX;
		size_t next = i + 1;

		if (i && tables[i - 1] == at)
			continue;
		while (next < nr && tables[next] == at)
			next++;
		if (next < nr && tables[next] < end)
			end = tables[next];
		for (; at + 4 <= end; at += 4) {
			const void *word = viz_elf__at(elf, at, 4);
			int32_t distance;

			if (!word)
				break;
			memcpy(&distance, word, 4);
			if (!inside(flow, tables[i] + (uint64_t)(int64_t)distance))
				break;
			mark_landing(tables[i] + (uint64_t)(int64_t)distance, flow);
		}
	}
	free(tables);
	return 0;
}

static int mark_landings(const struct viz_elf *elf, struct viz_flow *flow)
{
	for (unsigned int i = 0; i < flow->nr_parts; i++)
		viz_elf__each_pointer(elf, flow->parts[i].start, flow->parts[i].end, mark_landing,
				      flow);
	for (size_t i = 0; i < flow->nr; i++)
		if (flow->insns[i].ref && inside(flow, flow->insns[i].ref))
			mark_landing(flow->insns[i].ref, flow);
	return mark_tables(elf, flow);
}

/* Joins a state into a node; true when that changed it. */
static bool merge(struct viz_flow_node *node, const struct viz_flow_node *state)
{
	bool changed = false;

	if (!node->reached) {
		node->reached = true;
		node->sp_known = state->sp_known;
		node->fp_known = state->fp_known;
		node->sp_delta = state->sp_delta;
		node->fp_delta = state->fp_delta;
		return true;
	}
	if (node->sp_known && (!state->sp_known || state->sp_delta != node->sp_delta)) {
		node->sp_known = false;
		changed = true;
	}
	if (node->fp_known && (!state->fp_known || state->fp_delta != node->fp_delta)) {
		node->fp_known = false;
		changed = true;
	}
	return changed;
}

static int visit(struct builder *b, uint32_t i, const struct viz_flow_node *state)
{
	if (i == VIZ_FLOW_NONE || !merge(&b->flow->nodes[i], state))
		return 0;
	if (b->nr_work == b->max_work)
		return -E2BIG;
	b->work[b->nr_work++] = i;
	return 0;
}

static void apply(const struct viz_insn *in, struct viz_flow_node *state)
{
	struct viz_flow_node was = *state;

	switch (in->sp) {
	case VIZ_STACK_ADD:
		state->sp_delta -= in->sp_arg;
		break;
	case VIZ_STACK_FROM_FP:
		state->sp_known = was.fp_known;
		state->sp_delta = was.fp_delta - in->sp_arg;
		break;
	case VIZ_STACK_UNKNOWN:
		state->sp_known = false;
		break;
	default:
		break;
	}
	switch (in->fp) {
	case VIZ_STACK_FROM_SP:
		state->fp_known = was.sp_known;
		state->fp_delta = was.sp_delta - in->fp_arg;
		break;
	case VIZ_STACK_UNKNOWN:
		state->fp_known = false;
		break;
	default:
		break;
	}
	/* Nonsense in a hostile file; also keeps the sums in range. */
	if (state->sp_delta > 1 << 24 || state->sp_delta < -(1 << 24))
		state->sp_known = false, state->sp_delta = 0;
	if (state->fp_delta > 1 << 24 || state->fp_delta < -(1 << 24))
		state->fp_known = false, state->fp_delta = 0;
}

static int hand_to_landings(struct builder *b, const struct viz_flow_node *state)
{
	int err = 0;

	if (b->dispatched && !merge(&b->dispatch, state))
		return 0;
	if (!b->dispatched)
		merge(&b->dispatch, state);
	b->dispatched = true;
	for (size_t i = 0; !err && i < b->flow->nr; i++)
		if (b->flow->nodes[i].landing)
			err = visit(b, (uint32_t)i, &b->dispatch);
	return err;
}

static int trace(struct builder *b)
{
	struct viz_flow *flow = b->flow;
	struct viz_flow_node start = {.sp_known = true};
	int err;

	b->nr_work = 0;
	b->dispatched = false;
	memset(&b->dispatch, 0, sizeof(b->dispatch));
	err = visit(b, flow->entry, &start);
	while (!err && b->nr_work) {
		uint32_t i = b->work[--b->nr_work];
		struct viz_flow_node state = flow->nodes[i];

		if (++b->visits > VISITS_PER_NODE * flow->nr)
			return -E2BIG;
		apply(&flow->insns[i], &state);
		if (flow->insns[i].kind == VIZ_INSN_INDIRECT) {
			/* With nothing left on the stack it is a tail call. */
			if (state.sp_known && !state.sp_delta)
				flow->nodes[i].leaves = true;
			else
				flow->nodes[i].dispatch = true;
			if (flow->nodes[i].dispatch)
				err = hand_to_landings(b, &state);
			continue;
		}
		err = visit(b, flow->nodes[i].next, &state);
		if (!err)
			err = visit(b, flow->nodes[i].branch, &state);
	}
	return err;
}

/*
 * Jumps out of the known parts: with an empty stack a tail call, else the function goes on
 * in a part that is not known yet. Returns 1 when one was added.
 */
static int follow_exits(const struct viz_elf *elf, struct viz_flow *flow, char *why,
			size_t why_size)
{
	for (size_t i = 0; i < flow->nr; i++) {
		const struct viz_insn *in = &flow->insns[i];
		struct viz_flow_node *node = &flow->nodes[i];
		struct viz_elf_fragment part;
		int err;

		if (!node->reached || node->branch != VIZ_FLOW_NONE ||
		    (in->kind != VIZ_INSN_JUMP && in->kind != VIZ_INSN_COND))
			continue;
		if (inside(flow, in->target))
			return viz_why(why, why_size, -ENOTSUP,
				       "a jump at %#" PRIx64 " goes into an instruction", in->addr);
		if (!node->sp_known)
			return viz_why(why, why_size, -ENOTSUP,
				       "the stack at %#" PRIx64 " is not known", in->addr);
		if (!node->sp_delta) {
			node->leaves = true;
			continue;
		}
		if (!viz_elf__fragment(elf, in->target, &part))
			return viz_why(why, why_size, -ENOTSUP,
				       "the function goes on at %#" PRIx64
				       ", which no unwind table covers",
				       in->target);
		err = add_part(elf, flow, part.start, part.end);
		if (err)
			return viz_why(why, why_size, -ENOTSUP,
				       "the part of the function at %#" PRIx64
				       " cannot be analysed",
				       in->target);
		return 1;
	}
	return 0;
}

static int check(struct viz_flow *flow, char *why, size_t why_size)
{
	for (size_t i = 0; i < flow->nr; i++) {
		const struct viz_insn *in = &flow->insns[i];
		const struct viz_flow_node *node = &flow->nodes[i];

		if (!node->reached) {
			flow->unreached += !in->padding;
			if (in->kind == VIZ_INSN_RETURN || in->kind == VIZ_INSN_INVALID ||
			    in->kind == VIZ_INSN_INDIRECT ||
			    (in->kind == VIZ_INSN_JUMP && node->branch == VIZ_FLOW_NONE))
				return viz_why(why, why_size, -ENOTSUP,
					       "what leads to %#" PRIx64 " is not known", in->addr);
			continue;
		}
		if (in->kind == VIZ_INSN_INVALID)
			return viz_why(why, why_size, -ENOTSUP,
				       "the instruction at %#" PRIx64 " cannot be decoded",
				       in->addr);
		if (node->leaves && (!node->sp_known || node->sp_delta))
			return viz_why(why, why_size, -ENOTSUP,
				       "the stack at the return at %#" PRIx64 " is not known",
				       in->addr);
		/* A call that never returns may be the last instruction of a part. */
		if (in->kind == VIZ_INSN_PLAIN && node->next == VIZ_FLOW_NONE)
			return viz_why(why, why_size, -ENOTSUP,
				       "the code at %#" PRIx64 " runs out of the function",
				       in->addr);
	}
	return 0;
}

int viz_flow__build(const struct viz_elf *elf, uint64_t entry, uint64_t size, struct viz_flow *flow,
		    char *why, size_t why_size)
{
	struct builder b = {.elf = elf, .flow = flow};
	struct viz_elf_fragment part;
	int err, added = 1;

	memset(flow, 0, sizeof(*flow));
	if (!viz_elf__fragment(elf, entry, &part) || part.start != entry) {
		part.start = entry;
		part.end = entry + size;
	}
	err = add_part(elf, flow, part.start, part.end);
	if (err) {
		viz_why(why, why_size, err, "the function at %#" PRIx64 " cannot be decoded",
			entry);
		goto cleanup;
	}
	for (unsigned int round = 0; !err && added && round <= ROUNDS_MAX; round++) {
		free(flow->nodes);
		free(b.work);
		b.max_work = 8 * flow->nr + 64;
		b.visits = 0;
		flow->nodes = calloc(flow->nr, sizeof(*flow->nodes));
		b.work = calloc(b.max_work, sizeof(*b.work));
		if (!flow->nodes || !b.work) {
			err = -ENOMEM;
			break;
		}
		link_nodes(flow, entry);
		err = flow->entry == VIZ_FLOW_NONE ? -EINVAL : mark_landings(elf, flow);
		if (!err)
			err = trace(&b);
		if (err) {
			viz_why(why, why_size, err, "the function is too complex");
			break;
		}
		added = follow_exits(elf, flow, why, why_size);
		if (added < 0)
			err = added;
	}
	if (!err && added)
		err = viz_why(why, why_size, -ENOTSUP, "the function has too many parts");
	if (!err)
		err = check(flow, why, why_size);
cleanup:
	free(b.work);
	if (err)
		viz_flow__free(flow);
	return err;
}

void viz_flow__free(struct viz_flow *flow)
{
	free(flow->insns);
	free(flow->nodes);
	memset(flow, 0, sizeof(*flow));
}
