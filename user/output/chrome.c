// SPDX-License-Identifier: Apache-2.0
#include "chrome.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"

/* Room that is asked of the output at once, and what of it one plain call may take. */
#define ROOM (64 * 1024)
#define CALL_MAX (16 * 1024)

/* Brings a table that is indexed like one of the trace up to its size. */
static int table__follow(void **table, uint32_t *nr, uint32_t want, size_t size)
{
	uint32_t more = want + want / 2 + 64;
	char *p;

	p = realloc(*table, (size_t)more * size);
	if (!p)
		return -ENOMEM;
	memset(p + (size_t)*nr * size, 0, (size_t)(more - *nr) * size);
	*table = p;
	*nr = more;
	return 0;
}

static int prefix__make(struct chrome *c, uint32_t track)
{
	const struct viz_track *t = &c->w.trace->tracks[track];
	struct chrome_prefix *prefix;
	char *p;

	if (track >= c->nr_prefixes && table__follow((void **)&c->prefixes, &c->nr_prefixes,
						     c->w.trace->nr_tracks, sizeof(*c->prefixes)))
		return -ENOMEM;
	prefix = &c->prefixes[track];
	p = stpcpy(prefix->text, ",\n{\"ph\":\"X\",\"pid\":");
	p = viz_json__u64(p, t->pid);
	p = stpcpy(p, ",\"tid\":");
	p = viz_json__u64(p, t->tid);
	p = stpcpy(p, ",\"ts\":");
	prefix->len = (uint8_t)(p - prefix->text);
	return 0;
}

static int tail__make(struct chrome *c, uint32_t func, uint32_t track)
{
	const struct viz_func *f = &c->w.trace->funcs[func];
	size_t name_len = strlen(f->name), file_len = strlen(f->file);
	struct chrome_tail *tail;
	char *p;

	if (func >= c->nr_tails && table__follow((void **)&c->tails, &c->nr_tails,
						 c->w.trace->nr_funcs, sizeof(*c->tails)))
		return -ENOMEM;
	tail = &c->tails[func];
	p = malloc((name_len + file_len) * VIZ_JSON_GROWTH + VIZ_JSON_NUMBER + 64);
	if (!p)
		return -ENOMEM;
	tail->text = p;
	/* no reader asks for "cat" but ours, which knows a C function by it: 12 bytes a call */
	p = stpcpy(p, file_len ? ",\"name\":\"" : ",\"cat\":\"FEE\",\"name\":\"");
	tail->name = (uint32_t)(p - tail->text);
	p = viz_json__escape(p, f->name, name_len);
	if (file_len) {
		p = stpcpy(p, " (");
		p = viz_json__escape(p, f->file, file_len);
		*p++ = ':';
		p = viz_json__u64(p, f->line);
		*p++ = ')';
	}
	tail->name_len = (uint32_t)(p - tail->text) - tail->name;
	p = stpcpy(p, "\"}");
	tail->len = (uint32_t)(p - tail->text);
	tail->place = c->w.trace->processes[c->w.trace->tracks[track].process].place;
	p = realloc(tail->text, tail->len);
	if (p)
		tail->text = p;
	return 0;
}

static inline int prepare(struct chrome *c, const struct viz_call *call)
{
	if (call->track >= c->nr_prefixes || !c->prefixes[call->track].len) {
		if (call->track >= c->w.trace->nr_tracks)
			return -EINVAL;
		if (prefix__make(c, call->track))
			return -ENOMEM;
	}
	if (call->func >= c->nr_tails || !c->tails[call->func].text) {
		if (call->func >= c->w.trace->nr_funcs)
			return -EINVAL;
		return tail__make(c, call->func, call->track);
	}
	return 0;
}

/* @ts as the file has it. What began before recording did is only bounded by that. */
static inline uint64_t since_zero(const struct chrome *c, uint64_t ts)
{
	return ts > c->zero ? ts - c->zero : 0;
}

static inline char *put_times(char *p, const struct chrome *c, const struct viz_call *call)
{
	const struct chrome_prefix *prefix = &c->prefixes[call->track];
	uint64_t begin = since_zero(c, call->begin);

	memcpy(p, prefix->text, sizeof(prefix->text));
	p = viz_json__us(p + prefix->len, begin);
	memcpy(p, ",\"dur\":", 7);
	return viz_json__us(p + 7, since_zero(c, call->begin + call->dur) - begin);
}

