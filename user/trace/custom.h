/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the records of custom events to events of the trace. Everything in such a record was
 * written by the traced program: types, lengths, encoding and JSON are checked here, and what
 * does not hold is counted and shown as what it is, never passed on.
 */
#ifndef VIZ_CUSTOM_H
#define VIZ_CUSTOM_H

#include <stddef.h>
#include <stdint.h>

#include "../../bpf/records.h"
#include "model.h"

/* Receives events: 0, or a negative errno that is passed on. */
typedef int (*viz_event_fn)(void *ctx, const struct viz_event *event);

struct viz_customs; /* the open slices of every track */

struct viz_customs *viz_customs__new(viz_event_fn fn, void *ctx);
void viz_customs__free(struct viz_customs *customs);

/*
 * One record (VIZ_CUSTOM) of @size bytes as it came out of the ring: its data may be shorter
 * than struct viz_custom has room for. @track: of the thread that wrote it. Returns 0,
 * -EINVAL for a record that makes no sense (counted, nothing was passed on), -ENOMEM, or what
 * the receiver returned.
 */
int viz_customs__add(struct viz_customs *customs, const void *record, size_t size, uint32_t track);
/* The thread of @track ended, or recording does, at @ts: what is open becomes slices up to it. */
int viz_customs__close(struct viz_customs *customs, uint32_t track, uint64_t ts);
/* The same for every track. */
int viz_customs__close_all(struct viz_customs *customs, uint64_t ts);

struct viz_customs_count {
	uint64_t bad; /* records that made no sense */
	uint64_t bad_args; /* args that were not a JSON object; their events were kept */
	uint64_t unmatched; /* ends without a begin */
	uint64_t too_deep; /* begins below the deepest level that is kept */
};

void viz_customs__count(const struct viz_customs *customs, struct viz_customs_count *count);

#endif
