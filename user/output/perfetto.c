// SPDX-License-Identifier: Apache-2.0
/*
 * Perfetto has no slice with a duration: a call is a begin and an end, in the order of time on
 * its track, while calls arrive when they complete. A chunk of calls is collected and
 * brought into order; a call that encloses some of earlier chunks gets its begin late, which
 * the trace processor sorts in, as it sorts all packets of a file.
 */
#include "perfetto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "source_files.h"

#define CHUNK 32768
/* Packets that are compressed together. */
#define PACKETS (512 * 1024)
/* What a begin or an end takes at most, without names. */
#define EDGE_MAX 64

/* The size of what is nested in the ones above is filled in behind them. */
enum tag {
	TAG_PACKET = 0x0a,
	TAG_TIMESTAMP = 0x40,
	TAG_SEQUENCE = 0x50,
	TAG_TRACK_EVENT = 0x5a,
	TAG_TYPE = 0x48,
	TAG_NAME_IID = 0x50,
};

static int put_packets(struct perfetto *p)
{
	struct viz_buffer *b = &p->scratch;
	int err;

	if (p->packets.failed)
		return -ENOMEM;
	if (!p->packets.len)
		return 0;
	b->len = 0;
	err = perfetto_deflate__run(p->deflate, &p->packets, b);
	p->packets.len = 0;
	return err ? err : viz_output__write(p->w.out, b->data, b->len);
}

static struct perfetto_track *track__of(struct perfetto *p, uint32_t track)
{
	uint32_t nr = p->w.trace->nr_tracks + p->w.trace->nr_tracks / 2 + 16;
	struct perfetto_track *tracks;

	if (track < p->nr_tracks)
		return &p->tracks[track];
	if (track >= p->w.trace->nr_tracks)
		return NULL;
	tracks = realloc(p->tracks, nr * sizeof(*tracks));
	if (!tracks)
		return NULL;
	memset(tracks + p->nr_tracks, 0, (nr - p->nr_tracks) * sizeof(*tracks));
	p->tracks = tracks;
	p->nr_tracks = nr;
	return &tracks[track];
}

/* Whether the sequence of the track knows the function; from now on it does. */
static bool intern(struct perfetto *p, struct perfetto_track *t, uint32_t func)
{
	uint32_t nr = (p->w.trace->nr_funcs + 512) & ~511u;
	uint8_t bit = (uint8_t)(1 << func % 8), *bits;
	bool known;

	if (func >= t->nr_interned) {
		bits = realloc(t->interned, nr / 8);
		if (!bits)
			return false; /* it is only named once more */
		memset(bits + t->nr_interned / 8, 0, (nr - t->nr_interned) / 8);
		t->interned = bits;
		t->nr_interned = nr;
	}
	known = t->interned[func / 8] & bit;
	t->interned[func / 8] |= bit;
	return known;
}

/* What the sequence of the track has to know before a call of the function. */
static void name_func(struct perfetto *p, struct perfetto_track *t, const struct viz_call *call)
{
	const struct viz_trace *trace = p->w.trace;
	uint32_t nr = trace->nr_funcs + trace->nr_funcs / 2 + 64, *places;

	if (intern(p, t, call->func))
		return;
	perfetto__name_func(p, &p->packets, call->track, call->func);
	if (call->func >= p->nr_places) {
		places = realloc(p->places, nr * sizeof(*places));
		if (!places)
			return; /* its source is not there */
		memset(places + p->nr_places, 0, (nr - p->nr_places) * sizeof(*places));
		p->places = places;
		p->nr_places = nr;
	}
	if (!p->places[call->func])
		p->places[call->func] =
			trace->processes[trace->tracks[call->track].process].place + 1;
}

static void put_begin(struct perfetto *p, struct perfetto_track *t, const struct viz_call *call,
		      uint64_t ts)
{
	char *start, *event, *q;

	name_func(p, t, call);
	if (call->args || call->flags & ~(uint32_t)VIZ_CALL_C) {
		perfetto__special(p, &p->packets, call, ts - t->clock, false);
		t->clock = ts;
		return;
	}
	start = viz_buffer__room(&p->packets, EDGE_MAX);
	if (!start)
		return;
	start[0] = TAG_PACKET;
	q = start + 2;
	*q++ = TAG_TIMESTAMP;
	q = perfetto__varint(q, ts - t->clock);
	*q++ = TAG_SEQUENCE;
	q = perfetto__varint(q, t->sequence);
	event = q;
	*q++ = TAG_TRACK_EVENT;
	*q++ = 0;
	*q++ = TAG_TYPE;
	*q++ = 1;
	*q++ = TAG_NAME_IID;
	q = perfetto__varint(q, (uint64_t)call->func + 1);
	if (p->w.trace->funcs[call->func].file[0]) {
		*q++ = (char)0x90; /* source_location_iid */
		*q++ = 0x02;
		q = perfetto__varint(q, (uint64_t)call->func + 1);
	}
	event[1] = (char)(q - event - 2);
	start[1] = (char)(q - start - 2);
	p->packets.len += (size_t)(q - start);
	t->clock = ts;
}

