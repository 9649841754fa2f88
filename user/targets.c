// SPDX-License-Identifier: Apache-2.0
/* The life of targets: chosen, prepared, recorded, ended. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "custom_events.h"
#include "entry.h"
#include "flight.h"
#include "fork_watch.h"
#include "live_names.h"
#include "lives.h"
#include "session.h"
#include "sources.h"
#include "target/bystanders.h"
#include "trace/code_names.h"
#include "target/container.h"
#include "target/process_name.h"
#include "target/procfs.h"

struct viz_target *viz_session__target(struct viz_session *s, pid_t pid)
{
	uint32_t index;

	return viz_hash__get(&s->by_pid, (uint64_t)pid, &index) ? s->by_index[index] : NULL;
}

struct viz_target *viz_session__add_target(struct viz_session *s, pid_t pid)
{
	struct viz_target *t = viz_session__target(s, pid), **grown;

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	grown = realloc(s->by_index, (s->nr_index + 1) * sizeof(*grown));
	if (grown)
		s->by_index = grown;
	if (!t || !grown || !viz_hash__set(&s->by_pid, (uint64_t)pid, s->nr_index)) {
		free(t);
		s->err = -ENOMEM;
		return NULL;
	}
	grown[s->nr_index] = t;
	t->index = s->nr_index++;
	t->pid = pid;
	t->scope = -1;
	t->process = UINT32_MAX;
	t->start_time = viz_procfs__start_time(pid);
	t->next = s->targets;
	s->targets = t;
	s->nr_active++;
	return t;
}

/* Whether the process @pid is a target; for counting those that are not. */
static bool is_target(pid_t pid, void *ctx)
{
	return viz_session__target(ctx, pid) != NULL;
}

/*
 * A probe on a file costs everybody who runs it. Where others do, an attach to a live process
 * touches that process alone, and its children wait at their fork for probes of their own
 * (fork_watch.h). Decided once for each file: looking at all processes takes milliseconds.
 */
static pid_t scope_of(struct viz_session *s, struct viz_target *t)
{
	const struct viz_build *b = t->interp.build;
	enum viz_scope *scope = &s->scopes[viz_builds__index(s->builds, b)];
	int others;

	if (viz_select__open(&s->opt->select) || s->opt->launches)
		return -1;
	if (!s->opt->select.follow)
		return t->pid;
	if (*scope == VIZ_SCOPE_UNKNOWN) {
		others = viz_bystanders__count(b->dev, b->ino, is_target, s, NULL, 0);
		*scope = others > 0 ? VIZ_SCOPE_PROCESS : VIZ_SCOPE_FILE;
		viz_debug(VIZ_LOG_PROBE, "%d other processes run %s", others, b->path);
		if (*scope == VIZ_SCOPE_PROCESS)
			viz_fork_watch__add(s->probes, b,
					    &s->forks_watched[viz_builds__index(s->builds, b)]);
	}
	return *scope == VIZ_SCOPE_PROCESS ? t->pid : -1;
}

int viz_session__prepare(struct viz_session *s, struct viz_target *t, char *why, size_t why_size)
{
	char reason[384];
	int err;

	/* A build that is seen for the first time takes a while: this is no hang. */
	viz_guardian__beat(s->guardian);
	err = viz_interpreter__find(s->builds, t->pid, &t->interp, reason, sizeof(reason));
	viz_guardian__beat(s->guardian);
	if (err)
		return viz_why(why, why_size, err, "cannot attach to pid %d: %s", t->pid, reason);
	err = viz_guardian__hold(s->guardian, t->pid, why, why_size);
	if (err)
		return err;
	t->engine = viz_session__choose(&t->interp, s->opt->engine, NULL, reason, sizeof(reason));
	if (!t->engine) {
		err = viz_why(why, why_size, -ENOTSUP, "%s", reason);
		goto release;
	}
	err = viz_entry__new(s, t, reason);
	if (err)
		goto release;
	viz_engine__say_missing(s, t);
	t->scope = scope_of(s, t);
	t->state = VIZ_TARGET_ACTIVE;
	err = t->engine->attach(s, t, why, why_size);
	if (err) {
		t->engine->detach(s, t);
		t->state = VIZ_TARGET_WANTED;
		goto release;
	}
	viz_custom_events__look(s->custom, t->pid, t->scope, 0);
	viz_debug(VIZ_LOG_LIFE, "pid %d: CPython %s, engine %s: %s", t->pid,
		  s->trace->processes[t->process].python, t->engine->name, reason);
	return 0;

release:
	viz_guardian__release(s->guardian, t->pid);
	return err;
}

