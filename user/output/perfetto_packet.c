// SPDX-License-Identifier: Apache-2.0
/* Perfetto's packets other than the plain begins and ends, by protobuf-c. */
#include <json-c/json.h>
#include <stdio.h>

#include "metadata.h"
#include "perfetto.h"

#define MAX_ANNOTATIONS 32

void perfetto__packet(struct viz_buffer *b, const Vizbpf__TracePacket *packet)
{
	size_t size = vizbpf__trace_packet__get_packed_size(packet);
	char *start = viz_buffer__room(b, size + 11), *p;

	if (!start)
		return;
	start[0] = 0x0a;
	p = perfetto__varint(start + 1, size);
	vizbpf__trace_packet__pack(packet, (uint8_t *)p);
	b->len += (size_t)(p - start) + size;
}

static Vizbpf__TracePacket new_packet(uint32_t sequence)
{
	Vizbpf__TracePacket packet = VIZBPF__TRACE_PACKET__INIT;

	packet.has_trusted_packet_sequence_id = 1;
	packet.trusted_packet_sequence_id = sequence;
	return packet;
}

/* Two clocks at the same moment. */
static void put_clocks(struct viz_buffer *b, uint32_t sequence, const uint32_t id[2],
		       const uint64_t time[2], size_t nr)
{
	Vizbpf__TracePacket packet = new_packet(sequence);
	Vizbpf__ClockSnapshot snapshot = VIZBPF__CLOCK_SNAPSHOT__INIT;
	Vizbpf__Clock clocks[2] = {VIZBPF__CLOCK__INIT, VIZBPF__CLOCK__INIT};
	Vizbpf__Clock *list[2] = {&clocks[0], &clocks[1]};
	size_t i;

	for (i = 0; i < nr; i++) {
		clocks[i].has_clock_id = clocks[i].has_timestamp = 1;
		clocks[i].clock_id = id[i];
		clocks[i].timestamp = time[i];
		clocks[i].has_is_incremental = clocks[i].is_incremental = id[i] == PERFETTO_DELTA;
	}
	snapshot.clocks = list;
	snapshot.n_clocks = nr;
	snapshot.has_primary_trace_clock = 1;
	snapshot.primary_trace_clock = PERFETTO_MONOTONIC;
	packet.clock_snapshot = &snapshot;
	perfetto__packet(b, &packet);
}

/* Where the common clock stands in the time of day, as far as it is known by now. */
static void put_common_clock(struct perfetto *p, struct viz_buffer *b, uint64_t ts)
{
	static const uint32_t ids[2] = {PERFETTO_MONOTONIC, PERFETTO_REALTIME};
	uint64_t times[2] = {ts, ts + (uint64_t)p->w.trace->realtime_offset};

	p->realtime_offset = p->w.trace->realtime_offset;
	put_clocks(b, PERFETTO_COMMON_SEQUENCE, ids, times, p->realtime_offset ? 2 : 1);
}

void perfetto__head(struct perfetto *p, struct viz_buffer *b)
{
	Vizbpf__TracePacket packet = new_packet(PERFETTO_COMMON_SEQUENCE);

	packet.has_sequence_flags = packet.sequence_flags = 1;
	perfetto__packet(b, &packet);
	put_common_clock(p, b, p->first_ts);
}

void perfetto__start_track(struct perfetto *p, struct viz_buffer *b, uint32_t track)
{
	static const uint32_t ids[2] = {PERFETTO_DELTA, PERFETTO_MONOTONIC};
	uint64_t times[2] = {p->first_ts, p->first_ts};
	uint32_t id = p->w.trace->tracks[track].id;
	Vizbpf__TracePacket packet = new_packet(PERFETTO_TRACK_SEQUENCE + id);
	Vizbpf__TracePacketDefaults defaults = VIZBPF__TRACE_PACKET_DEFAULTS__INIT;
	Vizbpf__TrackEventDefaults event = VIZBPF__TRACK_EVENT_DEFAULTS__INIT;

	perfetto__name_track(p, b, track);
	event.has_track_uuid = 1;
	event.track_uuid = perfetto__uuid(PERFETTO_THREAD, id);
	defaults.track_event_defaults = &event;
	defaults.has_timestamp_clock_id = 1;
	defaults.timestamp_clock_id = PERFETTO_DELTA;
	packet.trace_packet_defaults = &defaults;
	packet.has_sequence_flags = packet.sequence_flags = 1;
	perfetto__packet(b, &packet);
	put_clocks(b, PERFETTO_TRACK_SEQUENCE + id, ids, times, 2);
}

