// SPDX-License-Identifier: Apache-2.0
#include "sweep.h"

#include <malloc.h>
#include <stdlib.h>

#include "output/ended.h"
#include "summary.h"

/* How often the room of what was freed goes back to the system, ns. */
static const uint64_t trim_every = 5000000000;

/* Formats that show everything at the end, and the flight recorder, name all who ever were. */
static bool forgets(const struct viz_session *s)
{
	return s->trace->ended && s->writer->ops->end_track && !s->flight && !s->err;
}

/* Where it cannot be written down it stays in memory: nothing is lost, only room. */
static void end_track(void *ctx, uint32_t track)
{
	struct viz_session *s = ctx;
	struct viz_writer *w = s->writer;

	if (!forgets(s) || viz_ended__track(s->trace->ended, &s->trace->tracks[track]))
		return;
	s->err = w->ops->track(w, track) ?: w->ops->end_track(w, track);
	viz_trace__end_track(s->trace, track);
}

static void end_process(struct viz_session *s, uint32_t process)
{
	struct viz_process *p = &s->trace->processes[process];
	struct viz_writer *w = s->writer;

	if (process == UINT32_MAX || !forgets(s))
		return;
	p->calls = p->ended_calls;
	if (!p->hidden && viz_ended__process(s->trace->ended, p))
		return;
	viz_summary__process(p);
	if (!p->hidden)
		s->err = w->ops->process(w, process);
	w->ops->end_process(w, process);
	viz_trace__end_process(s->trace, process);
}

static void sweep_lanes(struct viz_session *s)
{
	uint32_t index;

	for (uint32_t i = 0; i < s->nr_lanes;) {
		struct viz_thread_lane *lane = &s->lanes[i], *last;

		if (!lane->ended) {
			i++;
			continue;
		}
		viz_lane__free(lane->lane, end_track, s);
		last = &s->lanes[--s->nr_lanes];
		/* the thread's number may be another's by now */
		if (viz_hash__get(&s->by_tid, (uint64_t)last->tid, &index) && index == s->nr_lanes)
			viz_hash__set(&s->by_tid, (uint64_t)last->tid, i);
		*lane = *last;
	}
}

static void free_target(struct viz_session *s, struct viz_target *t)
{
	struct viz_target *last = s->by_index[--s->nr_index];

	s->by_index[t->index] = last;
	last->index = t->index;
	if (last->state != VIZ_TARGET_ENDED)
		viz_hash__set(&s->by_pid, (uint64_t)last->pid, last->index);
	end_process(s, t->process);
	viz_target__free(t);
}

static void sweep_targets(struct viz_session *s)
{
	struct viz_target *t, **at;

	for (t = s->targets; t; t = t->next)
		if (t->forked_from && t->forked_from->state == VIZ_TARGET_ENDED) {
			t->in_startup &= t->forked_from->in_startup;
			t->forked_from = NULL;
		}
	for (at = &s->targets; (t = *at);) {
		if (t->state != VIZ_TARGET_ENDED) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		free_target(s, t);
	}
}

void viz_sweep(struct viz_session *s)
{
	uint64_t now = viz_session__now();

	/* After many at a time glibc would keep what lies between blocks that are in use. */
	if (s->next_trim && now > s->next_trim) {
		malloc_trim(0);
		s->next_trim = 0;
	}
	/* calls that are batched name their tracks */
	if (!s->ended || viz_timeline__flush(s->timeline))
		return;
	s->ended = 0;
	sweep_lanes(s);
	sweep_targets(s);
	if (!s->next_trim)
		s->next_trim = now + trim_every;
}
