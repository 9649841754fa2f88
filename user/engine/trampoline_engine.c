// SPDX-License-Identifier: Apache-2.0
/*
 * Engine trampoline as the session knows it: edges go to lanes, refusals to
 * another engine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../entry.h"
#include "../output/json.h"
#include "../session.h"
#include "../target/process_maps.h"
#include "../target/procfs.h"
#include "../trace/code_names.h"
#include "interpreter_watch.h"
#include "trampoline.h"

enum { EXCEPTIONS_MAX = 1 << 16 };

enum { LATE_TICKS = 50 }; /* five seconds: by then an interpreter has begun */

/* What hangs on a target. */
struct recording {
	struct viz_session *s;
	struct viz_target *t;
	struct viz_trampoline *tramp; /* NULL: the interpreter is not up yet */
	struct viz_hash tids; /* as the target sees them -> outside */
	size_t startup_depth;
	struct viz_interpreter_watch watch;
	unsigned int ticks;
	bool switches;
	bool past_end; /* what comes now is not part of the trace any more */
	const char **exceptions; /* names, of the trace */
	uint32_t nr_exceptions;
};

static int can(struct viz_session *s, const struct viz_interpreter *interp, char *why,
	       size_t why_size)
{
	(void)s;
	return viz_trampoline__can(interp, why, why_size);
}

/* ---- threads ---- */

static void learn_tids(struct recording *r)
{
	static struct viz_procfs_task tasks[8192];
	int nr = viz_procfs__tasks(r->t->pid, tasks, 8192);

	for (int i = 0; i < nr; i++)
		viz_hash__set(&r->tids, (uint64_t)tasks[i].ns_tid, (uint32_t)tasks[i].tid);
}

static struct viz_thread_lane *lane_of(struct recording *r, uint32_t own)
{
	const struct viz_process *p = &r->s->trace->processes[r->t->process];
	uint32_t tid = own;

	if (p->ns_pid && p->ns_pid != p->pid && !viz_hash__get(&r->tids, own, &tid)) {
		learn_tids(r);
		/* it may be over already: then it keeps the number it had inside */
		if (!viz_hash__get(&r->tids, own, &tid))
			viz_hash__set(&r->tids, own, tid);
	}
	return viz_session__lane(r->s, r->t, (pid_t)tid);
}

/* ---- the sink ---- */

static int on_code(void *ctx, const struct viz_code *code, uint32_t *func)
{
	struct recording *r = ctx;

	*func = viz_code__func(r->s->trace, code);
	return *func == UINT32_MAX ? -ENOMEM : 0;
}

static enum viz_verdict judge(void *ctx, uint32_t func)
{
	struct recording *r = ctx;

	/* where the program's own code begins is seen by the edges */
	return r->t->in_startup
		       ? VIZ_VERDICT_UNKNOWN
		       : viz_filter__verdict(&r->s->opt->filter, &r->s->trace->funcs[func]);
}

