/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the calls of a trace come to, function by function, for stats, diff and top. One pass
 * over calls in order of completion; memory grows with functions and threads, not with calls.
 */
#ifndef VIZ_PROFILE_H
#define VIZ_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../trace/model.h"

/* Durations by logarithmic class, 16 to an octave: a percentile is off by 3 % at most. */
struct viz_histogram {
	uint32_t *counts;
	uint16_t first, nr; /* classes that counts[] covers */
};

/* One function. All times in nanoseconds. */
struct viz_row {
	uint64_t calls;
	uint64_t total; /* begin to end; of recursion only the outermost call counts */
	uint64_t self; /* total without the calls made */
	uint64_t sum; /* of all durations, recursion included: the mean is sum / calls */
	uint64_t min, max;
	uint64_t raised;
	struct viz_histogram histogram;
};

struct viz_profile {
	struct viz_row *rows; /* by index of the function; calls 0: never called */
	uint32_t nr_rows;
	uint64_t calls;
	uint64_t begin, end; /* of what was seen; begin > end: nothing */
	uint64_t disordered; /* calls that came after one that ended later: the file is not
					 * in order of completion, self times are approximate */
	struct viz_profile_private *priv;
};

struct viz_profile *viz_profile__new(void);
void viz_profile__free(struct viz_profile *p);
/* The sink of a reader or a timeline (@ctx is the profile). Returns 0 or -ENOMEM. */
int viz_profile__calls(void *ctx, const struct viz_call *calls, size_t nr);
/* The duration below which @percent of the calls are; 0 when there are none. */
uint64_t viz_row__percentile(const struct viz_row *row, double percent);
uint64_t viz_row__mean(const struct viz_row *row);

enum viz_sort {
	VIZ_SORT_SELF,
	VIZ_SORT_TOTAL,
	VIZ_SORT_CALLS,
	VIZ_SORT_MEAN,
	VIZ_SORT_P50,
	VIZ_SORT_P99,
	VIZ_SORT_MAX,
	VIZ_SORT_NAME,
	VIZ_SORTS,
};

/* "self", "p99", ... in the order of the enum, then NULL. */
extern const char *const viz_sort_names[VIZ_SORTS + 1];
/* Indexes of the functions that were called, in order (largest first; names ascending);
 * freed by the caller. Their number in @nr. NULL when out of memory. */
uint32_t *viz_profile__sorted(const struct viz_profile *p, const struct viz_trace *trace,
			      enum viz_sort sort, uint32_t *nr);

#endif
