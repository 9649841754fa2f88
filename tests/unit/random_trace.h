/* SPDX-License-Identifier: Apache-2.0 */
/* Random traces for property tests: nested calls on several tracks, with names of all kinds. */
#ifndef RANDOM_TRACE_H
#define RANDOM_TRACE_H

#include <stdlib.h>
#include <string.h>

#include "trace/model.h"

#define RANDOM_TRACKS 5
#define RANDOM_DEPTH 40

static uint64_t random_state = 1;

static inline uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * n >> 32);
}

static inline void random_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
}

/* Functions, processes and tracks. */
static inline void random_tables(struct viz_trace *trace)
{
	static const char *const names[] = {"f",	   "Cls.meth",	   "<lambda>",
					    "a\"b\\c",	   "na\xc3\xafve", "\xf0\x9f\x98\x80",
					    "x\ny\tz\x01", "<module>",	   "len",
					    "list.append", "</script>",	   "f.<locals>.g"};
	static const char *const files[] = {"/srv/app/x.py", "/tmp/a (b)/c:d.py", "<string>",
					    "/\xc3\xa9/\"q\".py"};
	uint32_t i;

	for (i = 0; i < 48; i++)
		viz_trace__func(trace, names[i % 12],
				i % 12 == 8 || i % 12 == 9 ? "" : files[i / 12],
				i % 12 == 8 || i % 12 == 9 ? 0 : i + 1);
	viz_trace__process(trace, 4000000);
	viz_trace__process(trace, 42);
	trace->processes[0].name = "python3 \"app\".py";
	trace->processes[1].name = "celery \xc3\xa9";
	for (i = 0; i < RANDOM_TRACKS; i++)
		viz_trace__track(trace, i % 2, i < 2 ? trace->processes[i].pid : 100 + i);
	trace->tracks[3].name = "worker-\"1\"";
	trace->begin = 1000000000;
	trace->end = 900000000000ULL;
	trace->realtime_offset = 1700000000123456789LL;
}

/* A track's open calls, and its clock. */
struct random_lane {
	uint64_t now;
	uint32_t depth;
	struct {
		uint64_t begin;
		uint32_t func;
	} open[RANDOM_DEPTH];
};

/* @nr completed calls of a track, nested; @ties: begins and ends may coincide. */
static inline void random_calls(struct viz_trace *trace, struct random_lane *lane, uint32_t track,
				struct viz_call *calls, size_t nr, int ties)
{
	size_t i = 0;

	if (!lane->now)
		lane->now = trace->begin + 1000;
	while (i < nr) {
		lane->now += random_below(ties ? 3 : 5000) + !ties;
		if (lane->depth < RANDOM_DEPTH && random_below(100) < 50) {
			lane->open[lane->depth].begin = lane->now;
			lane->open[lane->depth++].func = random_below(trace->nr_funcs);
		} else if (lane->depth) {
			struct viz_call *call = &calls[i++];

			lane->depth--;
			*call = (struct viz_call){
				.begin = lane->open[lane->depth].begin,
				.dur = lane->now - lane->open[lane->depth].begin,
				.func = lane->open[lane->depth].func,
				.track = track,
				.flags = random_below(10) ? 0 : 1u << random_below(6),
			};
			if (!trace->funcs[call->func].file[0])
				call->flags |= VIZ_CALL_C;
		}
	}
}

#endif
