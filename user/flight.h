/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder: the last calls of each track in memory, written when something happens.
 * A busy thread does not push out what a quiet one did.
 */
#ifndef VIZ_FLIGHT_H
#define VIZ_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output/writer.h"

struct viz_flight;

/* Keeps at most @entries calls of each track (and as many events in all, at most 65536). */
struct viz_flight *viz_flight__new(struct viz_trace *trace, uint64_t entries);
void viz_flight__free(struct viz_flight *flight);
/* Both return 0 or -ENOMEM. */
int viz_flight__calls(struct viz_flight *flight, const struct viz_call *calls, size_t nr);
int viz_flight__event(struct viz_flight *flight, const struct viz_event *event);
/*
 * Hands what is kept and touches the time from @begin to @end to @w, in order of completion
 * within a track. 0 or what the writer returned. Nothing is forgotten.
 */
int viz_flight__write(struct viz_flight *flight, struct viz_writer *w, uint64_t begin,
		      uint64_t end);
/* Calls that were overwritten since the start. */
uint64_t viz_flight__evicted(const struct viz_flight *flight);

/* --trigger: what makes a snapshot. */
struct viz_trigger {
	char *pattern; /* glob on the qualified name */
	bool raises; /* fires when the call ends by an exception */
	uint64_t longer; /* ns; else fires when it took longer than this */
};

/* "NAME>50ms", "NAME raises". 0 or -EINVAL, -ENOMEM. The pattern is allocated. */
int viz_trigger__parse(const char *text, struct viz_trigger *trigger);
/* Whether the call of @func makes @trigger fire. */
bool viz_trigger__fires(const struct viz_trigger *trigger, const struct viz_call *call,
			const struct viz_func *func);

#endif
