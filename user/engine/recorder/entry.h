/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into the recorder and out of it. All are reached through the PEP 523
 * slot, with the arguments of the eval function, at a point where the
 * interpreter is consistent and the GIL is held; all pass the call on.
 */
#ifndef VIZ_REC_ENTRY_H
#define VIZ_REC_ENTRY_H

#include "filter.h"

/* Of the variant: calls are seen from here on, or the step that failed; the
 * call that brought us here goes on; calls are not seen any more. */
static enum viz_rec_step go_live(void);
static void *first_call(void *a, void *b, void *c);
static void withdraw(void);

static void put_slot_back(uint64_t mine)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	if (*slot == mine)
		*slot = K.slot_original;
}

/* 0: no memory, or vizbpf has changed its mind (the slot is not ours any more).
 */
static int prepare(void)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	KEEP_PAGE.failed = 0;
	/* a child of fork that was not asked for, with the slot of its parent */
	if (!K.follow && (uint32_t)arch_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0) != K.pid)
		return 0;
	return *slot == K.slot_boot && open_ring();
}

/* The pages are there, nobody records: begin. */
static void *begin(void *a, void *b, void *c)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	int ready;

	live->ring = 0;
	ready = prepare();
	put_slot_back(K.slot_boot);
	if (!ready)
		return ((eval_fn)K.eval)(a, b, c);
	live->ring = (uint64_t)&RING_AREA;
	running_everywhere(live, (uint64_t)(K.frame_arg0 ? a : b));
	KEEP_PAGE.mode = VIZ_REC_ON;
	RING_AREA.error = go_live();
	if (RING_AREA.error) {
		KEEP_PAGE.mode = VIZ_REC_OFF;
		live->ring = 0;
	}
	RING_AREA.state = RING_AREA.error ? VIZ_REC_REFUSED : VIZ_REC_UP;
	return first_call(a, b, c);
}

/* The two state pages. */
static int make_pages(void)
{
	long size = VIZ_REC_DIR_AT - VIZ_REC_KEEP_AT, at = (long)&KEEP_PAGE;
	long map = arch_syscall(SYS_mmap, at, size, PROT_READ_WRITE, MAP_PRIVATE_ANON_NEW, -1, 0);

	if (map != at) {
		if (map > 0)
			arch_syscall(SYS_munmap, map, size, 0, 0, 0, 0);
		return 0;
	}
	if (!arch_syscall(SYS_madvise, (long)&LIVE_PAGE, VIZ_REC_PAGE, WIPEONFORK, 0, 0, 0))
		return 1;
	arch_syscall(SYS_munmap, at, size, 0, 0, 0, 0);
	return 0;
}

/* From the loader, once in the life of the process. */
__attribute__((section(".text.start"))) void *start(void *a, void *b, void *c)
{
	if (make_pages())
		return begin(a, b, c);
	put_slot_back(K.slot_boot);
	return ((eval_fn)K.eval)(a, b, c);
}

/* From the slot, at a later attach. */
__attribute__((section(".text.start"))) void *start_again(void *a, void *b, void *c)
{
	return begin(a, b, c);
}

/* From the slot: the end. Leaves the code and the two state pages, which some
 * call may still return through. */
__attribute__((section(".text.start"))) void *stop(void *a, void *b, void *c)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	struct viz_rec_ring *ring = &RING_AREA;
	int own = live->generation != 0; /* not the ring of a parent */

	put_slot_back((uint64_t)stop);
	if (live->stopping) /* in another thread, which is giving up code objects */
		return ((eval_fn)K.eval)(a, b, c);
	live->stopping = 1;
	KEEP_PAGE.mode = VIZ_REC_OFF;
	live->ring = 0;
	withdraw();
	for (int i = 0; own && i < VIZ_REC_CODES && live->refs; i++) {
		uint64_t code = ring->codes[i].code;

		if ((int64_t)code <= 1)
			continue;
		ring->codes[i].code = 1;
		live->refs--;
		drop(code);
	}
	if (own)
		ring->state = VIZ_REC_STOPPED;
	live->generation = 0;
	/* gives the memory back and keeps the addresses: a later attach maps over
	 * them */
	if (KEEP_PAGE.reserved) {
		arch_syscall(SYS_mmap, (long)&DIR_AREA, VIZ_REC_PAGE, PROT_NONE, MAP_NOTHING_FIXED,
			     -1, 0);
		arch_syscall(SYS_mmap, (long)ring, K.ring_bytes, PROT_NONE, MAP_NOTHING_FIXED, -1,
			     0);
	}
	live->stopping = 0;
	return ((eval_fn)K.eval)(a, b, c);
}

#endif
