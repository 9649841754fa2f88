// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the file of a recording whose process was killed. Other programs of the same user can
 * have written into it: every size, index and pointer is checked before it is used.
 */
#include "recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct file {
	char *data;
	size_t size;
	const struct viz_spool_head *head;
	struct viz_thread *threads; /* copies */
	size_t nr_threads;
	struct viz_chunk **chunks;
	size_t nr_chunks;
	struct viz_recorded seen;
};

/* The next block from *@at on, or NULL at the end. */
static struct viz_block *next_block(const struct file *file, size_t *at)
{
	while (*at + VIZ_BLOCK_MIN <= file->size) {
		struct viz_block *block = (struct viz_block *)(file->data + *at);
		size_t bytes = block->bytes;

		if (block->kind && bytes >= VIZ_BLOCK_MIN && !(bytes & (bytes - 1)) &&
		    bytes <= file->size - *at) {
			*at += bytes;
			return block;
		}
		*at = (*at / VIZ_SPOOL_SLAB + 1) * VIZ_SPOOL_SLAB; /* no more in this slab */
	}
	return NULL;
}

/* One more of @size in an array. */
static void *grown(void *array, size_t nr, size_t size)
{
	return nr & (nr - 1) ? array : realloc(array, (nr ? 2 * nr : 1) * size);
}

static bool add_func(struct file *file, const struct viz_spool_name *name)
{
	struct viz_recorded *seen = &file->seen;
	struct viz_func *funcs;

	if (name->index != seen->nr_funcs) /* they are told in order */
		return true;
	funcs = grown(seen->funcs, seen->nr_funcs, sizeof(*funcs));
	if (!funcs)
		return false;
	seen->funcs = funcs;
	funcs[seen->nr_funcs++] =
		(struct viz_func){.name = (char *)name->text, .name_len = name->len};
	return true;
}

static bool add_lane(struct file *file, const struct viz_spool_name *name)
{
	struct viz_recorded *seen = &file->seen;
	struct viz_lane *lanes;

	if (name->index != seen->nr_lanes)
		return true;
	lanes = grown(seen->lanes, seen->nr_lanes, sizeof(*lanes));
	if (!lanes)
		return false;
	seen->lanes = lanes;
	lanes[seen->nr_lanes] =
		(struct viz_lane){.name = strndup(name->text, name->len), .tid = name->lane_tid};
	return lanes[seen->nr_lanes++].name != NULL;
}

/* What goes into JSON as it is must be as make_name() and viz_text__end() leave it. */
static bool is_escaped(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == '"')
			return false;
		if (text[i] == '\\' && ++i == len)
			return false;
	}
	return true;
}

static bool add_names(struct file *file, struct viz_block *block)
{
	char *at = (char *)(block + 1), *end = (char *)block + block->bytes;

	while ((size_t)(end - at) >= sizeof(struct viz_spool_name)) {
		const struct viz_spool_name *name = (const struct viz_spool_name *)at;

		if (name->bytes < sizeof(*name) || name->bytes > (size_t)(end - at) ||
		    name->bytes & 7 || name->len > name->bytes - sizeof(*name))
			break;
		if (!name->lane_tid && !is_escaped(name->text, name->len))
			break;
		if (!(name->lane_tid ? add_lane(file, name) : add_func(file, name)))
			return false;
		at += name->bytes;
	}
	return true;
}

static bool add_thread(struct file *file, struct viz_block *block)
{
	struct viz_thread *threads;

	if (block->bytes < sizeof(*threads))
		return true;
	threads = grown(file->threads, file->nr_threads, sizeof(*threads));
	if (!threads)
		return false;
	file->threads = threads;
	threads += file->nr_threads++;
	memcpy(threads, block, sizeof(*threads));
	threads->name[sizeof(threads->name) - 1] = '\0';
	threads->oldest = threads->newest = NULL;
	threads->nr_chunks = 0;
	threads->stack = NULL;
	return true;
}

static bool add_chunk(struct file *file, struct viz_block *block)
{
	struct viz_chunk **chunks;

	if (block->bytes < sizeof(struct viz_chunk))
		return true;
	chunks = grown(file->chunks, file->nr_chunks, sizeof(struct viz_chunk *));
	if (!chunks)
		return false;
	file->chunks = chunks;
	chunks[file->nr_chunks++] = (struct viz_chunk *)block;
	return true;
}

static struct viz_thread *thread_of(const struct file *file, uint32_t serial)
{
	for (size_t i = 0; i < file->nr_threads; i++)
		if (file->threads[i].serial == serial)
			return &file->threads[i];
	return NULL;
}

/* The thread's pointers into the stack are those of the process that is gone. */
static void use_stack(const struct file *file, struct viz_stack *stack)
{
	size_t cap = (stack->block.bytes - sizeof(*stack)) / sizeof(stack->frames[0]);
	struct viz_thread *t = thread_of(file, stack->owner);
	uintptr_t open =
		t ? ((uintptr_t)t->top - (uintptr_t)t->base) / sizeof(stack->frames[0]) : 0;

	/* of several the largest is the present one */
	if (!t || (t->stack && t->stack->block.bytes > stack->block.bytes) || open >= cap)
		return;
	t->stack = stack;
	t->base = stack->frames + 1;
	t->top = t->base + open;
}

