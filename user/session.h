/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One recording: its targets, its engines, its trace. session.c has the loop and the life of
 * targets, records.c what the rings bring.
 */
#ifndef VIZ_SESSION_H
#define VIZ_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/hash.h"
#include "engine/engine.h"
#include "engine/ring_budget.h"
#include "engine/stack_guard.h"
#include "guardian.h"
#include "options.h"
#include "output/writer.h"
#include "probes.h"
#include "trace/timeline.h"

enum { VIZ_RUNNING_MAX = 48 }; /* frames that ran before the first call of a thread */
#define VIZ_CODE_OWN 0x80000000u /* in viz_target.codes: told by the process, not inherited */
enum { VIZ_SLOTS_MAX = 64 }; /* interpreters of one process whose slot is set */

enum viz_target_state {
	VIZ_TARGET_WANTED, /* no interpreter seen in it yet */
	VIZ_TARGET_ACTIVE,
	VIZ_TARGET_ENDED,
};

/* For whom the probes on a file are. */
enum viz_scope {
	VIZ_SCOPE_UNKNOWN,
	VIZ_SCOPE_FILE, /* all that run it */
	VIZ_SCOPE_PROCESS, /* each target by itself: others run it too */
};

/* One traced process. After an exec it is the same target with another interpreter. */
struct viz_target {
	struct viz_target *next;
	uint32_t index; /* in viz_session.by_index */
	pid_t pid;
	uint64_t start_time;
	enum viz_target_state state;
	struct viz_interpreter interp;
	const struct viz_engine *engine;
	void *engine_data; /* the engine's own */
	struct viz_attachment *attachment;
	uint32_t process; /* index in the trace; UINT32_MAX: was never recorded */
	pid_t scope; /* where the probes are attached: pid, or -1: all that map the file */
	struct viz_hash codes; /* code object -> function, VIZ_CODE; viz_target__func() */
	uint32_t functions; /* that the trace did not know before */
	uint64_t lost; /* calls, as told so far */
	/* of engines with a drain: 0, or the time (ns) up to which its calls have been taken in;
	 * and the records that wait */
	uint64_t behind, waiting;
	struct viz_late_exit *exits; /* not yet acted on, by time: its calls are behind */
	struct viz_target *forked_from; /* until either becomes another program or ends, or NULL */
	bool forked; /* and has become no other program since */
	bool has_run; /* a thread of it was recorded */
	bool replaced; /* forked, and was another program already when that was seen */
	bool said; /* the writer was told of it */
	bool explicit_; /* named by -p: a failure is an error */
	bool in_startup; /* the interpreter's own start is left out */
	bool switches; /* greenlets */
	bool refused; /* said so already */
	uint64_t gone; /* since when there is no such process, ns; 0: there is */
	bool slot_pending; /* the interpreter is not up yet: set the slot at its first call */
	/* the PEP 523 slot, engine eval on 3.11+ */
	uint64_t *slots; /* addresses */
	unsigned int nr_slots;
	uint64_t stepped_back; /* since when the slot is clear, ns; 0: it is set */
	uint64_t step_backs;
};

/* A thread that is being recorded. */
struct viz_thread_lane {
	struct viz_lane *lane;
	struct viz_target *target;
	uint32_t track;
	pid_t tid;
	bool ended;
	bool muted; /* not among --threads */
	struct viz_edge *running; /* VIZ_RUNNING so far, innermost first */
	size_t nr_running;
	uint64_t lost; /* calls, as told so far */
};

struct viz_lives;
struct viz_live_names;
struct viz_loader_watch;

struct viz_session {
	struct viz_options *opt;
	struct viz_trace *trace;
	struct viz_timeline *timeline;
	struct viz_writer *writer;
	struct viz_guardian *guardian;
	struct viz_stack_guard stack_guard;
	struct viz_builds *builds;
	enum viz_scope scopes[VIZ_BUILDS_MAX]; /* by index of the build */
	bool forks_watched[VIZ_BUILDS_MAX]; /* fork_watch.h */
	struct viz_probes *probes;
	struct viz_lives *lives;
	struct viz_mmap_watch *watch;
	struct viz_live_names *names;
	struct viz_loader_watch *loaders;
	struct viz_custom_events *custom;
	struct viz_sources *sources; /* NULL: not wanted */
	struct viz_flight *flight; /* --tracer-entries; NULL: calls go to the writer at once */
	struct {
		uint64_t ts, due; /* of the moment; due 0: none is wanted */
		unsigned int nr; /* written */
		char reason[256];
	} snapshot;
	struct viz_ring_budget rings; /* of engine trampoline */
	int signals; /* signalfd */
	uint64_t ready; /* when everything was in place, ns */
	bool paused; /* --start-paused, SIGUSR2: no new calls */
	struct viz_target *targets;
	struct viz_hash by_pid; /* pid -> index into by_index */
	struct viz_target **by_index;
	uint32_t nr_index;
	struct viz_hash by_tid; /* tid -> index into lanes */
	struct viz_thread_lane *lanes;
	uint32_t nr_lanes, cap_lanes;
	uint64_t lanes_made; /* so far, those that are gone included */
	unsigned int ended; /* lanes and targets since the last sweep */
	unsigned int hurry; /* so many ticks are to come soon */
	uint64_t next_trim; /* ns; 0: nothing was swept since */
	unsigned int nr_active; /* targets in state ACTIVE or WANTED */
	uint64_t records, calls_before_tick;
	uint64_t next_flush; /* of the file, ns */
	int err; /* of the writer: stops the session */
	bool stop;
	uint64_t end_ts; /* records after it are not part of the trace */
};

