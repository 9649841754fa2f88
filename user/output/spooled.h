/* SPDX-License-Identifier: Apache-2.0 */
/* What the writers have in common that need a whole trace before they can write. */
#ifndef VIZ_SPOOLED_H
#define VIZ_SPOOLED_H

#include "buffer.h"
#include "spool.h"
#include "stacks.h"
#include "writer.h"

struct viz_spooled {
	struct viz_writer w;
	struct viz_spool *spool;
	struct viz_buffer buffer; /* what is written next */
	uint64_t first; /* begin of the earliest call */
};

int viz_spooled__begin(struct viz_writer *w);
int viz_spooled__calls(struct viz_writer *w, const struct viz_call *calls, size_t nr);
/* Names are looked up in the end; other events have no place here. */
int viz_spooled__name(struct viz_writer *w, uint32_t index);
int viz_spooled__event(struct viz_writer *w, const struct viz_event *event);
void viz_spooled__free(struct viz_writer *w);
/* Writes the buffer and empties it. 0 or -errno. */
int viz_spooled__put(struct viz_spooled *s);
/* The stacks of the trace; completes the file behind what @write writes of them. */
int viz_spooled__end(struct viz_writer *w,
		     int (*write)(struct viz_spooled *s, const struct viz_stacks *stacks));
/* "f (/a/b.py:3)" for a node; the process for one below the root. */
void viz_spooled__label(struct viz_spooled *s, const struct viz_stacks *stacks, uint32_t node,
			struct viz_buffer *b);

#endif