static int on_name(void *ctx, const char *name, bool exception, uint32_t *index)
{
	struct recording *r = ctx;
	const char **grown;

	if (exception && r->nr_exceptions == EXCEPTIONS_MAX)
		return 0;
	if (!exception) {
		*index = viz_trace__func(r->s->trace, name, "", 0);
		return *index == UINT32_MAX ? -ENOMEM : 0;
	}
	grown = realloc(r->exceptions, (r->nr_exceptions + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	r->exceptions = grown;
	grown[r->nr_exceptions] = viz_trace__string(r->s->trace, name);
	if (!grown[r->nr_exceptions])
		return -ENOMEM;
	*index = r->nr_exceptions++;
	return 0;
}

/* The program's own code begins with the first outermost call that is not the import
 * system's: __main__, or runpy for -m. */
static bool is_main(const struct recording *r, uint32_t func)
{
	const struct viz_func *f = &r->s->trace->funcs[func];

	return !strcmp(f->name, "_run_module_as_main") ||
	       (!strcmp(f->name, "<module>") && strncmp(f->file, "<frozen ", 8));
}

static bool still_starting(struct recording *r, const struct viz_edge *e)
{
	if (e->kind == VIZ_EDGE_LEAVE) {
		if (r->startup_depth)
			r->startup_depth--;
		return true;
	}
	if (e->flags & VIZ_ENTER_CHAIN && !e->caller)
		r->startup_depth = 0;
	if (!r->startup_depth++ && is_main(r, e->func))
		r->t->in_startup = false;
	return r->t->in_startup;
}

static int on_edges(void *ctx, uint32_t tid, const struct viz_edge *edges, size_t nr)
{
	struct recording *r = ctx;
	struct viz_thread_lane *lane = NULL;
	int err = 0;

	for (size_t i = 0; i < nr && !err; i++) {
		if (r->t->in_startup && still_starting(r, &edges[i]))
			continue;
		if (r->s->end_ts && edges[i].ts > r->s->end_ts) {
			r->past_end = true;
			break;
		}
		if (!lane)
			lane = lane_of(r, tid);
		err = lane ? viz_lane__edge(lane->lane, &edges[i]) : -ENOMEM;
	}
	return err;
}

static int on_running(void *ctx, uint32_t tid, uint64_t ts, const struct viz_edge *frames,
		      size_t nr)
{
	struct recording *r = ctx;
	struct viz_thread_lane *lane;

	if (r->t->in_startup && nr && is_main(r, frames[0].func))
		r->t->in_startup = false;
	if (r->t->in_startup) {
		r->startup_depth = nr;
		return 0;
	}
	lane = lane_of(r, tid);
	return lane ? viz_lane__running(lane->lane, ts, frames, nr) : -ENOMEM;
}

static void on_lost(void *ctx, uint32_t tid, uint64_t ts, uint64_t enters, uint64_t leaves)
{
	struct recording *r = ctx;
	struct viz_thread_lane *lane = lane_of(r, tid);
	char args[96];

	if (!lane)
		return;
	viz_lane__lost(lane->lane, ts, enters);
	snprintf(args, sizeof(args), "{\"calls\":%llu,\"ends\":%llu}", (unsigned long long)enters,
		 (unsigned long long)leaves);
	viz_session__instant(r->s, lane->track, ts, "vizbpf: calls lost", args);
}

static void on_gap(void *ctx, uint32_t tid, uint64_t ts, bool begins)
{
	struct recording *r = ctx;
	struct viz_thread_lane *lane = lane_of(r, tid);

	if (begins)
		r->t->step_backs++;
	if (lane)
		viz_session__instant(r->s, lane->track, ts,
				     begins ? "vizbpf: deep recursion, recording pauses"
					    : "vizbpf: recording goes on",
				     NULL);
}

static int on_raised(void *ctx, uint32_t tid, uint64_t ts, uint32_t index)
{
	struct recording *r = ctx;
	struct viz_thread_lane *lane;
	const char *type;
	char name[300], args[6 * 260 + 32], *end;

	if (index >= r->nr_exceptions || r->t->in_startup || (r->s->end_ts && ts > r->s->end_ts))
		return 0;
	lane = lane_of(r, tid);
	if (!lane)
		return -ENOMEM;
	if (viz_lane__hides(lane->lane))
		return 0;
	type = r->exceptions[index];
	snprintf(name, sizeof(name), "raise %s", type);
	end = stpcpy(args, "{\"exception\":\"");
	end = viz_json__escape(end, type, strnlen(type, 259));
	strcpy(end, "\"}");
	viz_session__instant(r->s, lane->track, ts, name, args);
	return 0;
}

static struct viz_trampoline_sink sink_of(struct recording *r)
{
	return (struct viz_trampoline_sink){.ctx = r,
					    .code = on_code,
					    .judge = judge,
					    .edges = on_edges,
					    .running = on_running,
					    .lost = on_lost,
					    .name = on_name,
					    .raised = on_raised,
					    .gap = on_gap};
}

static void count_losses(struct recording *r)
{
	uint64_t enters, leaves, more;

	viz_trampoline__losses(r->tramp, &enters, &leaves);
	if (enters <= r->t->lost)
		return;
	more = enters - r->t->lost;
	r->t->lost = enters;
	r->s->trace->processes[r->t->process].lost += more;
	r->s->trace->lost += more;
	r->s->trace->overflow = true;
}

/* ---- greenlets ---- */

static int is_greenlet(const struct viz_map *map, void *ctx)
{
	(void)ctx;
	return map->exec && strstr(map->path, "/_greenlet.") ? 1 : 0;
}

/* The extension that switches C stacks, for gevent, eventlet and others. The name is the
 * target's to choose: a wrong one spoils nothing but how its own calls are laid out. */
static void look_for_greenlets(struct recording *r)
{
	struct viz_session *s = r->s;

	if (!r->t->switches && viz_maps__each(r->t->pid, is_greenlet, NULL) == 1) {
		r->t->switches = true;
		for (uint32_t i = 0; i < s->nr_lanes; i++)
			if (s->lanes[i].target == r->t)
				viz_lane__switches(s->lanes[i].lane);
	}
	if (r->t->switches && !r->switches && r->tramp) {
		r->switches = true;
		viz_trampoline__switches(r->tramp);
	}
}

/* ---- the engine ---- */

/* Forks, exits, custom events, new interpreters come from the kernel; calls do not. */
static int watch_process(struct viz_session *s, struct viz_target *t)
{
	const struct viz_build *b = t->interp.build;
	unsigned int index = viz_builds__index(s->builds, b);
	struct viz_process_info info = {
		.build = index,
		.bias = t->interp.bias,
		.flags = VIZ_PROC_ACTIVE | VIZ_PROC_INSIDE |
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

static int try_attach(struct recording *r, char *why, size_t why_size)
{
	struct viz_trampoline_params params = {
		.ring_size = r->s->opt->ring_size & (r->s->opt->ring_size - 1)
				     ? 0
				     : r->s->opt->ring_size,
		.follow = r->s->opt->select.follow,
		.min_duration = r->s->opt->filter.min_duration,
		.max_depth = r->s->opt->filter.max_depth,
		.judges = r->s->opt->filter.any,
		.c_functions = r->s->opt->c_functions,
		.exceptions = r->s->opt->log_exception,
		.guardian = r->s->guardian,
		.told = r->t->attachment != NULL,
	};

	return viz_trampoline__attach(&r->tramp, &r->t->interp, &params, why, why_size);
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

void viz_engine__say_missing(struct viz_session *s, struct viz_target *t)
{
	bool tells = viz_trampoline__tells_more(&t->interp);
	struct viz_process *p = &s->trace->processes[t->process];
	const char *what = !s->opt->log_exception ? "C functions"
			   : s->opt->c_functions  ? "C functions and raised exceptions"
						  : "raised exceptions";
	char text[512];

	if ((!s->opt->c_functions && !s->opt->log_exception) ||
	    (tells && t->engine == &viz_engine_trampoline))
		return;
	viz_warn("pid %d: %s are not recorded: %s", t->pid, what,
		 tells ? "only engine trampoline can" : "CPython tells of them from 3.12 on");
	snprintf(text, sizeof(text), "%s%s%s are not seen", p->limits ? p->limits : "",
		 p->limits && p->limits[0] ? "; " : "", what);
	p->limits = viz_trace__string(s->trace, text);
}

static int attach(struct viz_session *s, struct viz_target *t, char *why, size_t why_size)
{
	struct recording *r = new_recording(s, t);
	int err;

	if (!r)
		return -ENOMEM;
	err = watch_process(s, t);
	if (err)
		return viz_why(why, why_size, err, "cannot attach to pid %d: %s", t->pid,
			       strerror(-err));
	look_for_greenlets(r);
	err = try_attach(r, why, why_size);
	if (is_refusal(err))
		return fall_back(s, t, why);
	/* a program that is being started: its first call is waited for */
	if (err == -EAGAIN) {
		viz_interpreter_watch__expect(&r->watch);
		err = 0;
	}
	return err;
}

static void detach(struct viz_session *s, struct viz_target *t)
{
	struct recording *r = t->engine_data;
	const struct viz_trampoline_sink sink = sink_of(r);

	if (r)
		viz_interpreter_watch__end(&r->watch);
	viz_probes__drop_process(s->probes, t->pid);
	viz_probes__detach(s->probes, t->attachment);
	t->attachment = NULL;
	if (!r)
		return;
	if (r->tramp) {
		viz_trampoline__detach(r->tramp);
		while (!r->past_end && viz_trampoline__drain(r->tramp, &sink) > 0)
			;
		viz_trampoline__tell_losses(r->tramp, &sink);
		count_losses(r);
		viz_trampoline__free(r->tramp);
	}
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
	err = child->replaced ? 0 : watch_process(s, child);
	if (!err && from && from->tramp)
		err = viz_trampoline__forked(&r->tramp, from->tramp, &child->interp);
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
	viz_warn("pid %d: engine trampoline does not work there (%s), %s takes over", t->pid, text,
		 next->name);
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
	const struct viz_trampoline_sink sink = sink_of(r);
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
	count_losses(r);
	if (s->end_ts)
		return nr;
	if (viz_trampoline__state(r->tramp) == VIZ_TRAMPOLINE_REFUSED) {
		fall_back(s, t, viz_trampoline__why(r->tramp));
		return 0;
	}
	return nr;
}

static void interpreter(struct viz_session *s, struct viz_target *t, const struct viz_guard *rec)
{
	struct recording *r = t->engine_data;
	char why[256];

	if (!r)
		return;
	viz_debug(VIZ_LOG_LIFE, "pid %d: interpreter 0x%llx: record %u, %s", t->pid,
		  (unsigned long long)rec->interp, rec->head.kind,
		  rec->stopped ? "it waits" : "it goes on");
	viz_interpreter_watch__told(&r->watch, rec);
	if (rec->head.kind == VIZ_SLOT_EMPTY && r->tramp)
		viz_trampoline__begins(r->tramp, rec->interp);
	else if (rec->head.kind == VIZ_SLOT_EMPTY && is_refusal(try_attach(r, why, sizeof(why))))
		fall_back(s, t, why);
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
	if (r->ticks % 10 == 1)
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
