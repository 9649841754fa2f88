/* with: user/trace/timeline.c user/trace/filter.c user/trace/model.c user/trace/texts.c user/output/chrome.c user/output/chrome_metadata.c user/output/metadata.c user/output/ended.c user/output/file.c user/output/create.c user/output/gzip.c user/output/scratch.c user/output/source_files.c user/output/buffer.c user/output/json.c user/base/utf8.c user/base/log.c user/base/privilege.c */
/* libs: -ljson-c -lz */
// SPDX-License-Identifier: Apache-2.0
/* A long recording takes no more memory than a short one; a thread that has come and gone leaves
 * its name and its numbers. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/records.h"
#include "output/file.h"
#include "output/writer.h"
#include "tap.h"
#include "trace/filter.h"
#include "trace/timeline.h"

/* Of AddressSanitizer, where the test is built with it: its malloc is not glibc's. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
	return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
						       : mallinfo2().uordblks;
}

static struct viz_writer *writer;
static struct viz_trace *trace;
static struct viz_timeline *timeline;
static uint64_t now;

static int on_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	(void)ctx;
	return writer->ops->calls(writer, calls, nr);
}

static void edge(struct viz_lane *lane, int kind, uint32_t func, uint32_t frame)
{
	struct viz_edge e = {
		.ts = now += 50,
		.func = func,
		.frame = frame,
		.caller_func = UINT32_MAX,
		.kind = (uint8_t)kind,
		.flags = kind == VIZ_EDGE_LEAVE ? VIZ_LEAVE_FRAME : 0,
	};

	if (viz_lane__edge(lane, &e))
		abort();
}

/* A stack that goes up and down, to 40 calls at most. */
static void make_calls(struct viz_lane *lane, int nr)
{
	uint32_t depth = 0, funcs[40];

	for (int i = 0; i < nr;) {
		if (depth < 40 && (!depth || random() & 1)) {
			funcs[depth] = (uint32_t)random() % 100;
			edge(lane, VIZ_EDGE_ENTER, funcs[depth], depth + 1);
			depth++;
		} else {
			depth--;
			edge(lane, VIZ_EDGE_LEAVE, funcs[depth], depth + 1);
			i++;
		}
	}
}

static struct viz_lane *open_thread(uint32_t tid)
{
	uint32_t track = viz_trace__track(trace, 0, tid);
	char name[32];

	snprintf(name, sizeof(name), "Thread-%u", tid);
	trace->tracks[track].name = viz_trace__string(trace, name);
	writer->ops->track(writer, track);
	return viz_timeline__lane(timeline, track);
}

static void one_thread(uint32_t tid)
{
	struct viz_lane *lane = open_thread(tid);

	make_calls(lane, 50);
	viz_lane__close(lane, now);
}

static void begin(void)
{
	static const struct viz_filter filter;
	struct viz_output *out;
	char why[256], name[32];

	out = viz_output__open("/dev/null", false, why, sizeof(why));
	trace = viz_trace__new();
	if (!out || !trace)
		abort();
	writer = calloc(1, viz_writer_chrome.size);
	if (!writer)
		abort();
	writer->ops = &viz_writer_chrome;
	writer->trace = trace;
	writer->out = out;
	viz_trace__process(trace, 1);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "function_%d", i);
		viz_trace__func(trace, name, "/srv/app/module.py", (uint32_t)i);
	}
	timeline = viz_timeline__new(trace, &filter, on_calls, NULL);
	if (!timeline || writer->ops->begin(writer))
		abort();
}

int main(void)
{
	enum { THREADS = 4000 };
	struct viz_lane *lane;
	size_t before, after;

	begin();
	lane = open_thread(1);
	make_calls(lane, 100000);
	before = allocated();
	make_calls(lane, 1000000);
	after = allocated();
	ok(after <= before, "a million calls more take no memory: %ld bytes",
	   (long)(after - before));
	for (uint32_t i = 0; i < 100; i++)
		one_thread(2 + i);
	before = allocated();
	for (uint32_t i = 0; i < THREADS; i++)
		one_thread(1000 + i);
	after = allocated();
	ok(after - before < THREADS * 700ul, "a thread that is over takes %lu bytes",
	   (unsigned long)((after - before) / THREADS));
	viz_timeline__flush(timeline);
	writer->ops->end(writer);
	writer->ops->free(writer);
	viz_output__free(writer->out);
	free(writer);
	viz_timeline__free(timeline);
	viz_trace__free(trace);
	return tap_done();
}
