// SPDX-License-Identifier: Apache-2.0
#include "ring_budget.h"

#include <stdio.h>

enum { SMALLEST = 1 << 20, RESERVE = 8 };

uint64_t viz_ring_budget__available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 1 << 20, found;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu kB", &found) == 1)
			kib = found;
	if (file)
		fclose(file);
	return kib << 10;
}

uint64_t viz_ring_budget__size(const struct viz_ring_budget *budget, uint64_t wish, uint64_t extra)
{
	uint64_t left = budget->limit > budget->used ? budget->limit - budget->used : 0;

	while (wish > SMALLEST && wish + extra > left / RESERVE)
		wish /= 2;
	return wish + extra <= left ? wish : 0;
}