/*
 * A begin before what the track has had. Frames that were running when recording began share
 * that moment, as do other begins that are only bounds; the later such a call completes the
 * further out it is, so it is put a nanosecond further out to keep its place.
 */
static void put_late(struct perfetto *p, struct perfetto_track *t, const struct viz_call *call,
		     uint64_t ts)
{
	if (call->flags & (VIZ_CALL_RUNNING | VIZ_CALL_LOST_BEGIN | VIZ_CALL_INFERRED)) {
		if (t->late_begin == ts && t->late_used)
			ts = t->late_used;
		else
			t->late_begin = ts;
		ts -= ts > 0;
		t->late_used = ts;
	}
	name_func(p, t, call);
	perfetto__special(p, &p->packets, call, ts, true);
}

static void put_end(struct perfetto *p, struct perfetto_track *t, uint64_t ts)
{
	char *start = viz_buffer__room(&p->packets, EDGE_MAX), *q;

	if (!start)
		return;
	if (ts < t->clock)
		ts = t->clock;
	start[0] = TAG_PACKET;
	q = start + 2;
	*q++ = TAG_TIMESTAMP;
	q = perfetto__varint(q, ts - t->clock);
	*q++ = TAG_SEQUENCE;
	q = perfetto__varint(q, t->sequence);
	*q++ = TAG_TRACK_EVENT;
	*q++ = 2;
	*q++ = TAG_TYPE;
	*q++ = 2;
	start[1] = (char)(q - start - 2);
	p->packets.len += (size_t)(q - start);
	t->clock = ts;
}

/*
 * The track's calls of the chunk as begins and ends, by time, at the end of p->edges. From the
 * last call to complete back to the first, a call either lies within the one whose begin
 * comes next, going back, or before it.
 */
static struct perfetto_edge *order(struct perfetto *p, uint32_t last)
{
	struct perfetto_edge *end = p->edges + 2 * CHUNK, *edge = end;
	struct perfetto_stack *stack = &p->stack;
	uint64_t next = UINT64_MAX;
	uint32_t at;

	stack->nr = 0;
	for (at = last; at || stack->nr;) {
		const struct viz_call *call = at ? &p->chunk[at - 1] : NULL;
		const struct viz_call *top =
			stack->nr ? &p->chunk[stack->items[stack->nr - 1]] : NULL;
		uint64_t ts;

		--edge;
		if (top && (!call || call->begin < top->begin)) {
			ts = top->begin;
			edge->begin = true;
			edge->call = stack->items[--stack->nr];
		} else {
			ts = call->begin + call->dur;
			edge->begin = false;
			edge->call = at - 1;
			stack->items[stack->nr++] = at - 1;
			at = p->before[at - 1];
		}
		/* calls that overlap without nesting come from elsewhere, but must not go back */
		next = ts < next ? ts : next;
		edge->ts = next;
	}
	return edge;
}

static int put_track(struct perfetto *p, uint32_t track)
{
	struct perfetto_track *t = &p->tracks[track];
	struct perfetto_edge *end = p->edges + 2 * CHUNK, *edge;
	int err;

	if (!t->started) {
		perfetto__start_track(p, &p->packets, track);
		t->clock = p->first_ts;
		t->sequence = PERFETTO_TRACK_SEQUENCE + p->w.trace->tracks[track].id;
		t->started = true;
	}
	edge = order(p, t->last);
	t->last = 0;
	for (; edge < end; edge++) {
		const struct viz_call *call = &p->chunk[edge->call];

		if (!edge->begin)
			put_end(p, t, edge->ts);
		else if (edge->ts < t->clock)
			put_late(p, t, call, edge->ts);
		else
			put_begin(p, t, call, edge->ts);
		if (p->packets.len >= PACKETS) {
			err = put_packets(p);
			if (err)
				return err;
		}
	}
	return p->packets.failed ? -ENOMEM : 0;
}

static int put_chunk(struct perfetto *p)
{
	uint32_t i, nr = p->nr_chunk;
	int err = 0;

	for (i = 0; i < nr && !err; i++)
		if (p->tracks[p->chunk[i].track].last)
			err = put_track(p, p->chunk[i].track);
	p->nr_chunk = 0;
	p->has_args = false;
	return err;
}

static int perfetto__calls(struct viz_writer *w, const struct viz_call *calls, size_t nr)
{
	struct perfetto *p = (struct perfetto *)w;
	struct perfetto_track *t;
	size_t i;
	int err;

	for (i = 0; i < nr; i++) {
		const struct viz_call *call = &calls[i];

		t = track__of(p, call->track);
		if (!t || call->func >= w->trace->nr_funcs)
			return t ? -EINVAL : -ENOMEM;
		p->chunk[p->nr_chunk] = *call;
		p->before[p->nr_chunk] = t->last;
		t->last = ++p->nr_chunk;
		if (call->begin + call->dur > p->last_ts)
			p->last_ts = call->begin + call->dur;
		p->has_args |= call->args != 0;
		if (p->nr_chunk == CHUNK) {
			err = put_chunk(p);
			if (err)
				return err;
		}
	}
	p->calls += nr;
	/* args texts need not outlive this call */
	return p->has_args ? put_chunk(p) : 0;
}

