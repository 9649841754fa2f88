// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the Perfetto traces that we write: the encoding of protobuf with bounds on everything,
 * and of the format's packets what perfetto.c gives. Others' traces have no call events.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../base/log.h"
#include "perfetto_ids.h"
#include "reader_perfetto.h"

#define PACKET_MAX (64 * 1024 * 1024)
/* More sequences or names than this are a broken file, not a large one. */
#define INDEX_MAX (16 * 1024 * 1024)

/* Room for index @want in a table of @size byte elements. */
static int follow(void **table, uint32_t *nr, uint64_t want, size_t size)
{
	uint64_t more = want + want / 2 + 256;
	char *p;

	if (want < *nr)
		return 0;
	if (want >= INDEX_MAX)
		return -EBADMSG;
	p = realloc(*table, more * size);
	if (!p)
		return -ENOMEM;
	memset(p + *nr * size, 0, (more - *nr) * size);
	*table = p;
	*nr = (uint32_t)more;
	return 0;
}

static void scan_packet(struct cursor *c, struct packet *p)
{
	struct field f;

	memset(p, 0, sizeof(*p));
	while (next_field(c, &f)) {
		switch (f.number) {
		case 6:
			p->clocks = f.bytes;
			break;
		case 8:
			p->ts = f.value;
			break;
		case 10:
			p->sequence = f.value;
			break;
		case 11:
			p->event = f.bytes;
			break;
		case 12:
			p->interned = f.bytes;
			break;
		case 13:
			p->flags = f.value;
			break;
		case 50:
			p->compressed = f.bytes;
			break;
		case 58:
			p->clock_id = f.value;
			break;
		case 59:
			p->defaults = f.bytes;
			break;
		case 60:
			p->descriptor = f.bytes;
			break;
		case 50010:
			p->original = f.bytes;
			break;
		case 50011:
			p->source = f.bytes;
			break;
		case 50012:
			p->metadata = f.bytes;
			break;
		}
	}
}

static int take_clocks(struct decoder *d, const struct packet *p)
{
	struct cursor c = p->clocks, inner;
	uint64_t times[128] = {0}, id, time;
	struct field f, g;
	int err;

	while (next_field(&c, &f)) {
		if (f.number != 1)
			continue;
		inner = f.bytes;
		id = time = 0;
		while (next_field(&inner, &g)) {
			if (g.number == 1)
				id = g.value;
			else if (g.number == 2)
				time = g.value;
		}
		if (id < 128)
			times[id] = time;
	}
	if (times[PERFETTO_REALTIME])
		d->r->trace->realtime_offset =
			(int64_t)(times[PERFETTO_REALTIME] - times[PERFETTO_MONOTONIC]);
	if (p->sequence < PERFETTO_TRACK_SEQUENCE)
		return 0;
	err = follow((void **)&d->sequences, &d->nr_sequences, p->sequence, sizeof(*d->sequences));
	if (!err)
		d->sequences[p->sequence].clock = times[PERFETTO_DELTA];
	return err;
}

static int take_thread(struct decoder *d, uint64_t uuid, struct cursor thread)
{
	uint32_t pid = 0, tid = 0, track;
	const char *name = NULL;
	struct field f;
	int err;

	while (next_field(&thread, &f)) {
		if (f.number == 1)
			pid = (uint32_t)f.value;
		else if (f.number == 2)
			tid = (uint32_t)f.value;
		else if (f.number == 5)
			name = decoder__text(&d->name, &f.bytes);
	}
	err = follow((void **)&d->threads, &d->nr_threads, (uint32_t)uuid, sizeof(*d->threads));
	if (err)
		return err;
	track = viz_intake__track(d->r->intake, pid, tid);
	if (track == UINT32_MAX)
		return -ENOMEM;
	d->threads[(uint32_t)uuid] = track + 1;
	if (!name)
		return 0;
	d->r->trace->tracks[track].name = viz_trace__string(d->r->trace, name);
	return viz_intake__named_track(d->r->intake, track);
}

static int take_process(struct decoder *d, struct cursor process)
{
	const char *name = NULL;
	uint32_t pid = 0, index;
	struct field f;

	while (next_field(&process, &f)) {
		if (f.number == 1)
			pid = (uint32_t)f.value;
		else if (f.number == 6)
			name = decoder__text(&d->name, &f.bytes);
	}
	index = viz_intake__process(d->r->intake, pid);
	if (index == UINT32_MAX)
		return -ENOMEM;
	if (name)
		d->r->trace->processes[index].name = viz_trace__string(d->r->trace, name);
	return viz_intake__named_process(d->r->intake, index);
}

