/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in a target the recorder can go: the unused tails of executable
 * mappings ("caves"), a free range of addresses, and a recorder that an earlier
 * attach has left.
 *
 * Everything is read from the target's maps and memory, and believed only as
 * far as a wrong answer harms nobody but the target that gave it.
 */
#ifndef VIZ_TRAMPOLINE_PLACE_H
#define VIZ_TRAMPOLINE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { VIZ_CAVES_MAX = 32, VIZ_IMAGES_MAX = 256 };

/* A range of the target's addresses. */
struct viz_span {
	uint64_t addr, size;
};

/* Zero bytes behind the end of a text segment, in its last page. */
struct viz_cave {
	uint64_t addr; /* 16-byte aligned */
	uint64_t size;
};

struct viz_places {
	struct viz_cave caves[VIZ_CAVES_MAX]; /* the largest first */
	int nr_caves;
	uint64_t room; /* sum of their sizes */
	uint64_t hole; /* start of the free range that was asked for, or 0 */
	uint64_t images[VIZ_IMAGES_MAX]; /* recorders, of this and of earlier attaches */
	int nr_images;
};

/* Looks through process @pid, whose memory is @mem; @hole_size: free addresses wanted, outside
 * of @taken, which will be mapped yet. 0 or a negative errno. */
int viz_places__find(struct viz_places *p, pid_t pid, int mem, uint64_t hole_size,
		     const struct viz_span *taken, int nr_taken);
/* These bytes are in use, from the front of a cave on, also where they are zeros. */
void viz_places__reserve(struct viz_places *p, uint64_t addr, uint64_t size);
/* Takes @size bytes from the front of a cave that is large enough for all of
 * them; 0: none. */
uint64_t viz_places__take(struct viz_places *p, uint64_t size);
/* Takes at most @most bytes from the largest cave, for a piece; its size in
 * @size. */
uint64_t viz_places__take_some(struct viz_places *p, uint64_t most, uint64_t *size);

#endif
