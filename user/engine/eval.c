// SPDX-License-Identifier: Apache-2.0
/*
 * Engine eval: uprobes on the eval function. From 3.11 on the interpreter runs
 * Python-to-Python calls inside one activation of that function, unless the PEP 523 slot of
 * the interpreter state is set (Python/ceval.c); the address of the eval function itself,
 * written there from outside, makes every call an activation again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../session.h"
#include "../switches.h"
#include "../target/remote.h"

static bool needs_slot(const struct viz_interpreter *interp)
{
	return interp->build->info.flags & VIZ_BUILD_INLINES;
}

/* Python/perf_trampoline.c: a slot that is set before it is a fatal error. */
static bool owned_by_perf(const struct viz_interpreter *interp, int mem, uint64_t state)
{
	uint32_t off = interp->build->info.off.interp_perf_profiling, profiling = 0;

	return off != VIZ_NONE && !viz_remote__read_u32(mem, state + off, &profiling) && profiling;
}

static int can(struct viz_session *s, const struct viz_interpreter *interp, char *why,
	       size_t why_size)
{
	const struct viz_build *b = interp->build;
	uint64_t state;
	int mem, err;

	(void)s;
	if (b->no_eval[0])
		return viz_why(why, why_size, -ENOTSUP, "%s", b->no_eval);
	err = viz_interpreter__probed(interp, why, why_size);
	if (err)
		return err;
	if (!needs_slot(interp) || viz_interpreter__states(interp, &state, 1) <= 0)
		return 0;
	mem = viz_remote__open(interp->pid, O_RDONLY);
	if (mem < 0)
		return 0;
	if (owned_by_perf(interp, mem, state))
		err = viz_why(why, why_size, -ENOTSUP,
			      "it runs with perf profiling (-X perf), which owns the frame "
			      "evaluation slot");
	close(mem);
	return err;
}

static uint64_t our_value(const struct viz_target *t)
{
	return t->interp.build->eval_frame_default + t->interp.bias;
}

static void undo_for(const struct viz_target *t, uint64_t addr, uint64_t value,
		     struct viz_undo *undo)
{
	*undo = (struct viz_undo){
		.pid = t->pid,
		.start_time = t->start_time,
		.addr = addr,
		.expect = value,
		.value = 0,
		.dev = t->interp.build->dev,
		.ino = t->interp.build->ino,
		.map_start = t->interp.map_start,
	};
}

static bool has_slot(const struct viz_target *t, uint64_t addr)
{
	for (unsigned int i = 0; i < t->nr_slots; i++)
		if (t->slots[i] == addr)
			return true;
	return false;
}