void perfetto__name_process(struct perfetto *p, struct viz_buffer *b, uint32_t process)
{
	const struct viz_process *from = &p->w.trace->processes[process];
	Vizbpf__TracePacket packet = new_packet(PERFETTO_COMMON_SEQUENCE);
	Vizbpf__TrackDescriptor track = VIZBPF__TRACK_DESCRIPTOR__INIT;
	Vizbpf__ProcessDescriptor to = VIZBPF__PROCESS_DESCRIPTOR__INIT;
	char *labels[2];

	to.has_pid = 1;
	to.pid = (int32_t)from->pid;
	to.process_name = (char *)from->name;
	to.process_labels = labels;
	if (from->container)
		labels[to.n_process_labels++] = (char *)from->container;
	if (from->image)
		labels[to.n_process_labels++] = (char *)from->image;
	track.has_uuid = 1;
	track.uuid = perfetto__uuid(PERFETTO_PROCESS, from->id);
	track.process = &to;
	packet.track_descriptor = &track;
	perfetto__packet(b, &packet);
}

void perfetto__name_track(struct perfetto *p, struct viz_buffer *b, uint32_t track)
{
	const struct viz_track *from = &p->w.trace->tracks[track];
	Vizbpf__TracePacket packet = new_packet(PERFETTO_COMMON_SEQUENCE);
	Vizbpf__TrackDescriptor to = VIZBPF__TRACK_DESCRIPTOR__INIT;
	Vizbpf__ThreadDescriptor thread = VIZBPF__THREAD_DESCRIPTOR__INIT;

	thread.has_pid = thread.has_tid = 1;
	thread.pid = (int32_t)from->pid;
	thread.tid = from->tid;
	thread.thread_name = (char *)from->name;
	to.has_uuid = 1;
	to.uuid = perfetto__uuid(PERFETTO_THREAD, from->id);
	to.thread = &thread;
	packet.track_descriptor = &to;
	perfetto__packet(b, &packet);
}

void perfetto__name_func(struct perfetto *p, struct viz_buffer *b, uint32_t track, uint32_t func)
{
	const struct viz_func *f = &p->w.trace->funcs[func];
	Vizbpf__TracePacket packet =
		new_packet(PERFETTO_TRACK_SEQUENCE + p->w.trace->tracks[track].id);
	Vizbpf__InternedData data = VIZBPF__INTERNED_DATA__INIT;
	Vizbpf__EventName name = VIZBPF__EVENT_NAME__INIT, *names[1] = {&name};
	Vizbpf__SourceLocation place = VIZBPF__SOURCE_LOCATION__INIT, *places[1] = {&place};
	struct viz_buffer text = {0};

	/* the name that the other formats show */
	viz_buffer__text(&text, f->name);
	if (f->file[0])
		viz_buffer__printf(&text, " (%s:%u)", f->file, f->line);
	viz_buffer__add(&text, "", 1);
	name.has_iid = place.has_iid = 1;
	name.iid = place.iid = (uint64_t)func + 1;
	name.name = text.data;
	place.file_name = (char *)f->file;
	place.function_name = (char *)f->name;
	place.has_line_number = 1;
	place.line_number = f->line;
	data.event_names = names;
	data.n_event_names = 1;
	data.source_locations = places;
	data.n_source_locations = f->file[0] ? 1 : 0;
	packet.interned_data = &data;
	if (text.failed)
		b->failed = true;
	else
		perfetto__packet(b, &packet);
	viz_buffer__free(&text);
}

