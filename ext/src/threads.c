// SPDX-License-Identifier: Apache-2.0
/* The threads of a recording, and the memory that holds what they recorded. */
#include "recorder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	SLAB_CHUNKS = 8, /* 512 KiB of records are mapped at a time, present at once */
	STACK_MIN = 256,
	NAME_TRIES = 400, /* edges of a thread in which its name is looked for */
};

#define CHUNK_SIZE (VIZ_CHUNK_RECORDS * sizeof(struct viz_record))

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
	struct viz_thread **p = &viz_recorder.threads;

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

struct viz_thread *viz_thread__new(void)
{
	struct viz_thread *t;

	if (!viz_recorder.module)
		return NULL;
	reap_threads();
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
		chunk->cap = VIZ_CHUNK_RECORDS;
		chunk->next = viz_recorder.free_chunks;
		viz_recorder.free_chunks = chunk;
	}
	return true;
}

static void give_back(struct viz_chunk *chunk)
{
	viz_recorder.cap -= chunk->cap;
	release_texts(chunk);
	if (chunk->cap == VIZ_CHUNK_RECORDS) {
		chunk->next = viz_recorder.free_chunks;
		viz_recorder.free_chunks = chunk;
	} else {
		free(chunk->records);
		free(chunk);
	}
}

/* Threads are not asked to tell when they end: that happens without the GIL. */
static bool has_ended(struct viz_thread *t)
{
	if (!t->ended && t != viz_tls.thread && syscall(SYS_tgkill, viz_recorder.pid, t->tid, 0) &&
	    errno == ESRCH)
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

	for (struct viz_thread *t = viz_recorder.threads; t; t = t->next)
		if (t->nr_chunks > 1 && (!most || t->cap > most->cap))
			most = t;
	for (struct viz_thread *t = viz_recorder.threads; t && !most; t = t->next)
		if (t->nr_chunks && has_ended(t))
			most = t;
	if (!most)
		return false;
	chunk = most->oldest;
	most->oldest = chunk->next;
	most->cap -= chunk->cap;
	most->evicted += chunk->nr;
	viz_recorder.evicted += chunk->nr;
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

static struct viz_chunk *new_chunk(uint32_t cap)
{
	struct viz_chunk *chunk;

	if (cap == VIZ_CHUNK_RECORDS) {
		if (!viz_recorder.free_chunks && !map_slab())
			return NULL;
		chunk = viz_recorder.free_chunks;
		viz_recorder.free_chunks = chunk->next;
		return chunk;
	}
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return NULL;
	chunk->records = malloc(cap * sizeof(*chunk->records));
	if (!chunk->records) {
		free(chunk);
		return NULL;
	}
	chunk->cap = cap;
	return chunk;
}

static bool next_chunk(struct viz_thread *t)
{
	uint32_t cap = t->cap < VIZ_CHUNK_FIRST	    ? VIZ_CHUNK_FIRST
		       : t->cap < VIZ_CHUNK_RECORDS ? t->newest->cap * 2
						    : VIZ_CHUNK_RECORDS;
	struct viz_chunk *chunk;

	viz_thread__settle(t);
	while (viz_recorder.cap + cap > viz_recorder.max_cap && drop_oldest())
		;
	chunk = new_chunk(cap);
	if (!chunk)
		return false;
	viz_recorder.cap += cap;
	chunk->next = NULL;
	chunk->nr = 0;
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

struct viz_record *viz_thread__record(struct viz_thread *t)
{
	if (__builtin_expect(t->at == t->end, 0) && !next_chunk(t)) {
		t->lost++;
		return NULL;
	}
	return t->at++;
}

/* Keeps @text with the newest chunk; 0 when there is no room for it. */
uint32_t viz_thread__text(struct viz_thread *t, const char *text)
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

void viz_recorder__settle(void)
{
	for (struct viz_thread *t = viz_recorder.threads; t; t = t->next)
		viz_thread__settle(t);
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
	while (t->nr_chunks) {
		struct viz_chunk *chunk = t->oldest;

		t->oldest = chunk->next;
		t->nr_chunks--;
		give_back(chunk);
	}
	t->oldest = t->newest = NULL;
	t->at = t->end = NULL;
	t->cap = 0;
	t->calls = t->evicted = t->lost = 0;
}

static void unmap_slabs(void)
{
	while (viz_recorder.free_chunks) {
		struct viz_chunk *chunk = viz_recorder.free_chunks;

		viz_recorder.free_chunks = chunk->next;
		free(chunk);
	}
	while (viz_recorder.nr_slabs)
		munmap(viz_recorder.slabs[--viz_recorder.nr_slabs], SLAB_CHUNKS * CHUNK_SIZE);
	viz_recorder.cap = 0;
	viz_recorder.evicted = 0;
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