void viz_session__prepare_new(struct viz_session *s, struct viz_target *t)
{
	char why[512];
	int err;

	if (t->state != VIZ_TARGET_WANTED)
		return;
	err = viz_session__prepare(s, t, why, sizeof(why));
	if (err == -ENOEXEC || err == -ESRCH)
		viz_debug(VIZ_LOG_LIFE, "%s", why);
	else if (err && !t->refused)
		viz_warn("%s", why);
	t->refused = err && err != -ENOEXEC && err != -ESRCH;
}

int viz_session__inherit(struct viz_session *s, struct viz_target *t, struct viz_target *parent)
{
	struct viz_procfs_status status;
	char why[256];
	int err;

	t->interp = parent->interp;
	t->interp.pid = t->pid;
	t->engine = parent->engine;
	t->in_startup = parent->in_startup;
	t->switches = parent->switches;
	t->slot_pending = parent->slot_pending;
	t->scope = parent->scope == -1 ? -1 : t->pid;
	/* Same memory, same code objects: what the parent's mean, the child's mean. */
	for (size_t i = 0; i < parent->codes.cap; i++)
		if (parent->codes.slots[i].used)
			viz_hash__set(&t->codes, parent->codes.slots[i].key,
				      parent->codes.slots[i].value & ~VIZ_CODE_OWN);
	t->forked_from = parent;
	t->forked = true;
	if (viz_entry__inherit(s, t, parent))
		return -ENOMEM;
	viz_guardian__hold(s->guardian, t->pid, why, sizeof(why));
	t->state = VIZ_TARGET_ACTIVE;
	err = t->engine->forked ? t->engine->forked(s, parent, t) : 0;
	if (err)
		viz_debug(VIZ_LOG_LIFE, "child %d of %d: %s", t->pid, parent->pid, strerror(-err));
	if (t->scope != -1)
		viz_custom_events__look(s->custom, t->pid, t->scope, 0);
	/* It may have ended already, or have given up its memory as the first step to that; what
	 * it did is in the ring all the same. */
	return err && !viz_procfs__status(t->pid, &status) && !status.kernel &&
			       status.state != 'Z' && status.state != 'X'
		       ? err
		       : 0;
}

void viz_session__instant(struct viz_session *s, uint32_t track, uint64_t ts, const char *name,
			  const char *args)
{
	struct viz_event event = {
		.type = VIZ_EVENT_INSTANT,
		.scope = 't',
		.track = track,
		.ts = ts,
		.name = name,
		.cat = "vizbpf",
		.args = args,
	};

	viz_session__event(s, &event);
}

int viz_session__event(void *ctx, const struct viz_event *event)
{
	struct viz_session *s = ctx;

	s->trace->events++;
	if (s->flight)
		s->err = s->err ?: viz_flight__event(s->flight, event);
	else if (s->writer->ops->event && !s->err)
		s->err = s->writer->ops->event(s->writer, event);
	return s->err;
}

/* Whether a thread is among --threads, by what is known of its name. */
static bool is_muted(const struct viz_session *s, const struct viz_thread_lane *lane)
{
	const char *name = s->trace->tracks[lane->track].name;
	char tid[16];

	if (!s->opt->threads)
		return false;
	snprintf(tid, sizeof(tid), "%d", lane->tid);
	for (char **t = s->opt->threads; *t; t++)
		if (!strcmp(*t, tid) || (name && !fnmatch(*t, name, 0)))
			return false;
	return true;
}

int viz_session__edge(struct viz_session *s, struct viz_thread_lane *lane,
		      const struct viz_edge *edge)
{
	if (edge->kind == VIZ_EDGE_ENTER && (s->paused || lane->muted))
		return 0;
	return viz_lane__edge(lane->lane, edge);
}

void viz_session__name_thread(struct viz_session *s, struct viz_thread_lane *lane, const char *name)
{
	char clean[256];

	viz_utf8__clean(clean, sizeof(clean), name, strnlen(name, 128));
	if (s->trace->tracks[lane->track].name &&
	    !strcmp(s->trace->tracks[lane->track].name, clean))
		return;
	viz_trace__set(s->trace, &s->trace->tracks[lane->track].name, clean);
	lane->muted = is_muted(s, lane);
	if (s->writer->ops->track && !s->err)
		s->err = s->writer->ops->track(s->writer, lane->track);
}