/* The debug annotations of one event, and what they point into. */
struct annotations {
	Vizbpf__DebugAnnotation items[MAX_ANNOTATIONS];
	Vizbpf__DebugAnnotation *list[MAX_ANNOTATIONS];
	size_t nr;
	struct json_object *args;
};

static Vizbpf__DebugAnnotation *annotation(struct annotations *a, const char *name)
{
	Vizbpf__DebugAnnotation *item = &a->items[a->nr];

	vizbpf__debug_annotation__init(item);
	item->name = (char *)name;
	a->list[a->nr++] = item;
	return item;
}

/* Each member of the object @text, its value as JSON. What is too much stays together: false. */
static bool annotate(struct annotations *a, const char *text)
{
	a->args = json_tokener_parse(text);
	if (!json_object_is_type(a->args, json_type_object) ||
	    json_object_object_length(a->args) > MAX_ANNOTATIONS - 8) {
		annotation(a, "args")->string_value = (char *)text;
		return false;
	}
	json_object_object_foreach(a->args, key, value) annotation(a, key)->legacy_json_value =
		(char *)json_object_to_json_string_ext(
			value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	return true;
}

static void annotate_flags(struct annotations *a, uint32_t flags)
{
	size_t i;

	for (i = 0; i < VIZ_CALL_MARKS; i++) {
		if (flags & viz_call_marks[i].flag) {
			Vizbpf__DebugAnnotation *item = annotation(a, viz_call_marks[i].name);

			item->has_bool_value = item->bool_value = 1;
		}
	}
}

void perfetto__special(struct perfetto *p, struct viz_buffer *b, const struct viz_call *call,
		       uint64_t ts, bool late)
{
	Vizbpf__TracePacket packet =
		new_packet(PERFETTO_TRACK_SEQUENCE + p->w.trace->tracks[call->track].id);
	Vizbpf__TrackEvent event = VIZBPF__TRACK_EVENT__INIT;
	struct annotations annotations = {.nr = 0};
	struct viz_buffer text = {0};
	char shift[24];

	if (call->args && call->args <= p->w.trace->nr_args) {
		viz_buffer__printf(&text, "{%s}", p->w.trace->args[call->args - 1]);
		if (text.data)
			annotate(&annotations, text.data);
	}
	annotate_flags(&annotations, call->flags);
	packet.has_timestamp = 1;
	packet.timestamp = ts;
	if (late) {
		if (ts < call->begin) {
			snprintf(shift, sizeof(shift), "%llu",
				 (unsigned long long)(call->begin - ts));
			annotation(&annotations, PERFETTO_SHIFTED)->legacy_json_value = shift;
		}
		packet.has_timestamp_clock_id = 1;
		packet.timestamp_clock_id = PERFETTO_MONOTONIC;
	}
	event.has_type = event.has_name_iid = 1;
	event.type = 1;
	event.name_iid = (uint64_t)call->func + 1;
	if (p->w.trace->funcs[call->func].file[0]) {
		event.has_source_location_iid = 1;
		event.source_location_iid = (uint64_t)call->func + 1;
	}
	event.debug_annotations = annotations.list;
	event.n_debug_annotations = annotations.nr;
	packet.track_event = &event;
	perfetto__packet(b, &packet);
	json_object_put(annotations.args);
	viz_buffer__free(&text);
}

/* An event of the common sequence, on any track. @original may be NULL. */
static void put_event(struct viz_buffer *b, uint64_t ts, uint64_t uuid, int type,
		      Vizbpf__TrackEvent *event, Vizbpf__Original *original)
{
	Vizbpf__TracePacket packet = new_packet(PERFETTO_COMMON_SEQUENCE);

	packet.has_timestamp = packet.has_timestamp_clock_id = 1;
	packet.timestamp = ts;
	packet.timestamp_clock_id = PERFETTO_MONOTONIC;
	event->has_type = event->has_track_uuid = 1;
	event->type = type;
	event->track_uuid = uuid;
	packet.track_event = event;
	packet.original = original;
	perfetto__packet(b, &packet);
}

/* What the reader makes the event from again. */
static Vizbpf__Original original_of(const struct perfetto *p, const struct viz_event *from)
{
	const struct viz_track *track = &p->w.trace->tracks[from->track];
	Vizbpf__Original o = VIZBPF__ORIGINAL__INIT;

	o.has_type = o.has_pid = o.has_tid = 1;
	o.type = from->type;
	o.pid = track->pid;
	o.tid = track->tid;
	o.has_scope = from->type == VIZ_EVENT_INSTANT;
	o.scope = (unsigned char)from->scope;
	o.has_dur = from->dur != 0;
	o.dur = from->dur;
	o.has_id = from->id != 0;
	o.id = from->id;
	return o;
}

/* A track that is neither a thread nor a process. */
static void put_descriptor(struct viz_buffer *b, uint64_t uuid, uint64_t parent, const char *name,
			   bool counter)
{
	Vizbpf__TracePacket packet = new_packet(PERFETTO_COMMON_SEQUENCE);
	Vizbpf__TrackDescriptor track = VIZBPF__TRACK_DESCRIPTOR__INIT;
	Vizbpf__CounterDescriptor empty = VIZBPF__COUNTER_DESCRIPTOR__INIT;

	track.has_uuid = 1;
	track.uuid = uuid;
	track.has_parent_uuid = parent != 0;
	track.parent_uuid = parent;
	track.name = (char *)name;
	track.counter = counter ? &empty : NULL;
	packet.track_descriptor = &track;
	perfetto__packet(b, &packet);
}

void perfetto__facts(struct perfetto *p, struct viz_buffer *b)
{
	Vizbpf__TracePacket packet = new_packet(PERFETTO_COMMON_SEQUENCE);
	struct viz_buffer text = {0};

	/* a trace that is read tells in the end what its time is to the time of day */
	if (p->w.trace->realtime_offset != p->realtime_offset)
		put_common_clock(p, b, p->w.trace->end > p->last_ts ? p->w.trace->end : p->last_ts);
	viz_metadata__vizbpf(&text, p->w.trace, 0, p->calls, p->events);
	viz_buffer__add(&text, "", 1);
	if (text.failed) {
		b->failed = true;
		return;
	}
	packet.vizbpf_metadata = text.data;
	perfetto__packet(b, &packet);
	viz_buffer__free(&text);
}

void perfetto__source(struct viz_buffer *b, const char *path, const char *text, size_t size)
{
	Vizbpf__TracePacket packet = new_packet(PERFETTO_COMMON_SEQUENCE);
	Vizbpf__SourceFile file = VIZBPF__SOURCE_FILE__INIT;

	file.path = (char *)path;
	file.has_text = 1;
	file.text = (ProtobufCBinaryData){size, (uint8_t *)text};
	packet.source_file = &file;
	perfetto__packet(b, &packet);
}

static uint32_t hash_text(uint32_t hash, const char *text)
{
	while (*text)
		hash = (hash ^ (unsigned char)*text++) * 16777619u;
	return hash;
}

static uint32_t process_id(const struct perfetto *p, const struct viz_event *event)
{
	return p->w.trace->processes[p->w.trace->tracks[event->track].process].id;
}

/* Each number among the args is a track of its own; the first has the event as a whole. */
static void put_counters(struct perfetto *p, struct viz_buffer *b, const struct viz_event *from)
{
	uint32_t process = process_id(p, from);
	struct json_object *args = from->args ? json_tokener_parse(from->args) : NULL;
	Vizbpf__Original original = original_of(p, from), *once = &original;
	struct viz_buffer name = {0};

	original.name = (char *)from->name;
	original.args = (char *)from->args;
	if (!json_object_is_type(args, json_type_object))
		goto cleanup;
	json_object_object_foreach(args, key, value)
	{
		Vizbpf__TrackEvent event = VIZBPF__TRACK_EVENT__INIT;
		uint64_t uuid;

		if (!json_object_is_type(value, json_type_int) &&
		    !json_object_is_type(value, json_type_double))
			continue;
		name.len = 0;
		viz_buffer__printf(&name, "%s: %s", from->name, key);
		if (name.failed)
			break;
		uuid = perfetto__uuid(PERFETTO_COUNTER,
				      hash_text(2166136261u + process, name.data));
		put_descriptor(b, uuid, perfetto__uuid(PERFETTO_PROCESS, process), name.data, true);
		event.has_double_counter_value = 1;
		event.double_counter_value = json_object_get_double(value);
		put_event(b, from->ts, uuid, 4, &event, once);
		once = NULL;
	}
cleanup:
	json_object_put(args);
	viz_buffer__free(&name);
}

/* The track of the event's own that @from needs; it is described each time, as nothing
 * remembers which were. */
static uint64_t place(struct perfetto *p, struct viz_buffer *b, const struct viz_event *from)
{
	uint32_t track = p->w.trace->tracks[from->track].id, process = process_id(p, from);
	uint64_t thread = perfetto__uuid(PERFETTO_THREAD, track), uuid;

	if (from->type == VIZ_EVENT_SLICE) {
		/* apart from the calls: nothing says that it nests with them */
		uuid = perfetto__uuid(PERFETTO_LANE, track);
		put_descriptor(b, uuid, thread, "events", false);
		return uuid;
	}
	if (from->type == VIZ_EVENT_ASYNC_BEGIN || from->type == VIZ_EVENT_ASYNC_END) {
		uuid = perfetto__uuid(PERFETTO_ASYNC,
				      (uint32_t)(from->id ^ from->id >> 32) * 2654435761u ^
					      process * 40503u ^
					      hash_text(2166136261u, from->cat ? from->cat : ""));
		put_descriptor(b, uuid, perfetto__uuid(PERFETTO_PROCESS, process),
			       from->name ? from->name : "async", false);
		return uuid;
	}
	return from->type == VIZ_EVENT_INSTANT && from->scope != 't'
		       ? perfetto__uuid(PERFETTO_PROCESS, process)
		       : thread;
}

void perfetto__event(struct perfetto *p, struct viz_buffer *b, const struct viz_event *from)
{
	Vizbpf__TrackEvent event = VIZBPF__TRACK_EVENT__INIT, end = VIZBPF__TRACK_EVENT__INIT;
	Vizbpf__Original original = original_of(p, from);
	struct annotations annotations = {.nr = 0};
	char *cats[1] = {(char *)from->cat};
	uint64_t flow[1] = {from->id}, uuid;
	int type = 3;

	if (from->type == VIZ_EVENT_COUNTER) {
		put_counters(p, b, from);
		return;
	}
	uuid = place(p, b, from);
	event.name = (char *)(from->name ? from->name : "");
	event.categories = cats;
	event.n_categories = from->cat ? 1 : 0;
	if (from->args && !annotate(&annotations, from->args))
		original.args = (char *)from->args;
	event.debug_annotations = annotations.list;
	event.n_debug_annotations = annotations.nr;
	if (from->type == VIZ_EVENT_FLOW_END) {
		event.terminating_flow_ids = flow;
		event.n_terminating_flow_ids = 1;
	} else if (from->type == VIZ_EVENT_FLOW_START || from->type == VIZ_EVENT_FLOW_STEP) {
		event.flow_ids = flow;
		event.n_flow_ids = 1;
	} else if (from->type == VIZ_EVENT_SLICE || from->type == VIZ_EVENT_ASYNC_BEGIN) {
		type = 1;
	} else if (from->type == VIZ_EVENT_ASYNC_END) {
		type = 2;
	}
	put_event(b, from->ts, uuid, type, &event, &original);
	if (from->type == VIZ_EVENT_SLICE)
		put_event(b, from->ts + from->dur, uuid, 2, &end, NULL);
	json_object_put(annotations.args);
}
