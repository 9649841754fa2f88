/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where what is recorded is kept: blocks of memory that are private, or, when the recording
 * shall survive the process, in a file that is mapped. Such a file is read again by recover.c,
 * so all that stands in it is fixed-width or told by `struct viz_spool_head`.
 */
#ifndef VIZ_EXT_SPOOL_H
#define VIZ_EXT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"

/* "VIZX" and the version of everything that is in the blocks. */
#define VIZ_SPOOL_MAGIC 0x58000156495a5801ull

enum {
	VIZ_BLOCK_MIN = 1 << 10,
	/* Mapped at a time; a block of that size or a larger one begins at a multiple of it. */
	VIZ_SPOOL_SLAB = 512 << 10,
};

enum viz_block_kind {
	VIZ_BLOCK_FREE = 1,
	VIZ_BLOCK_HEAD = 2, /* struct viz_spool_head, the first one of a file */
	VIZ_BLOCK_THREAD = 3, /* struct viz_thread */
	VIZ_BLOCK_STACK = 4, /* its struct viz_frames */
	VIZ_BLOCK_CHUNK = 5, /* struct viz_chunk */
	VIZ_BLOCK_NAMES = 6, /* struct viz_spool_name, one behind the other */
};

/* In front of each block. */
struct viz_block {
	uint32_t kind; /* enum viz_block_kind; 0: nothing was put here */
	uint32_t bytes; /* a power of two, with this */
	struct viz_block *next; /* in the list of free ones */
};

struct viz_spool_head {
	struct viz_block block;
	uint64_t magic;
	uint32_t thread_size, frame_size, record_size, chunk_size; /* of the structs */
	uint32_t pid;
	uint32_t evicted; /* older records were dropped for younger ones */
	uint32_t counter; /* viz_clock_counter */
	struct viz_clock_mark first;
	char process_name[256];
};

/* What a function or a lane is called. Padded to 8 bytes. */
struct viz_spool_name {
	uint32_t bytes; /* with this; 0: the end. Written last */
	uint32_t index; /* of the function; of the lane */
	uint32_t lane_tid; /* 0: a function */
	uint32_t len;
	char text[];
};

/*
 * From here on blocks are made in the file @fd, which is owned from now on and must be empty.
 * 0 or -errno; then memory is private, as it is without this call.
 */
int viz_spool__open(int fd);
/* Whether there is a file, with a block in it. */
bool viz_spool__is_file(void);
/* Memory is private from here on; what is in the file stays mapped. */
void viz_spool__end_file(void);
/*
 * A zeroed block with room for @size bytes, its head included. NULL when out of memory. When
 * the file cannot grow the memory is private.
 */
void *viz_spool__get(enum viz_block_kind kind, size_t size);
/* Gives a block back; NULL is ignored. */
void viz_spool__put(void *block);
/* Unmaps all blocks and closes the file. */
void viz_spool__close(void);
/* In a forked child: what is mapped is the parent's. It stays readable, but not part of this
 * spool, until the second call; @unmap: or for ever. */
void viz_spool__leave(void);
void viz_spool__forget_left(bool unmap);

#endif
