// SPDX-License-Identifier: Apache-2.0
/* Engine trampoline as the session knows it: attach, fork, detach; refusals go to another engine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/log.h"
#include "../entry.h"
#include "../fork_watch.h"
#include "../switches.h"
#include "recorder/recorder.h"
#include "trampoline_recording.h"

enum {
	LATE_TICKS = 50, /* five seconds: by then an interpreter has begun */
	BEGINS_NS = 1000 * 1000, /* so long after the attach a process is idle */
	BEGINS_LOOKS = 5,
	IDLE_WATCHED = 16, /* processes */
	RING_BYTES = 16 << 20,
	RINGS_SHARE = 8, /* of the memory that is available, at most, for all rings */
};

static int can(struct viz_session *s, const struct viz_interpreter *interp, char *why,
	       size_t why_size)
{
	(void)s;
	return viz_trampoline__can(interp, why, why_size);
}

/* ---- greenlets ---- */

static void look_for_greenlets(struct recording *r)
{
	if (viz_switches__look(r->s, r->t) && !r->switches && r->tramp) {
		r->switches = true;
		viz_trampoline__switches(r->tramp);
	}
}

/* ---- the engine ---- */

/* Forks, exits, custom events, new interpreters come from the kernel; calls do not. */
static int watch_process(struct viz_session *s, struct viz_target *t, uint32_t more_flags)
{
	const struct viz_build *b = t->interp.build;
	unsigned int index = viz_builds__index(s->builds, b);
	struct viz_process_info info = {
		.build = index,
		.bias = t->interp.bias,
		.flags = VIZ_PROC_ACTIVE | VIZ_PROC_INSIDE | more_flags |
			 (s->opt->select.follow ? VIZ_PROC_FOLLOW : 0) |
			 (t->switches ? VIZ_PROC_SWITCHES : 0),
	};
	char why[256];

	if (!t->attachment)
		t->attachment = viz_probes__attach(s->probes, b, index, VIZ_PROBES_INSIDE, t->scope,
						   0, why, sizeof(why));
	if (!t->attachment)
		viz_debug(VIZ_LOG_PROBE, "pid %d: new interpreters are seen late: %s", t->pid, why);
	return viz_probes__set_process(s->probes, t->pid, &info);
}

/* 0: there is no memory for it. What was asked for is not questioned. */
static uint64_t ring_size(struct viz_session *s)
{
	struct viz_ring_budget *b = &s->rings;

	if (s->opt->ring_size && !(s->opt->ring_size & (s->opt->ring_size - 1)))
		return s->opt->ring_size;
	if (!b->limit)
		b->limit = viz_ring_budget__available() / RINGS_SHARE;
	return viz_ring_budget__size(b, RING_BYTES, sizeof(struct viz_rec_ring));
}

static void charge(struct recording *r, uint64_t bytes)
{
	r->s->rings.used += bytes;
	r->charged += bytes;
}

static int try_attach(struct recording *r, char *why, size_t why_size)
{
	struct viz_trampoline_params params = {
		.ring_size = ring_size(r->s),
		.follow = r->s->opt->select.follow,
		.min_duration = r->s->opt->filter.min_duration,
		.max_depth = r->s->opt->filter.max_depth,
		.judges = r->s->opt->filter.any,
		.switches = r->t->switches,
		.c_functions = r->s->opt->c_functions,
		.exceptions = r->s->opt->log_exception,
		.guardian = r->s->guardian,
		.told = r->t->attachment != NULL,
	};

	int err;

	if (!params.ring_size)
		return viz_why(why, why_size, -ENOTSUP,
			       "the rings of other processes have all the memory that is for rings "
			       "(%llu MiB)",
			       (unsigned long long)r->s->rings.limit >> 20);
	err = viz_trampoline__attach(&r->tramp, &r->t->interp, &params, why, why_size);
	if (!err)
		charge(r, params.ring_size + sizeof(struct viz_rec_ring));
	return err;
}

static struct recording *new_recording(struct viz_session *s, struct viz_target *t)
{
	struct recording *r = calloc(1, sizeof(*r));

	if (r) {
		r->s = s;
		r->t = t;
		r->watch.probes = s->probes;
		r->watch.interp = &t->interp;
		t->engine_data = r;
	}
	return r;
}

static int fall_back(struct viz_session *s, struct viz_target *t, const char *reason);

