/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the reader of trace files: what its parts share. */
#ifndef VIZ_READER_JSON_H
#define VIZ_READER_JSON_H

#include "input.h"
#include "intake.h"

struct viz_reading {
	struct viz_input input;
	struct viz_intake *intake;
	struct viz_trace *trace;
	const char *path;
	uint64_t broken, first_broken; /* events without sense, and where the first is */
	char *why;
	size_t why_size;
};

/* One value of an event, as it stands in the file. */
struct viz_json_span {
	const char *p; /* behind the opening quote of a string */
	size_t len;
	char type; /* '"', '{', '[', '0' for a number, 'w' for a word, 0: absent */
	bool escaped; /* a string with a backslash in it */
};

/* The members of an event that mean something. */
struct viz_json_event {
	struct viz_json_span ph, pid, tid, ts, dur, cat, name, args, id, scope;
};

/*
 * Scans the object at @p. Returns its end, or NULL: then *@bad is where it is broken, or NULL
 * when it goes on behind @end.
 */
const char *viz_json_event__scan(struct viz_json_event *event, const char *p, const char *end,
				 const char **bad);
/* Hands an event to the intake. 0, -errno or what the sink returned. */
int viz_json_event__take(const struct viz_json_event *event, struct viz_reading *r);

/* Reads the whole document of the Chrome format. */
int viz_reading__json(struct viz_reading *r);
/* Reads the packets of a Perfetto trace. */
int viz_reading__perfetto(struct viz_reading *r);
/* A metadata document ("viztracer_metadata", "vizbpf_metadata"). */
int viz_reading__metadata(struct viz_reading *r, const char *key, const char *text, size_t len);

#endif