static int take_descriptor(struct decoder *d, struct cursor c)
{
	struct cursor thread = {0}, process = {0};
	uint64_t uuid = 0;
	struct field f;

	while (next_field(&c, &f)) {
		if (f.number == 1)
			uuid = f.value;
		else if (f.number == 3)
			process = f.bytes;
		else if (f.number == 4)
			thread = f.bytes;
	}
	if (thread.p && uuid >> 32 == PERFETTO_THREAD)
		return take_thread(d, uuid, thread);
	return process.p ? take_process(d, process) : 0;
}

/* Which track the calls of a sequence are on. */
static int take_defaults(struct decoder *d, const struct packet *p)
{
	struct cursor c = p->defaults, inner;
	uint64_t uuid = 0;
	struct field f, g;
	int err;

	while (next_field(&c, &f)) {
		if (f.number != 11)
			continue;
		inner = f.bytes;
		while (next_field(&inner, &g))
			if (g.number == 11)
				uuid = g.value;
	}
	if (uuid >> 32 != PERFETTO_THREAD || (uint32_t)uuid >= d->nr_threads ||
	    !d->threads[(uint32_t)uuid])
		return -EBADMSG;
	err = follow((void **)&d->sequences, &d->nr_sequences, p->sequence, sizeof(*d->sequences));
	if (err)
		return err;
	d->sequences[p->sequence].track = d->threads[(uint32_t)uuid] - 1;
	d->sequences[p->sequence].known = true;
	return 0;
}

/* Function names: every sequence uses the same numbers. */
static int take_interned(struct decoder *d, struct cursor c)
{
	const struct viz_trace *trace = d->r->trace;
	struct cursor names = {0}, places = {0};
	const char *name = NULL, *file = "";
	uint64_t iid = 0, line = 0;
	struct field f;
	uint32_t func;
	int err;

	while (next_field(&c, &f)) {
		if (f.number == 2)
			names = f.bytes;
		else if (f.number == 4)
			places = f.bytes;
	}
	while (next_field(&names, &f)) {
		if (f.number == 1)
			iid = f.value;
		else if (f.number == 2)
			name = decoder__text(&d->name, &f.bytes);
	}
	while (next_field(&places, &f)) {
		if (f.number == 2)
			file = decoder__text(&d->cat, &f.bytes);
		else if (f.number == 3)
			name = decoder__text(&d->name, &f.bytes);
		else if (f.number == 4)
			line = f.value;
	}
	if (!name || !file || !iid)
		return name && file ? -EBADMSG : 0;
	err = follow((void **)&d->funcs, &d->nr_funcs, iid, sizeof(*d->funcs));
	if (err)
		return err;
	func = viz_trace__func(d->r->trace, name, file, (uint32_t)line);
	if (func == UINT32_MAX || func >= trace->nr_funcs)
		return -ENOMEM;
	d->funcs[iid] = func + 1;
	return 0;
}

static int take_call(struct decoder *d, const struct packet *p, const struct decoded *e)
{
	struct viz_intake *intake = d->r->intake;
	struct sequence *s;
	uint64_t ts;
	uint32_t func;

	if (p->sequence >= d->nr_sequences || !d->sequences[p->sequence].known)
		return -EBADMSG;
	s = &d->sequences[p->sequence];
	ts = p->clock_id == PERFETTO_MONOTONIC ? p->ts : s->clock + p->ts;
	if (p->clock_id != PERFETTO_MONOTONIC)
		s->clock = ts;
	if (e->type == 2)
		return viz_intake__end(intake, s->track, ts, 0, NULL, 0);
	if (e->type != 1 || e->iid >= d->nr_funcs || !d->funcs[e->iid])
		return -EBADMSG;
	func = d->funcs[e->iid] - 1;
	return viz_intake__begin(intake, s->track, ts + e->shift, func,
				 e->flags | (d->r->trace->funcs[func].file[0] ? 0 : VIZ_CALL_C),
				 d->args.data, d->args.len);
}

static int take_packets(struct decoder *d, struct cursor c, int depth);

static int take_compressed(struct decoder *d, const struct cursor *bytes, int depth)
{
	z_stream z = {.next_in = (unsigned char *)bytes->p,
		      .avail_in = (unsigned int)(bytes->end - bytes->p)};
	struct cursor inner;
	int ret, err = 0;
	char *room;

	/* compressed ones in compressed ones are a bomb */
	if (depth || inflateInit(&z) != Z_OK)
		return -EBADMSG;
	d->unpacked.len = 0;
	do {
		room = viz_buffer__room(&d->unpacked, 256 * 1024);
		if (!room || d->unpacked.len > PACKET_MAX) {
			err = room ? -EBADMSG : -ENOMEM;
			break;
		}
		z.next_out = (unsigned char *)room;
		z.avail_out = 256 * 1024;
		ret = inflate(&z, Z_NO_FLUSH);
		d->unpacked.len += 256 * 1024 - z.avail_out;
	} while (ret == Z_OK);
	inflateEnd(&z);
	if (err || ret != Z_STREAM_END)
		return err ? err : -EBADMSG;
	inner.p = (const unsigned char *)d->unpacked.data;
	inner.end = inner.p + d->unpacked.len;
	inner.bad = false;
	return take_packets(d, inner, depth + 1);
}

