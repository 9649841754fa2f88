/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stepping back in time: user space's half of bpf/stack.bpf.h.
 *
 * With the PEP 523 slot set (3.11+) a Python-to-Python call takes C stack that it does not
 * take untraced. When a thread has used much of its stack, the BPF program sends
 * VIZ_STACK_LOW and here the slot is cleared, for the whole process: calls go on inlined, as
 * if nobody traced. When the thread has come up again VIZ_STACK_HIGH sets it again. When the
 * slot is still set and the thread is deeper yet, the BPF program has stopped the process:
 * it goes on as soon as the slot is clear. Figures and reasons: bpf/stack_limits.h.
 *
 * Only for one thread: the session's.
 */
#ifndef VIZ_STACK_GUARD_H
#define VIZ_STACK_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../bpf/records.h"
#include "../guardian.h"

struct viz_stack_guard {
	struct viz_guardian *guardian;
	int guards; /* fd of the BPF map `guards` */
	uint64_t lows, stops, highs, rescues; /* for the summary */
};

/* The slots of one process: an address for each interpreter, and what was written there. */
struct viz_slots {
	pid_t pid;
	const uint64_t *addr;
	unsigned int nr;
	uint64_t value; /* &_PyEval_EvalFrameDefault, or the recorder */
};

/*
 * VIZ_STACK_LOW came: clears every slot that still holds our value, tells the BPF program
 * so, and lets the process go on if it was stopped. Slots of a child that nobody told us of
 * are found by what its parent has in the guardian's journal. Returns how many slots were
 * cleared or the first negative errno; the process goes on in any case.
 */
int viz_stack_guard__low(struct viz_stack_guard *sg, const struct viz_guard *rec,
			 const struct viz_slots *slots);
/* Whether the thread for which @pid stepped back has ended; the record of that may be lost. */
bool viz_stack_guard__is_over(const struct viz_stack_guard *sg, pid_t pid);
/*
 * @pid is not traced any more: its slots are clear, its probes gone or passive. Lets it go on if
 * it was stopped in the last moment, and forgets it. Call it instead of deleting its element
 * of the map.
 */
void viz_stack_guard__release(struct viz_stack_guard *sg, pid_t pid);
/* VIZ_STACK_HIGH came: sets every slot again that is still 0. The entries in the guardian's
 * journal must be live. Returns how many were set or a negative errno. */
int viz_stack_guard__high(struct viz_stack_guard *sg, const struct viz_slots *slots);

/*
 * Records can be lost, a stopped process must not be: looks through the map for processes
 * that are stopped and not cleared. Fills @pids with at most @max of them, for which the
 * caller then calls viz_stack_guard__low() with a record of his own (stopped = 1). Call it
 * at least every 100 ms. Returns how many.
 */
int viz_stack_guard__stopped(struct viz_stack_guard *sg, pid_t *pids, int max);

#endif
