// SPDX-License-Identifier: Apache-2.0
/* Edges to calls, and the memory that holds them. */
#include "recorder.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	SLAB_CHUNKS = 8, /* 512 KiB of records are mapped at a time, present at once */
	STACK_MIN = 256,
	STACK_MAX = 1 << 20,
	NAME_TRIES = 400, /* edges of a thread in which its name is looked for */
};

#define CHUNK_SIZE (VIZ_CHUNK_RECORDS * sizeof(struct viz_record))

struct viz_recorder viz_recorder = {.generation = 1};
__thread struct viz_tls viz_tls;

/* Threads. */

static void read_comm(char *name, size_t size)
{
	FILE *file = fopen("/proc/thread-self/comm", "re");

	if (!file)
		return;
	if (fgets(name, (int)size, file))
		name[strcspn(name, "\n")] = '\0';
	fclose(file);
}

struct viz_thread *viz_thread__new(void)
{
	struct viz_thread *t;

	if (!viz_recorder.module)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->base = malloc(STACK_MIN * sizeof(*t->base));
	if (!t->base) {
		free(t);
		return NULL;
	}
	t->top = t->base;
	t->limit = t->base + STACK_MIN;
	t->tid = (uint32_t)syscall(SYS_gettid);
	t->name_tries = NAME_TRIES;
	t->next = viz_recorder.threads;
	viz_recorder.threads = t;
	viz_tls.thread = t;
	viz_tls.generation = viz_recorder.generation;
	return t;
}

/* A thread enters itself into threading._active some calls after its first one; it is gone
 * from there when the trace is saved, so its name is taken early. */
static void look_for_name(struct viz_thread *t)
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
	PyErr_Clear();
}

/* Chunks. */

static void release_texts(struct viz_chunk *chunk)
{
	viz_recorder.texts_bytes -= chunk->texts_cap;
	free(chunk->texts);
	chunk->texts = NULL;
	chunk->texts_len = chunk->texts_cap = 0;
}

