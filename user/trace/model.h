/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a trace consists of, between the engines and the writers, and between a file
 * that is read and the commands that look at it. Nobody on this side of the header
 * knows where the records came from.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC; in a trace that is read from a file, of the file's
 * clock. The index of a function is stable for the life of the trace; that of a process or a
 * track until it ends (viz_trace__end_process(), _end_track()), and another's afterwards.
 */
#ifndef VIZ_MODEL_H
#define VIZ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A function, once per (name, file, line). Strings are valid UTF-8, owned by the trace. */
struct viz_func {
	const char *name; /* qualified name, or "builtins.len" for a C function */
	const char *file; /* "" for a C function */
	uint32_t line; /* of the definition; 0: unknown */
	uint32_t user; /* free for the writer: 0 at first */
};

/* A process, and how it was observed. Strings may be NULL when unknown. */
struct viz_process {
	uint32_t pid; /* in the namespace of vizbpf */
	uint32_t ns_pid; /* in its own pid namespace; 0: unknown */
	uint32_t parent; /* 0: unknown */
	uint32_t id; /* no other process of the trace has, or had, this number */
	uint32_t place; /* where its source files are: a number of who reads them; 0: unknown */
	const char *name; /* "python3 app.py": what a person calls it */
	const char *cmdline;
	const char *exe;
	const char *python; /* "3.11.2" */
	const char *engine; /* "usdt", "eval", "trampoline", ... */
	const char *engine_why;
	const char *limits; /* known gaps for this process, "" if none */
	const char *container; /* name or short id */
	const char *image;
	const char *cgroup;
	uint64_t calls; /* recorded */
	uint64_t ended_calls; /* of these, on tracks that have ended */
	uint64_t lost; /* calls lost */
	bool hidden; /* left out: it turned out not to run Python; or nothing is at this index */
};

/* A track: a thread, or an asyncio task or other lane of its own. */
struct viz_track {
	uint32_t process; /* index */
	uint32_t pid;
	uint32_t tid; /* of the thread, or the number invented for the lane */
	uint32_t id; /* no other track of the trace has, or had, this number */
	bool gone; /* nothing is at this index */
	const char *name; /* NULL: unknown so far */
	uint64_t calls;
	uint64_t lost;
};

enum viz_call_flag {
	VIZ_CALL_UNFINISHED = 1, /* still open at the end; dur is up to the end */
	VIZ_CALL_RUNNING = 2, /* had begun before recording did: begin is not the true one */
	VIZ_CALL_RAISED = 4, /* ended by an exception */
	VIZ_CALL_LOST_BEGIN = 8, /* its begin record was lost: begin is a bound */
	VIZ_CALL_LOST_END = 16, /* its end record was lost: end is a bound */
	VIZ_CALL_INFERRED = 32, /* seen only through its callee (an escape of the engine) */
	VIZ_CALL_C = 64, /* a C function */
};

/* What the flags but the last are called in a trace file. */
enum { VIZ_CALL_MARKS = 6 };
extern const struct viz_call_mark {
	uint32_t flag;
	const char *name;
} viz_call_marks[VIZ_CALL_MARKS];

/* A completed call. 32 bytes; calls arrive in order of completion within a track. */
struct viz_call {
	uint64_t begin;
	uint64_t dur;
	uint32_t func; /* index */
	uint32_t track; /* index */
	uint32_t flags; /* enum viz_call_flag */
	uint32_t args; /* 0: none, else 1 + index into the trace's args texts (JSON members
				 * without the braces, such as "\"return_value\":\"3\"") */
};

enum viz_event_type {
	VIZ_EVENT_INSTANT, /* scope 't', 'p' or 'g' */
	VIZ_EVENT_COUNTER,
	VIZ_EVENT_SLICE, /* begin at ts, dur */
	VIZ_EVENT_ASYNC_BEGIN,
	VIZ_EVENT_ASYNC_END,
	VIZ_EVENT_FLOW_START,
	VIZ_EVENT_FLOW_STEP,
	VIZ_EVENT_FLOW_END,
	VIZ_EVENT_OBJECT_NEW,
	VIZ_EVENT_OBJECT_SNAPSHOT,
	VIZ_EVENT_OBJECT_DELETE,
};

/* Anything that is not a call. Strings live only as long as the writer's call. */
struct viz_event {
	enum viz_event_type type;
	char scope;
	uint32_t track; /* index */
	uint64_t ts, dur;
	uint64_t id;
	const char *name; /* UTF-8 */
	const char *cat; /* may be NULL */
	const char *args; /* a complete JSON object, or NULL */
};

/* The tables of a trace, filled as things become known. */
struct viz_trace {
	struct viz_func *funcs;
	uint32_t nr_funcs;
	struct viz_process *processes;
	uint32_t nr_processes;
	struct viz_track *tracks;
	uint32_t nr_tracks;
	const char **args;
	uint32_t nr_args;
	/* facts of the whole trace */
	const char *version; /* of vizbpf */
	const char *command; /* its command line */
	const char *host, *kernel;
	uint64_t begin, end; /* of recording */
	int64_t realtime_offset; /* CLOCK_REALTIME at time 0: baseTimeNanoseconds */
	uint64_t monotonic_zero; /* CLOCK_MONOTONIC at time 0: not 0 in what comes from a file */
	bool overflow; /* something was lost or evicted */
	uint64_t calls, events, lost;
	struct viz_ended *ended; /* what is known of those that have ended (output/ended.h); NULL */
	struct viz_trace_private *priv;
};

struct viz_trace *viz_trace__new(void);
void viz_trace__free(struct viz_trace *trace);

/* Index of the function, added when new. Strings are copied; invalid UTF-8 is replaced.
 * Hashed: cheap for a known one. Returns UINT32_MAX when out of memory. */
uint32_t viz_trace__func(struct viz_trace *trace, const char *name, const char *file,
			 uint32_t line);
/* A new process or track; returns its index, UINT32_MAX when out of memory. */
uint32_t viz_trace__process(struct viz_trace *trace, uint32_t pid);
uint32_t viz_trace__track(struct viz_trace *trace, uint32_t process, uint32_t tid);
/* Sets the calls of each process to the sum of its tracks'. */
void viz_trace__sum_calls(struct viz_trace *trace);
/* Their indexes are free for others: no call that is held somewhere names them. The tracks of a
 * process end before it does. */
void viz_trace__end_track(struct viz_trace *trace, uint32_t track);
void viz_trace__end_process(struct viz_trace *trace, uint32_t process);
/* Everything about @process but its number is as in @other, its parent; it has no calls. */
void viz_trace__like(struct viz_trace *trace, uint32_t process, uint32_t other);
/* A text for a process or a track, in the trace's memory until that ends; NULL when out of
 * memory (or for NULL). Equal ones are one. */
const char *viz_trace__string(struct viz_trace *trace, const char *text);
/* Puts that at @place instead of what is there, which is forgotten. False: out of memory,
 * nothing has changed. */
bool viz_trace__set(struct viz_trace *trace, const char **place, const char *text);
/* Adds an args text for struct viz_call.args; returns 1 + index, 0 when out of memory. */
uint32_t viz_trace__args(struct viz_trace *trace, const char *json_members);
/* Forgets all args texts: the calls that name them have been written, and no call that is
 * held somewhere names one. Keeps the memory of a long trace bounded. */
void viz_trace__forget_args(struct viz_trace *trace);

#endif
