// SPDX-License-Identifier: Apache-2.0
/*
 * A recorder for each interpreter of the process: for those that are there, those that are made
 * later, and no more for those that have ended. Each has a ring of its own and begins by itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../target/remote.h"
#include "trampoline_private.h"

enum { LOOK_EVERY = 16 }; /* drains, when the list's head has not changed */

static int walk(const struct viz_trampoline *t, uint64_t *states)
{
	const struct viz_build *b = t->interp->build;
	uint64_t at;
	int nr = 0;

	if (!b->interp_head || viz_remote__read_u64(t->mem, t->interp->bias + b->interp_head, &at))
		return 0;
	while (at && nr < VIZ_LIST_MAX) {
		states[nr++] = at;
		if (viz_remote__read_u64(t->mem, at + b->info.off.interp_next, &at))
			return 0;
	}
	return nr;
}

int viz_interpreters__list(const struct viz_trampoline *t, uint64_t states[VIZ_LIST_MAX])
{
	uint64_t again[VIZ_LIST_MAX];
	int nr = walk(t, states);

	/* what is freed while it is being walked over leads anywhere; it does so once */
	return nr == walk(t, again) && !memcmp(states, again, nr * sizeof(*states)) ? nr : 0;
}

static bool is_listed(const uint64_t *states, int nr, uint64_t interp)
{
	for (int i = 0; i < nr; i++)
		if (states[i] == interp)
			return true;
	return false;
}

bool viz_interpreters__is_there(const struct viz_trampoline *t, uint64_t interp)
{
	uint64_t states[VIZ_LIST_MAX];
	int nr = viz_interpreters__list(t, states);

	return !nr || is_listed(states, nr, interp);
}

static struct viz_instance *find(struct viz_trampoline *t, uint64_t interp)
{
	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].interp == interp && !t->instances[i].gone)
			return &t->instances[i];
	return NULL;
}

/* The first is the main interpreter's for good. The place of one that is gone and has been read to
 * its end is taken again. */
static struct viz_instance *free_place(struct viz_trampoline *t)
{
	for (int i = 1; i < t->nr_instances; i++)
		if (!t->instances[i].interp)
			return &t->instances[i];
	return t->nr_instances < VIZ_INSTANCES_MAX ? &t->instances[t->nr_instances] : NULL;
}

int viz_interpreters__add(struct viz_trampoline *t, uint64_t interp, char *why, size_t why_size)
{
	struct viz_instance *in = free_place(t);
	int err;

	if (!in)
		return viz_why(why, why_size, -ENOSPC, "it has more than %d interpreters",
			       VIZ_INSTANCES_MAX);
	*in = (struct viz_instance){0};
	err = viz_instance__attach(t, in, interp, why, why_size);
	if (err) {
		*in = (struct viz_instance){0};
		return err;
	}
	if (in == &t->instances[t->nr_instances])
		t->nr_instances++;
	/* it may have been destroyed between the look at the list and the write */
	if (!viz_interpreters__is_there(t, interp))
		viz_trampoline__swap(t->mem, in->slot, in->boot, in->original);
	return 0;
}

static bool is_read(const struct viz_instance *in)
{
	const struct viz_tramp_reader *r = &in->reader;

	if (!in->ring || !r->feed)
		return !in->ring || !__atomic_load_n(&in->ring->head, __ATOMIC_RELAXED);
	return r->next == r->nr && !viz_feed__waiting(r->feed);
}

/* Nothing of the process runs there any more, and nothing is written there any more. */
static void bury(struct viz_trampoline *t, struct viz_instance *in)
{
	if (!in->gone) {
		viz_debug(VIZ_LOG_ENGINE, "pid %d: interpreter %#lx is gone", t->pid, in->interp);
		in->gone = true;
		/* its ring has outlived it: what it recorded may not have been found yet */
		viz_instance__look_for_ring(t, in);
		in->gone_at = t->drains;
		viz_instance__take_back(t, in, false);
		viz_instance__forget_notes(t, in);
		in->state = VIZ_TRAMPOLINE_ENDED;
	}
	if (in->nr_used && !viz_instance__leave_caves(t, in))
		return;
	/* one drain at least knows that nothing is written any more */
	if (t->drains <= in->gone_at + 1 || !is_read(in))
		return;
	t->past_enters += viz_instance__lost(in, true);
	t->past_leaves += viz_instance__lost(in, false);
	viz_instance__drop_ring(t, in, true);
	free(in->reader.funcs);
	*in = (struct viz_instance){0};
}

static void add(struct viz_trampoline *t, uint64_t interp)
{
	char why[256];
	int err = find(t, interp) ? 0 : viz_interpreters__add(t, interp, why, sizeof(why));

	if (err == -ENOBUFS && t->nr_later < VIZ_INSTANCES_MAX) {
		viz_debug(VIZ_LOG_ENGINE, "pid %d: interpreter %#lx waits for room", t->pid,
			  interp);
		t->later[t->nr_later++] = interp;
		return;
	}
	if (!err || err == -EAGAIN || err == -ESRCH)
		return;
	if (t->warned)
		viz_debug(VIZ_LOG_ENGINE, "pid %d: an interpreter is not recorded: %s", t->pid,
			  why);
	else
		viz_warn("pid %d: an interpreter of it is not recorded: %s", t->pid, why);
	t->warned = true;
}

bool viz_interpreters__changed(struct viz_trampoline *t)
{
	uint64_t head = 0;

	if (t->over || t->mem < 0)
		return false;
	if (!(++t->drains % LOOK_EVERY) || t->nr_later)
		return true;
	viz_remote__read_u64(t->mem, t->interp->bias + t->interp->build->interp_head, &head);
	return head != t->newest;
}

static void add_later(struct viz_trampoline *t, const uint64_t *states, int nr)
{
	uint64_t later[VIZ_INSTANCES_MAX];
	int nr_later = t->nr_later;

	memcpy(later, t->later, nr_later * sizeof(*later));
	t->nr_later = 0;
	for (int i = 0; i < nr_later; i++)
		if (is_listed(states, nr, later[i]))
			add(t, later[i]);
}

void viz_interpreters__look(struct viz_trampoline *t)
{
	uint64_t states[VIZ_LIST_MAX];
	int nr;

	if (t->over || t->mem < 0)
		return;
	nr = viz_interpreters__list(t, states);
	if (!nr)
		return;
	t->newest = states[0];
	for (int i = 1; i < t->nr_instances; i++) {
		struct viz_instance *in = &t->instances[i];

		if (in->interp &&
		    (in->gone || (nr < VIZ_LIST_MAX && !is_listed(states, nr, in->interp))))
			bury(t, in);
	}
	/* one that is being made, or destroyed, is let alone: it has been there before */
	for (int i = nr - 1; i >= 0 && !t->params.told; i--)
		if (is_listed(t->seen, t->nr_seen, states[i]))
			add(t, states[i]);
	add_later(t, states, nr);
	memcpy(t->seen, states, nr * sizeof(*states));
	t->nr_seen = nr;
}

void viz_trampoline__begins(struct viz_trampoline *t, uint64_t interp)
{
	struct viz_instance *in = find(t, interp);

	/* the memory of one that has ended was given to another */
	if (in && in->ending && in != &t->instances[0])
		bury(t, in);
	/* a recorder whose interpreter is gone may serve this one: what it has recorded comes first */
	viz_interpreters__look(t);
	if (!t->over && t->mem >= 0)
		add(t, interp);
}

void viz_trampoline__ends(struct viz_trampoline *t, uint64_t interp)
{
	struct viz_instance *in = find(t, interp);

	if (in)
		in->ending = true;
}