static bool map_slab(void)
{
	void *slab, **slabs;

	slabs = realloc(viz_recorder.slabs, (viz_recorder.nr_slabs + 1) * sizeof(*slabs));
	if (!slabs)
		return false;
	viz_recorder.slabs = slabs;
	/* One call instead of a page fault every 128 records. */
	slab = mmap(NULL, SLAB_CHUNKS * CHUNK_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (slab == MAP_FAILED)
		return false;
	slabs[viz_recorder.nr_slabs++] = slab;
	for (int i = 0; i < SLAB_CHUNKS; i++) {
		struct viz_chunk *chunk = calloc(1, sizeof(*chunk));

		if (!chunk)
			return i > 0;
		chunk->records = (struct viz_record *)((char *)slab + i * CHUNK_SIZE);
		chunk->next = viz_recorder.free_chunks;
		viz_recorder.free_chunks = chunk;
	}
	return true;
}

/* The oldest chunk of the thread that has most of them: a thread that calls a lot does not
 * push out what a quiet one recorded. */
static struct viz_chunk *take_oldest(void)
{
	struct viz_thread *most = NULL;
	struct viz_chunk *chunk;

	for (struct viz_thread *t = viz_recorder.threads; t; t = t->next)
		if (t->nr_chunks && (!most || t->nr_chunks > most->nr_chunks))
			most = t;
	/* the newest one of a thread is being written to */
	if (!most || most->nr_chunks < 2)
		return NULL;
	chunk = most->oldest;
	most->oldest = chunk->next;
	most->nr_chunks--;
	most->evicted += chunk->nr;
	release_texts(chunk);
	return chunk;
}

/* The records of the newest chunk are counted only when it is left, or looked at. */
static void settle(struct viz_thread *t)
{
	if (t->newest)
		t->newest->nr = (uint32_t)(t->at - t->newest->records);
}

static bool next_chunk(struct viz_thread *t)
{
	struct viz_chunk *chunk = NULL;

	settle(t);
	if (viz_recorder.nr_chunks >= viz_recorder.max_chunks)
		chunk = take_oldest();
	if (!chunk) {
		if (!viz_recorder.free_chunks && !map_slab())
			return false;
		chunk = viz_recorder.free_chunks;
		viz_recorder.free_chunks = chunk->next;
		viz_recorder.nr_chunks++;
	}
	chunk->next = NULL;
	chunk->nr = 0;
	if (t->nr_chunks)
		t->newest->next = chunk;
	else
		t->oldest = chunk;
	t->newest = chunk;
	t->nr_chunks++;
	t->at = chunk->records;
	t->end = t->at + VIZ_CHUNK_RECORDS;
	return true;
}

static struct viz_record *new_record(struct viz_thread *t)
{
	if (__builtin_expect(t->at == t->end, 0) && !next_chunk(t)) {
		t->lost++;
		return NULL;
	}
	return t->at++;
}

/* Keeps @text with the newest chunk; 0 when there is no room for it. */
static uint32_t keep_text(struct viz_thread *t, const char *text)
{
	struct viz_chunk *chunk = t->newest;
	size_t size = strlen(text) + 1;
	uint32_t at = chunk->texts_len;

	if (at + size > chunk->texts_cap) {
		size_t cap = chunk->texts_cap ? 2 * (size_t)chunk->texts_cap : 4096;
		char *grown;

		while (cap < at + size)
			cap *= 2;
		if (viz_recorder.texts_bytes + cap - chunk->texts_cap > viz_recorder.texts_max) {
			viz_recorder.texts_dropped++;
			return 0;
		}
		grown = realloc(chunk->texts, cap);
		if (!grown)
			return 0;
		viz_recorder.texts_bytes += cap - chunk->texts_cap;
		chunk->texts = grown;
		chunk->texts_cap = (uint32_t)cap;
	}
	memcpy(chunk->texts + at, text, size);
	chunk->texts_len += (uint32_t)size;
	return at + 1;
}

/* The stack of open calls. */

static bool grow_stack(struct viz_thread *t)
{
	size_t nr = (size_t)(t->top - t->base), cap = (size_t)(t->limit - t->base) * 2;
	struct viz_frame *grown;

	if (cap > STACK_MAX)
		return false;
	grown = malloc(cap * sizeof(*grown));
	if (!grown)
		return false;
	memcpy(grown, t->base, nr * sizeof(*grown));
	free(t->base);
	t->base = grown;
	t->top = grown + nr;
	t->limit = grown + cap;
	return true;
}

static struct viz_frame *push(struct viz_thread *t, const void *key, uint32_t flags)
{
	struct viz_frame *frame;

	if (__builtin_expect(t->top == t->limit, 0) && !grow_stack(t)) {
		t->lost++;
		return NULL;
	}
	frame = t->top++;
	frame->key = key;
	frame->flags = flags;
	frame->args = NULL;
	frame->lane = 0;
	return frame;
}

static bool is_hidden(const struct viz_thread *t)
{
	if (t->busy)
		return true;
	if (t->top == t->base)
		return viz_recorder.max_depth == 0;
	if ((t->top[-1].flags & (VIZ_FRAME_HIDDEN | VIZ_FRAME_SHIELD)) == VIZ_FRAME_HIDDEN)
		return true;
	return viz_recorder.max_depth >= 0 &&
	       t->top - t->base - (long)t->depth_base >= viz_recorder.max_depth;
}

/* C functions that did not report their end: their caller is back at work. */
static void drop_stale(struct viz_thread *t)
{
	while (t->top > t->base && t->top[-1].flags & VIZ_FRAME_C)
		t->top--;
}

static void add_details(struct viz_thread *t, struct viz_frame *frame,
			const struct viz_known *known)
{
	enum { COROUTINE_LIKE = 0x80 | 0x200 }; /* CO_COROUTINE, CO_ASYNC_GENERATOR */

	t->busy++;
	if (viz_recorder.log_args)
		frame->args = viz_details__args(known);
	if (viz_recorder.log_async) {
		frame->lane = frame > t->base ? frame[-1].lane : 0;
		if (viz_recorder.funcs[known->func].code_flags & COROUTINE_LIKE)
			frame->lane = viz_details__lane();
	}
	t->busy--;
}

void viz_edge__enter(struct viz_thread *t, PyObject *code)
{
	const struct viz_known *known = viz_names__find(code);
	struct viz_frame *frame;
	bool hidden = is_hidden(t);

	if (__builtin_expect(!known, 0)) {
		t->busy++;
		known = viz_names__code(code);
		t->busy--;
	}
	if (__builtin_expect(t->name_tries, 0))
		look_for_name(t);
	hidden |= !known || known->verdict != VIZ_SHOW;
	frame = push(t, code, hidden ? VIZ_FRAME_HIDDEN : 0);
	if (!frame || hidden)
		return;
	frame->func = known->func;
	if (__builtin_expect(viz_recorder.log_args | viz_recorder.log_async, 0))
		add_details(t, frame, known);
	frame->begin = viz_clock__ticks();
}

static void write_call(struct viz_thread *t, const struct viz_frame *frame, uint64_t end,
		       uint32_t flags, const char *text)
{
	struct viz_record *record;

	if (end - frame->begin < viz_recorder.min_ticks)
		return;
	record = new_record(t);
	if (!record)
		return;
	record->begin = frame->begin;
	record->end = end;
	record->func = frame->func;
	record->lane = frame->lane;
	record->flags = flags;
	record->text = text ? keep_text(t, text) : 0;
	t->calls++;
}

/* The members of "args", out of what was kept at entry and the result. */
static void write_detailed(struct viz_thread *t, struct viz_frame *frame, uint64_t end,
			   uint32_t flags, PyObject *result)
{
	struct viz_text text;
	char data[4096];

	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	if (frame->args)
		viz_text__puts(&text, frame->args);
	if (viz_recorder.log_retval && result) {
		size_t before = text.len;
		bool ok;

		t->busy++;
		ok = (!before || viz_text__puts(&text, ",")) &&
		     viz_text__puts(&text, "\"return_value\":") &&
		     viz_details__retval(&text, result);
		t->busy--;
		if (!ok)
			text.len = before;
	}
	viz_text__end(&text);
	write_call(t, frame, end, flags, text.len ? data : NULL);
}

/*
 * The open call of @key: the innermost, after dropping C functions whose end was not
 * reported. When it is deeper, those above have ended unseen. NULL: it began before recording.
 */
static struct viz_frame *find_open(struct viz_thread *t, const void *key)
{
	struct viz_frame *frame = t->top;

	while (frame > t->base)
		if ((--frame)->key == key)
			return frame;
	return NULL;
}

void viz_edge__leave(struct viz_thread *t, PyObject *code, PyObject *result, bool raised)
{
	uint64_t end = viz_clock__ticks();
	struct viz_frame *frame = t->top - 1;
	uint32_t flags = raised ? VIZ_REC_RAISED : 0;

	if (__builtin_expect(t->top == t->base || frame->key != code, 0)) {
		frame = find_open(t, code);
		if (!frame)
			return;
		for (struct viz_frame *above = frame + 1; above < t->top; above++)
			free(above->args);
	}
	t->top = frame;
	if (frame->flags & VIZ_FRAME_HIDDEN)
		return;
	if (__builtin_expect(frame->args || viz_recorder.log_retval, 0))
		write_detailed(t, frame, end, flags, result);
	else
		write_call(t, frame, end, flags, NULL);
	free(frame->args);
}

void viz_edge__c_enter(struct viz_thread *t, PyObject *callable)
{
	const struct viz_known *known;
	struct viz_frame *frame;

	drop_stale(t);
	if (is_hidden(t))
		return;
	t->busy++;
	known = viz_names__callable(callable);
	t->busy--;
	if (!known || known->verdict != VIZ_SHOW)
		return;
	frame = push(t, callable, VIZ_FRAME_C);
	if (!frame)
		return;
	frame->func = known->func;
	if (viz_recorder.log_async && frame > t->base)
		frame->lane = frame[-1].lane;
	frame->begin = viz_clock__ticks();
}

void viz_edge__c_leave(struct viz_thread *t, PyObject *callable, bool raised)
{
	uint64_t end = viz_clock__ticks();
	struct viz_frame *frame = t->top - 1;

	if (t->top == t->base || !(frame->flags & VIZ_FRAME_C) ||
	    (callable && frame->key != callable))
		return;
	t->top = frame;
	write_call(t, frame, end, VIZ_REC_C | (raised ? VIZ_REC_RAISED : 0), NULL);
}

void viz_edge__event(struct viz_thread *t, uint64_t begin, uint64_t end, const char *members)
{
	struct viz_record *record = new_record(t);

	if (!record)
		return;
	record->begin = begin;
	record->end = end;
	record->func = 0;
	record->lane = t->top > t->base ? t->top[-1].lane : 0;
	record->flags = VIZ_REC_EVENT;
	record->text = keep_text(t, members);
	if (!record->text)
		t->at--;
}

void viz_edge__exception(struct viz_thread *t, PyObject *exception, bool caught)
{
	struct viz_text text;
	char data[1024];
	bool ok;

	if (t->busy || t->top == t->base || is_hidden(t))
		return;
	/* It is reported again in every frame that it leaves. */
	if (!caught && t->raised == exception)
		return;
	t->raised = caught ? NULL : exception;
	t->busy++;
	viz_text__start(&text, &viz_recorder.module->rules, data, sizeof(data));
	viz_text__puts(&text,
		       caught ? "\"ph\":\"i\",\"s\":\"t\",\"cat\":\"INSTANT\",\"name\":\"exception "
				"caught\",\"args\":{\"exception\":"
			      : "\"ph\":\"i\",\"s\":\"t\",\"cat\":\"INSTANT\",\"name\":\"exception "
				"raised\",\"args\":{\"exception\":");
	text.closers++;
	ok = viz_text__repr(&text, exception);
	text.closers--;
	ok = ok && viz_text__puts(&text, "}");
	viz_text__end(&text);
	t->busy--;
	if (ok)
		viz_edge__event(t, viz_clock__ticks(), 0, data);
}

void viz_edge__close_all(bool finish)
{
	uint64_t now = viz_clock__ticks();

	for (struct viz_thread *t = viz_recorder.threads; t; t = t->next) {
		while (t->top > t->base) {
			struct viz_frame *frame = --t->top;

			if (!(frame->flags & VIZ_FRAME_HIDDEN))
				write_call(t, frame, now,
					   (finish ? 0 : VIZ_REC_OPEN) |
						   (frame->flags & VIZ_FRAME_C ? VIZ_REC_C : 0),
					   frame->args);
			free(frame->args);
		}
		settle(t);
	}
}

void viz_recorder__settle(void)
{
	for (struct viz_thread *t = viz_recorder.threads; t; t = t->next)
		settle(t);
}

static void free_chunks(struct viz_chunk *chunk)
{
	while (chunk) {
		struct viz_chunk *next = chunk->next;

		release_texts(chunk);
		free(chunk);
		chunk = next;
	}
}

static void free_thread(struct viz_thread *t)
{
	while (t->top > t->base)
		free((--t->top)->args);
	free(t->base);
	free(t);
}

static void drop_records(struct viz_thread *t)
{
	if (t->nr_chunks)
		free_chunks(t->oldest);
	t->oldest = t->newest = NULL;
	t->at = t->end = NULL;
	t->nr_chunks = 0;
	t->calls = t->evicted = t->lost = 0;
}

static void unmap_slabs(void)
{
	free_chunks(viz_recorder.free_chunks);
	viz_recorder.free_chunks = NULL;
	while (viz_recorder.nr_slabs)
		munmap(viz_recorder.slabs[--viz_recorder.nr_slabs], SLAB_CHUNKS * CHUNK_SIZE);
	viz_recorder.nr_chunks = 0;
	viz_recorder.texts_dropped = 0;
}

void viz_recorder__forget_threads(void)
{
	struct viz_thread *own = NULL;

	if (viz_tls.generation == viz_recorder.generation)
		own = viz_tls.thread;
	while (viz_recorder.threads) {
		struct viz_thread *t = viz_recorder.threads;

		viz_recorder.threads = t->next;
		drop_records(t);
		if (t != own)
			free_thread(t);
	}
	unmap_slabs();
	if (!own)
		return;
	own->next = NULL;
	own->tid = (uint32_t)syscall(SYS_gettid);
	viz_recorder.threads = own;
}

void viz_recorder__clear(void)
{
	while (viz_recorder.threads) {
		struct viz_thread *t = viz_recorder.threads;

		viz_recorder.threads = t->next;
		drop_records(t);
		free_thread(t);
	}
	viz_recorder.generation++;
	unmap_slabs();
	for (uint32_t i = 0; i < viz_recorder.nr_lanes; i++)
		Py_CLEAR(viz_recorder.lanes[i].name);
	viz_recorder.nr_lanes = 0;
	viz_names__clear();
}
