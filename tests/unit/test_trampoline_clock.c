/* with: user/engine/trampoline_clock.c user/target/remote.c user/base/log.c */
/* libs: */
// SPDX-License-Identifier: Apache-2.0
/* The recorder's clock against CLOCK_MONOTONIC. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "engine/trampoline_clock.h"
#include "tap.h"

static uint64_t monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* The stamp of a record (56 bits) between two readings of the real clock. */
static uint64_t stamp(const struct viz_tramp_clock *c, uint64_t *before, uint64_t *after)
{
	uint64_t now;

	*before = monotonic();
	now = viz_tramp_clock__now(c);
	*after = monotonic();
	return now & (~0ull >> 8);
}

static void test_against_monotonic(void)
{
	struct viz_tramp_clock c;
	uint64_t stamps[200], before[200], after[200], worst = 0, last = 0;
	int backwards = 0;

	viz_tramp_clock__init(&c);
	for (int i = 0; i < 200; i++) {
		uint64_t ns;

		stamps[i] = stamp(&c, &before[i], &after[i]);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		if (i % 10 != 9)
			continue;
		viz_tramp_clock__sample(&c);
		for (int k = i - 9; k <= i; k++) {
			ns = viz_tramp_clock__ns(&c, stamps[k]);
			if (ns + worst < before[k])
				worst = before[k] - ns;
			if (ns > after[k] + worst)
				worst = ns - after[k];
			backwards += ns < last;
			last = ns;
		}
	}
	printf("# counter: %s, worst error: %lu ns\n", c.counter ? "yes" : "no",
	       (unsigned long)worst);
	ok(worst < 20000, "records are within 20 us of the real clock, between comparisons too");
	ok(!backwards, "time does not run backwards over a comparison");
}

static void test_drift(void)
{
	/* 2.5 GHz that becomes 2.5 GHz + 100 ppm */
	struct viz_tramp_clock c = {
		.counter = true,
		.nr = 2,
		.at = {{1000000, 400000, (10000000ull << 32) / 25000000},
		       {26000000, 10400000, (10000000ull << 32) / 25000000}},
	};
	uint64_t end = viz_tramp_clock__ns(&c, 26000000),
		 beyond = viz_tramp_clock__ns(&c, 51002500);

	ok(end >= 10399999 && end <= 10400001, "a comparison is met exactly: %lu",
	   (unsigned long)end);
	ok(beyond > 20400000 && beyond - 20400000 <= 1001,
	   "a drift of 100 ppm shows as 1 us after 10 ms: %lu", (unsigned long)(beyond - 20400000));
	ok(viz_tramp_clock__ns(&c, 0) == 0, "what was before the comparisons is before them");
	ok(viz_tramp_clock__ticks(&c, 400) >= 999 && viz_tramp_clock__ticks(&c, 400) <= 1000,
	   "nanoseconds in ticks");
}

static void test_wrap(void)
{
	/* records keep 56 bits of a counter that has more */
	struct viz_tramp_clock c = {
		.counter = true,
		.nr = 2,
		.at = {{(5ull << 56) - 1000, 1000, 1ull << 32},
		       {(5ull << 56) + 1000, 3000, 1ull << 32}},
	};

	ok(viz_tramp_clock__ns(&c, ((5ull << 56) - 500) & (~0ull >> 8)) == 1500, "before the wrap");
	ok(viz_tramp_clock__ns(&c, 500) == 2500, "after the wrap");
}

/* A reader that is late: what it reads was written many comparisons ago. */
static void test_late(void)
{
	enum { NR = 300, LATE = 100 };
	struct viz_tramp_clock c;
	uint64_t stamps[NR], before[NR], after[NR], worst = 0, last = 0;
	int backwards = 0;

	viz_tramp_clock__init(&c);
	for (int i = 0; i < NR; i++) {
		uint64_t ns;

		stamps[i] = stamp(&c, &before[i], &after[i]);
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
		viz_tramp_clock__sample(&c);
		if (i < LATE)
			continue;
		ns = viz_tramp_clock__ns(&c, stamps[i - LATE]);
		if (ns + worst < before[i - LATE])
			worst = before[i - LATE] - ns;
		if (ns > after[i - LATE] + worst)
			worst = ns - after[i - LATE];
		backwards += ns < last;
		last = ns;
		if (!(i % 50))
			viz_tramp_clock__forget(&c);
	}
	printf("# worst error of a late reader: %lu ns, %u comparisons kept\n",
	       (unsigned long)worst, c.nr);
	ok(worst < 20000, "a late reader's records are within 20 us of the real clock");
	ok(!backwards, "and in the order of time");
	for (int i = NR - LATE; i < NR; i++)
		viz_tramp_clock__ns(&c, stamps[i]);
	viz_tramp_clock__forget(&c);
	ok(!c.counter || c.nr == 2, "when it has caught up two comparisons are enough: %u", c.nr);
}

int main(void)
{
	test_against_monotonic();
	test_drift();
	test_wrap();
	test_late();
	return tap_done();
}