static int take_source(struct decoder *d, struct cursor c)
{
	struct cursor path = {0}, text = {0};
	struct field f;
	const char *name;

	while (next_field(&c, &f)) {
		if (f.number == 1)
			path = f.bytes;
		else if (f.number == 2)
			text = f.bytes;
	}
	if (!path.p || !text.p)
		return 0;
	name = decoder__text(&d->name, &path);
	return name ? viz_intake__source(d->r->intake, name, (const char *)text.p,
					 (size_t)(text.end - text.p))
		    : -ENOMEM;
}

static int take_packet(struct decoder *d, struct cursor c, int depth)
{
	struct decoded event;
	struct packet p;
	int err = 0;

	scan_packet(&c, &p);
	if (c.bad)
		return -EBADMSG;
	if (p.compressed.p)
		return take_compressed(d, &p.compressed, depth);
	if (p.descriptor.p)
		err = take_descriptor(d, p.descriptor);
	if (!err && p.defaults.p && p.sequence >= PERFETTO_TRACK_SEQUENCE)
		err = take_defaults(d, &p);
	if (!err && p.clocks.p)
		err = take_clocks(d, &p);
	if (!err && p.interned.p)
		err = take_interned(d, p.interned);
	if (!err && p.source.p)
		err = take_source(d, p.source);
	if (!err && p.metadata.p)
		err = viz_reading__metadata(d->r, "vizbpf_metadata", (const char *)p.metadata.p,
					    (size_t)(p.metadata.end - p.metadata.p));
	if (err || !p.event.p)
		return err;
	decoder__scan_event(d, p.event, &event);
	if (d->args.failed || d->name.failed || d->cat.failed)
		return -ENOMEM;
	if (p.sequence >= PERFETTO_TRACK_SEQUENCE)
		return take_call(d, &p, &event);
	return p.original.p ? decoder__take_event(d, &p, &event) : 0;
}

static int take_packets(struct decoder *d, struct cursor c, int depth)
{
	struct field f;
	int err = 0;

	while (!err && next_field(&c, &f))
		err = f.number == 1 ? take_packet(d, f.bytes, depth) : 0;
	return err ? err : c.bad ? -EBADMSG : 0;
}

/* Size of the packet at the window's position with its head, 0: not to be seen yet. */
static uint64_t packet_size(const struct viz_input *in)
{
	struct cursor c = {(const unsigned char *)in->data + in->pos,
			   (const unsigned char *)in->data + in->len, false};
	const unsigned char *start = c.p;
	uint64_t tag = varint(&c), size = varint(&c);

	if (c.bad)
		return 0;
	return tag == 0x0a ? size + (uint64_t)(c.p - start) : UINT64_MAX;
}

static int broken(struct viz_reading *r, const char *what)
{
	return viz_why(r->why, r->why_size, -EBADMSG, "%s: byte %llu: %s", r->path,
		       (unsigned long long)viz_input__offset(&r->input), what);
}

static int read_packets(struct decoder *d)
{
	struct viz_reading *r = d->r;
	struct viz_input *in = &r->input;
	struct cursor c;
	uint64_t size;
	int err;

	for (;;) {
		size = in->pos < in->len ? packet_size(in) : 0;
		if (size > PACKET_MAX)
			return broken(r, "no packet of a Perfetto trace");
		if (!size || in->len - in->pos < size) {
			err = viz_input__fill(in, PACKET_MAX + 64);
			if (err == -ENODATA && in->pos == in->len)
				return 0;
			if (err == -ENODATA)
				return broken(r, "the file ends in the middle of a packet");
			if (err)
				return viz_why(r->why, r->why_size, err, "%s: byte %llu: %s",
					       r->path, (unsigned long long)viz_input__offset(in),
					       in->reason ? in->reason : strerror(-err));
			continue;
		}
		c.p = (const unsigned char *)in->data + in->pos;
		c.end = c.p + size;
		c.bad = false;
		err = take_packets(d, c, 0);
		if (err)
			return err == -EBADMSG ? broken(r, "a packet that vizbpf does not write")
					       : err;
		in->pos += size;
	}
}

int viz_reading__perfetto(struct viz_reading *r)
{
	struct decoder d = {.r = r};
	int err = read_packets(&d);

	free(d.sequences);
	free(d.threads);
	free(d.funcs);
	viz_buffer__free(&d.name);
	viz_buffer__free(&d.args);
	viz_buffer__free(&d.cat);
	viz_buffer__free(&d.key);
	viz_buffer__free(&d.text);
	viz_buffer__free(&d.unpacked);
	return err;
}
