// SPDX-License-Identifier: Apache-2.0
#include "clock.h"

#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool viz_clock_counter;

#if defined(__x86_64__)
/* The kernel keeps its own time by the counter only while it trusts it. */
static bool counter_is_good(void)
{
	unsigned int a, b, c, d;
	char source[32] = "";
	FILE *file;

	if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8)) /* invariant TSC */
		return false;
	file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (!file)
		return false;
	if (!fgets(source, sizeof(source), file))
		source[0] = '\0';
	fclose(file);
	return !strcmp(source, "tsc\n");
}
#endif

void viz_clock__init(void)
{
#if defined(__x86_64__)
	viz_clock_counter = counter_is_good();
#elif defined(__aarch64__)
	viz_clock_counter = true; /* the architecture's own timer, the same on all processors */
#endif
}

/* The pair that was read with the least in between. */
void viz_clock__mark(struct viz_clock_mark *mark)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 10; i++) {
		uint64_t before = viz_clock__ticks(), ns = viz_clock__monotonic();
		uint64_t after = viz_clock__ticks();

		if (after - before < best) {
			best = after - before;
			mark->ticks = before + best / 2;
			mark->ns = ns;
		}
	}
}

void viz_clock__scale(const struct viz_clock_mark *first, struct viz_clock_scale *scale)
{
	struct viz_clock_mark now;

	viz_clock__mark(&now);
	scale->from = *first;
	scale->ns_per_tick = 1;
	if (viz_clock_counter && now.ticks > first->ticks)
		scale->ns_per_tick =
			(double)(now.ns - first->ns) / (double)(now.ticks - first->ticks);
}

uint64_t viz_clock__ticks_of(uint64_t ns)
{
	struct viz_clock_scale scale;
	struct viz_clock_mark mark;

	if (!viz_clock_counter)
		return ns;
	viz_clock__mark(&mark);
	while (viz_clock__monotonic() - mark.ns < 2000000)
		;
	viz_clock__scale(&mark, &scale);
	return (uint64_t)((double)ns / scale.ns_per_tick);
}