static void put_flags(struct viz_buffer *b, const struct chrome *c, const struct viz_call *call)
{
	const char *separator = "", *args;
	size_t i;

	if (call->args && call->args <= c->w.trace->nr_args) {
		args = c->w.trace->args[call->args - 1];
		if (viz_json__is_members(args, strlen(args))) {
			viz_buffer__text(b, args);
		} else {
			viz_buffer__text(b, "\"args\":");
			viz_buffer__quoted(b, args);
		}
		separator = ",";
	}
	for (i = 0; i < VIZ_CALL_MARKS; i++) {
		if (call->flags & viz_call_marks[i].flag) {
			viz_buffer__printf(b, "%s\"%s\":true", separator, viz_call_marks[i].name);
			separator = ",";
		}
	}
}

/* A piece of the file behind which it may end. */
static int put_event(struct chrome *c, struct viz_buffer *b)
{
	size_t skip = !c->any; /* the comma */

	if (b->failed)
		return -ENOMEM;
	c->any = true;
	return viz_output__write(c->w.out, b->data + skip, b->len - skip);
}

/* A call with arguments or flags, or with a name of unusual length. */
static int put_special(struct chrome *c, const struct viz_call *call)
{
	const struct chrome_tail *tail = &c->tails[call->func];
	struct viz_buffer *b = &c->scratch;
	char *p;

	b->len = 0;
	p = viz_buffer__room(b, sizeof(struct chrome_prefix) + 2 * VIZ_JSON_NUMBER + 8);
	if (!p)
		return -ENOMEM;
	b->len += (size_t)(put_times(p, c, call) - p);
	viz_buffer__add(b, tail->text, tail->len);
	if (call->args || call->flags & ~(uint32_t)VIZ_CALL_C) {
		b->len -= !b->failed; /* the brace */
		viz_buffer__text(b, ",\"args\":{");
		put_flags(b, c, call);
		viz_buffer__text(b, "}}");
	}
	return put_event(c, b);
}

static int chrome__calls(struct viz_writer *w, const struct viz_call *calls, size_t nr)
{
	struct chrome *c = (struct chrome *)w;
	char *start = NULL, *p = NULL, *end = NULL;
	int err = 0;
	size_t i;

	for (i = 0; i < nr; i++) {
		const struct viz_call *call = &calls[i];
		const struct chrome_tail *tail;

		err = prepare(c, call);
		if (err)
			break;
		tail = &c->tails[call->func];
		if (call->args || call->flags & ~(uint32_t)VIZ_CALL_C || !c->any ||
		    tail->len > CALL_MAX - 256) {
			if (p)
				viz_output__commit(w->out, (size_t)(p - start));
			start = p = end = NULL;
			err = put_special(c, call);
			if (err)
				break;
			continue;
		}
		if (!p || end - p < CALL_MAX) {
			if (p)
				viz_output__commit(w->out, (size_t)(p - start));
			start = p = viz_output__reserve(w->out, ROOM);
			if (!p)
				break;
			end = p + ROOM;
		}
		p = put_times(p, c, call);
		memcpy(p, tail->text, tail->len);
		p += tail->len;
	}
	if (p)
		viz_output__commit(w->out, (size_t)(p - start));
	c->calls += i;
	return err ? err : viz_output__error(w->out);
}

static uint64_t hash_of(const struct viz_buffer *b)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	size_t i;

	for (i = 0; i < b->len; i++)
		hash = (hash ^ (unsigned char)b->data[i]) * 0x100000001b3ULL;
	return hash | 1;
}

/* Writes what is in the scratch buffer unless it is what @said remembers. */
static int put_if_new(struct chrome *c, uint64_t *said)
{
	struct viz_buffer *b = &c->scratch;
	uint64_t hash;

	if (b->failed)
		return -ENOMEM;
	hash = hash_of(b);
	if (!b->len || *said == hash)
		return 0;
	*said = hash;
	return put_event(c, b);
}

