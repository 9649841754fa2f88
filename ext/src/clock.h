/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder's clock: the processor's counter where it runs evenly on all processors (less
 * than half the price of clock_gettime()), else CLOCK_MONOTONIC. Two marks, at the start and
 * when saving, turn ticks into nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef VIZ_EXT_CLOCK_H
#define VIZ_EXT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

extern bool viz_clock_counter; /* the counter is used */

struct viz_clock_mark {
	uint64_t ticks;
	uint64_t ns;
};

/* What turns ticks into time. */
struct viz_clock_scale {
	struct viz_clock_mark from;
	double ns_per_tick;
};

void viz_clock__init(void);
void viz_clock__mark(struct viz_clock_mark *mark);
/* Between @first and now. */
void viz_clock__scale(const struct viz_clock_mark *first, struct viz_clock_scale *scale);

/* Ticks in @ns nanoseconds, measured (this takes two milliseconds). */
uint64_t viz_clock__ticks_of(uint64_t ns);

static inline uint64_t viz_clock__monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t viz_clock__ticks(void)
{
#if defined(__x86_64__)
	if (__builtin_expect(viz_clock_counter, 1))
		return __rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	if (__builtin_expect(viz_clock_counter, 1)) {
		__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
		return ticks;
	}
#endif
	return viz_clock__monotonic();
}

static inline uint64_t viz_clock__ns(const struct viz_clock_scale *scale, uint64_t ticks)
{
	return scale->from.ns + (uint64_t)(int64_t)((double)(int64_t)(ticks - scale->from.ticks) *
						    scale->ns_per_tick);
}

#endif