/* Runs the whole recording; returns the exit status. */
int viz_session__run(struct viz_options *opt);

/* engine_choice.c */

/* The engine for @interp: the one asked for, or the first of the order of preference that can,
 * @without apart. NULL with the reasons in @why; when found, @why says why it is this one. */
const struct viz_engine *viz_session__choose(const struct viz_interpreter *interp,
					     const struct viz_engine *asked,
					     const struct viz_engine *without, char *why,
					     size_t why_size);

/* Warns that @next records @t instead of engine trampoline; of a reason that is known already only
 * for processes that were named. */
void viz_session__say_replaced(const struct viz_session *s, const struct viz_target *t,
			       const char *how, const char *reason, const struct viz_engine *next);

/* targets.c */

struct viz_target *viz_session__target(struct viz_session *s, pid_t pid);
struct viz_target *viz_session__add_target(struct viz_session *s, pid_t pid);
/* @t is a child of @parent, just forked: everything about it is as in its parent. */
int viz_session__inherit(struct viz_session *s, struct viz_target *t, struct viz_target *parent);
/* Looks for the interpreter and attaches. 0; -ENOEXEC: not (yet) Python; -errno. */
int viz_session__prepare(struct viz_session *s, struct viz_target *t, char *why, size_t why_size);
/* The same for a process that has just become another program: held where that is needed to
 * lose nothing; says itself what is wrong. */
void viz_session__prepare_new(struct viz_session *s, struct viz_target *t);
/* The process ended, or became another program, at @ts. */
void viz_session__end_target(struct viz_session *s, struct viz_target *t, uint64_t ts, bool gone);
/* The function of the code object at @code; false: its name was not told. */
static inline bool viz_target__func(const struct viz_target *t, uint64_t code, uint32_t *func)
{
	if (!viz_hash__get(&t->codes, code, func))
		return false;
	*func &= ~VIZ_CODE_OWN;
	return true;
}
/* Frees one that is in no list any more. */
void viz_target__free(struct viz_target *t);
struct viz_thread_lane *viz_session__lane(struct viz_session *s, struct viz_target *t, pid_t tid);
/* Gives the thread's track a name; @name is not trusted. */
void viz_session__name_thread(struct viz_session *s, struct viz_thread_lane *lane,
			      const char *name);
/* One edge of an engine: what the session leaves out (paused, --threads) goes no further. */
int viz_session__edge(struct viz_session *s, struct viz_thread_lane *lane,
		      const struct viz_edge *edge);
/* The thread ended, or its recording does: what is open is closed. */
void viz_session__end_lane(struct viz_session *s, struct viz_thread_lane *lane, uint64_t ts);
/* The function that a code object of @t is, or a name without a file; its index in the trace. After
 * VIZ_FUNCTIONS_MAX new ones of one target all others are one. UINT32_MAX: no memory. */
enum { VIZ_FUNCTIONS_MAX = 1 << 18 };
uint32_t viz_session__func(struct viz_session *s, struct viz_target *t,
			   const struct viz_code *code);
uint32_t viz_session__named(struct viz_session *s, struct viz_target *t, const char *name);
/* Open calls that the BPF programs hold back are open calls of the timeline from here on. */
void viz_session__release_held(struct viz_session *s, struct viz_thread_lane *lane);
/* Calls that were lost since the last look: counted, and shown where it happened. */
void viz_session__losses(struct viz_session *s, struct viz_target *t);
/* Thread @tid has lost @lost calls in all. */
void viz_session__thread_lost(struct viz_session *s, struct viz_target *t, pid_t tid, uint64_t lost,
			      uint64_t ts);
/* Frees what is kept of targets and lanes. */
void viz_session__free_targets(struct viz_session *s);
/* An instant on a thread's track; @args: a JSON object or NULL. */
void viz_session__instant(struct viz_session *s, uint32_t track, uint64_t ts, const char *name,
			  const char *args);
/* Any event, to the writer or the flight recorder; ctx is the session. 0 or -errno. */
int viz_session__event(void *ctx, const struct viz_event *event);
/* CLOCK_MONOTONIC, ns. */
uint64_t viz_session__now(void);

/* records.c: viz_record_fn; ctx is the session. */
int viz_records__handle(void *ctx, const void *record, size_t size);
#endif
