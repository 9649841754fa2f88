/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-process recorder: one per process, all state under the GIL of the interpreter that
 * started it. Hooks feed edges, edges become completed calls, calls go into chunks of their
 * thread, and a budget of chunks bounds the memory.
 */
#ifndef VIZ_EXT_RECORDER_H
#define VIZ_EXT_RECORDER_H

#include "clock.h"
#include "module.h"

enum viz_record_flag {
	VIZ_REC_C = 1, /* a C function */
	VIZ_REC_RAISED = 2, /* ended by an exception */
	VIZ_REC_OPEN = 4, /* still running when recording stopped: begin only */
	VIZ_REC_EVENT = 8, /* not a call: the text is a part of an event, see save.c */
};

/* One completed call or event. 32 bytes. */
struct viz_record {
	uint64_t begin, end; /* ticks of clock.h */
	uint32_t func; /* index into viz_recorder.funcs */
	uint32_t text; /* 0: none, else 1 + offset into the chunk's texts */
	uint32_t lane; /* 0: the thread, else an asyncio task */
	uint32_t flags; /* enum viz_record_flag */
};

/* A thread's first chunk is small: a program may start thousands that do little. */
enum { VIZ_CHUNK_FIRST = 64, VIZ_CHUNK_RECORDS = 2048 };

struct viz_chunk {
	struct viz_chunk *next; /* younger, or in the list of free ones */
	struct viz_record *records;
	uint32_t nr, cap; /* cap below VIZ_CHUNK_RECORDS: records are malloc'ed, else in a slab */
	char *texts; /* JSON, NUL-terminated pieces */
	uint32_t texts_len, texts_cap;
};

enum viz_frame_flag {
	VIZ_FRAME_HIDDEN = 1, /* rejected, or below a rejected one */
	VIZ_FRAME_C = 2,
	VIZ_FRAME_SHIELD = 4, /* what it calls is shown although it is hidden */
};

/* An open call. */
struct viz_frame {
	const void *key; /* the code object, or the callable of a C function */
	uint64_t begin;
	char *args; /* malloc'ed JSON members, or NULL */
	uint32_t func;
	uint32_t lane;
	uint32_t flags; /* enum viz_frame_flag */
};

struct viz_thread {
	struct viz_thread *next;
	struct viz_frame *top, *base, *limit; /* top: one past the innermost */
	struct viz_record *at, *end; /* room in the newest chunk */
	struct viz_chunk *newest, *oldest;
	uint32_t nr_chunks;
	uint32_t cap; /* records that the chunks have room for */
	bool ended; /* seen to be gone, when memory was short */
	uint32_t tid;
	uint32_t name_tries; /* look-ups of the name that are left */
	int busy; /* our own code runs, or the thread is paused: no records */
	uint32_t depth_base; /* open calls that do not count against max_depth */
	const void *raised; /* the exception that was shown last: compared, never used */
	uint64_t calls, evicted, lost;
	char name[64]; /* "" if unknown */
};

/* A function that was seen. */
struct viz_func {
	char *name; /* JSON-escaped "name (file:line)" or "module.name" */
	uint32_t name_len;
	uint32_t line;
	uint32_t code_flags; /* co_flags */
	PyObject *code; /* strong; NULL for C functions */
	PyObject *arg_names; /* tuple, made at first need */
};

/* What an object means: code objects and callables, by address. Keys are kept alive. */
struct viz_known {
	const void *key;
	uint32_t func;
	uint32_t verdict; /* enum viz_verdict */
};

enum viz_verdict { VIZ_SHOW = 0, VIZ_HIDE = 1, VIZ_SKIP = 2 };

struct viz_lane {
	const void *task;
	PyObject *name; /* str, strong */
	uint32_t tid;
};

