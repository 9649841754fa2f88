// SPDX-License-Identifier: Apache-2.0
/* The threads of a recording, and the memory that holds what they recorded. */
#include "recorder.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	STACK_FIRST_BYTES = 4 << 10,
	STACK_MAX_BYTES = 64 << 20,
	NAME_TRIES = 400, /* edges of a thread in which its name is looked for */
};

struct viz_recorder viz_recorder = {.generation = 1};
__thread struct viz_tls viz_tls;

/* Threads. */

static void free_thread(struct viz_thread *t);

static void read_comm(char *name, size_t size)
{
	FILE *file = fopen("/proc/thread-self/comm", "re");

	if (!file)
		return;
	if (fgets(name, (int)size, file))
		name[strcspn(name, "\n")] = '\0';
	fclose(file);
}

/* Threads that are gone and of which nothing is kept any more. */
static void reap_threads(void)
{
	struct viz_thread **p = &viz_recorder.seen.threads;

	while (*p) {
		struct viz_thread *t = *p;

		if (t->ended && !t->nr_chunks) {
			*p = t->next;
			free_thread(t);
		} else {
			p = &t->next;
		}
	}
}

static struct viz_stack *new_stack(uint32_t owner, size_t bytes)
{
	struct viz_stack *stack = viz_spool__get(VIZ_BLOCK_STACK, bytes);

	if (!stack)
		return NULL;
	stack->owner = owner;
	stack->cap = (uint32_t)((stack->block.bytes - sizeof(*stack)) / sizeof(stack->frames[0]));
	return stack;
}

static void use_stack(struct viz_thread *t, struct viz_stack *stack, size_t open)
{
	t->stack = stack;
	t->base = stack->frames + 1;
	t->limit = stack->frames + stack->cap;
	t->top = t->base + open;
}

bool viz_thread__grow_stack(struct viz_thread *t)
{
	struct viz_stack *old = t->stack, *stack;
	size_t open = (size_t)(t->top - t->base);

	if (old->block.bytes >= STACK_MAX_BYTES)
		return false;
	stack = new_stack(t->serial, 2 * (size_t)old->block.bytes);
	if (!stack)
		return false;
	memcpy(stack->frames, old->frames, (open + 1) * sizeof(stack->frames[0]));
	use_stack(t, stack, open);
	viz_spool__put(old);
	return true;
}

static void enlist(struct viz_thread *t)
{
	t->next = viz_recorder.seen.threads;
	viz_recorder.seen.threads = t;
	viz_tls.thread = t;
	viz_tls.generation = viz_recorder.generation;
}

struct viz_thread *viz_thread__new(void)
{
	struct viz_stack *stack;
	struct viz_thread *t;

	if (!viz_recorder.module)
		return NULL;
	reap_threads();
	t = viz_spool__get(VIZ_BLOCK_THREAD, sizeof(*t));
	if (!t)
		return NULL;
	t->serial = ++viz_recorder.nr_threads;
	stack = new_stack(t->serial, STACK_FIRST_BYTES);
	if (!stack) {
		viz_spool__put(t);
		return NULL;
	}
	use_stack(t, stack, 0);
	t->tid = (uint32_t)syscall(SYS_gettid);
	t->name_tries = NAME_TRIES;
	enlist(t);
	return t;
}

/* The calling thread's, if it has recorded. */
static struct viz_thread *own_thread(void)
{
	return viz_tls.generation == viz_recorder.generation ? viz_tls.thread : NULL;
}

/* A thread with its open calls, the first frame included, as it was at one moment. */
struct snapshot {
	struct viz_thread thread;
	size_t stack_bytes, nr;
	struct viz_frame frames[];
};

static struct snapshot *take_snapshot(const struct viz_thread *t)
{
	size_t nr = (size_t)(t->top - t->stack->frames);
	struct snapshot *snapshot = malloc(sizeof(*snapshot) + nr * sizeof(snapshot->frames[0]));

	if (!snapshot)
		return NULL;
	snapshot->thread = *t;
	snapshot->stack_bytes = t->stack->block.bytes;
	snapshot->nr = nr;
	memcpy(snapshot->frames, t->stack->frames, nr * sizeof(snapshot->frames[0]));
	return snapshot;
}

/* Takes the thread and its open calls along into blocks of the present spool, as the only
 * thread; what it recorded stays behind. False when out of memory: there is none then. */
static bool use_snapshot(const struct snapshot *snapshot)
{
	struct viz_thread *t = snapshot ? viz_spool__get(VIZ_BLOCK_THREAD, sizeof(*t)) : NULL;
	struct viz_stack *stack =
		t ? new_stack(snapshot->thread.serial, snapshot->stack_bytes) : NULL;
	struct viz_block block;

	viz_recorder.seen.threads = NULL;
	viz_tls.thread = NULL;
	if (!stack)
		return false;
	block = t->block;
	*t = snapshot->thread;
	t->block = block;
	memcpy(stack->frames, snapshot->frames, snapshot->nr * sizeof(stack->frames[0]));
	use_stack(t, stack, snapshot->nr - 1);
	t->at = t->end = NULL;
	t->newest = t->oldest = NULL;
	t->nr_chunks = t->cap = 0;
	enlist(t);
	return true;
}

