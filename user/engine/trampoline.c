// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a recorder: from the attach over the ring that appears to the
 * end.
 */
#include "trampoline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "../target/procfs.h"
#include "../target/remote.h"
#include "trampoline_private.h"

enum { RING_MIN = 64 << 10 };

static int new_trampoline(struct viz_trampoline **out, const struct viz_interpreter *interp,
			  const struct viz_trampoline_params *params)
{
	struct viz_trampoline *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->pid = interp->pid;
	t->interp = interp;
	t->params = *params;
	t->switches = params->switches;
	if (!t->params.ring_size)
		t->params.ring_size = VIZ_RING_DEFAULT;
	if (t->params.ring_size < RING_MIN)
		t->params.ring_size = RING_MIN;
	t->mode = viz_image__mode(interp->build);
	t->ns_pid = viz_trampoline__own_pid(t->pid);
	t->start_time = viz_procfs__start_time(t->pid);
	t->mem = viz_remote__open(t->pid, O_RDWR);
	if (t->mem < 0) {
		err = t->mem;
		free(t);
		return err;
	}
	*out = t;
	return 0;
}

int viz_trampoline__attach(struct viz_trampoline **out, const struct viz_interpreter *interp,
			   const struct viz_trampoline_params *params, char *why, size_t why_size)
{
	uint64_t states[VIZ_LIST_MAX];
	struct viz_trampoline *t = NULL;
	int err = viz_trampoline__check_build(interp->build, why, why_size), nr;

	if (err)
		return err;
	if (params->ring_size & (params->ring_size - 1))
		return viz_why(why, why_size, -EINVAL, "the ring's size is not a power of two");
	err = new_trampoline(&t, interp, params);
	if (err)
		return viz_why(why, why_size, err, "its memory cannot be opened: %s",
			       strerror(-err));
	err = viz_image__symbols(interp->build, &t->symbols, why, why_size);
	if (err)
		goto cleanup;
	viz_tramp_clock__init(&t->clock);
	if (!t->clock.counter)
		t->vdso = viz_tramp_clock__vdso(t->pid, t->mem);
	if (!t->clock.counter && !t->vdso) {
		err = viz_why(why, why_size, -ENOTSUP, "it has no clock that the recorder can use");
		goto cleanup;
	}
	nr = viz_interpreters__list(t, states);
	if (nr == VIZ_LIST_MAX) {
		err = viz_why(why, why_size, -ENOTSUP, "it has too many interpreters");
		goto cleanup;
	}
	if (!nr) {
		err = viz_procfs__start_time(t->pid) == t->start_time ? -EAGAIN : -ESRCH;
		viz_why(why, why_size, err, "its interpreter is not initialised yet");
		goto cleanup;
	}
	/* New interpreters are put at the list's head: the last one is the main one, whose fate is
	 * that of all. */
	err = viz_interpreters__add(t, states[nr - 1], why, why_size);
	if (err)
		goto cleanup;
	for (int i = nr - 2; i >= 0; i--)
		viz_trampoline__begins(t, states[i]);
	*out = t;
	return 0;
cleanup:
	viz_trampoline__free(t);
	return err;
}

/* ---- while it runs ---- */

static const char *step_text(uint32_t step)
{
	switch (step) {
	case VIZ_STEP_NO_MONITORING:
		return "it has no sys.monitoring";
	case VIZ_STEP_NO_TOOL:
		return "sys.monitoring's tool ids 3, 4 and 5 are in use by other tools";
	case VIZ_STEP_CALLBACK:
		return "sys.monitoring did not take the callbacks";
	default:
		return "sys.monitoring did not take the events";
	}
}

static void refuse(struct viz_trampoline *t, struct viz_instance *in, const char *why)
{
	in->state = VIZ_TRAMPOLINE_REFUSED;
	snprintf(t->why, sizeof(t->why), "%s", why);
	if (in != &t->instances[0])
		viz_warn("pid %d: an interpreter of it is not recorded: %s", t->pid, why);
}

