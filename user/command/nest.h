/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of an interval is covered by those that completed inside it, in one pass over
 * intervals in order of completion and with bounded memory.
 *
 * What completed and was not yet claimed by an enclosing interval waits here. When too many
 * wait, neighbours are merged; the one that an enclosing interval then begins in the middle of
 * is divided in proportion, so an error is at most that neighbour's length.
 */
#ifndef VIZ_NEST_H
#define VIZ_NEST_H

#include <stddef.h>
#include <stdint.h>

struct viz_nest_entry {
	uint64_t begin, end;
	uint64_t sum;
};

/* All zero is an empty one. */
struct viz_nest {
	struct viz_nest_entry *entries;
	uint32_t nr, room;
};

/*
 * An interval completed: takes the waiting ones that lie inside it and returns their sum in
 * @inside (at most @end - @begin), then waits itself. @max: how many may wait, at least 4.
 * Returns 0 or -ENOMEM.
 */
int viz_nest__add(struct viz_nest *nest, uint64_t begin, uint64_t end, uint32_t max,
		  uint64_t *inside);
void viz_nest__clear(struct viz_nest *nest);

#endif
