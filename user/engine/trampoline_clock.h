/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the recorder's clock to CLOCK_MONOTONIC.
 *
 * The recorder reads the CPU's counter, which costs a third of the vDSO's
 * clock_gettime(). Where the kernel itself does not trust the counter the
 * recorder calls the vDSO. The two clocks are compared each time records are
 * read: between two comparisons time is a straight line, so a drift shows for
 * as long as one reading at most. Where the reader is late, what it reads lies
 * between two comparisons of long ago: they are kept until it is past them.
 */
#ifndef VIZ_TRAMPOLINE_CLOCK_H
#define VIZ_TRAMPOLINE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { VIZ_COMPARISONS_MAX = 64 };

struct viz_tramp_clock {
	bool counter; /* of the CPU; else records have nanoseconds already */
	struct viz_comparison {
		uint64_t ticks, ns;
		uint64_t rate; /* nanoseconds per tick << 32, from here to the next one */
	} at[VIZ_COMPARISONS_MAX]; /* two at least, in the order of time */
	unsigned int nr;
	unsigned int cur; /* what was converted last lies behind this one */
};

/* Decides and compares for the first time. */
void viz_tramp_clock__init(struct viz_tramp_clock *c);
/* Compares again; call it after what is to be converted was written. */
void viz_tramp_clock__sample(struct viz_tramp_clock *c);
/* The clock of a record (56 bits) in ns of CLOCK_MONOTONIC. */
uint64_t viz_tramp_clock__ns(struct viz_tramp_clock *c, uint64_t stamp);
/* Nothing older than what was converted last will be asked for. */
void viz_tramp_clock__forget(struct viz_tramp_clock *c);
/* So many nanoseconds in units of the recorder's clock. */
uint64_t viz_tramp_clock__ticks(const struct viz_tramp_clock *c, uint64_t ns);
/* Now, in units of the recorder's clock. */
uint64_t viz_tramp_clock__now(const struct viz_tramp_clock *c);
/* The address of the vDSO's clock_gettime() in @pid; 0 with the reason unknown.
 */
uint64_t viz_tramp_clock__vdso(pid_t pid, int mem);

#endif