static void put_metadata(struct viz_buffer *b, uint32_t pid, uint32_t tid, const char *event,
			 const char *arg, const char *value)
{
	viz_buffer__printf(b,
			   ",\n{\"ph\":\"M\",\"pid\":%u,\"tid\":%u,\"name\":\"%s\","
			   "\"args\":{\"%s\":",
			   pid, tid, event, arg);
	viz_buffer__quoted(b, value);
	viz_buffer__text(b, "}}");
}

static int chrome__process(struct viz_writer *w, uint32_t process)
{
	struct chrome *c = (struct chrome *)w;
	const struct viz_process *p = &w->trace->processes[process];
	struct viz_buffer *b = &c->scratch, labels = {0};

	if (process >= c->nr_processes_said &&
	    table__follow((void **)&c->processes_said, &c->nr_processes_said,
			  w->trace->nr_processes, sizeof(*c->processes_said)))
		return -ENOMEM;
	b->len = 0;
	if (p->name)
		put_metadata(b, p->pid, p->pid, "process_name", "name", p->name);
	if (p->container)
		viz_buffer__printf(&labels, "container %s", p->container);
	if (p->image)
		viz_buffer__printf(&labels, "%simage %s", labels.len ? ", " : "", p->image);
	if (p->ns_pid && p->ns_pid != p->pid)
		viz_buffer__printf(&labels, "%spid %u inside", labels.len ? ", " : "", p->ns_pid);
	if (labels.data)
		put_metadata(b, p->pid, p->pid, "process_labels", "labels", labels.data);
	viz_buffer__free(&labels);
	return put_if_new(c, &c->processes_said[process]);
}

static int chrome__track(struct viz_writer *w, uint32_t track)
{
	struct chrome *c = (struct chrome *)w;
	const struct viz_track *t = &w->trace->tracks[track];

	if (track >= c->nr_tracks_said &&
	    table__follow((void **)&c->tracks_said, &c->nr_tracks_said, w->trace->nr_tracks,
			  sizeof(*c->tracks_said)))
		return -ENOMEM;
	c->scratch.len = 0;
	if (t->name)
		put_metadata(&c->scratch, t->pid, t->tid, "thread_name", "name", t->name);
	return put_if_new(c, &c->tracks_said[track]);
}

static void chrome__end_process(struct viz_writer *w, uint32_t process)
{
	struct chrome *c = (struct chrome *)w;

	if (process < c->nr_processes_said)
		c->processes_said[process] = 0;
}

static int chrome__end_track(struct viz_writer *w, uint32_t track)
{
	struct chrome *c = (struct chrome *)w;

	if (track < c->nr_tracks_said)
		c->tracks_said[track] = 0;
	if (track < c->nr_prefixes)
		c->prefixes[track].len = 0;
	return 0;
}

static const struct event_shape {
	const char *phase, *cat;
	bool id;
	const char *more;
} event_shapes[] = {
	[VIZ_EVENT_INSTANT] = {"i", "INSTANT", false, ""},
	[VIZ_EVENT_COUNTER] = {"C", NULL, false, ""},
	[VIZ_EVENT_SLICE] = {"X", "FEE", false, ""},
	[VIZ_EVENT_ASYNC_BEGIN] = {"b", "async", true, ""},
	[VIZ_EVENT_ASYNC_END] = {"e", "async", true, ""},
	[VIZ_EVENT_FLOW_START] = {"s", "flow", true, ""},
	[VIZ_EVENT_FLOW_STEP] = {"t", "flow", true, ""},
	/* "e": ends at the slice around it, not at the next one */
	[VIZ_EVENT_FLOW_END] = {"f", "flow", true, ",\"bp\":\"e\""},
	[VIZ_EVENT_OBJECT_NEW] = {"N", "object", true, ""},
	[VIZ_EVENT_OBJECT_SNAPSHOT] = {"O", "object", true, ""},
	[VIZ_EVENT_OBJECT_DELETE] = {"D", "object", true, ""},
};

static void put_time(struct viz_buffer *b, const char *key, uint64_t ns)
{
	char *p;

	viz_buffer__text(b, key);
	p = viz_buffer__room(b, VIZ_JSON_NUMBER);
	if (p)
		b->len += (size_t)(viz_json__us(p, ns) - p);
}