/* Notes in the guardian's journal that the slot at @addr is (to be) ours. */
static int note_slot(struct viz_session *s, struct viz_target *t, uint64_t addr)
{
	struct viz_undo undo;
	uint64_t *slots;
	int entry;

	if (has_slot(t, addr))
		return 0;
	if (t->nr_slots == VIZ_SLOTS_MAX)
		return -E2BIG;
	slots = reallocarray(t->slots, t->nr_slots + 1, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	t->slots = slots;
	undo_for(t, addr, our_value(t), &undo);
	entry = viz_guardian__add(s->guardian, &undo);
	if (entry < 0)
		return entry;
	t->slots[t->nr_slots++] = addr;
	return 0;
}

/* Sets one slot if it is empty; somebody else's is left alone: he calls the eval function. */
static int set_slot(struct viz_session *s, struct viz_target *t, int mem, uint64_t addr)
{
	uint64_t ours = our_value(t), now;
	int err;

	err = viz_remote__read_u64(mem, addr, &now);
	if (err || now)
		return err;
	err = note_slot(s, t, addr);
	if (!err)
		err = viz_remote__write(mem, addr, &ours, sizeof(ours));
	if (!err)
		viz_debug(VIZ_LOG_ENGINE, "pid %d: slot at 0x%llx set", t->pid,
			  (unsigned long long)addr);
	return err;
}

static bool is_listed(const struct viz_target *t, uint64_t state)
{
	uint64_t states[VIZ_SLOTS_MAX];
	int nr = viz_interpreter__states(&t->interp, states, VIZ_SLOTS_MAX);

	for (int i = 0; i < nr; i++)
		if (states[i] == state)
			return true;
	return false;
}

/* A sub-interpreter may have been destroyed between the look at the list and the write. */
static void unset_if_gone(struct viz_target *t, int mem, uint64_t state, uint64_t addr)
{
	uint64_t now, none = 0;

	if (is_listed(t, state) || viz_remote__read_u64(mem, addr, &now) || now != our_value(t))
		return;
	viz_remote__write(mem, addr, &none, sizeof(none));
}

/*
 * Every interpreter of the process, also those that were created since, and those whose
 * slot somebody has cleared (a PEP 523 user that is done stores NULL). The list is read anew
 * each time: an interpreter that was destroyed is never written to again.
 */
static int set_slots(struct viz_session *s, struct viz_target *t)
{
	uint64_t states[VIZ_SLOTS_MAX], off = t->interp.build->info.off.interp_eval_frame;
	int nr, mem, err = 0;

	nr = viz_interpreter__states(&t->interp, states, VIZ_SLOTS_MAX);
	/* Just executed: the interpreter's data is not there yet, or not set up. */
	t->slot_pending = nr <= 0;
	if (nr <= 0)
		return nr == -ESRCH ? nr : 0;
	mem = viz_remote__open(t->pid, O_RDWR);
	if (mem < 0)
		return mem;
	for (int i = 0; i < nr && !err; i++) {
		if (owned_by_perf(&t->interp, mem, states[i]))
			continue;
		err = set_slot(s, t, mem, states[i] + off);
		if (nr > 1 && !err)
			unset_if_gone(t, mem, states[i], states[i] + off);
	}
	close(mem);
	return err;
}

static int attach(struct viz_session *s, struct viz_target *t, char *why, size_t why_size)
{
	const struct viz_build *b = t->interp.build;
	struct viz_process_info info = {};
	int err;

	t->attachment = viz_probes__attach(
		s->probes, b, viz_builds__index(s->builds, b), VIZ_PROBES_EVAL, t->scope,
		viz_interpreter__code_dealloc(&t->interp), why, why_size);
	if (!t->attachment)
		return -errno;
	viz_switches__look(s, t);
	info.build = viz_builds__index(s->builds, b);
	info.bias = t->interp.bias;
	info.flags = VIZ_PROC_ACTIVE | (s->opt->select.follow ? VIZ_PROC_FOLLOW : 0) |
		     (t->switches ? VIZ_PROC_SWITCHES : 0) |
		     (needs_slot(&t->interp) ? VIZ_PROC_GUARD : 0);
	err = viz_probes__set_process(s->probes, t->pid, &info);
	if (!err && needs_slot(&t->interp))
		err = set_slots(s, t);
	if (err)
		return viz_why(why, why_size, err, "cannot attach to pid %d: %s", t->pid,
			       strerror(-err));
	return 0;
}

static void clear_slots(struct viz_session *s, struct viz_target *t)
{
	viz_guardian__undo(s->guardian, t->pid);
	t->nr_slots = 0;
}

static void detach(struct viz_session *s, struct viz_target *t)
{
	if (needs_slot(&t->interp))
		clear_slots(s, t);
	viz_probes__drop_process(s->probes, t->pid);
	viz_probes__detach(s->probes, t->attachment);
	t->attachment = NULL;
	viz_stack_guard__release(&s->stack_guard, t->pid);
}

static int forked(struct viz_session *s, struct viz_target *parent, struct viz_target *child)
{
	char why[256];
	int err = 0;

	if (child->replaced) /* its memory is another program's */
		return 0;
	child->attachment = viz_probes__attach(s->probes, parent->interp.build,
					       viz_builds__index(s->builds, parent->interp.build),
					       VIZ_PROBES_EVAL, child->scope, 0, why, sizeof(why));
	if (!child->attachment)
		return -errno;
	for (unsigned int i = 0; i < parent->nr_slots && !err; i++)
		err = note_slot(s, child, parent->slots[i]);
	/* Forked while the parent had stepped back: nobody else would set the child's slot. */
	return err ?: needs_slot(&child->interp) ? set_slots(s, child) : 0;
}

static void tick(struct viz_session *s, struct viz_target *t)
{
	if (!needs_slot(&t->interp) || t->replaced)
		return;
	/* At the ticks only: each thread with a small stack makes the program wait for us. */
	if (t->stepped_back && viz_stack_guard__is_over(&s->stack_guard, t->pid)) {
		t->stepped_back = 0;
		viz_probes__guard(s->probes, t->pid, false);
	}
	if (!t->stepped_back)
		set_slots(s, t);
}

const struct viz_engine viz_engine_eval = {
	.name = "eval",
	.can = can,
	.attach = attach,
	.detach = detach,
	.forked = forked,
	.tick = tick,
};
