// SPDX-License-Identifier: Apache-2.0
#include "flight.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "trace/filter.h"

enum { EVENTS_MAX = 65536 };

/* The calls of one track: a ring that grows until it has its full size. */
struct ring {
	struct viz_call *calls;
	size_t cap, head, nr; /* head: the next place to write */
};

struct kept_event {
	struct viz_event event; /* its strings are ours */
};

struct viz_flight {
	struct viz_trace *trace;
	size_t entries;
	struct ring *rings;
	uint32_t nr_rings;
	struct kept_event *events;
	size_t nr_events, next_event, max_events;
	uint64_t evicted;
};

struct viz_flight *viz_flight__new(struct viz_trace *trace, uint64_t entries)
{
	struct viz_flight *flight = calloc(1, sizeof(*flight));

	if (!flight)
		return NULL;
	flight->trace = trace;
	flight->entries = (size_t)entries;
	flight->max_events = entries < EVENTS_MAX ? (size_t)entries : EVENTS_MAX;
	flight->events = calloc(flight->max_events, sizeof(*flight->events));
	if (!flight->events) {
		free(flight);
		return NULL;
	}
	return flight;
}

static void free_event(struct viz_event *event)
{
	free((char *)event->name);
	free((char *)event->cat);
	free((char *)event->args);
}

void viz_flight__free(struct viz_flight *flight)
{
	if (!flight)
		return;
	for (uint32_t i = 0; i < flight->nr_rings; i++)
		free(flight->rings[i].calls);
	for (size_t i = 0; i < flight->nr_events; i++)
		free_event(&flight->events[i].event);
	free(flight->rings);
	free(flight->events);
	free(flight);
}

static struct ring *ring_of(struct viz_flight *flight, uint32_t track)
{
	uint32_t nr = flight->nr_rings ? flight->nr_rings : 16;
	struct ring *grown;

	if (track < flight->nr_rings)
		return &flight->rings[track];
	while (nr <= track)
		nr *= 2;
	grown = realloc(flight->rings, nr * sizeof(*grown));
	if (!grown)
		return NULL;
	memset(grown + flight->nr_rings, 0, (nr - flight->nr_rings) * sizeof(*grown));
	flight->rings = grown;
	flight->nr_rings = nr;
	return &grown[track];
}

/* Room for one more: grows while it may, then the oldest is overwritten. */
static struct viz_call *place(struct viz_flight *flight, struct ring *r)
{
	struct viz_call *grown, *at;

	if (r->nr == r->cap && r->cap < flight->entries) {
		size_t cap = r->cap ? r->cap * 2 : 256;

		if (cap > flight->entries)
			cap = flight->entries;
		/* Not yet wrapped: head is at the end. */
		grown = realloc(r->calls, cap * sizeof(*grown));
		if (!grown)
			return NULL;
		r->calls = grown;
		r->head = r->nr;
		r->cap = cap;
	}
	at = &r->calls[r->head];
	r->head = r->head + 1 == r->cap && r->cap == flight->entries ? 0 : r->head + 1;
	if (r->nr < r->cap)
		r->nr++;
	else
		flight->evicted++;
	return at;
}

int viz_flight__calls(struct viz_flight *flight, const struct viz_call *calls, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		struct ring *r = ring_of(flight, calls[i].track);
		struct viz_call *at = r ? place(flight, r) : NULL;

		if (!at)
			return -ENOMEM;
		*at = calls[i];
	}
	return 0;
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

int viz_flight__event(struct viz_flight *flight, const struct viz_event *event)
{
	struct viz_event *at;

	if (!flight->max_events)
		return 0;
	at = &flight->events[flight->next_event].event;
	if (flight->nr_events == flight->max_events)
		free_event(at);
	else
		flight->nr_events++;
	flight->next_event = (flight->next_event + 1) % flight->max_events;
	*at = *event;
	at->name = copy(event->name);
	at->cat = copy(event->cat);
	at->args = copy(event->args);
	return 0;
}

static int write_ring(const struct ring *r, size_t entries, struct viz_writer *w, uint64_t begin,
		      uint64_t end)
{
	size_t first = r->nr == entries && r->cap == entries ? r->head : 0;
	int err = 0;

	for (size_t i = 0; i < r->nr && !err; i++) {
		const struct viz_call *c = &r->calls[(first + i) % r->cap];

		if (c->begin + c->dur >= begin && c->begin <= end)
			err = w->ops->calls(w, c, 1);
	}
	return err;
}

int viz_flight__write(struct viz_flight *flight, struct viz_writer *w, uint64_t begin, uint64_t end)
{
	size_t first = flight->nr_events == flight->max_events ? flight->next_event : 0;
	int err = 0;

	for (uint32_t i = 0; i < flight->nr_rings && !err; i++)
		if (flight->rings[i].nr)
			err = write_ring(&flight->rings[i], flight->entries, w, begin, end);
	for (size_t i = 0; i < flight->nr_events && !err && w->ops->event; i++) {
		const struct viz_event *e = &flight->events[(first + i) % flight->max_events].event;

		if (e->ts + e->dur >= begin && e->ts <= end)
			err = w->ops->event(w, e);
	}
	return err;
}

uint64_t viz_flight__evicted(const struct viz_flight *flight)
{
	return flight->evicted;
}

int viz_trigger__parse(const char *text, struct viz_trigger *trigger)
{
	static const char raises[] = " raises";
	size_t len = strlen(text), name;
	const char *more = strrchr(text, '>');

	memset(trigger, 0, sizeof(*trigger));
	/* "<lambda>" and "f.<locals>.g" have a '>' of their own: a number must follow it. */
	if (len > strlen(raises) && !strcmp(text + len - strlen(raises), raises)) {
		trigger->raises = true;
		name = len - strlen(raises);
	} else if (more && more > text) {
		const char *number = more + 1;

		while (*number == ' ')
			number++;
		if (viz_filter__parse_duration(number, &trigger->longer))
			return -EINVAL;
		name = (size_t)(more - text);
	} else {
		return -EINVAL;
	}
	while (name && text[name - 1] == ' ')
		name--;
	if (!name)
		return -EINVAL;
	trigger->pattern = strndup(text, name);
	return trigger->pattern ? 0 : -ENOMEM;
}

bool viz_trigger__fires(const struct viz_trigger *trigger, const struct viz_call *call,
			const struct viz_func *func)
{
	if (trigger->raises ? !(call->flags & VIZ_CALL_RAISED) : call->dur <= trigger->longer)
		return false;
	/* Where a call's end was not seen its length is a bound, not a fact. */
	if (call->flags & (VIZ_CALL_LOST_END | VIZ_CALL_INFERRED | VIZ_CALL_UNFINISHED))
		return false;
	return fnmatch(trigger->pattern, func->name, 0) == 0;
}