/* The file is mapped by both from the fork on, and the parent goes on: the child cannot read there
 * what it was doing. */
static __thread struct snapshot *at_fork;

static void before_fork(void)
{
	struct viz_thread *own = viz_recorder.head ? own_thread() : NULL;

	at_fork = own ? take_snapshot(own) : NULL;
}

static void in_parent(void)
{
	free(at_fork);
	at_fork = NULL;
}

/*
 * In the child, before anything else runs there: the file is the parent's. Not left to
 * os.register_at_fork(), whose other functions may come first and are recorded.
 */
static void in_child(void)
{
	bool unmap = !at_fork || !at_fork->thread.busy; /* else it is looked at again, see
							   add_details() */

	if (!viz_recorder.head)
		return;
	viz_recorder.head = NULL;
	viz_recorder.names_at = viz_recorder.names_end = NULL;
	viz_recorder.funcs_told = viz_recorder.lanes_told = 0;
	viz_recorder.cap = viz_recorder.more = viz_recorder.evicted = 0;
	viz_spool__leave();
	use_snapshot(at_fork);
	viz_spool__forget_left(unmap);
	in_parent();
}

int viz_recorder__keep_in(int fd, const char *process_name)
{
	static bool prepared;
	struct viz_thread *own = own_thread();
	struct viz_spool_head *head;
	struct snapshot *snapshot;
	int err = 0;

	if (viz_recorder.seen.threads &&
	    (viz_recorder.seen.threads != own || own->next || own->nr_chunks))
		return -EBUSY;
	if (!prepared && pthread_atfork(before_fork, in_parent, in_child))
		return -ENOMEM;
	prepared = true;
	err = viz_spool__open(fd);
	if (err)
		return err;
	head = viz_spool__get(VIZ_BLOCK_HEAD, sizeof(*head));
	if (!head || !viz_spool__is_file()) {
		viz_spool__end_file(); /* without a head in_child() would not know of it */
		return -ENOSPC;
	}
	head->thread_size = sizeof(struct viz_thread);
	head->frame_size = sizeof(struct viz_frame);
	head->record_size = sizeof(struct viz_record);
	head->chunk_size = sizeof(struct viz_chunk);
	head->pid = (uint32_t)getpid();
	head->counter = viz_clock_counter;
	head->first = viz_recorder.seen.first;
	snprintf(head->process_name, sizeof(head->process_name), "%s", process_name);
	__atomic_store_n(&head->magic, VIZ_SPOOL_MAGIC, __ATOMIC_RELEASE);
	viz_recorder.head = head;
	viz_names__tell();
	if (own) {
		snapshot = take_snapshot(own);
		err = use_snapshot(snapshot) ? 0 : -ENOMEM;
		free(snapshot);
	}
	return err;
}

/* A thread enters itself into threading._active some calls after its first one; it is gone
 * from there when the trace is saved, so its name is taken early. */
void viz_thread__look_for_name(struct viz_thread *t)
{
	PyObject *ident, *thread, *name = NULL;
	Py_ssize_t size;
	const char *utf8;

	t->name_tries--;
	if (!viz_recorder.active_threads)
		return;
	ident = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
	thread = ident ? PyDict_GetItem(viz_recorder.active_threads, ident) : NULL;
	if (thread) {
		t->busy++;
		name = PyObject_GetAttrString(thread, "_name");
		t->busy--;
		utf8 = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &size) : NULL;
		if (utf8) {
			snprintf(t->name, sizeof(t->name), "%s", utf8);
			t->name_tries = 0;
		}
	} else if (!t->name_tries) {
		read_comm(t->name, sizeof(t->name));
	}
	Py_XDECREF(ident);
	Py_XDECREF(name);
	viz_error__drop();
}

/* Chunks. */

static void give_back(struct viz_chunk *chunk)
{
	viz_recorder.cap -= viz_chunk__cap(chunk);
	viz_recorder.more -= chunk->more;
	viz_spool__put(chunk);
}

/* Threads are not asked to tell when they end: that happens without the GIL. */
static bool has_ended(struct viz_thread *t)
{
	if (!t->ended && t != viz_tls.thread &&
	    syscall(SYS_tgkill, viz_recorder.seen.pid, t->tid, 0) && errno == ESRCH)
		t->ended = true;
	return t->ended;
}

/*
 * Drops the oldest chunk of the thread that has most: one that calls a lot does not push out
 * what a quiet one recorded. The newest chunk of a thread that lives is being written to.
 */
