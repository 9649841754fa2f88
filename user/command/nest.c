// SPDX-License-Identifier: Apache-2.0
#include "nest.h"

#include <errno.h>
#include <stdlib.h>

/* Takes from the last waiting entry the part that lies after @begin. Calls that overlap
 * without nesting (greenlets on one thread) come here too: their union is what counts. */
static uint64_t take_part(struct viz_nest_entry *e, uint64_t begin)
{
	uint64_t part;

	part = (uint64_t)((double)e->sum * (double)(e->end - begin) / (double)(e->end - e->begin));
	e->sum -= part;
	e->end = begin;
	return part;
}

/* Halves all but the newest quarter. */
static void merge(struct viz_nest *nest)
{
	uint32_t old = (nest->nr - nest->nr / 4) & ~1u, i, n = 0;

	for (i = 0; i < old; i += 2) {
		const struct viz_nest_entry *a = &nest->entries[i], *b = &nest->entries[i + 1];
		struct viz_nest_entry both = {
			a->begin < b->begin ? a->begin : b->begin,
			a->end > b->end ? a->end : b->end,
			a->sum + b->sum,
		};

		nest->entries[n++] = both;
	}
	for (; i < nest->nr; i++)
		nest->entries[n++] = nest->entries[i];
	nest->nr = n;
}

int viz_nest__add(struct viz_nest *nest, uint64_t begin, uint64_t end, uint32_t max,
		  uint64_t *inside)
{
	uint64_t sum = 0;

	while (nest->nr) {
		struct viz_nest_entry *e = &nest->entries[nest->nr - 1];

		if (e->begin < begin) {
			/* one that ended later came in the wrong order: it may be the caller */
			if (e->end > begin && e->end <= end)
				sum += take_part(e, begin);
			break;
		}
		sum += e->sum;
		nest->nr--;
	}
	*inside = sum > end - begin ? end - begin : sum;
	if (nest->nr >= max)
		merge(nest);
	if (nest->nr == nest->room) {
		uint32_t room = nest->room ? nest->room * 2 : 4;
		void *entries = realloc(nest->entries, room * sizeof(*nest->entries));

		if (!entries)
			return -ENOMEM;
		nest->entries = entries;
		nest->room = room;
	}
	nest->entries[nest->nr++] = (struct viz_nest_entry){begin, end, end - begin};
	return 0;
}

void viz_nest__clear(struct viz_nest *nest)
{
	free(nest->entries);
	*nest = (struct viz_nest){0};
}
