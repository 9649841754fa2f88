// SPDX-License-Identifier: Apache-2.0
/* What engine trampoline reads becomes part of the trace: edges go to lanes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../output/json.h"
#include "../target/procfs.h"
#include "../trace/code_names.h"
#include "trampoline_recording.h"

enum {
	EXCEPTIONS_MAX = 1 << 16,
	LANES_MAX = 1 << 17, /* beyond, only for threads that are seen to be there */
};

static void learn_tids(struct recording *r)
{
	static struct viz_procfs_task tasks[8192];
	int nr = viz_procfs__tasks(r->t->pid, tasks, 8192);

	for (int i = 0; i < nr; i++)
		viz_hash__set(&r->tids, (uint64_t)tasks[i].ns_tid, (uint32_t)tasks[i].tid);
}

/* The target can say that its records are of any thread: of another process's, whose part of the
 * trace is none of its business, or of millions that never were. @inside: it may be the number in
 * a pid namespace. */
static bool is_own(const struct recording *r, uint32_t tid, bool inside)
{
	const struct viz_session *s = r->s;
	uint32_t index;
	char path[64];

	if (viz_hash__get(&s->by_tid, tid, &index))
		return s->lanes[index].target == r->t;
	snprintf(path, sizeof(path), "/proc/%d/task/%u", r->t->pid, tid);
	if (!access(path, F_OK))
		return true;
	if (s->nr_lanes >= LANES_MAX)
		return false;
	/* one that has ended: unless it is somebody's who lives */
	snprintf(path, sizeof(path), "/proc/%u", tid);
	return inside || access(path, F_OK);
}

static struct viz_thread_lane *lane_of(struct recording *r, uint32_t own)
{
	const struct viz_process *p = &r->s->trace->processes[r->t->process];
	bool inside = p->ns_pid && p->ns_pid != p->pid;
	uint32_t tid = own;

	if (inside && !viz_hash__get(&r->tids, own, &tid)) {
		learn_tids(r);
		/* it may be over already: then it keeps the number it had inside */
		if (!viz_hash__get(&r->tids, own, &tid))
			viz_hash__set(&r->tids, own, tid);
	}
	return viz_session__lane(r->s, r->t, is_own(r, tid, inside) ? (pid_t)tid : r->t->pid);
}

static int on_code(void *ctx, const struct viz_code *code, uint32_t *func)
{
	struct recording *r = ctx;

	*func = viz_session__func(r->s, r->t, code);
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
		*index = viz_session__named(r->s, r->t, name);
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
		err = lane ? viz_session__edge(r->s, lane, &edges[i]) : -ENOMEM;
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
	if (!lane)
		return -ENOMEM;
	return lane->muted ? 0 : viz_lane__running(lane->lane, ts, frames, nr);
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
	if (r->s->paused || lane->muted || viz_lane__hides(lane->lane))
		return 0;
	type = r->exceptions[index];
	snprintf(name, sizeof(name), "raise %s", type);
	end = stpcpy(args, "{\"exception\":\"");
	end = viz_json__escape(end, type, strnlen(type, 259));
	strcpy(end, "\"}");
	viz_session__instant(r->s, lane->track, ts, name, args);
	return 0;
}

struct viz_trampoline_sink viz_recording__sink(struct recording *r)
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

void viz_recording__count_losses(struct recording *r)
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