static int end_event(struct perfetto *p)
{
	if (p->packets.failed)
		return -ENOMEM;
	return p->packets.len >= PACKETS ? put_packets(p) : 0;
}

static int put_process(struct viz_writer *w, uint32_t process)
{
	struct perfetto *p = (struct perfetto *)w;

	perfetto__name_process(p, &p->packets, process);
	return end_event(p);
}

static int put_track_name(struct viz_writer *w, uint32_t track)
{
	struct perfetto *p = (struct perfetto *)w;

	perfetto__name_track(p, &p->packets, track);
	return end_event(p);
}

static void end_process(struct viz_writer *w, uint32_t process)
{
	(void)w;
	(void)process; /* nothing is kept of one */
}

static int end_track(struct viz_writer *w, uint32_t track)
{
	struct perfetto *p = (struct perfetto *)w;
	int err = 0;

	if (track >= p->nr_tracks)
		return 0;
	if (p->tracks[track].last)
		err = put_chunk(p);
	free(p->tracks[track].interned);
	memset(&p->tracks[track], 0, sizeof(p->tracks[track]));
	return err;
}

static int put_event(struct viz_writer *w, const struct viz_event *event)
{
	struct perfetto *p = (struct perfetto *)w;

	if (event->track >= w->trace->nr_tracks)
		return -EINVAL;
	if (event->ts + event->dur > p->last_ts)
		p->last_ts = event->ts + event->dur;
	p->events++;
	perfetto__event(p, &p->packets, event);
	return end_event(p);
}

static int perfetto__flush(struct viz_writer *w)
{
	struct perfetto *p = (struct perfetto *)w;
	int err = put_chunk(p);

	if (!err)
		err = put_packets(p);
	/* the file may end behind any packet */
	return err ? err : viz_output__terminator(w->out, "", 0);
}

static int perfetto__begin(struct viz_writer *w)
{
	struct perfetto *p = (struct perfetto *)w;

	p->chunk = malloc(CHUNK * sizeof(*p->chunk));
	p->before = malloc(CHUNK * sizeof(*p->before));
	p->edges = malloc(2 * CHUNK * sizeof(*p->edges));
	p->stack.items = malloc(CHUNK * sizeof(*p->stack.items));
	p->deflate = perfetto_deflate__new();
	if (!p->chunk || !p->before || !p->edges || !p->stack.items || !p->deflate)
		return -ENOMEM;
	p->first_ts = p->last_ts = w->trace->begin;
	p->scratch.len = 0;
	/* not compressed, so that the file shows what it is */
	perfetto__head(p, &p->scratch);
	if (p->scratch.failed || viz_output__write(w->out, p->scratch.data, p->scratch.len))
		return p->scratch.failed ? -ENOMEM : viz_output__error(w->out);
	return viz_output__terminator(w->out, "", 0);
}

static int put_source(void *ctx, const char *path, const char *text, size_t size)
{
	struct perfetto *p = ctx;

	perfetto__source(&p->packets, path, text, size);
	return end_event(p);
}

static int perfetto__end(struct viz_writer *w)
{
	struct perfetto *p = (struct perfetto *)w;
	int err = viz_output__error(w->out), closed;

	if (!err)
		err = put_chunk(p);
	if (!err)
		err = viz_source_files__each(w, p->places, p->nr_places, put_source, p);
	if (!err) {
		perfetto__facts(p, &p->packets);
		err = put_packets(p);
	}
	closed = viz_output__close(w->out);
	return err ? err : closed;
}

static void perfetto__free(struct viz_writer *w)
{
	struct perfetto *p = (struct perfetto *)w;
	uint32_t i;

	for (i = 0; i < p->nr_tracks; i++)
		free(p->tracks[i].interned);
	free(p->tracks);
	free(p->chunk);
	free(p->before);
	free(p->edges);
	free(p->stack.items);
	free(p->places);
	perfetto_deflate__free(p->deflate);
	viz_buffer__free(&p->packets);
	viz_buffer__free(&p->scratch);
}

const struct viz_writer_ops viz_writer_perfetto = {
	.suffix = ".pftrace",
	.what = "Perfetto protobuf, compressed",
	.begin = perfetto__begin,
	.process = put_process,
	.track = put_track_name,
	.calls = perfetto__calls,
	.event = put_event,
	.flush = perfetto__flush,
	.end_process = end_process,
	.end_track = end_track,
	.end = perfetto__end,
	.free = perfetto__free,
	.sources = true,
	.size = sizeof(struct perfetto),
};
