/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the recorder's clock to CLOCK_MONOTONIC.
 *
 * The recorder reads the CPU's counter, which costs a third of the vDSO's
 * clock_gettime(). Where the kernel itself does not trust the counter the
 * recorder calls the vDSO. The two clocks are compared each time records are
 * read: between two comparisons time is a straight line, so a drift shows for
 * as long as one reading at most.
 */
#ifndef VIZ_TRAMPOLINE_CLOCK_H
#define VIZ_TRAMPOLINE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct viz_tramp_clock {
	bool counter; /* of the CPU; else records have nanoseconds already */
	uint64_t ticks[2], ns[2]; /* the last two comparisons */
	uint64_t rate; /* nanoseconds per tick << 32 */
};

/* Decides and compares for the first time. */
void viz_tramp_clock__init(struct viz_tramp_clock *c);
/* Compares again; call it after what is to be converted was written. */
void viz_tramp_clock__sample(struct viz_tramp_clock *c);
/* The clock of a record (56 bits) in ns of CLOCK_MONOTONIC. */
uint64_t viz_tramp_clock__ns(const struct viz_tramp_clock *c, uint64_t stamp);
/* So many nanoseconds in units of the recorder's clock. */
uint64_t viz_tramp_clock__ticks(const struct viz_tramp_clock *c, uint64_t ns);
/* Now, in units of the recorder's clock. */
uint64_t viz_tramp_clock__now(const struct viz_tramp_clock *c);
/* The address of the vDSO's clock_gettime() in @pid; 0 with the reason unknown.
 */
uint64_t viz_tramp_clock__vdso(pid_t pid, int mem);

#endif
