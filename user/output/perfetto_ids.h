/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that our Perfetto traces use and their reader knows. */
#ifndef VIZ_PERFETTO_IDS_H
#define VIZ_PERFETTO_IDS_H

#include <stdint.h>

/* BuiltinClock of the format, and a clock of a sequence's own: numbers from 64. */
#define PERFETTO_REALTIME 1
#define PERFETTO_MONOTONIC 3
#define PERFETTO_DELTA 64
/* Sequence 1 has everything but calls; a track's calls have a sequence of their own. */
#define PERFETTO_COMMON_SEQUENCE 1
#define PERFETTO_TRACK_SEQUENCE 2

/* By how much a begin was put earlier to keep its place */
#define PERFETTO_SHIFTED "shifted_ns"

/* Track ids: a kind in the upper half, an index or a hash in the lower. */
enum perfetto_track_kind {
	PERFETTO_THREAD = 1,
	PERFETTO_PROCESS = 2,
	PERFETTO_LANE = 3, /* slices beside the calls of a thread */
	PERFETTO_ASYNC = 4,
	PERFETTO_COUNTER = 5,
};

static inline uint64_t perfetto__uuid(enum perfetto_track_kind kind, uint32_t index)
{
	return (uint64_t)kind << 32 | index;
}

#endif
