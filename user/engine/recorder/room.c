// SPDX-License-Identifier: Apache-2.0
/*
 * The smaller loader, where there is no room for the recorder (a static interpreter has the tails
 * of one file, not of thirty): it maps memory for it, and vizbpf writes the recorder there.
 *
 * As loader.c it is reached through the PEP 523 slot with the GIL held. vizbpf is told of every
 * executable mapping by the kernel, so the recorder is there within a millisecond; it is waited
 * for, so that nothing is missed of a program that has been idle, and not for long. vizbpf then
 * changes the slot from here to the recorder. When that comes too late the slot is empty, and
 * vizbpf puts the recorder into it.
 *
 * The memory is never writable from inside: /proc/PID/mem writes all private memory.
 */
#define VIZ_REC_INSIDE
#include "arch.h"
#include "recorder.h"

extern const struct viz_room_consts R __attribute__((visibility("hidden")));

typedef void *(*eval_fn)(void *, void *, void *);

enum { PROT_READ_EXEC = 5, MAP_PRIVATE_ANON_NEW = 0x100022, CLOCK_MONOTONIC_ = 1 };

static int64_t now(void)
{
	int64_t ts[2] = {0, 0};

	arch_syscall(SYS_clock_gettime, CLOCK_MONOTONIC_, (long)ts, 0, 0, 0, 0);
	return ts[0] * 1000000000 + ts[1];
}

/* Returns where the call goes on. */
static __attribute__((noinline)) uint64_t await(uint64_t self)
{
	const int64_t nap[2] = {0, VIZ_ROOM_NAP_NS};
	volatile uint64_t *slot = (volatile uint64_t *)R.slot;
	int64_t end = now() + VIZ_ROOM_WAIT_NS;
	uint64_t next;

	if (arch_syscall(SYS_mmap, R.base, R.bytes, PROT_READ_EXEC, MAP_PRIVATE_ANON_NEW, -1, 0) >
	    0)
		while (*slot == self && now() < end)
			arch_syscall(SYS_nanosleep, (long)nap, 0, 0, 0, 0, 0);
	if (*slot == self)
		*slot = R.slot_original;
	next = *slot;
	return next ? next : R.eval;
}

/* It goes on with a jump, as the other loader does: it will be cleared. */
__attribute__((section(".text.load"))) void *load(void *a, void *b, void *c)
{
	return ((eval_fn)await((uint64_t)load))(a, b, c);
}