/* Programs can make functions without end, and some would on purpose. */
static bool has_too_many(const struct viz_target *t)
{
	return t->functions >= VIZ_FUNCTIONS_MAX;
}

static uint32_t further(struct viz_session *s)
{
	return viz_trace__func(s->trace, "(further functions)", "", 0);
}

uint32_t viz_session__func(struct viz_session *s, struct viz_target *t, const struct viz_code *code)
{
	uint32_t before = s->trace->nr_funcs;
	uint32_t func = has_too_many(t) ? further(s) : viz_code__func(s->trace, code);

	t->functions += s->trace->nr_funcs - before;
	return func;
}

uint32_t viz_session__named(struct viz_session *s, struct viz_target *t, const char *name)
{
	uint32_t before = s->trace->nr_funcs;
	uint32_t func = has_too_many(t) ? further(s) : viz_trace__func(s->trace, name, "", 0);

	t->functions += s->trace->nr_funcs - before;
	return func;
}

struct viz_thread_lane *viz_session__lane(struct viz_session *s, struct viz_target *t, pid_t tid)
{
	struct viz_thread_lane *lane;
	char name[64];
	uint32_t index;

	if (viz_hash__get(&s->by_tid, (uint64_t)tid, &index) && s->lanes[index].target == t)
		return &s->lanes[index];
	if (s->nr_lanes == s->cap_lanes) {
		uint32_t cap = s->cap_lanes ? s->cap_lanes * 2 : 64;

		lane = realloc(s->lanes, cap * sizeof(*lane));
		if (!lane)
			return NULL;
		s->lanes = lane;
		s->cap_lanes = cap;
	}
	/* a forked child may be about to execute something else: now it runs Python */
	viz_entry__tell(s, t);
	lane = &s->lanes[s->nr_lanes];
	*lane = (struct viz_thread_lane){.target = t, .tid = tid};
	lane->track = viz_trace__track(s->trace, t->process, (uint32_t)tid);
	if (lane->track == UINT32_MAX)
		return NULL;
	lane->lane = viz_timeline__lane(s->timeline, lane->track);
	if (!lane->lane || !viz_hash__set(&s->by_tid, (uint64_t)tid, s->nr_lanes))
		return NULL;
	s->nr_lanes++;
	s->lanes_made++;
	t->has_run = true;
	if (t->switches)
		viz_lane__switches(lane->lane);
	lane->muted = is_muted(s, lane);
	if (!viz_thread_name__get(t->pid, tid, name, sizeof(name)))
		viz_session__name_thread(s, lane, name);
	if (s->opt->threads)
		viz_live_names__threads(s->names, s, t);
	else
		viz_live_names__new_thread(s->names, t);
	return lane;
}

void viz_session__release_held(struct viz_session *s, struct viz_thread_lane *lane)
{
	struct viz_held held;

	if (!s->opt->filter.min_duration || !viz_probes__take_held(s->probes, lane->tid, &held))
		return;
	for (uint32_t i = 0; i < held.nr; i++) {
		const struct viz_held_call *c = &held.calls[i];
		struct viz_edge edge = {
			.kind = VIZ_EDGE_ENTER,
			.ts = c->ts,
			.flags = VIZ_ENTER_CHAIN,
			.sp = c->sp,
			.frame = c->frame,
			.caller = c->caller,
			.caller_func = UINT32_MAX,
		};

		if (viz_target__func(lane->target, c->code, &edge.func))
			viz_lane__edge(lane->lane, &edge);
	}
}

void viz_session__end_lane(struct viz_session *s, struct viz_thread_lane *lane, uint64_t ts)
{
	uint32_t index;

	viz_session__release_held(s, lane);
	viz_lane__close(lane->lane, ts);
	viz_custom_events__end_track(s->custom, lane->track, ts);
	lane->ended = true;
	s->ended++;
	free(lane->running);
	lane->running = NULL;
	if (viz_hash__get(&s->by_tid, (uint64_t)lane->tid, &index) && &s->lanes[index] == lane)
		viz_hash__remove(&s->by_tid, (uint64_t)lane->tid);
}

