/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder's memory: made at an attach, joined by a forked child; and what
 * is said in it first, the calls that are open already.
 */
#ifndef VIZ_REC_RING_H
#define VIZ_REC_RING_H

#include "record.h"

static void init_ring(void)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	struct viz_rec_ring *ring = &RING_AREA;

	ring->mask = K.mask;
	ring->nonce = K.nonce;
	ring->min_ticks = K.min_ticks;
	ring->filter = K.filter;
	ring->chains = K.chains;
	ring->beat = now();
	ring->pid = arch_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	live->head = live->key = live->hand = live->refs = live->paused = live->unwound = 0;
	live->limit = live->used = live->oldest = 0;
	live->next_id = 1;
	live->thread = (uint64_t)ring->threads;
	live->generation = ++KEEP_PAGE.generation;
	__atomic_store_n(&ring->magic, VIZ_REC_MAGIC, __ATOMIC_RELEASE);
}

static int map_shared(void *where, long size, long fd, long offset)
{
	int flags = KEEP_PAGE.reserved ? MAP_SHARED_FIXED : MAP_SHARED_NEW;
	long map = arch_syscall(SYS_mmap, (long)where, size, PROT_READ_WRITE, flags, fd, offset);

	if (map == (long)where)
		return 1;
	KEEP_PAGE.failed = map < 0 ? -map : EINVAL_;
	if (map > 0)
		arch_syscall(SYS_munmap, map, size, 0, 0, 0, 0);
	return 0;
}

/* At an attach: a new memfd, of which this process takes the first region. */
static int open_ring(void)
{
	const char name[8] = "vizbpf";
	long fd, err;
	int ok;

	fd = arch_syscall(SYS_memfd_create, (long)name, K.memfd_flags, 0, 0, 0, 0);
	if (fd < 0) {
		KEEP_PAGE.failed = -fd;
		return 0;
	}
	err = arch_syscall(SYS_ftruncate, fd, VIZ_REC_PAGE + K.regions * K.ring_bytes, 0, 0, 0, 0);
	KEEP_PAGE.failed = -err;
	ok = !err && map_shared(&DIR_AREA, VIZ_REC_PAGE, fd, 0);
	if (ok && !map_shared(&RING_AREA, K.ring_bytes, fd, VIZ_REC_PAGE)) {
		if (!KEEP_PAGE.reserved)
			arch_syscall(SYS_munmap, (long)&DIR_AREA, VIZ_REC_PAGE, 0, 0, 0, 0);
		ok = 0;
	}
	arch_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	if (!ok)
		return 0;
	KEEP_PAGE.reserved = 1;
	DIR_AREA.taken[0] = 1;
	DIR_AREA.nonce = K.nonce;
	init_ring();
	return 1;
}

/* Takes a free region for itself: its number, or 0. Parents and children race
 * for them. */