/* What another engine may be able to do. */
static bool is_refusal(int err)
{
	return err && err != -EAGAIN && err != -ESRCH && err != -ENOMEM;
}

static void add_limit(struct viz_session *s, struct viz_target *t, const char *limit)
{
	struct viz_process *p = &s->trace->processes[t->process];
	bool more = p->limits && p->limits[0];
	char text[512];

	snprintf(text, sizeof(text), "%s%s%s", more ? p->limits : "", more ? "; " : "", limit);
	p->limits = viz_trace__string(s->trace, text);
}

void viz_engine__say_missing(struct viz_session *s, struct viz_target *t)
{
	bool tells = viz_trampoline__tells_more(&t->interp);
	const char *what = !s->opt->log_exception ? "C functions"
			   : s->opt->c_functions  ? "C functions and raised exceptions"
						  : "raised exceptions";
	char text[64];

	if ((!s->opt->c_functions && !s->opt->log_exception) ||
	    (tells && t->engine == &viz_engine_trampoline))
		return;
	viz_warn("pid %d: %s are not recorded: %s", t->pid, what,
		 tells ? "only engine trampoline can" : "CPython tells of them from 3.12 on");
	snprintf(text, sizeof(text), "%s are not seen", what);
	add_limit(s, t, text);
}

static void set_flag(struct recording *r, uint32_t flag, bool on)
{
	struct viz_process_info info;

	if (viz_probes__get_process(r->s->probes, r->t->pid, &info))
		return;
	info.flags = on ? info.flags | flag : info.flags & ~flag;
	viz_probes__set_process(r->s->probes, r->t->pid, &info);
}

/* Whether a child that it forks waits until it has been looked at. */
static void children_wait(struct recording *r, bool wait)
{
	struct viz_session *s = r->s;
	const struct viz_build *b = r->t->interp.build;

	if (!s->opt->select.follow)
		return;
	if (wait)
		viz_fork_watch__add(s->probes, b,
				    &s->forks_watched[viz_builds__index(s->builds, b)]);
	set_flag(r, VIZ_PROC_ALONE, wait);
}

/* The next call waits until its ring is open; @stop: by a stop, where none is noticed. */
static void await_call(struct recording *r, bool stop)
{
	viz_interpreter_watch__await(&r->watch, stop);
	children_wait(r, true);
}

/* Looks whether that is over. */
static void has_begun(struct recording *r)
{
	if (!r->watch.awaited || !r->tramp || viz_trampoline__is_armed(r->tramp, 0))
		return;
	children_wait(r, false);
	viz_interpreter_watch__begun(&r->watch);
	/* up to 3.11 each call traps at the watch, which two ticks take away */
	r->s->hurry = 2;
}

/*
 * The memory that an idle process will record in is its own until it is opened here, which is some
 * milliseconds after its next call: too late if that is one of its last. A busy one begins at once.
 */
static void watch_if_idle(struct recording *r)
{
	const struct timespec nap = {.tv_nsec = BEGINS_NS / BEGINS_LOOKS};
	struct viz_session *s = r->s;

	/* a probe for each of many would take long to be put there, and to be taken away */
	if (viz_select__open(&s->opt->select) || s->nr_active > IDLE_WATCHED)
		return;
	for (int i = 0; i < BEGINS_LOOKS; i++) {
		if (!viz_trampoline__is_armed(r->tramp, 0))
			return;
		nanosleep(&nap, NULL);
	}
	await_call(r, false);
}

static int attach(struct viz_session *s, struct viz_target *t, char *why, size_t why_size)
{
	struct recording *r = new_recording(s, t);
	uint64_t state;
	bool runs;
	int err;

	if (!r)
		return -ENOMEM;
	viz_switches__look(s, t);
	runs = viz_interpreter__states(&t->interp, &state, 1) > 0;
	/* it stops on its way to its first call as long as nothing waits for that here */
	err = watch_process(s, t, runs ? 0 : VIZ_PROC_WANTED);
	if (err)
		return viz_why(why, why_size, err, "cannot attach to pid %d: %s", t->pid,
			       strerror(-err));
	/* it was not held, and may end soon */
	if (runs && s->ready)
		await_call(r, true);
	err = try_attach(r, why, why_size);
	if (is_refusal(err))
		return fall_back(s, t, why);
	/* a program that is being started: its first call is waited for */
	if (err == -EAGAIN)
		viz_interpreter_watch__expect(&r->watch);
	if (!runs)
		set_flag(r, VIZ_PROC_WANTED, false);
	if (err == -EAGAIN)
		return 0;
	if (!err && runs && s->ready)
		has_begun(r);
	else if (!err)
		watch_if_idle(r);
	return err;
}