static int by_age(const void *a, const void *b)
{
	const struct viz_chunk *one = *(struct viz_chunk *const *)a;
	const struct viz_chunk *other = *(struct viz_chunk *const *)b;

	if (one->owner != other->owner)
		return one->owner < other->owner ? -1 : 1;
	return one->seq < other->seq ? -1 : one->seq > other->seq;
}

/* Whose chunk is whose, and which calls are open. */
static void connect(struct file *file)
{
	struct viz_block *block;
	size_t at = 0;

	if (file->nr_chunks)
		qsort(file->chunks, file->nr_chunks, sizeof(struct viz_chunk *), by_age);
	for (size_t i = 0; i < file->nr_chunks; i++) {
		struct viz_chunk *chunk = file->chunks[i];
		struct viz_thread *t = thread_of(file, chunk->owner);

		if (!t)
			continue;
		chunk->next = NULL;
		chunk->nr = viz_chunk__cap(chunk); /* a place that is 0 ends it */
		if (t->nr_chunks++)
			t->newest->next = chunk;
		else
			t->oldest = chunk;
		t->newest = chunk;
	}
	while ((block = next_block(file, &at)))
		if (block->kind == VIZ_BLOCK_STACK)
			use_stack(file, (struct viz_stack *)block);
	for (size_t i = 0; i < file->nr_threads; i++) {
		struct viz_thread *t = &file->threads[i];

		if (!t->stack)
			t->top = t->base = NULL;
		t->next = file->seen.threads;
		file->seen.threads = t;
	}
}

static int read_blocks(struct file *file)
{
	struct viz_block *block;
	size_t at = 0;

	while ((block = next_block(file, &at))) {
		bool ok = true;

		if (block->kind == VIZ_BLOCK_THREAD)
			ok = add_thread(file, block);
		else if (block->kind == VIZ_BLOCK_CHUNK)
			ok = add_chunk(file, block);
		else if (block->kind == VIZ_BLOCK_NAMES)
			ok = add_names(file, block);
		if (!ok)
			return -ENOMEM;
	}
	connect(file);
	return 0;
}

static int map_file(struct file *file, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)VIZ_BLOCK_MIN)
		return -EINVAL;
	/* private: the chunks are linked in place */
	file->data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (file->data == MAP_FAILED) {
		file->data = NULL;
		return -errno;
	}
	file->size = (size_t)st.st_size;
	file->head = (const struct viz_spool_head *)file->data;
	if (file->head->magic != VIZ_SPOOL_MAGIC ||
	    file->head->thread_size != sizeof(struct viz_thread) ||
	    file->head->frame_size != sizeof(struct viz_frame) ||
	    file->head->record_size != sizeof(struct viz_record) ||
	    file->head->chunk_size != sizeof(struct viz_chunk) ||
	    file->head->counter != viz_clock_counter)
		return -EINVAL;
	file->seen.pid = file->head->pid;
	file->seen.first = file->head->first;
	return 0;
}

static void release(struct file *file)
{
	if (file->data)
		munmap(file->data, file->size);
	for (uint32_t i = 0; i < file->seen.nr_lanes; i++)
		free(file->seen.lanes[i].name);
	free(file->seen.lanes);
	free(file->seen.funcs);
	free(file->threads);
	free(file->chunks);
}

static PyObject *names_of(const struct viz_recorded *seen)
{
	PyObject *list = PyList_New(0);

	for (uint32_t i = 0; list && i < seen->nr_funcs; i++) {
		PyObject *name = PyUnicode_DecodeUTF8(
			seen->funcs[i].name, (Py_ssize_t)seen->funcs[i].name_len, "replace");

		if (!name || PyList_Append(list, name))
			Py_CLEAR(list);
		Py_XDECREF(name);
	}
	return list;
}

PyObject *viz_recover(int spool, int out)
{
	struct viz_saved saved = {0, 0};
	struct file file = {0};
	PyObject *names = NULL, *result = NULL;
	char process_name[256] = "";
	int err;

	viz_clock__init();
	err = map_file(&file, spool);
	if (!err)
		err = read_blocks(&file);
	if (!err) {
		memcpy(process_name, file.head->process_name, sizeof(process_name) - 1);
		err = viz_save__write(&file.seen, out, process_name, true, &saved);
	}
	if (err) {
		errno = -err;
		PyErr_SetFromErrno(PyExc_OSError);
	} else {
		names = names_of(&file.seen);
	}
	if (names)
		result = Py_BuildValue("KKON", (unsigned long long)saved.calls,
				       (unsigned long long)saved.events,
				       file.head->evicted ? Py_True : Py_False, names);
	release(&file);
	return result;
}
