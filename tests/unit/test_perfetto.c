/* with: user/output/writer.c user/output/kept.c
 * user/output/chrome.c user/output/chrome_metadata.c user/output/metadata.c user/output/ended.c user/output/perfetto.c
 * user/output/perfetto_packet.c user/output/perfetto_deflate.c user/output/folded.c user/output/svg.c
 * user/output/speedscope.c user/output/html.c user/output/bundle.c user/output/base64.c
 * user/output/spooled.c user/output/spool.c
 * user/output/stacks.c user/output/scratch.c user/output/file.c user/output/create.c user/output/gzip.c
 * user/output/json.c user/output/buffer.c user/output/source_files.c
 * user/output/reader.c user/output/reader_json.c user/output/reader_event.c
 * user/output/reader_metadata.c user/output/reader_perfetto.c user/output/reader_perfetto_event.c
 * user/output/intake.c user/output/names.c
 * user/output/input.c
 * user/trace/model.c user/trace/texts.c user/base/utf8.c user/base/log.c */
/* libs: -ljson-c -lz -ldeflate -lprotobuf-c */
// SPDX-License-Identifier: Apache-2.0
/* Perfetto's protobuf: what protobuf-c makes of it, and what our own reader does. */
#include <unistd.h>
#include <zlib.h>

#include "tap.h"

#include "round_trip.h"
#include "user/output/perfetto.pb-c.c"

static char path[64];

/* The file's packets, those in compressed ones too, as protobuf-c sees them. */
struct packets {
	Vizbpf__TracePacket **list;
	size_t nr, compressed;
	Vizbpf__Trace *traces[4096];
	size_t nr_traces;
};

static void unpack(struct packets *p, const uint8_t *data, size_t size)
{
	Vizbpf__Trace *trace = vizbpf__trace__unpack(NULL, size, data);
	size_t i;

	if (!trace) {
		ok(0, "protobuf-c can read it");
		return;
	}
	p->traces[p->nr_traces++] = trace;
	for (i = 0; i < trace->n_packet; i++) {
		Vizbpf__TracePacket *packet = trace->packet[i];

		if (packet->has_compressed_packets) {
			uLongf room = 64 << 20;
			uint8_t *raw = malloc(room);

			ok(uncompress(raw, &room, packet->compressed_packets.data,
				      packet->compressed_packets.len) == Z_OK,
			   "compressed packets");
			p->compressed++;
			unpack(p, raw, room);
			free(raw);
			continue;
		}
		p->list = realloc(p->list, (p->nr + 1) * sizeof(*p->list));
		p->list[p->nr++] = packet;
	}
}

static void unpack_file(struct packets *p)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(8 << 20);
	size_t size = fread(data, 1, 8 << 20, file);

	fclose(file);
	unpack(p, data, size);
	free(data);
}

static void packets__free(struct packets *p)
{
	while (p->nr_traces)
		vizbpf__trace__free_unpacked(p->traces[--p->nr_traces], NULL);
	free(p->list);
}

/* What a trace processor does with the packets: times from the clocks, then sorted. */
static char *replay(const struct packets *p)
{
	struct {
		uint64_t ts;
		size_t order;
		char text[128];
	} *events = calloc(p->nr, sizeof(*events)), swap;
	uint64_t clock[16] = {0};
	char *text = calloc(1, p->nr * 128 + 1);
	const char *names[64] = {0};
	size_t nr = 0, i, j;

	for (i = 0; i < p->nr; i++) {
		const Vizbpf__TracePacket *packet = p->list[i];
		uint32_t sequence = packet->trusted_packet_sequence_id;

		if (packet->clock_snapshot && packet->clock_snapshot->clocks[0]->clock_id == 64)
			clock[sequence] = packet->clock_snapshot->clocks[0]->timestamp;
		if (packet->interned_data)
			names[packet->interned_data->event_names[0]->iid] =
				packet->interned_data->event_names[0]->name;
		if (!packet->track_event || sequence < 2)
			continue;
		events[nr].order = nr;
		events[nr].ts = packet->has_timestamp_clock_id
					? packet->timestamp
					: (clock[sequence] += packet->timestamp);
		snprintf(events[nr].text, 128, "%llu %u %s\n", (unsigned long long)events[nr].ts,
			 sequence,
			 packet->track_event->type == 1 ? names[packet->track_event->name_iid]
							: "end");
		nr++;
	}
	for (i = 1; i < nr; i++) /* stable */
		for (j = i; j && events[j].ts < events[j - 1].ts; j--) {
			swap = events[j];
			events[j] = events[j - 1];
			events[j - 1] = swap;
		}
	for (i = 0; i < nr; i++)
		strcat(text, events[i].text);
	free(events);
	return text;
}

static struct viz_writer *open_writer(struct viz_trace *trace)
{
	char why[256];
	struct viz_writer *w =
		viz_writer__new(trace, path, viz_output__open(path, false, why, sizeof(why)));

	w->ops->begin(w);
	return w;
}

