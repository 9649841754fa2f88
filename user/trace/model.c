// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"
#include "texts.h"

const struct viz_call_mark viz_call_marks[VIZ_CALL_MARKS] = {
	{VIZ_CALL_UNFINISHED, "unfinished"}, {VIZ_CALL_RUNNING, "running"},
	{VIZ_CALL_RAISED, "raised"},	     {VIZ_CALL_LOST_BEGIN, "lost_begin"},
	{VIZ_CALL_LOST_END, "lost_end"},     {VIZ_CALL_INFERRED, "inferred"},
};

#define BLOCK_SIZE (64 * 1024)
/* A name or a path longer than this is hostile or broken; what is kept identifies it still. */
#define NAME_MAX_BYTES 4096

struct block {
	struct block *next;
	size_t used, size;
	char data[];
};

/* Indexes of a table that are free again. */
struct vacant {
	uint32_t *free;
	uint32_t nr, cap;
	uint32_t ids; /* given so far */
};

struct viz_trace_private {
	struct block *blocks;
	struct block *args_blocks; /* of their own, to be forgotten */
	uint32_t *slots; /* 1 + index of a function, 0: free */
	uint32_t *hashes; /* of each function */
	uint32_t nr_slots; /* a power of two */
	uint32_t cap_funcs, cap_processes, cap_tracks, cap_args;
	struct viz_texts texts; /* of processes and tracks */
	struct vacant processes, tracks;
};

static char *arena__alloc(struct block **blocks, size_t size)
{
	struct block *block = *blocks;
	size_t want = size > BLOCK_SIZE ? size : BLOCK_SIZE;
	char *p;

	if (!block || block->size - block->used < size) {
		block = malloc(sizeof(*block) + want);
		if (!block)
			return NULL;
		block->size = want;
		block->used = 0;
		/* a large one goes second: the current block keeps its room */
		if (*blocks && size > BLOCK_SIZE / 4) {
			block->next = (*blocks)->next;
			(*blocks)->next = block;
		} else {
			block->next = *blocks;
			*blocks = block;
		}
	}
	p = block->data + block->used;
	block->used += size;
	return p;
}

/* Makes room for one more element; what is new is zeroed. */
static bool table__grow(void **table, uint32_t nr, uint32_t *cap, size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 64;
	void *p;

	if (nr < *cap)
		return true;
	if (want <= *cap || want >= UINT32_MAX / 2)
		return false;
	p = realloc(*table, want * size);
	if (!p)
		return false;
	memset((char *)p + *cap * size, 0, (want - *cap) * size);
	*table = p;
	*cap = want;
	return true;
}

struct viz_trace *viz_trace__new(void)
{
	struct viz_trace *trace = calloc(1, sizeof(*trace));

	if (!trace)
		return NULL;
	trace->priv = calloc(1, sizeof(*trace->priv));
	if (!trace->priv) {
		free(trace);
		return NULL;
	}
	return trace;
}

static void arena__free(struct block *block)
{
	struct block *next;

	for (; block; block = next) {
		next = block->next;
		free(block);
	}
}

void viz_trace__free(struct viz_trace *trace)
{
	if (!trace)
		return;
	arena__free(trace->priv->blocks);
	arena__free(trace->priv->args_blocks);
	viz_texts__clear(&trace->priv->texts);
	free(trace->priv->processes.free);
	free(trace->priv->tracks.free);
	free(trace->priv->slots);
	free(trace->priv->hashes);
	free(trace->priv);
	free(trace->funcs);
	free(trace->processes);
	free(trace->tracks);
	free(trace->args);
	free(trace);
}

