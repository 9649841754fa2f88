// SPDX-License-Identifier: Apache-2.0
#include "custom.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/hash.h"
#include "../base/utf8.h"
#include "../output/json.h"

enum {
	DEPTH_MAX = 256, /* open slices of one track that are kept */
	NAME_SIZE = 3 * VIZ_NAME_MAX, /* a byte that is not UTF-8 becomes three */
	CATEGORY_SIZE = 3 * 128,
	COUNTER_SIZE = 64,
};

/* An open slice; the texts are in one allocation. */
struct open_slice {
	uint64_t begin;
	char *name, *cat, *args; /* cat and args may be NULL */
};

struct open_track {
	struct open_slice *slices;
	uint32_t nr, cap;
	uint32_t track;
	uint32_t hidden; /* begins beyond DEPTH_MAX whose ends are to come */
};

struct viz_customs {
	viz_event_fn fn;
	void *ctx;
	struct viz_hash index; /* track -> place in tracks */
	struct open_track *tracks;
	uint32_t nr_tracks, cap_tracks;
	struct viz_customs_count count;
};

/* The checked content of one record. */
struct parsed {
	struct viz_event event;
	enum viz_custom_type type;
	char name[NAME_SIZE], cat[CATEGORY_SIZE], counter[COUNTER_SIZE];
	char snapshot[VIZ_PAYLOAD_MAX + 32];
};

struct viz_customs *viz_customs__new(viz_event_fn fn, void *ctx)
{
	struct viz_customs *customs = calloc(1, sizeof(*customs));

	if (!customs)
		return NULL;
	customs->fn = fn;
	customs->ctx = ctx;
	return customs;
}

void viz_customs__free(struct viz_customs *customs)
{
	if (!customs)
		return;
	for (uint32_t i = 0; i < customs->nr_tracks; i++) {
		struct open_track *t = &customs->tracks[i];

		while (t->nr)
			free(t->slices[--t->nr].name);
		free(t->slices);
	}
	free(customs->tracks);
	viz_hash__clear(&customs->index);
	free(customs);
}

void viz_customs__count(const struct viz_customs *customs, struct viz_customs_count *count)
{
	*count = customs->count;
}

/* The next text of the data: from *@at up to a NUL inside @size bytes; NULL if there is none. */
static const char *next_text(const char *data, size_t size, size_t *at, size_t *len)
{
	const char *text = data + *at;
	const char *end = *at < size ? memchr(text, '\0', size - *at) : NULL;

	if (!end)
		return NULL;
	*len = (size_t)(end - text);
	*at += *len + 1;
	return text;
}

static bool to_event_type(enum viz_custom_type type, enum viz_event_type *out)
{
	static const struct {
		enum viz_custom_type from;
		enum viz_event_type to;
	} map[] = {
		{VIZ_CUSTOM_INSTANT, VIZ_EVENT_INSTANT},
		{VIZ_CUSTOM_BEGIN, VIZ_EVENT_SLICE},
		{VIZ_CUSTOM_END, VIZ_EVENT_SLICE},
		{VIZ_CUSTOM_COUNTER, VIZ_EVENT_COUNTER},
		{VIZ_CUSTOM_ASYNC_BEGIN, VIZ_EVENT_ASYNC_BEGIN},
		{VIZ_CUSTOM_ASYNC_END, VIZ_EVENT_ASYNC_END},
		{VIZ_CUSTOM_FLOW_START, VIZ_EVENT_FLOW_START},
		{VIZ_CUSTOM_FLOW_STEP, VIZ_EVENT_FLOW_STEP},
		{VIZ_CUSTOM_FLOW_END, VIZ_EVENT_FLOW_END},
		{VIZ_CUSTOM_OBJECT_NEW, VIZ_EVENT_OBJECT_NEW},
		{VIZ_CUSTOM_OBJECT_SNAPSHOT, VIZ_EVENT_OBJECT_SNAPSHOT},
		{VIZ_CUSTOM_OBJECT_DELETE, VIZ_EVENT_OBJECT_DELETE},
	};

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		if (map[i].from == type) {
			*out = map[i].to;
			return true;
		}
	}
	return false;
}

/* A counter without args carries the bits of a double. */
static const char *counter_args(uint64_t bits, char *out)
{
	double number;

	memcpy(&number, &bits, sizeof(number));
	if (!isfinite(number))
		return NULL;
	snprintf(out, COUNTER_SIZE, "{\"value\":%.15g}", number);
	return out;
}

static int parse(struct viz_customs *customs, const struct viz_custom *rec, size_t room,
		 struct parsed *out)
{
	const char *name, *cat, *args;
	size_t at = 0, name_len, cat_len, args_len;

	if (rec->size > room)
		return -EINVAL;
	name = next_text(rec->data, rec->size, &at, &name_len);
	cat = name ? next_text(rec->data, rec->size, &at, &cat_len) : NULL;
	args = cat ? next_text(rec->data, rec->size, &at, &args_len) : NULL;
	out->type = rec->head.flags;
	if (!args || !to_event_type(out->type, &out->event.type))
		return -EINVAL;
	viz_utf8__clean(out->name, sizeof(out->name), name, name_len);
	viz_utf8__clean(out->cat, sizeof(out->cat), cat, cat_len);
	out->event.ts = rec->head.ts;
	out->event.dur = 0;
	out->event.id = rec->id;
	out->event.scope = rec->value == 'p' || rec->value == 'g' ? (char)rec->value : 't';
	out->event.name = out->name;
	out->event.cat = cat_len ? out->cat : NULL;
	out->event.args = args_len ? args : NULL;
	if (args_len &&
	    (!viz_utf8__valid(args, args_len) || !viz_json__is_object(args, args_len))) {
		customs->count.bad_args++;
		out->event.args = "{\"args\":\"(not a JSON object)\"}";
	}
	if (out->type == VIZ_CUSTOM_OBJECT_SNAPSHOT && out->event.args) {
		/* where viewers look for it */
		snprintf(out->snapshot, sizeof(out->snapshot), "{\"snapshot\":%s}",
			 out->event.args);
		out->event.args = out->snapshot;
	}
	if (out->type == VIZ_CUSTOM_COUNTER && !args_len) {
		out->event.args = counter_args(rec->value, out->counter);
		if (!out->event.args)
			return -EINVAL;
	}
	return 0;
}