static uint64_t take_region(void)
{
	for (uint64_t i = 1; i < K.regions; i++) {
		uint64_t *word = &DIR_AREA.taken[i / 64], bit = 1ull << i % 64;
		uint64_t taken = __atomic_load_n(word, __ATOMIC_RELAXED);

		while (!(taken & bit))
			if (__atomic_compare_exchange_n(word, &taken, taken | bit, 0,
							__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				return i;
	}
	__atomic_fetch_add(&DIR_AREA.missed, 1, __ATOMIC_RELAXED);
	return 0;
}

/*
 * In a forked child: its region of the file in place of the parent's. There is
 * no descriptor any more, but a shared mapping can be had once more by mremap()
 * with an old size of 0, and with more of the file than the first had.
 */
static int join_ring(void)
{
	uint64_t region = take_region(), offset = VIZ_REC_PAGE + region * K.ring_bytes;
	long all, ring;

	if (!region)
		return 0;
	all = arch_syscall(SYS_mremap, (long)&DIR_AREA, 0, offset + K.ring_bytes, MREMAP_MAYMOVE, 0,
			   0);
	if (all < 0 && all > -4096) {
		KEEP_PAGE.failed = -all;
		return 0;
	}
	ring = arch_syscall(SYS_mremap, all + offset, 0, K.ring_bytes,
			    MREMAP_MAYMOVE | MREMAP_FIXED, (long)&RING_AREA, 0);
	arch_syscall(SYS_munmap, all, offset + K.ring_bytes, 0, 0, 0, 0);
	if (ring != (long)&RING_AREA) {
		KEEP_PAGE.failed = -ring;
		return 0;
	}
	init_ring();
	return 1;
}

static INLINE uint64_t current_frame(uint64_t tstate)
{
	uint64_t frame = word(tstate, K.tstate_frame);

	return likely(K.cframe_current == VIZ_REC_ABSENT) || !frame ? frame
								    : word(frame, K.cframe_current);
}

static INLINE uint64_t code_of(uint64_t frame)
{
	return word(frame, K.frame_code) & (K.tagged ? ~3ull : ~0ull);
}

static inline uint64_t caller_of(uint64_t frame)
{
	do
		frame = word(frame, K.frame_previous);
	while (frame && K.frame_owner != VIZ_REC_ABSENT &&
	       *(uint8_t *)(frame + K.frame_owner) >= 3); /* where C code called into Python */
	return frame;
}

/* The first one from @frame outwards that the reader knows of: rejected calls are none to it. */
static uint64_t not_rejected(struct viz_rec_live *live, uint64_t frame)
{
	for (int n = 0; frame && n < 64; n++) {
		uint64_t id = look_up(live, code_of(frame), 0);

		if (id == LOST || !(id & VIZ_REC_REJECT))
			break;
		frame = caller_of(frame);
	}
	return frame;
}

/* In a program that switches C stacks (greenlets): says which call a new one is
 * above, when it is not the one that the reader has to think. @caller: of the
 * frame. Returns the caller that the reader knows. */
static NOINLINE uint64_t chain(struct viz_rec_live *live, uint64_t frame, uint64_t caller)
{
	/* what a C function calls is called by the frame that called it */
	if ((live->innermost | 1) != (caller | 1)) {
		caller = not_rejected(live, caller);
		if (live->innermost != caller)
			say(live, VIZ_RECORD_CALLER, caller << 32);
	}
	live->innermost = frame;
	return caller;
}

/* The calls that are open in one thread, innermost first. */
static void running(struct viz_rec_live *live, uint64_t key, uint64_t frame)
{
	if (live->key != key && !switch_thread(live, key))
		return;
	for (int n = 0; frame && n < 1000; n++, frame = word(frame, K.frame_previous)) {
		uint64_t code, id;

		if (K.frame_owner != VIZ_REC_ABSENT && *(uint8_t *)(frame + K.frame_owner) >= 3)
			continue; /* where C code called into Python: no call of its own */
		code = code_of(frame);
		if (!code || word(code, 8) != K.code_type)
			continue;
		id = look_up(live, code, 1);
		if (id == LOST || !say(live, VIZ_RECORD_RUNNING, frame << 32 | (uint32_t)id))
			return;
	}
}

/* With the GIL held all threads' stacks stand still. */
static void running_everywhere(struct viz_rec_live *live, uint64_t frame)
{
	uint64_t tstate;

	if (K.tstate_native == VIZ_REC_ABSENT) { /* the ids of other threads are not known here */
		running(live, arch_thread_pointer(), word(frame, K.frame_previous));
		return;
	}
	tstate = *(uint64_t *)K.threads;
	for (int n = 0; tstate && n < 1000; n++, tstate = word(tstate, K.tstate_next))
		running(live, word(tstate, K.tstate_native), current_frame(tstate));
	live->key = 0;
}

/* The first event in a forked child, or one after a detach: opens a ring and
 * returns 1, or arms the end, which needs no help from outside. */
static NOINLINE int without_ring(void)
{
	if (KEEP_PAGE.mode != VIZ_REC_ON || !K.follow || KEEP_PAGE.failed || !join_ring()) {
		give_up(&LIVE_PAGE);
		return 0;
	}
	LIVE_PAGE.ring = (uint64_t)&RING_AREA;
	RING_AREA.state = VIZ_REC_UP;
	return 1;
}

#endif