/* What is in nobody's count of losses has to be seen all the same. */
static void note_missing(struct recording *r)
{
	uint64_t children = viz_trampoline__missed(r->tramp);
	char text[96];

	if (r->called && viz_trampoline__is_armed(r->tramp, 0)) {
		add_limit(r->s, r->t, "it ended before what it recorded could be opened");
		if (r->t->explicit_)
			viz_warn("pid %d ended before what it recorded could be opened: its calls "
				 "are missing",
				 r->t->pid);
	}
	if (!children)
		return;
	viz_warn(
		"pid %d: %llu forked children are not recorded: there were more than %d at a time, "
		"or they came faster than vizbpf could see them end",
		r->t->pid, (unsigned long long)children, VIZ_REC_REGIONS - 1);
	snprintf(text, sizeof(text), "%llu forked children are not recorded",
		 (unsigned long long)children);
	add_limit(r->s, r->t, text);
	r->s->trace->overflow = true;
}

static void detach(struct viz_session *s, struct viz_target *t)
{
	struct recording *r = t->engine_data;
	const struct viz_trampoline_sink sink = viz_recording__sink(r);

	if (r)
		viz_interpreter_watch__end(&r->watch);
	viz_probes__drop_process(s->probes, t->pid);
	viz_probes__detach(s->probes, t->attachment);
	t->attachment = NULL;
	if (!r)
		return;
	if (r->tramp) {
		note_missing(r);
		viz_trampoline__detach(r->tramp);
		while (!r->past_end && viz_trampoline__drain(r->tramp, &sink) > 0)
			;
		viz_trampoline__tell_losses(r->tramp, &sink);
		viz_recording__count_losses(r);
		viz_trampoline__free(r->tramp);
	}
	s->rings.used -= r->charged;
	viz_hash__clear(&r->tids);
	free(r->exceptions);
	free(r);
	t->engine_data = NULL;
}

static void stop(struct viz_session *s, struct viz_target *t)
{
	struct recording *r = t->engine_data;

	(void)s;
	if (r && r->tramp)
		viz_trampoline__detach(r->tramp);
}

static int drain(struct viz_session *s, struct viz_target *t);

static int forked(struct viz_session *s, struct viz_target *parent, struct viz_target *child)
{
	struct recording *from, *r;
	int err;

	/* whether the program's own code had begun at the fork stands in the parent's ring */
	while (parent->in_startup && drain(s, parent) > 0)
		;
	child->in_startup = parent->in_startup;
	if (parent->engine != &viz_engine_trampoline)
		return -ENOTSUP;
	from = parent->engine_data;
	r = new_recording(s, child);
	if (!r)
		return -ENOMEM;
	err = child->replaced ? 0 : watch_process(s, child, 0);
	if (!err && from && from->tramp)
		err = viz_trampoline__forked(&r->tramp, from->tramp, &child->interp);
	if (r->tramp)
		charge(r, viz_trampoline__child_bytes());
	/* its recorder will begin by itself, in memory of its own */
	if (!err && from && from->watch.awaited && viz_trampoline__is_armed(from->tramp, 0))
		await_call(r, true);
	return err;
}

/* It goes on unrecorded; its end, its children and its next program are told of. */
static void let_be(struct viz_session *s, struct viz_target *t)
{
	struct viz_process_info info = {
		.flags = VIZ_PROC_WANTED | (s->opt->select.follow ? VIZ_PROC_FOLLOW : 0),
	};

	viz_probes__set_process(s->probes, t->pid, &info);
	t->state = VIZ_TARGET_WANTED;
	t->refused = true;
}