/* Who calls cannot be told from the order of calls any more. */
static void mark_switches(struct viz_rec_ring *ring)
{
	__atomic_store_n(&ring->chains, 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&ring->filter, __ATOMIC_RELAXED))
		__atomic_store_n(&ring->filter, VIZ_REC_FILTER_OPEN, __ATOMIC_RELAXED);
}

static void came_up(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_rec_ring *ring = in->ring;

	viz_instance__clear_caves(t, in);
	if (ring->state == VIZ_REC_REFUSED) {
		refuse(t, in, step_text(ring->error));
		return;
	}
	in->state = VIZ_TRAMPOLINE_UP;
	if (t->switches)
		mark_switches(ring);
	if (in->inherited) {
		viz_instance__note(t, in,
				   in->base + VIZ_REC_KEEP_AT + offsetof(struct viz_rec_keep, mode),
				   VIZ_REC_ON, VIZ_REC_OFF);
		viz_instance__note(t, in,
				   in->base + VIZ_REC_LIVE_AT + offsetof(struct viz_rec_live, ring),
				   in->base + VIZ_REC_RING_AT, 0);
	}
}

/* The recorder leaves the slot when its ring is there, and the loader when it
 * has failed. @now: the slot. */
static void check_armed(struct viz_trampoline *t, struct viz_instance *in, uint64_t now)
{
	uint64_t failed = 0, mode = in->base + VIZ_REC_KEEP_AT;
	char why[128];
	int found;

	if (in->inherited || now == in->boot)
		return;
	found = viz_instance__find_ring(t, in);
	if (found == 1)
		came_up(t, in);
	if (found || in->coming)
		return;
	if (in != &t->instances[0] && !viz_interpreters__is_there(t, in->interp))
		return;
	/* the loader gave up at the very moment: the slot is empty, nothing has run */
	if (in->written && now == in->original && viz_remote__read_u64(t->mem, mode, &failed)) {
		in->written = false;
		viz_trampoline__swap(t->mem, in->slot, now, in->boot);
		return;
	}
	if (now != in->original) {
		snprintf(why, sizeof(why), "another tool took its PEP 523 slot");
	} else {
		viz_remote__read_u64(t->mem, mode + offsetof(struct viz_rec_keep, failed), &failed);
		snprintf(why, sizeof(why), "it was denied memfd_create() or mmap()%s%s",
			 failed ? ": " : " (seccomp, SELinux or a limit)",
			 failed ? strerror((int)failed) : "");
	}
	refuse(t, in, why);
	viz_instance__leave_caves(t, in);
	viz_instance__forget_notes(t, in);
}

void viz_instance__look_for_ring(struct viz_trampoline *t, struct viz_instance *in)
{
	uint64_t now;
	char why[128];
	int err;

	if (!in->interp || in->state != VIZ_TRAMPOLINE_ARMED)
		return;
	/* first: what is not there then was denied to a loader that has left */
	err = viz_remote__read_u64(t->mem, in->slot, &now);
	if (!err && in->awaited) {
		int room = viz_instance__look_for_room(t, in);

		if (room < 0) {
			snprintf(why, sizeof(why), "the recorder could not be written into it: %s",
				 strerror(-room));
			refuse(t, in, why);
		}
		if (room)
			return;
	}
	if (viz_instance__find_ring(t, in) == 1)
		came_up(t, in);
	else if (!in->gone && !err)
		check_armed(t, in, now);
}

static void find_rings(struct viz_trampoline *t)
{
	for (int i = 0; i < t->nr_instances; i++) {
		viz_instance__look_for_ring(t, &t->instances[i]);
		viz_instance__tidy(t, &t->instances[i]);
	}
}

