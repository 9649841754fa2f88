/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the Perfetto writer: what its files share. */
#ifndef VIZ_PERFETTO_H
#define VIZ_PERFETTO_H

#include "user/output/perfetto.pb-c.h"

#include "buffer.h"
#include "perfetto_ids.h"
#include "writer.h"

struct perfetto_stack {
	uint32_t *items;
	uint32_t nr, cap;
};

struct perfetto_track {
	bool started;
	uint32_t sequence;
	uint32_t last; /* 1 + index in the chunk of the latest call */
	uint64_t clock; /* of the sequence: the timestamp before */
	uint64_t late_begin, late_used; /* see put_late() */
	uint8_t *interned; /* a bit for each function that the sequence knows */
	uint32_t nr_interned; /* bits there is room for */
};

/* A begin or an end of a call of the chunk. */
struct perfetto_edge {
	uint64_t ts;
	uint32_t call;
	bool begin;
};

struct perfetto {
	struct viz_writer w;
	struct viz_call *chunk; /* calls that wait to be brought into order */
	uint32_t *before; /* 1 + index of the track's call before, 0: none */
	uint32_t nr_chunk;
	bool has_args; /* a call of the chunk has */
	struct perfetto_edge *edges;
	struct perfetto_stack stack;
	struct perfetto_track *tracks;
	uint32_t nr_tracks;
	struct viz_buffer packets; /* to be compressed */
	struct viz_buffer scratch;
	struct perfetto_deflate *deflate;
	uint32_t *places; /* by function: 1 + viz_process.place of who called it first */
	uint32_t nr_places;
	uint64_t first_ts, last_ts; /* of the clock snapshots */
	int64_t realtime_offset; /* of the last of them */
	uint64_t calls, events;
};

/* Appends a packet to the ones to be compressed. */
void perfetto__packet(struct viz_buffer *b, const Vizbpf__TracePacket *packet);
/* The first packets of the file, and of a track's sequence; a name that became known. */
void perfetto__head(struct perfetto *p, struct viz_buffer *b);
void perfetto__start_track(struct perfetto *p, struct viz_buffer *b, uint32_t track);
void perfetto__name_process(struct perfetto *p, struct viz_buffer *b, uint32_t process);
void perfetto__name_track(struct perfetto *p, struct viz_buffer *b, uint32_t track);
void perfetto__name_func(struct perfetto *p, struct viz_buffer *b, uint32_t track, uint32_t func);
/* A call that begins with flags or arguments; @late: by the common clock, at another time than
 * it began, which is noted. */
void perfetto__special(struct perfetto *p, struct viz_buffer *b, const struct viz_call *call,
		       uint64_t ts, bool late);
/* What the trace says of itself. */
void perfetto__facts(struct perfetto *p, struct viz_buffer *b);
void perfetto__source(struct viz_buffer *b, const char *path, const char *text, size_t size);
void perfetto__event(struct perfetto *p, struct viz_buffer *b, const struct viz_event *event);

/* Turns packets into one packet that holds them compressed. */
struct perfetto_deflate *perfetto_deflate__new(void);
/* Appends to @to what @from comes to. 0 or -errno. */
int perfetto_deflate__run(struct perfetto_deflate *d, const struct viz_buffer *from,
			  struct viz_buffer *to);
void perfetto_deflate__free(struct perfetto_deflate *d);

static inline char *perfetto__varint(char *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (char)(v | 0x80);
		v >>= 7;
	}
	*p++ = (char)v;
	return p;
}

#endif
