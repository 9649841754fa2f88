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
#include "spool.h"

enum viz_record_flag {
	VIZ_REC_C = 1, /* a C function */
	VIZ_REC_RAISED = 2, /* ended by an exception */
	VIZ_REC_OPEN = 4, /* still running when recording stopped: begin only */
	VIZ_REC_EVENT = 8, /* not a call: the text is a part of an event, see save.c */
	VIZ_REC_LONG = 16, /* struct viz_record_more follows, and its text */
};

enum { VIZ_REC_FUNC_SHIFT = 8 };

/* One completed call, or an event: 16 bytes for most. Written when a call ends; begin last, so
 * that a record is there or is not when the process is killed. */
struct viz_record {
	uint64_t begin; /* ticks of clock.h; 0: no record */
	uint32_t ticks; /* that it took; VIZ_REC_LONG: unused */
	uint32_t what; /* index into the functions << VIZ_REC_FUNC_SHIFT | enum viz_record_flag */
};

struct viz_record_more {
	uint64_t end; /* ticks; 0: an event without duration */
	uint32_t text_size; /* bytes of JSON that follow, padded to whole records */
	uint32_t lane; /* 0: the thread, else an asyncio task */
};

/* A thread's first chunk is small: a program may start thousands that do little. */
enum { VIZ_CHUNK_FIRST_BYTES = 2 << 10, VIZ_CHUNK_BYTES = 32 << 10 };

struct viz_chunk {
	struct viz_block block;
	struct viz_chunk *next; /* younger */
	uint32_t owner; /* struct viz_thread.serial */
	uint32_t seq; /* among the owner's, ascending */
	uint32_t nr; /* records' places in use; true once the chunk is left, or settled */
	uint32_t more; /* of which more than one for each record */
	struct viz_record records[];
};

static inline uint32_t viz_chunk__cap(const struct viz_chunk *chunk)
{
	return (uint32_t)((chunk->block.bytes - sizeof(*chunk)) / sizeof(struct viz_record));
}

enum viz_frame_flag {
	VIZ_FRAME_HIDDEN = 1, /* rejected, or below a rejected one */
	VIZ_FRAME_C = 2,
	VIZ_FRAME_SHIELD = 4, /* what it calls is shown although it is hidden */
	VIZ_FRAME_DETAILS = 8, /* args and lane are set */
};

/* An open call. */
struct viz_frame {
	const void *key; /* the code object, or the callable of a C function */
	uint64_t begin; /* 0: hidden */
	uint32_t func;
	uint32_t flags; /* enum viz_frame_flag */
	char *args; /* malloc'ed JSON members, or NULL */
	uint32_t lane;
};

struct viz_stack {
	struct viz_block block;
	uint32_t owner; /* struct viz_thread.serial */
	uint32_t cap; /* of the frames, the first one included */
	struct viz_frame frames[]; /* the first is no call, and has no key */
};

struct viz_thread {
	struct viz_block block;
	/* One past the innermost call; where the outermost is; end of the stack. */
	struct viz_frame *top, *base, *limit;
	struct viz_record *at, *end; /* room in the newest chunk */
	/* Not zero both: off the beaten track. */
	uint32_t busy; /* our own code runs, or the thread is paused: no records */
	uint32_t name_tries; /* look-ups of the name that are left */
	struct viz_chunk *newest, *oldest;
	struct viz_thread *next;
	struct viz_stack *stack;
	uint32_t nr_chunks;
	uint32_t cap; /* places in the chunks */
	uint32_t serial, chunk_seq;
	uint32_t tid;
	uint32_t ended; /* seen to be gone, when memory was short */
	uint32_t depth_base; /* open calls that do not count against max_depth */
	uint32_t lost;
	const void *raised; /* the exception that was shown last: compared, never used */
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
	char *name; /* UTF-8 */
	uint32_t tid;
};