static int chrome__event(struct viz_writer *w, const struct viz_event *event)
{
	struct chrome *c = (struct chrome *)w;
	struct viz_buffer *b = &c->scratch;
	const struct event_shape *shape;
	const struct viz_track *track;
	const char *cat;

	if (event->track >= w->trace->nr_tracks ||
	    (size_t)event->type >= sizeof(event_shapes) / sizeof(event_shapes[0]))
		return -EINVAL;
	shape = &event_shapes[event->type];
	track = &w->trace->tracks[event->track];
	cat = event->cat ? event->cat : shape->cat;
	b->len = 0;
	viz_buffer__printf(b, ",\n{\"ph\":\"%s\",\"pid\":%u,\"tid\":%u", shape->phase, track->pid,
			   track->tid);
	put_time(b, ",\"ts\":", since_zero(c, event->ts));
	if (event->type == VIZ_EVENT_SLICE)
		put_time(b, ",\"dur\":", event->dur);
	if (cat) {
		viz_buffer__text(b, ",\"cat\":");
		viz_buffer__quoted(b, cat);
	}
	viz_buffer__text(b, ",\"name\":");
	viz_buffer__quoted(b, event->name ? event->name : "");
	if (shape->id)
		viz_buffer__printf(b, ",\"id\":\"0x%llx\"", (unsigned long long)event->id);
	if (event->type == VIZ_EVENT_INSTANT)
		viz_buffer__printf(b, ",\"s\":\"%c\"",
				   event->scope == 'g' || event->scope == 'p' ? event->scope : 't');
	viz_buffer__text(b, shape->more);
	if (event->args) {
		/* it comes from the traced program */
		bool good = viz_json__is_object(event->args, strlen(event->args));

		viz_buffer__text(b, good ? ",\"args\":" : ",\"args\":{\"args\":");
		if (good)
			viz_buffer__text(b, event->args);
		else
			viz_buffer__quoted(b, event->args);
		viz_buffer__text(b, good ? "" : "}");
	}
	viz_buffer__text(b, "}");
	c->events++;
	return put_event(c, b);
}

static int chrome__flush(struct viz_writer *w)
{
	struct chrome *c = (struct chrome *)w;
	struct viz_buffer *b = &c->scratch;

	b->len = 0;
	viz_buffer__text(b, "\n]");
	chrome__metadata(c, b);
	viz_buffer__text(b, "}\n");
	return b->failed ? -ENOMEM : viz_output__terminator(w->out, b->data, b->len);
}

static int chrome__begin(struct viz_writer *w)
{
	static const char head[] = "{\"traceEvents\":[";
	int err;

	/* the time since boot is four digits more in each ts than the time since the start */
	((struct chrome *)w)->zero = w->trace->begin;
	err = viz_output__write(w->out, head, sizeof(head) - 1);
	return err ? err : chrome__flush(w);
}

static int chrome__end(struct viz_writer *w)
{
	struct chrome *c = (struct chrome *)w;
	struct viz_buffer *b = &c->scratch;
	int err, closed;

	err = chrome__flush(w);
	if (err)
		goto cleanup;
	viz_output__last(w->out);
	b->len = 0;
	viz_buffer__text(b, "\n]");
	chrome__metadata(c, b);
	err = b->failed ? -ENOMEM : viz_output__write(w->out, b->data, b->len);
	if (!err)
		err = chrome__file_info(c);
	if (!err)
		err = viz_output__write(w->out, "}\n", 2);
cleanup:
	closed = viz_output__close(w->out);
	return err ? err : closed;
}

static void chrome__free(struct viz_writer *w)
{
	struct chrome *c = (struct chrome *)w;
	uint32_t i;

	for (i = 0; i < c->nr_tails; i++)
		free(c->tails[i].text);
	free(c->tails);
	free(c->prefixes);
	free(c->processes_said);
	free(c->tracks_said);
	viz_buffer__free(&c->scratch);
}

const struct viz_writer_ops viz_writer_chrome = {
	.suffix = ".json",
	.what = "Chrome Trace JSON (Perfetto, vizviewer, VizTracer's tools)",
	.begin = chrome__begin,
	.process = chrome__process,
	.track = chrome__track,
	.calls = chrome__calls,
	.event = chrome__event,
	.flush = chrome__flush,
	.end_process = chrome__end_process,
	.end_track = chrome__end_track,
	.end = chrome__end,
	.free = chrome__free,
	.sources = true,
	.size = sizeof(struct chrome),
};