int viz_trampoline__forked(struct viz_trampoline **out, struct viz_trampoline *parent,
			   const struct viz_interpreter *interp)
{
	struct viz_trampoline *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	/* the parent's may have come up just before, and the child's is in the same file */
	find_rings(parent);
	*t = (struct viz_trampoline){
		.pid = interp->pid,
		.interp = interp,
		.params = parent->params,
		.mode = parent->mode,
		.ns_pid = viz_trampoline__own_pid(interp->pid),
		.clock = parent->clock,
		.vdso = parent->vdso,
		.symbols = parent->symbols,
		.switches = parent->switches,
		.regions = parent->regions,
		.parent = parent,
		.next_child = parent->children,
		.start_time = viz_procfs__start_time(interp->pid),
		/* it may have ended already: what it recorded is there all the same */
		.mem = viz_remote__open(interp->pid, O_RDWR),
		.nr_instances = parent->nr_instances,
	};
	/* without its status left to read: the same number, if the parent lives in
	 * our namespace */
	if (!t->ns_pid && parent->pid == parent->ns_pid)
		t->ns_pid = interp->pid;
	for (int i = 0; i < t->nr_instances; i++) {
		const struct viz_instance *from = &parent->instances[i];

		if (!from->interp || from->gone)
			continue;
		t->instances[i] = (struct viz_instance){
			.inherited = true,
			.interp = from->interp,
			.nonce = from->nonce,
			.slot = from->slot,
			.original = from->original,
			.base = from->base,
			.boot = from->boot,
			.at = from->at,
			.awaited = from->awaited,
			.written = from->written,
			.file = from->file,
		};
		if (from->file)
			from->file->users++;
	}
	parent->children = t;
	*out = t;
	return 0;
}

int viz_trampoline__drain(struct viz_trampoline *t, const struct viz_trampoline_sink *sink)
{
	struct viz_instance *rings[VIZ_INSTANCES_MAX];
	int nr = 0;

	find_rings(t);
	if (viz_interpreters__changed(t))
		viz_interpreters__look(t);
	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].ring && t->instances[i].state != VIZ_TRAMPOLINE_REFUSED)
			rings[nr++] = &t->instances[i];
	return viz_reader__drain(t, rings, nr, sink);
}

bool viz_trampoline__is_armed(struct viz_trampoline *t, uint64_t interp)
{
	find_rings(t);
	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].interp && (!interp || t->instances[i].interp == interp) &&
		    !t->instances[i].gone && t->instances[i].state == VIZ_TRAMPOLINE_ARMED)
			return true;
	return false;
}

void viz_trampoline__switches(struct viz_trampoline *t)
{
	t->switches = true;
	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].ring)
			mark_switches(t->instances[i].ring);
}

void viz_trampoline__judge_again(struct viz_trampoline *t, const struct viz_trampoline_sink *sink)
{
	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].ring)
			viz_reader__judge_again(&t->instances[i], sink);
}

enum viz_trampoline_state viz_trampoline__state(const struct viz_trampoline *t)
{
	return t->instances[0].state;
}

const char *viz_trampoline__why(const struct viz_trampoline *t)
{
	return t->why;
}

uint64_t viz_instance__lost(const struct viz_instance *in, bool enters)
{
	const struct viz_rec_ring *ring = in->ring;
	uint64_t sum = 0;

	for (int i = 0; ring && i < VIZ_REC_THREADS; i++)
		sum += enters ? ring->threads[i].lost_enter : ring->threads[i].lost_leave;
	return sum;
}

void viz_trampoline__losses(const struct viz_trampoline *t, uint64_t *enters, uint64_t *leaves)
{
	*enters = t->past_enters;
	*leaves = t->past_leaves;
	for (int i = 0; i < t->nr_instances; i++) {
		*enters += viz_instance__lost(&t->instances[i], true);
		*leaves += viz_instance__lost(&t->instances[i], false);
	}
}

/* ---- the end ---- */

static void nap(void)
{
	struct timespec ts = {.tv_nsec = 200000};

	nanosleep(&ts, NULL);
}

/* Takes the loader out of the slot. It may be running at this moment: then it
 * comes up, or sees that the slot is not its own any more. */
