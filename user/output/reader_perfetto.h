/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the reader of Perfetto traces: what its two files share. */
#ifndef VIZ_READER_PERFETTO_H
#define VIZ_READER_PERFETTO_H

#include "protobuf.h"
#include "reader_json.h"

/* A track's sequence. */
struct sequence {
	uint32_t track; /* index in the trace */
	uint64_t clock;
	bool known;
};

struct decoder {
	struct viz_reading *r;
	struct sequence *sequences; /* by id */
	uint32_t nr_sequences;
	uint32_t *threads; /* by track number of the file: 1 + track index */
	uint32_t nr_threads;
	uint32_t *funcs; /* by iid: 1 + function index */
	uint32_t nr_funcs;
	struct viz_buffer name, args, cat, key, text, unpacked;
};

struct packet {
	uint64_t ts, clock_id, sequence, flags;
	struct cursor clocks, event, interned, compressed, descriptor, defaults, original, source,
		metadata;
};

/* What an event is made of, with its annotations as JSON members in d->args. */
struct decoded {
	uint64_t type, iid;
	uint64_t shift; /* of the begin */
	uint32_t flags;
	const char *name, *cat;
};

/* The bytes as a string in @b; NULL when out of memory. */
const char *decoder__text(struct viz_buffer *b, const struct cursor *bytes);
/* The TrackEvent at @c. Out of memory is left in d->args, d->name and d->cat. */
void decoder__scan_event(struct decoder *d, struct cursor c, struct decoded *e);
/* An event that is no call, by its packet's "original". 0 or -errno. */
int decoder__take_event(struct decoder *d, const struct packet *p, const struct decoded *e);

#endif