static uint64_t hash_bytes(uint64_t hash, const char *text, size_t len)
{
	uint64_t word;

	for (; len >= 8; len -= 8, text += 8) {
		memcpy(&word, text, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
	}
	word = len;
	for (; len; len--)
		word = word << 8 | (unsigned char)*text++;
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

static bool slots__rebuild(struct viz_trace *trace)
{
	struct viz_trace_private *priv = trace->priv;
	uint32_t nr = priv->nr_slots ? priv->nr_slots * 2 : 1024, i, at;
	uint32_t *slots;

	if ((uint64_t)trace->nr_funcs * 2 < priv->nr_slots)
		return true;
	slots = calloc(nr, sizeof(*slots));
	if (!slots)
		return false;
	for (i = 0; i < trace->nr_funcs; i++) {
		for (at = priv->hashes[i] & (nr - 1); slots[at]; at = (at + 1) & (nr - 1))
			;
		slots[at] = i + 1;
	}
	free(priv->slots);
	priv->slots = slots;
	priv->nr_slots = nr;
	return true;
}

static uint32_t func__add(struct viz_trace *trace, const char *name, size_t name_len,
			  const char *file, size_t file_len, uint32_t line, uint32_t hash)
{
	struct viz_trace_private *priv = trace->priv;
	uint32_t index = trace->nr_funcs, cap = priv->cap_funcs;
	char *text;

	if (!table__grow((void **)&trace->funcs, index, &priv->cap_funcs, sizeof(*trace->funcs)))
		return UINT32_MAX;
	if (cap != priv->cap_funcs) {
		uint32_t *hashes = realloc(priv->hashes, priv->cap_funcs * sizeof(*hashes));

		if (!hashes) {
			priv->cap_funcs = cap;
			return UINT32_MAX;
		}
		priv->hashes = hashes;
	}
	text = arena__alloc(&priv->blocks, name_len + file_len + 2);
	if (!text)
		return UINT32_MAX;
	memcpy(text, name, name_len);
	text[name_len] = '\0';
	memcpy(text + name_len + 1, file, file_len);
	text[name_len + 1 + file_len] = '\0';
	trace->funcs[index] = (struct viz_func){
		.name = text,
		.file = text + name_len + 1,
		.line = line,
	};
	priv->hashes[index] = hash;
	trace->nr_funcs = index + 1;
	return index;
}

static uint32_t func__find(struct viz_trace *trace, const char *name, size_t name_len,
			   const char *file, size_t file_len, uint32_t line)
{
	struct viz_trace_private *priv = trace->priv;
	uint64_t wide = hash_bytes(hash_bytes(line, name, name_len), file, file_len);
	uint32_t hash = (uint32_t)(wide ^ wide >> 32), at, index;

	if (!slots__rebuild(trace))
		return UINT32_MAX;
	for (at = hash & (priv->nr_slots - 1); priv->slots[at];
	     at = (at + 1) & (priv->nr_slots - 1)) {
		const struct viz_func *func = &trace->funcs[priv->slots[at] - 1];

		if (priv->hashes[priv->slots[at] - 1] == hash && func->line == line &&
		    !strncmp(func->name, name, name_len) && !func->name[name_len] &&
		    !strncmp(func->file, file, file_len) && !func->file[file_len])
			return priv->slots[at] - 1;
	}
	index = func__add(trace, name, name_len, file, file_len, line, hash);
	if (index != UINT32_MAX)
		priv->slots[at] = index + 1;
	return index;
}

uint32_t viz_trace__func(struct viz_trace *trace, const char *name, const char *file, uint32_t line)
{
	char clean_name[NAME_MAX_BYTES + 1], clean_file[NAME_MAX_BYTES + 1];
	size_t name_len = strlen(name), file_len = strlen(file);

	if (name_len > NAME_MAX_BYTES || !viz_utf8__valid(name, name_len)) {
		name_len = viz_utf8__clean(clean_name, sizeof(clean_name), name, name_len);
		name = clean_name;
	}
	if (file_len > NAME_MAX_BYTES || !viz_utf8__valid(file, file_len)) {
		file_len = viz_utf8__clean(clean_file, sizeof(clean_file), file, file_len);
		file = clean_file;
	}
	return func__find(trace, name, name_len, file, file_len, line);
}

/* The index for a new element: a free one, or the next, for which there is room afterwards. */
static uint32_t vacant__take(struct vacant *vacant, void **table, uint32_t *nr, uint32_t *cap,
			     size_t size)
{
	if (vacant->nr)
		return vacant->free[--vacant->nr];
	return table__grow(table, *nr, cap, size) ? (*nr)++ : UINT32_MAX;
}

static bool vacant__give(struct vacant *vacant, uint32_t index)
{
	if (!table__grow((void **)&vacant->free, vacant->nr, &vacant->cap, sizeof(*vacant->free)))
		return false;
	vacant->free[vacant->nr++] = index;
	return true;
}

uint32_t viz_trace__process(struct viz_trace *trace, uint32_t pid)
{
	struct vacant *vacant = &trace->priv->processes;
	uint32_t index = vacant__take(vacant, (void **)&trace->processes, &trace->nr_processes,
				      &trace->priv->cap_processes, sizeof(*trace->processes));

	if (index != UINT32_MAX)
		trace->processes[index] = (struct viz_process){.pid = pid, .id = vacant->ids++};
	return index;
}

void viz_trace__sum_calls(struct viz_trace *trace)
{
	uint32_t i;

	for (i = 0; i < trace->nr_processes; i++)
		trace->processes[i].calls = trace->processes[i].ended_calls;
	for (i = 0; i < trace->nr_tracks; i++)
		if (!trace->tracks[i].gone)
			trace->processes[trace->tracks[i].process].calls += trace->tracks[i].calls;
}

uint32_t viz_trace__track(struct viz_trace *trace, uint32_t process, uint32_t tid)
{
	struct vacant *vacant = &trace->priv->tracks;
	uint32_t index;

	if (process >= trace->nr_processes)
		return UINT32_MAX;
	index = vacant__take(vacant, (void **)&trace->tracks, &trace->nr_tracks,
			     &trace->priv->cap_tracks, sizeof(*trace->tracks));
	if (index != UINT32_MAX)
		trace->tracks[index] = (struct viz_track){
			.process = process,
			.pid = trace->processes[process].pid,
			.tid = tid,
			.id = vacant->ids++,
		};
	return index;
}

/* The texts of a process, by where they stand in it. */
static const size_t process_texts[] = {
	offsetof(struct viz_process, name),   offsetof(struct viz_process, cmdline),
	offsetof(struct viz_process, exe),    offsetof(struct viz_process, python),
	offsetof(struct viz_process, engine), offsetof(struct viz_process, engine_why),
	offsetof(struct viz_process, limits), offsetof(struct viz_process, container),
	offsetof(struct viz_process, image),  offsetof(struct viz_process, cgroup),
};

static const char **text_of(struct viz_process *p, size_t i)
{
	return (const char **)((char *)p + process_texts[i]);
}

static void drop_texts(struct viz_trace *trace, struct viz_process *p)
{
	for (size_t i = 0; i < sizeof(process_texts) / sizeof(*process_texts); i++) {
		viz_texts__drop(&trace->priv->texts, *text_of(p, i));
		*text_of(p, i) = NULL;
	}
}

void viz_trace__like(struct viz_trace *trace, uint32_t process, uint32_t other)
{
	struct viz_process *p = &trace->processes[process], copy = trace->processes[other];

	for (size_t i = 0; i < sizeof(process_texts) / sizeof(*process_texts); i++)
		*text_of(&copy, i) = viz_trace__string(trace, *text_of(&copy, i));
	copy.pid = p->pid;
	copy.id = p->id;
	copy.calls = copy.ended_calls = copy.lost = 0;
	copy.hidden = false;
	drop_texts(trace, p);
	*p = copy;
}

void viz_trace__end_track(struct viz_trace *trace, uint32_t track)
{
	struct viz_track *t = &trace->tracks[track];

	trace->processes[t->process].ended_calls += t->calls;
	viz_texts__drop(&trace->priv->texts, t->name);
	*t = (struct viz_track){.process = t->process, .gone = true};
	vacant__give(&trace->priv->tracks, track);
}

void viz_trace__end_process(struct viz_trace *trace, uint32_t process)
{
	drop_texts(trace, &trace->processes[process]);
	trace->processes[process] = (struct viz_process){.hidden = true};
	vacant__give(&trace->priv->processes, process);
}

const char *viz_trace__string(struct viz_trace *trace, const char *text)
{
	return text ? viz_texts__use(&trace->priv->texts, text) : NULL;
}

bool viz_trace__set(struct viz_trace *trace, const char **place, const char *text)
{
	const char *copy = viz_trace__string(trace, text);

	if (text && !copy)
		return false;
	viz_texts__drop(&trace->priv->texts, *place);
	*place = copy;
	return true;
}

static const char *copy_text(struct block **blocks, const char *text)
{
	size_t len = strlen(text);
	char *copy;

	if (viz_utf8__valid(text, len)) {
		copy = arena__alloc(blocks, len + 1);
		if (copy)
			memcpy(copy, text, len + 1);
		return copy;
	}
	/* each bad byte becomes the three of U+FFFD */
	copy = arena__alloc(blocks, 3 * len + 1);
	if (copy)
		viz_utf8__clean(copy, 3 * len + 1, text, len);
	return copy;
}

uint32_t viz_trace__args(struct viz_trace *trace, const char *json_members)
{
	const char *copy;

	if (!table__grow((void **)&trace->args, trace->nr_args, &trace->priv->cap_args,
			 sizeof(*trace->args)))
		return 0;
	copy = copy_text(&trace->priv->args_blocks, json_members);
	if (!copy)
		return 0;
	trace->args[trace->nr_args++] = copy;
	return trace->nr_args;
}

void viz_trace__forget_args(struct viz_trace *trace)
{
	struct block *block = trace->priv->args_blocks;

	trace->nr_args = 0;
	if (!block)
		return;
	/* the first is kept: the usual case never comes back to malloc() */
	arena__free(block->next);
	block->next = NULL;
	block->used = 0;
}
