// SPDX-License-Identifier: Apache-2.0
/* The events of our Perfetto traces: annotations, and what is not a call. */
#include <errno.h>

#include "perfetto_ids.h"
#include "reader_perfetto.h"

const char *decoder__text(struct viz_buffer *b, const struct cursor *bytes)
{
	b->len = 0;
	viz_buffer__add(b, bytes->p, (size_t)(bytes->end - bytes->p));
	viz_buffer__add(b, "", 1);
	return b->failed ? NULL : b->data;
}

static void take_annotation(struct decoder *d, struct cursor c, struct decoded *e)
{
	struct cursor json = {0}, text = {0};
	const char *key = "";
	bool truth = false;
	struct field f;
	size_t i;

	while (next_field(&c, &f)) {
		if (f.number == 10)
			key = decoder__text(&d->key, &f.bytes);
		else if (f.number == 9)
			json = f.bytes;
		else if (f.number == 6)
			text = f.bytes;
		else if (f.number == 2)
			truth = f.value;
	}
	for (i = 0; truth && key && i < VIZ_CALL_MARKS; i++)
		if (!strcmp(viz_call_marks[i].name, key))
			e->flags |= viz_call_marks[i].flag;
	if (!key || (!json.p && !text.p))
		return;
	if (json.p && !strcmp(key, PERFETTO_SHIFTED)) {
		for (; json.p < json.end && *json.p >= '0' && *json.p <= '9'; json.p++)
			e->shift = e->shift * 10 + (uint64_t)(*json.p - '0');
		return;
	}
	if (d->args.len)
		viz_buffer__add(&d->args, ",", 1);
	viz_buffer__quoted(&d->args, key);
	viz_buffer__add(&d->args, ":", 1);
	if (json.p) {
		viz_buffer__add(&d->args, json.p, (size_t)(json.end - json.p));
	} else {
		viz_buffer__add(&d->args, "\"", 1);
		viz_buffer__escaped(&d->args, (const char *)text.p, (size_t)(text.end - text.p));
		viz_buffer__add(&d->args, "\"", 1);
	}
}

void decoder__scan_event(struct decoder *d, struct cursor c, struct decoded *e)
{
	struct field f;

	memset(e, 0, sizeof(*e));
	d->args.len = 0;
	while (next_field(&c, &f)) {
		switch (f.number) {
		case 4:
			take_annotation(d, f.bytes, e);
			break;
		case 9:
			e->type = f.value;
			break;
		case 10:
			e->iid = f.value;
			break;
		case 22:
			e->cat = decoder__text(&d->cat, &f.bytes);
			break;
		case 23:
			e->name = decoder__text(&d->name, &f.bytes);
			break;
		}
	}
}

/* The fields of "original" into @event; its track by what they call it. */
static int scan_original(struct decoder *d, struct cursor c, struct viz_event *event)
{
	uint32_t pid = 0, tid = 0;
	struct field f;

	while (next_field(&c, &f)) {
		switch (f.number) {
		case 1:
			if (f.value > VIZ_EVENT_OBJECT_DELETE)
				return -EBADMSG;
			event->type = (enum viz_event_type)f.value;
			break;
		case 2:
			event->scope = (char)f.value;
			break;
		case 3:
			pid = (uint32_t)f.value;
			break;
		case 4:
			tid = (uint32_t)f.value;
			break;
		case 5:
			event->dur = f.value;
			break;
		case 6:
			event->id = f.value;
			break;
		case 7:
			event->name = decoder__text(&d->name, &f.bytes);
			break;
		case 8:
			event->args = decoder__text(&d->text, &f.bytes);
			break;
		}
	}
	event->track = viz_intake__track(d->r->intake, pid, tid);
	return event->track == UINT32_MAX || d->name.failed || d->text.failed ? -ENOMEM : 0;
}

/* An event that is no call. What else is in the sequence only draws it. */
int decoder__take_event(struct decoder *d, const struct packet *p, const struct decoded *e)
{
	struct viz_event event = {.ts = p->ts, .scope = 't', .name = e->name, .cat = e->cat};
	struct viz_call call = {.begin = p->ts};
	int err = scan_original(d, p->original, &event);

	if (err || !event.name)
		return err ? err : -EBADMSG;
	/* as from JSON: where only calls are wanted, a slice is one */
	if (!viz_intake__wants_events(d->r->intake)) {
		if (event.type != VIZ_EVENT_SLICE)
			return 0;
		call.dur = event.dur;
		call.track = event.track;
		call.func = viz_intake__func(d->r->intake, event.name, strlen(event.name), false);
		return call.func == UINT32_MAX
			       ? -ENOMEM
			       : viz_intake__call(d->r->intake, &call, d->args.data, d->args.len);
	}
	if (!event.args && d->args.len) {
		d->text.len = 0;
		viz_buffer__add(&d->text, "{", 1);
		viz_buffer__add(&d->text, d->args.data, d->args.len);
		viz_buffer__add(&d->text, "}", 2);
		event.args = d->text.data;
	}
	return d->text.failed ? -ENOMEM : viz_intake__event(d->r->intake, &event);
}
