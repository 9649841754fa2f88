/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live table of `vizbpf top`: takes calls as a recording completes them and draws which
 * functions they were, from time to time. Knows nothing of how they are recorded.
 */
#ifndef VIZ_TOP_H
#define VIZ_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../trace/model.h"

enum viz_top_order { VIZ_TOP_OWN, VIZ_TOP_TOTAL, VIZ_TOP_CALLS, VIZ_TOP_MEAN, VIZ_TOP_NAME };

struct viz_top_view {
	enum viz_top_order order;
	bool all; /* what there was since the beginning, not in the last interval */
	bool reverse;
	bool paused, help;
	bool keys; /* somebody may press them: they are told of */
};

struct viz_top;

/* @trace: whose tables the calls refer to. @what: the first line ("pid 41 (python3 app.py)"),
 * copied. NULL when out of memory. */
struct viz_top *viz_top__new(const struct viz_trace *trace, const char *what);
void viz_top__free(struct viz_top *top);
/* A viz_calls_fn and a reader's sink; @ctx is the struct viz_top. 0 or -ENOMEM. */
int viz_top__calls(void *ctx, const struct viz_call *calls, size_t nr);
/* Takes what happened since the last time, at @now (ns of CLOCK_MONOTONIC), for the next picture.
 * @lost: calls lost so far. 0 or -ENOMEM. */
int viz_top__take(struct viz_top *top, uint64_t now, uint64_t lost);
/* Draws what was taken: over the last picture when @out is a terminal, else as a table below it.
 * 0, -ENOMEM, or -EIO when @out cannot be written. */
int viz_top__draw(struct viz_top *top, FILE *out);
/* Gives the terminal back as it was; nothing when @out is none. */
void viz_top__leave(struct viz_top *top, FILE *out);
/* What the table is like from the next picture on. */
void viz_top__view(struct viz_top *top, const struct viz_top_view *view);

#endif
