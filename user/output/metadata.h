/* SPDX-License-Identifier: Apache-2.0 */
/* What a trace says of itself, as JSON objects. */
#ifndef VIZ_METADATA_H
#define VIZ_METADATA_H

#include "../trace/model.h"
#include "buffer.h"

struct json_object;

/* The entries of a process, and of a track that lost calls. */
struct json_object *viz_metadata__process(const struct viz_process *process);
struct json_object *viz_metadata__loss(const struct viz_track *track);
/* Appends @object, which is freed. */
void viz_metadata__object(struct viz_buffer *b, struct json_object *object);
/* Facts, processes, losses; @calls and @events: written. @zero: what is 0 in the file, ns in the
 * trace's time. */
void viz_metadata__vizbpf(struct viz_buffer *b, const struct viz_trace *trace, uint64_t zero,
			  uint64_t calls, uint64_t events);
/* What VizTracer's tools look for. */
void viz_metadata__viztracer(struct viz_buffer *b, const struct viz_trace *trace, uint64_t zero);

#endif