static void disarm(struct viz_trampoline *t, struct viz_instance *in)
{
	/* in a child that was forked before its parent's loader ran it is there, too */
	viz_trampoline__swap(t->mem, in->slot, in->boot, in->original);
	for (int i = 0; i < 20 && in->state == VIZ_TRAMPOLINE_ARMED; i++) {
		if (viz_instance__find_ring(t, in) == 1)
			came_up(t, in);
		else if (in->inherited || viz_instance__leave_caves(t, in))
			break;
		else
			nap();
	}
}

void viz_instance__take_back(struct viz_trampoline *t, struct viz_instance *in, bool listed)
{
	uint64_t stop = in->base + in->at.stop, word;

	if (t->mem < 0 || in->state != VIZ_TRAMPOLINE_UP)
		return;
	/* A forked child may have executed something else before its memory was opened: then there
	 * is no recorder in it, and what its slot points to must be left alone. */
	if (viz_remote__read_u64(t->mem, in->base + VIZ_REC_KEEP_AT, &word))
		return;
	viz_trampoline__swap(t->mem,
			     in->base + VIZ_REC_KEEP_AT + offsetof(struct viz_rec_keep, mode),
			     VIZ_REC_ON, VIZ_REC_OFF);
	viz_trampoline__swap(t->mem,
			     in->base + VIZ_REC_LIVE_AT + offsetof(struct viz_rec_live, ring),
			     in->base + VIZ_REC_RING_AT, 0);
	/* stop() is mapped wherever a ring was: only there may the slot point to it.
	 * Stepping back for the stack changes the slot from inside, so a second look
	 * is needed. */
	for (int i = 0; i < 2 && listed; i++) {
		viz_trampoline__swap(t->mem, in->slot, in->base + in->at.wrap, stop);
		viz_trampoline__swap(t->mem, in->slot, in->original, stop);
	}
}

void viz_trampoline__detach(struct viz_trampoline *t)
{
	uint64_t states[VIZ_LIST_MAX];
	int nr = t->mem < 0 ? 0 : viz_interpreters__list(t, states);

	t->over = true;
	for (int i = 0; i < t->nr_instances; i++) {
		struct viz_instance *in = &t->instances[i];
		/* the main one is there as long as the process is */
		bool listed = !i;

		if (!in->interp)
			continue;
		for (int k = 0; k < nr; k++)
			listed |= states[k] == in->interp;
		if (in->state == VIZ_TRAMPOLINE_ARMED)
			disarm(t, in);
		viz_instance__take_back(t, in, listed);
		if (in->state != VIZ_TRAMPOLINE_REFUSED)
			in->state = VIZ_TRAMPOLINE_ENDED;
		viz_instance__forget_notes(t, in);
	}
}

static void leave_family(struct viz_trampoline *t)
{
	struct viz_trampoline **at;

	for (struct viz_trampoline *c = t->children; c; c = c->next_child)
		c->parent = NULL;
	for (at = t->parent ? &t->parent->children : NULL; at && *at; at = &(*at)->next_child)
		if (*at == t) {
			*at = t->next_child;
			break;
		}
}

uint64_t viz_trampoline__missed(const struct viz_trampoline *t)
{
	const struct viz_tramp_file *f = t->instances[0].file;

	return f && !t->instances[0].inherited ? __atomic_load_n(&f->dir->missed, __ATOMIC_RELAXED)
					       : 0;
}

void viz_trampoline__free(struct viz_trampoline *t)
{
	bool gone;

	if (!t)
		return;
	viz_trampoline__detach(t);
	leave_family(t);
	/* no memory to be opened at the fork: a zombie's is gone, its number is not */
	gone = !t->start_time || t->mem == -ESRCH || t->mem == -ENOENT ||
	       viz_procfs__start_time(t->pid) != t->start_time;
	for (int i = 0; i < t->nr_instances; i++) {
		viz_instance__drop_ring(t, &t->instances[i], gone || t->instances[i].gone);
		free(t->instances[i].reader.funcs);
	}
	if (t->mem >= 0)
		close(t->mem);
	free(t);
}