/* The target denied what the recorder needs: another engine takes over. */
static int fall_back(struct viz_session *s, struct viz_target *t, const char *reason)
{
	char why[384], text[256];
	const struct viz_engine *next;
	int err = -ENOTSUP;

	snprintf(text, sizeof(text), "%s", reason);
	detach(s, t);
	next = viz_session__choose(&t->interp, NULL, &viz_engine_trampoline, why, sizeof(why));
	if (!next) {
		viz_warn("pid %d is not recorded: %s", t->pid, text);
		let_be(s, t);
		return err;
	}
	viz_session__say_replaced(s, t, "does not work there", text, next);
	t->engine = next;
	s->trace->processes[t->process].engine = next->name;
	snprintf(why, sizeof(why), "trampoline: %s", text);
	s->trace->processes[t->process].engine_why = viz_trace__string(s->trace, why);
	s->trace->processes[t->process].limits = viz_entry__known_gaps(t);
	viz_engine__say_missing(s, t);
	err = next->attach(s, t, why, sizeof(why));
	if (err) {
		viz_warn("%s", why);
		next->detach(s, t);
		let_be(s, t);
	}
	return err;
}

static int drain(struct viz_session *s, struct viz_target *t)
{
	struct recording *r = t->engine_data;
	const struct viz_trampoline_sink sink = viz_recording__sink(r);
	bool starting = t->in_startup;
	char why[256];
	int err, nr;

	if (!r)
		return 0;
	if (!r->tramp) {
		if (s->end_ts)
			return 0;
		err = r->watch.first ? -EAGAIN : try_attach(r, why, sizeof(why));
		if (is_refusal(err))
			fall_back(s, t, why);
		return 0;
	}
	if (t->switches && !r->switches)
		look_for_greenlets(r);
	t->behind = 0;
	if (r->past_end)
		return 0;
	nr = viz_trampoline__drain(r->tramp, &sink);
	if (starting && !t->in_startup)
		viz_trampoline__judge_again(r->tramp, &sink);
	if (!r->past_end)
		t->behind = viz_trampoline__behind(r->tramp);
	t->waiting = viz_trampoline__waiting(r->tramp);
	viz_recording__count_losses(r);
	if (s->end_ts)
		return nr;
	if (viz_trampoline__state(r->tramp) == VIZ_TRAMPOLINE_REFUSED) {
		fall_back(s, t, viz_trampoline__why(r->tramp));
		return 0;
	}
	return nr;
}

/* An interpreter runs its first call; or its next one, which came through the recorder. */
static void take_first_call(struct recording *r, uint64_t interp)
{
	char why[256];
	int err = 0;

	r->called = true;
	if (r->tramp)
		viz_trampoline__begins(r->tramp, interp);
	else
		err = try_attach(r, why, sizeof(why));
	if (is_refusal(err)) {
		fall_back(r->s, r->t, why);
		return;
	}
	viz_probes__await_interpreter(
		r->s->probes, r->t->pid, interp,
		r->tramp && viz_trampoline__is_armed(r->tramp, interp) ? VIZ_INTERP_AWAITED : 0);
	has_begun(r);
}

static void interpreter(struct viz_session *s, struct viz_target *t, const struct viz_guard *rec)
{
	struct recording *r = t->engine_data;

	(void)s;
	if (!r)
		return;
	viz_debug(VIZ_LOG_LIFE, "pid %d: interpreter 0x%llx: record %u, %s", t->pid,
		  (unsigned long long)rec->interp, rec->head.kind,
		  rec->stopped ? "it waits" : "it goes on");
	viz_interpreter_watch__told(&r->watch, rec);
	if (rec->head.kind == VIZ_SLOT_EMPTY)
		take_first_call(r, rec->interp);
	else if (rec->head.kind == VIZ_INTERP_ENDS && r->tramp)
		viz_trampoline__ends(r->tramp, rec->interp);
}

/* About ten times a second; to look through the mappings once a second is enough. */
static void tick(struct viz_session *s, struct viz_target *t)
{
	struct recording *r = t->engine_data;

	(void)s;
	if (!r)
		return;
	r->ticks++;
	/* the record of its first call was lost */
	if (!r->tramp && r->watch.first && r->ticks > LATE_TICKS)
		viz_interpreter_watch__end(&r->watch);
	if (!r->tramp)
		return;
	if (r->ticks % 10 == 1 || r->t->switches)
		look_for_greenlets(r);
	viz_interpreter_watch__tick(&r->watch);
}

const struct viz_engine viz_engine_trampoline = {
	.name = "trampoline",
	.can = can,
	.attach = attach,
	.detach = detach,
	.forked = forked,
	.interpreter = interpreter,
	.tick = tick,
	.stop = stop,
	.drain = drain,
};