static bool drop_oldest(void)
{
	struct viz_thread *most = NULL;
	struct viz_chunk *chunk;

	for (struct viz_thread *t = viz_recorder.seen.threads; t; t = t->next)
		if (t->nr_chunks > 1 && (!most || t->cap > most->cap))
			most = t;
	for (struct viz_thread *t = viz_recorder.seen.threads; t && !most; t = t->next)
		if (t->nr_chunks && has_ended(t))
			most = t;
	if (!most)
		return false;
	chunk = most->oldest;
	most->oldest = chunk->next;
	most->cap -= viz_chunk__cap(chunk);
	viz_recorder.evicted += chunk->nr;
	if (viz_recorder.head)
		viz_recorder.head->evicted = 1;
	if (!--most->nr_chunks) {
		most->newest = NULL;
		most->at = most->end = NULL;
	}
	give_back(chunk);
	return true;
}

/* The records of the newest chunk are counted only when it is left, or looked at. */
void viz_thread__settle(struct viz_thread *t)
{
	if (t->newest)
		t->newest->nr = (uint32_t)(t->at - t->newest->records);
}

static bool next_chunk(struct viz_thread *t, uint32_t nr)
{
	size_t size = t->nr_chunks || nr > 32 ? VIZ_CHUNK_BYTES : VIZ_CHUNK_FIRST_BYTES;
	uint32_t cap = (uint32_t)((size - sizeof(struct viz_chunk)) / sizeof(struct viz_record));
	struct viz_chunk *chunk;

	viz_thread__settle(t);
	while (viz_recorder.cap - viz_recorder.more + cap > viz_recorder.max_cap && drop_oldest())
		;
	chunk = nr <= cap ? viz_spool__get(VIZ_BLOCK_CHUNK, size) : NULL;
	if (!chunk)
		return false;
	viz_recorder.cap += cap;
	chunk->next = NULL;
	chunk->seq = ++t->chunk_seq;
	chunk->owner = t->serial;
	if (t->nr_chunks)
		t->newest->next = chunk;
	else
		t->oldest = chunk;
	t->newest = chunk;
	t->nr_chunks++;
	t->cap += cap;
	t->at = chunk->records;
	t->end = t->at + cap;
	return true;
}

struct viz_record *viz_thread__places(struct viz_thread *t, uint32_t nr)
{
	struct viz_record *record;

	if (__builtin_expect(t->end - t->at < nr, 0) && !next_chunk(t, nr)) {
		t->lost++;
		return NULL;
	}
	record = t->at;
	t->at += nr;
	t->newest->more += nr - 1;
	viz_recorder.more += nr - 1;
	return record;
}

void viz_recorder__settle(void)
{
	for (struct viz_thread *t = viz_recorder.seen.threads; t; t = t->next)
		viz_thread__settle(t);
}

static void drop_records(struct viz_thread *t)
{
	while (t->nr_chunks) {
		struct viz_chunk *chunk = t->oldest;

		t->oldest = chunk->next;
		t->nr_chunks--;
		give_back(chunk);
	}
	t->oldest = t->newest = NULL;
	t->at = t->end = NULL;
	t->cap = t->lost = 0;
}

static void free_thread(struct viz_thread *t)
{
	drop_records(t);
	while (t->top > t->base)
		if ((--t->top)->flags & VIZ_FRAME_DETAILS)
			free(t->top->args);
	viz_spool__put(t->stack);
	viz_spool__put(t);
}

void viz_recorder__forget_threads(void)
{
	struct viz_thread *own = own_thread();

	while (viz_recorder.seen.threads) {
		struct viz_thread *t = viz_recorder.seen.threads;

		viz_recorder.seen.threads = t->next;
		if (t == own)
			drop_records(t);
		else
			free_thread(t);
	}
	viz_recorder.evicted = viz_recorder.texts_dropped = 0;
	if (!own)
		return;
	own->tid = (uint32_t)syscall(SYS_gettid);
	enlist(own);
}

void viz_recorder__clear(void)
{
	while (viz_recorder.seen.threads) {
		struct viz_thread *t = viz_recorder.seen.threads;

		viz_recorder.seen.threads = t->next;
		free_thread(t);
	}
	viz_recorder.generation++;
	viz_recorder.head = NULL;
	viz_recorder.names_at = viz_recorder.names_end = NULL;
	viz_recorder.funcs_told = viz_recorder.lanes_told = 0;
	viz_recorder.cap = viz_recorder.more = 0;
	viz_recorder.evicted = viz_recorder.texts_dropped = 0;
	viz_spool__close();
	while (viz_recorder.seen.nr_lanes)
		free(viz_recorder.seen.lanes[--viz_recorder.seen.nr_lanes].name);
	viz_names__clear();
}
