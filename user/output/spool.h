/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on disk, to be read from the last to the first, track by track. Backwards, a call is
 * seen before those that it made: whoever is open is known, and the depth of the stack is all
 * the memory that it takes.
 */
#ifndef VIZ_SPOOL_H
#define VIZ_SPOOL_H

#include "../trace/model.h"

struct viz_spool;

/* NULL with errno set. */
struct viz_spool *viz_spool__new(void);
void viz_spool__free(struct viz_spool *spool);
/* 0 or -errno. */
int viz_spool__add(struct viz_spool *spool, const struct viz_call *calls, size_t nr);

/* A call whose caller, with all its own callers, is the stack below it. */
struct viz_frame {
	struct viz_call call;
	uint64_t end; /* not after the end of its caller, whatever the file says */
	uint32_t user; /* of whoever walks */
};

struct viz_walk {
	/* @stack[depth - 1] begins, going back in time: it ends there, in time */
	int (*enter)(void *ctx, struct viz_frame *stack, size_t depth);
	/* it is left, going back: it begins there, in time */
	int (*leave)(void *ctx, struct viz_frame *stack, size_t depth);
	void *ctx;
};

/* Walks over the calls of the track, backwards. 0, -errno or what a function returned. */
int viz_spool__walk(struct viz_spool *spool, uint32_t track, const struct viz_walk *walk);

#endif