static struct open_track *find_track(struct viz_customs *customs, uint32_t track)
{
	struct open_track *grown;
	uint32_t index;

	if (viz_hash__get(&customs->index, track, &index))
		return &customs->tracks[index];
	if (customs->nr_tracks == customs->cap_tracks) {
		uint32_t cap = customs->cap_tracks ? 2 * customs->cap_tracks : 16;

		grown = realloc(customs->tracks, cap * sizeof(*grown));
		if (!grown)
			return NULL;
		customs->tracks = grown;
		customs->cap_tracks = cap;
	}
	if (!viz_hash__set(&customs->index, track, customs->nr_tracks))
		return NULL;
	grown = &customs->tracks[customs->nr_tracks++];
	memset(grown, 0, sizeof(*grown));
	grown->track = track;
	return grown;
}

static char *put_copy(char **at, const char *text)
{
	size_t size = text ? strlen(text) + 1 : 0;
	char *copy = *at;

	if (!text)
		return NULL;
	memcpy(copy, text, size);
	*at += size;
	return copy;
}

static int open_slice(struct viz_customs *customs, struct open_track *t,
		      const struct viz_event *event)
{
	struct open_slice *slice;
	size_t size;
	char *at;

	if (t->nr == DEPTH_MAX) {
		customs->count.too_deep++;
		t->hidden++;
		return 0;
	}
	if (t->nr == t->cap) {
		uint32_t cap = t->cap ? 2 * t->cap : 8;

		slice = realloc(t->slices, cap * sizeof(*slice));
		if (!slice)
			return -ENOMEM;
		t->slices = slice;
		t->cap = cap;
	}
	size = strlen(event->name) + 1 + (event->cat ? strlen(event->cat) + 1 : 0) +
	       (event->args ? strlen(event->args) + 1 : 0);
	at = malloc(size);
	if (!at)
		return -ENOMEM;
	slice = &t->slices[t->nr++];
	slice->begin = event->ts;
	slice->name = put_copy(&at, event->name);
	slice->cat = put_copy(&at, event->cat);
	slice->args = put_copy(&at, event->args);
	return 0;
}

/* The innermost open slice ends at @ts. */
static int close_innermost(struct viz_customs *customs, struct open_track *t, uint64_t ts)
{
	struct open_slice *slice = &t->slices[--t->nr];
	struct viz_event event = {
		.type = VIZ_EVENT_SLICE,
		.track = t->track,
		.ts = slice->begin,
		/* the ring keeps order only almost */
		.dur = ts > slice->begin ? ts - slice->begin : 0,
		.name = slice->name,
		.cat = slice->cat,
		.args = slice->args,
	};
	int err = customs->fn(customs->ctx, &event);

	free(slice->name);
	return err;
}

/* Ends the innermost slice of that name, and with it those that were opened inside. An end
 * without a name is that of the innermost. */
static int close_slice(struct viz_customs *customs, struct open_track *t,
		       const struct viz_event *event)
{
	uint32_t depth = t->nr;
	int err = 0;

	if (t->hidden) {
		t->hidden--;
		return 0;
	}
	while (depth && event->name[0] && strcmp(t->slices[depth - 1].name, event->name))
		depth--;
	if (!depth) {
		customs->count.unmatched++;
		return 0;
	}
	while (t->nr >= depth && !err)
		err = close_innermost(customs, t, event->ts);
	return err;
}

int viz_customs__add(struct viz_customs *customs, const void *record, size_t size, uint32_t track)
{
	const struct viz_custom *rec = record;
	size_t head = offsetof(struct viz_custom, data);
	struct parsed parsed;
	struct open_track *t;
	int err;

	err = size < head ? -EINVAL : parse(customs, rec, size - head, &parsed);
	if (err) {
		customs->count.bad++;
		return err;
	}
	parsed.event.track = track;
	if (parsed.type != VIZ_CUSTOM_BEGIN && parsed.type != VIZ_CUSTOM_END)
		return customs->fn(customs->ctx, &parsed.event);
	t = find_track(customs, track);
	if (!t)
		return -ENOMEM;
	return parsed.type == VIZ_CUSTOM_BEGIN ? open_slice(customs, t, &parsed.event)
					       : close_slice(customs, t, &parsed.event);
}

static int close_track(struct viz_customs *customs, struct open_track *t, uint64_t ts)
{
	int err = 0;

	while (t->nr && !err)
		err = close_innermost(customs, t, ts);
	t->hidden = 0;
	return err;
}

int viz_customs__close(struct viz_customs *customs, uint32_t track, uint64_t ts)
{
	uint32_t index;

	if (!viz_hash__get(&customs->index, track, &index))
		return 0;
	return close_track(customs, &customs->tracks[index], ts);
}

int viz_customs__close_all(struct viz_customs *customs, uint64_t ts)
{
	int err = 0;

	for (uint32_t i = 0; i < customs->nr_tracks && !err; i++)
		err = close_track(customs, &customs->tracks[i], ts);
	return err;
}
