// SPDX-License-Identifier: Apache-2.0
#include "spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"

/* 32-byte calls and a head fill 4 KiB: a thousand threads take 4 MiB. */
#define BLOCK_CALLS 127

struct block {
	uint64_t before; /* offset of the track's block before, plus one */
	uint64_t nr;
	uint64_t reserved[2];
	struct viz_call calls[BLOCK_CALLS];
};

_Static_assert(sizeof(struct block) == 4096, "a block is a page");

struct viz_spool {
	int fd;
	uint64_t size;
	struct block **blocks; /* by track: the one being filled */
	uint32_t nr_blocks;
	struct viz_frame *stack;
	size_t cap_stack;
};

struct viz_spool *viz_spool__new(void)
{
	struct viz_spool *spool = calloc(1, sizeof(*spool));

	if (!spool)
		return NULL;
	spool->fd = viz_scratch__open();
	if (spool->fd < 0) {
		errno = -spool->fd;
		free(spool);
		return NULL;
	}
	return spool;
}

void viz_spool__free(struct viz_spool *spool)
{
	uint32_t i;

	if (!spool)
		return;
	for (i = 0; i < spool->nr_blocks; i++)
		free(spool->blocks[i]);
	free(spool->blocks);
	free(spool->stack);
	close(spool->fd);
	free(spool);
}

static struct block *block__of(struct viz_spool *spool, uint32_t track)
{
	uint32_t nr = track + track / 2 + 64;
	struct block **blocks;

	if (track >= spool->nr_blocks) {
		blocks = realloc(spool->blocks, nr * sizeof(*blocks));
		if (!blocks)
			return NULL;
		memset(blocks + spool->nr_blocks, 0, (nr - spool->nr_blocks) * sizeof(*blocks));
		spool->blocks = blocks;
		spool->nr_blocks = nr;
	}
	if (!spool->blocks[track])
		spool->blocks[track] = calloc(1, sizeof(struct block));
	return spool->blocks[track];
}

static int block__write(struct viz_spool *spool, struct block *block)
{
	const char *p = (const char *)block;
	size_t left = sizeof(*block);
	ssize_t n;

	while (left) {
		n = pwrite(spool->fd, p, left, (off_t)(spool->size + sizeof(*block) - left));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		left -= (size_t)n;
	}
	block->before = spool->size + 1;
	block->nr = 0;
	spool->size += sizeof(*block);
	return 0;
}

int viz_spool__add(struct viz_spool *spool, const struct viz_call *calls, size_t nr)
{
	struct block *block;
	size_t i;
	int err;

	for (i = 0; i < nr; i++) {
		block = block__of(spool, calls[i].track);
		if (!block)
			return -ENOMEM;
		if (block->nr == BLOCK_CALLS) {
			err = block__write(spool, block);
			if (err)
				return err;
		}
		block->calls[block->nr++] = calls[i];
	}
	return 0;
}

static struct viz_frame *push(struct viz_spool *spool, size_t depth)
{
	struct viz_frame *stack;
	size_t cap;

	if (depth == spool->cap_stack) {
		cap = depth ? depth * 2 : 128;
		stack = realloc(spool->stack, cap * sizeof(*stack));
		if (!stack)
			return NULL;
		spool->stack = stack;
		spool->cap_stack = cap;
	}
	return &spool->stack[depth];
}

struct walker {
	struct viz_spool *spool;
	const struct viz_walk *walk;
	size_t depth;
};

/* Leaves what does not contain a call that begins at @begin. */
static int leave(struct walker *w, uint64_t begin, bool all)
{
	struct viz_frame *stack = w->spool->stack;
	int err;

	while (w->depth && (all || begin < stack[w->depth - 1].call.begin)) {
		err = w->walk->leave ? w->walk->leave(w->walk->ctx, stack, w->depth) : 0;
		if (err)
			return err;
		w->depth--;
	}
	return 0;
}

static int visit(struct walker *w, const struct viz_call *call)
{
	struct viz_frame *frame;
	int err = leave(w, call->begin, false);

	if (err)
		return err;
	frame = push(w->spool, w->depth);
	if (!frame)
		return -ENOMEM;
	frame->call = *call;
	frame->end = call->begin + call->dur;
	frame->user = 0;
	if (w->depth && frame->end > frame[-1].end)
		frame->end = frame[-1].end;
	w->depth++;
	return w->walk->enter ? w->walk->enter(w->walk->ctx, w->spool->stack, w->depth) : 0;
}

static int read_block(struct viz_spool *spool, struct block *block, uint64_t at)
{
	ssize_t n;

	do {
		n = pread(spool->fd, block, sizeof(*block), (off_t)at);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(*block))
		return n < 0 ? -errno : -EIO;
	return 0;
}

int viz_spool__walk(struct viz_spool *spool, uint32_t track, const struct viz_walk *walk)
{
	struct walker w = {.spool = spool, .walk = walk};
	struct block block;
	uint64_t i;
	int err;

	if (track >= spool->nr_blocks || !spool->blocks[track])
		return 0;
	block = *spool->blocks[track];
	for (;;) {
		for (i = block.nr; i > 0; i--) {
			err = visit(&w, &block.calls[i - 1]);
			if (err)
				return err;
		}
		if (!block.before)
			return leave(&w, 0, true);
		err = read_block(spool, &block, block.before - 1);
		if (err)
			return err;
	}
}