static void close_lanes(struct viz_session *s, struct viz_target *t, uint64_t ts)
{
	for (uint32_t i = 0; i < s->nr_lanes; i++) {
		struct viz_thread_lane *lane = &s->lanes[i];

		if (lane->target != t || lane->ended)
			continue;
		viz_session__end_lane(s, lane, ts);
	}
}

/* Calls of one thread that found the ring full since the last look. */
static void lose(struct viz_session *s, struct viz_thread_lane *lane, uint64_t lost, uint64_t ts)
{
	uint64_t more = lost - lane->lost;
	char args[64];

	if (lost <= lane->lost)
		return;
	lane->lost = lost;
	viz_lane__lost(lane->lane, ts, more);
	snprintf(args, sizeof(args), "{\"calls\":%llu}", (unsigned long long)more);
	viz_session__instant(s, lane->track, ts, "vizbpf: calls lost", args);
}

void viz_session__thread_lost(struct viz_session *s, struct viz_target *t, pid_t tid, uint64_t lost,
			      uint64_t ts)
{
	struct viz_thread_lane *lane = lost ? viz_session__lane(s, t, tid) : NULL;

	if (lane)
		lose(s, lane, lost, ts);
}

struct thread_losses {
	struct viz_session *s;
	struct viz_target *t;
};

static void on_thread_lost(void *ctx, pid_t tid, uint64_t lost)
{
	struct thread_losses *losses = ctx;

	viz_session__thread_lost(losses->s, losses->t, tid, lost, viz_session__now());
}

void viz_session__losses(struct viz_session *s, struct viz_target *t)
{
	struct thread_losses losses = {.s = s, .t = t};
	struct viz_process_info info;
	uint64_t more;

	if (viz_probes__get_process(s->probes, t->pid, &info) || info.lost_enter <= t->lost)
		return;
	more = info.lost_enter - t->lost;
	t->lost = info.lost_enter;
	s->trace->processes[t->process].lost += more;
	s->trace->lost += more;
	s->trace->overflow = true;
	viz_probes__thread_losses(s->probes, t->pid, on_thread_lost, &losses);
}

/* The next process of that number has other code at the same addresses. */
static void forget_codes(struct viz_session *s, struct viz_target *t)
{
	uint64_t *own = s->end_ts ? NULL : malloc((t->codes.nr + 1) * sizeof(*own));
	size_t nr = 0;

	for (size_t i = 0; own && i < t->codes.cap; i++)
		if (t->codes.slots[i].used && t->codes.slots[i].value & VIZ_CODE_OWN)
			own[nr++] = t->codes.slots[i].key;
	if (nr)
		viz_probes__forget_codes(s->probes, t->pid, own, nr);
	free(own);
	viz_hash__clear(&t->codes);
}

void viz_session__end_target(struct viz_session *s, struct viz_target *t, uint64_t ts, bool gone)
{
	if (t->state == VIZ_TARGET_ENDED)
		return;
	/* one that has executed something else has that one's name by now */
	if (gone)
		viz_live_names__last(s->names, s, t);
	if (t->state == VIZ_TARGET_ACTIVE) {
		viz_session__losses(s, t);
		if (t->engine->drain)
			while (t->engine->drain(s, t) > 0)
				;
		t->engine->detach(s, t);
		viz_guardian__release(s->guardian, t->pid);
		close_lanes(s, t, ts);
		viz_custom_events__end_process(s->custom, t->pid);
		forget_codes(s, t);
		t->lost = 0;
	}
	t->state = gone ? VIZ_TARGET_ENDED : VIZ_TARGET_WANTED;
	free(t->slots);
	t->slots = NULL;
	t->nr_slots = 0;
	t->stepped_back = 0;
	t->slot_pending = false;
	t->switches = false;
	if (!gone)
		return;
	viz_probes__forget_process(s->probes, t->pid);
	viz_hash__remove(&s->by_pid, (uint64_t)t->pid);
	s->nr_active--;
	s->ended++;
}

void viz_target__free(struct viz_target *t)
{
	viz_lives__drop_exits(t);
	viz_hash__clear(&t->codes);
	free(t->slots);
	free(t);
}

void viz_session__free_targets(struct viz_session *s)
{
	struct viz_target *t, *next;

	for (t = s->targets; t; t = next) {
		next = t->next;
		viz_target__free(t);
	}
	free(s->by_index);
	free(s->lanes);
	viz_hash__clear(&s->by_pid);
	viz_hash__clear(&s->by_tid);
}