struct viz_recorder {
	bool running;
	enum viz_how { VIZ_BY_MONITORING, VIZ_BY_PROFILE, VIZ_BY_EVAL } how;
	int tool; /* of sys.monitoring */
	unsigned int generation; /* changes when all threads are forgotten */
	uint32_t pid;
	struct viz_module *module; /* of the interpreter that records */
	void *interpreter; /* the only one that may record in this process */
	/* options */
	long max_depth; /* -1: no limit */
	uint64_t min_ticks;
	bool with_c, no_frozen, log_args, log_retval, log_async, log_exception;
	PyObject *include, *exclude; /* tuples of str, or NULL */
	PyObject *own_path; /* str: our files, never shown */
	PyObject *repr; /* the user's, or NULL */
	PyObject *active_threads; /* threading._active */
	PyObject *function_type, *method_type;
	PyObject *current_task; /* asyncio.tasks.current_task, once imported */
	/* what was recorded */
	struct viz_thread *threads;
	struct viz_chunk *free_chunks;
	void **slabs;
	uint32_t nr_slabs;
	uint64_t cap, max_cap; /* records that all chunks have room for */
	uint64_t evicted; /* records dropped for younger ones */
	uint64_t texts_bytes, texts_max, texts_dropped;
	struct viz_func *funcs;
	uint32_t nr_funcs, cap_funcs;
	struct viz_known *known;
	uint32_t nr_known, cap_known; /* cap: a power of two */
	PyObject *kept; /* list that keeps keys alive */
	struct viz_lane *lanes;
	uint32_t nr_lanes;
	struct viz_clock_mark first; /* of the clock, when recording began */
};

extern struct viz_recorder viz_recorder;

/* The calling thread's, made at first use; NULL when out of memory. */
struct viz_thread *viz_thread__new(void);
struct viz_tls {
	struct viz_thread *thread;
	unsigned int generation;
};
extern __thread struct viz_tls viz_tls __attribute__((tls_model("initial-exec")));

static inline struct viz_thread *viz_thread__current(void)
{
	if (__builtin_expect(viz_tls.generation == viz_recorder.generation && viz_tls.thread, 1))
		return viz_tls.thread;
	return viz_thread__new();
}

/* threads.c */
/* Room for one more record; NULL (counted) when there is none. */
struct viz_record *viz_thread__record(struct viz_thread *t);
/* Keeps @text beside the record that was just made; 0 when there is no room for it. */
uint32_t viz_thread__text(struct viz_thread *t, const char *text);
/* One try to find out what Python calls the thread. */
void viz_thread__look_for_name(struct viz_thread *t);
/* Makes the count of the chunk that is being written to true. */
void viz_thread__settle(struct viz_thread *t);

/* names.c */
const struct viz_known *viz_names__code(PyObject *code);
const struct viz_known *viz_names__callable(PyObject *callable);
void viz_names__clear(void);

static inline const struct viz_known *viz_names__find(const void *key)
{
	uint32_t mask = viz_recorder.cap_known - 1;
	uint32_t i = (uint32_t)(((uintptr_t)key >> 4) * 0x9e3779b1u) >> 7 & mask;

	while (viz_recorder.known[i].key != key) {
		if (!viz_recorder.known[i].key)
			return NULL;
		i = (i + 1) & mask;
	}
	return &viz_recorder.known[i];
}

/* recorder.c: edges */
void viz_edge__enter(struct viz_thread *t, PyObject *code);
void viz_edge__leave(struct viz_thread *t, PyObject *code, PyObject *result, bool raised);
void viz_edge__c_enter(struct viz_thread *t, PyObject *callable);
void viz_edge__c_leave(struct viz_thread *t, PyObject *callable, bool raised);
/* An exception appeared, or was caught, in the running function. */
void viz_edge__exception(struct viz_thread *t, PyObject *exception, bool caught);
/* Any other event: @text holds its JSON members (without pid, tid and ts). */
void viz_edge__event(struct viz_thread *t, uint64_t begin, uint64_t end, const char *text);
/* Recording stops: open calls become records. @finish: complete ones, up to now. */
void viz_edge__close_all(bool finish);
/* Makes the counts of the chunks that are being written to true. */
void viz_recorder__settle(void);
/* In the child of a fork: empties the record, keeps the names and the caller's open calls. */
void viz_recorder__forget_threads(void);
void viz_recorder__clear(void);

/* details.c: what is recorded only on request */
char *viz_details__args(const struct viz_known *known);
bool viz_details__retval(struct viz_text *text, PyObject *value);
uint32_t viz_details__lane(void);

/* hooks */
int viz_monitoring__start(PyObject *module);
int viz_monitoring__stop(void);
bool viz_eval__can(void);
int viz_eval__start(void);
int viz_eval__stop(void);
int viz_profile__start(void);
int viz_profile__stop(void);
/* For threading.setprofile(): the thread installs the hook for itself. */
PyObject *viz_profile__thread_hook(PyObject *self, PyObject *const *args, Py_ssize_t nr);

/* save.c */
struct viz_saved {
	uint64_t calls, events;
};
/* Writes the events as a JSON fragment: objects separated by ",\n", none at either end.
 * 0 or -errno. */
int viz_save__write(int fd, const char *process_name, struct viz_saved *saved);

extern PyMethodDef viz_recorder_methods[];

#endif