/* What a trace is made of: of this process, or read back from the file of one that is gone. */
struct viz_recorded {
	uint32_t pid;
	struct viz_clock_mark first; /* of the clock, when recording began */
	struct viz_thread *threads;
	struct viz_func *funcs;
	uint32_t nr_funcs;
	struct viz_lane *lanes;
	uint32_t nr_lanes;
};

struct viz_recorder {
	bool running;
	enum viz_how { VIZ_BY_MONITORING, VIZ_BY_PROFILE, VIZ_BY_EVAL } how;
	int tool; /* of sys.monitoring */
	unsigned int generation; /* changes when all threads are forgotten */
	/* Calls need more than a record: an option asks for it. */
	bool slow;
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
	struct viz_recorded seen;
	uint32_t cap_funcs, nr_threads;
	uint64_t cap, more, max_cap; /* places in all chunks; of them for texts; allowed without */
	uint64_t more_max;
	uint64_t evicted; /* places of records dropped for younger ones */
	uint64_t texts_dropped;
	struct viz_known *known;
	uint32_t nr_known, cap_known; /* cap: a power of two */
	PyObject *kept; /* list that keeps keys alive */
	/* where a file is written, which recover.c reads */
	struct viz_spool_head *head; /* NULL: no file */
	char *names_at, *names_end; /* room in the newest block of names */
	uint32_t funcs_told, lanes_told; /* names that are in the file */
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
/* @nr places, one behind the other, for one more record; NULL (counted) when there is no room. */
struct viz_record *viz_thread__places(struct viz_thread *t, uint32_t nr);
/* Room for more open calls; false when there is none. */
bool viz_thread__grow_stack(struct viz_thread *t);
/* One try to find out what Python calls the thread. */
void viz_thread__look_for_name(struct viz_thread *t);
/* Makes the count of the chunk that is being written to true. */
void viz_thread__settle(struct viz_thread *t);

/* names.c */
const struct viz_known *viz_names__code(PyObject *code);
const struct viz_known *viz_names__callable(PyObject *callable);
void viz_names__clear(void);
/* Names that are new go into the file, if there is one. */
void viz_names__tell(void);

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

/* The PyMethodDef of a built-in function: as in CPython's Include/cpython/methodobject.h, 3.8 to
 * 3.15. It identifies a method of a type through all the bound objects that are made of it. */
static inline const void *viz_names__definition(PyObject *function)
{
	return ((struct { PyObject_HEAD PyMethodDef *ml; } *)function)->ml;
}

/* recorder.c: edges */
void viz_edge__enter(struct viz_thread *t, PyObject *code);
/* @end: ticks. @flags: VIZ_REC_RAISED or 0. */
void viz_edge__leave(struct viz_thread *t, PyObject *code, uint64_t end, PyObject *result,
		     uint32_t flags);
void viz_edge__c_enter(struct viz_thread *t, PyObject *callable);
void viz_edge__c_leave(struct viz_thread *t, PyObject *callable, uint64_t end, uint32_t flags);
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
/* What is recorded from here on goes into the file @fd, which is owned then; nothing may have
 * been recorded. 0 or -errno. */
int viz_recorder__keep_in(int fd, const char *process_name);

/* details.c: what is recorded only on request */
char *viz_details__args(uint32_t func);
bool viz_details__retval(struct viz_text *text, PyObject *value);
uint32_t viz_details__lane(void);
/* One more member of "args" of the function that runs in the thread. */
void viz_details__add(struct viz_thread *t, const char *member);

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
 * @open: open calls too, where a process was killed. 0 or -errno. */
int viz_save__write(const struct viz_recorded *seen, int fd, const char *process_name, bool open,
		    struct viz_saved *saved);

/* recover.c: (calls, events, whether older ones were dropped, names of functions) of the file
 * @spool that a process left behind, whose events are written to @out; NULL with an exception. */
PyObject *viz_recover(int spool, int out);

extern PyMethodDef viz_recorder_methods[];

#endif
