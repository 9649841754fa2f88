// SPDX-License-Identifier: Apache-2.0
/*
 * Trace files, in any of the formats that are read: anybody may have made them.
 * Build: user/output/reader.c user/output/reader_json.c user/output/reader_event.c
 * user/output/reader_metadata.c user/output/reader_perfetto.c user/output/reader_perfetto_event.c user/output/intake.c
 * user/output/names.c user/output/input.c user/output/json.c user/output/buffer.c
 * user/trace/model.c user/trace/texts.c user/base/utf8.c user/base/log.c
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "output/json.h"
#include "output/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text)
{
	if (text && !viz_utf8__valid(text, strlen(text)))
		abort();
}

static int take_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	const struct viz_trace *trace = ctx;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (calls[i].func >= trace->nr_funcs || calls[i].track >= trace->nr_tracks ||
		    calls[i].args > trace->nr_args)
			abort();
		check(trace->funcs[calls[i].func].name);
		check(trace->funcs[calls[i].func].file);
		if (calls[i].args)
			check(trace->args[calls[i].args - 1]);
	}
	return 0;
}

static int take_event(void *ctx, const struct viz_event *event)
{
	const struct viz_trace *trace = ctx;

	if (event->track >= trace->nr_tracks || !event->name)
		abort();
	return 0;
}

static int take_index(void *ctx, uint32_t index)
{
	const struct viz_trace *trace = ctx;

	return index < trace->nr_processes || index < trace->nr_tracks ? 0 : (abort(), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct viz_trace *trace = viz_trace__new();
	struct viz_reader_sink sink = {
		.process = take_index,
		.track = take_index,
		.calls = take_calls,
		.event = size % 2 ? take_event : NULL,
		.ctx = trace,
	};
	char path[64], why[256];
	int err;

	viz_log_quiet = 1;
	if (fd < 0)
		fd = memfd_create("trace", 0);
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = viz_reader__read(path, trace, &sink, why, sizeof(why));
	/* an error is explained */
	if (err && !why[0])
		abort();
	viz_trace__free(trace);
	return 0;
}