/* Frames that were running when recording began, over several chunks. */
static void test_running(void)
{
	static const char want[] =
		"998 2 main (/f.py:1)\n999 2 loop (/f.py:2)\n1000 2 step (/f.py:3)\n"
		"1100 2 end\n1200 2 step (/f.py:3)\n1300 2 end\n1400 2 end\n"
		"1500 2 end\n";
	struct viz_trace *trace = viz_trace__new(), *back = viz_trace__new();
	struct viz_call calls[] = {
		{.begin = 1000, .dur = 100, .func = 2, .flags = VIZ_CALL_RUNNING},
		{.begin = 1200, .dur = 100, .func = 2},
		{.begin = 1000, .dur = 400, .func = 1, .flags = VIZ_CALL_RUNNING},
		{.begin = 1000, .dur = 500, .func = 0, .flags = VIZ_CALL_RUNNING},
	};
	struct collected read = {.trace = back};
	struct viz_reader_sink sink = {.calls = collect_calls, .ctx = &read};
	struct packets packets = {0};
	struct viz_writer *w;
	char *text, why[128] = "";
	size_t i;

	trace->begin = 500;
	viz_trace__func(trace, "main", "/f.py", 1);
	viz_trace__func(trace, "loop", "/f.py", 2);
	viz_trace__func(trace, "step", "/f.py", 3);
	viz_trace__process(trace, 1);
	viz_trace__track(trace, 0, 1);
	w = open_writer(trace);
	for (i = 0; i < 4; i++) {
		w->ops->calls(w, &calls[i], 1);
		w->ops->flush(w);
	}
	ok(!w->ops->end(w), "calls in chunks of one");
	viz_writer__free(w);
	unpack_file(&packets);
	text = replay(&packets);
	ok(!strcmp(text, want), "frames that began together keep their nesting");
	if (strcmp(text, want))
		printf("%s", text);
	ok(!viz_reader__read(path, back, &sink, why, sizeof(why)) && read.nr[1] == 4 &&
		   !strcmp(read.calls[1][3], "1000+500 main|/f.py|1 flags 2 args "),
	   "they are read back (%s)", why);
	free(text);
	packets__free(&packets);
	collected__free(&read);
	viz_trace__free(trace);
	viz_trace__free(back);
	unlink(path);
}

static void test_packets(void)
{
	struct viz_trace *trace = viz_trace__new();
	struct viz_call calls[] = {
		{.begin = 2000, .dur = 10, .func = 1, .flags = VIZ_CALL_C},
		{.begin = 1900, .dur = 500, .func = 0, .flags = VIZ_CALL_RAISED, .args = 1},
	};
	struct viz_event counter = {.type = VIZ_EVENT_COUNTER,
				    .ts = 2001,
				    .name = "gc",
				    .args = "{\"collected\":3,\"x\":\"no\"}"};
	struct viz_event flow = {.type = VIZ_EVENT_FLOW_START, .ts = 2002, .name = "q", .id = 42};
	struct packets packets = {0};
	const Vizbpf__TrackEvent *event;
	struct viz_writer *w;
	int clocks = 0, counters = 0, flows = 0, threads = 0, raised = 0, names = 0, facts = 0;
	size_t i;

	trace->begin = 1000;
	trace->realtime_offset = 5000000;
	viz_trace__func(trace, "f", "/f.py", 7);
	viz_trace__func(trace, "len", "", 0);
	viz_trace__process(trace, 41);
	viz_trace__track(trace, 0, 42);
	viz_trace__args(trace, "\"return_value\":\"3\",\"n\":[1]");
	trace->tracks[0].name = "worker";
	w = open_writer(trace);
	w->ops->calls(w, calls, 2);
	w->ops->event(w, &counter);
	w->ops->event(w, &flow);
	w->ops->process(w, 0);
	ok(!w->ops->end(w), "a small trace");
	viz_writer__free(w);
	unpack_file(&packets);
	for (i = 0; i < packets.nr; i++) {
		const Vizbpf__TracePacket *p = packets.list[i];

		if (p->clock_snapshot && p->clock_snapshot->n_clocks == 2 &&
		    p->clock_snapshot->clocks[1]->clock_id == 1)
			clocks += p->clock_snapshot->clocks[1]->timestamp -
					  p->clock_snapshot->clocks[0]->timestamp ==
				  5000000;
		if (p->track_descriptor && p->track_descriptor->thread)
			threads += p->track_descriptor->thread->tid == 42 &&
				   !strcmp(p->track_descriptor->thread->thread_name, "worker");
		if (p->interned_data && p->interned_data->n_source_locations)
			names += !strcmp(p->interned_data->event_names[0]->name, "f (/f.py:7)") &&
				 p->interned_data->source_locations[0]->line_number == 7;
		facts += p->vizbpf_metadata && strstr(p->vizbpf_metadata, "\"calls\":2");
		event = p->track_event;
		if (!event)
			continue;
		counters += event->type == 4 && event->double_counter_value == 3;
		flows += event->n_flow_ids && event->flow_ids[0] == 42;
		raised += event->n_debug_annotations == 3 &&
			  !strcmp(event->debug_annotations[0]->legacy_json_value, "\"3\"") &&
			  !strcmp(event->debug_annotations[1]->name, "n") &&
			  event->debug_annotations[2]->bool_value;
	}
	ok(clocks == 1, "the time of day");
	ok(threads == 1 && names == 1, "threads and functions are named once");
	ok(counters == 1 && flows == 1, "counters and flows");
	ok(raised == 1, "flags and arguments");
	ok(facts == 1, "what the trace says of itself");
	packets__free(&packets);
	viz_trace__free(trace);
	unlink(path);
}

int main(void)
{
	uint64_t seed;
	size_t wrong = 0;

	snprintf(path, sizeof(path), "/tmp/vizbpf-perfetto.%d.pftrace", getpid());
	test_running();
	test_packets();
	for (seed = 1; seed <= 30; seed++)
		wrong += round_trip(path, seed, 20, 400, 0, seed % 2);
	ok(!wrong, "30 random traces are read as they were written (%zu differences)", wrong);
	wrong = round_trip(path, 77, 40, 9000, 0, 0);
	ok(!wrong, "more than a chunk of calls");
	strcat(path, ".gz");
	wrong = round_trip(path, 99, 20, 2000, 0, 1);
	ok(!wrong, "compressed once more");
	return tap_done();
}
