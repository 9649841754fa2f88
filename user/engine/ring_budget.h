/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large the ring of one more process may be. Rings are allocated ahead, and a host can have
 * hundreds of Python processes: together they get an eighth of the memory that was available when
 * the first was asked for. Single ones get what they like, later ones less and less.
 */
#ifndef VIZ_RING_BUDGET_H
#define VIZ_RING_BUDGET_H

#include <stdint.h>

struct viz_ring_budget {
	uint64_t limit, used; /* bytes; limit 0: not yet known */
};

/* MemAvailable of /proc/meminfo, in bytes; a guess of 1 GiB where that cannot be read. */
uint64_t viz_ring_budget__available(void);
/* The size of a ring, a power of two: @wish, or less so that eight more would fit, with @extra bytes
 * each; 0: not even the smallest fits. */
uint64_t viz_ring_budget__size(const struct viz_ring_budget *budget, uint64_t wish, uint64_t extra);

#endif
