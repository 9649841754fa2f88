/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a trace file back, in one pass and with bounded memory: what it holds is handed
 * to the same operations that a writer has. Reads Chrome Trace JSON (ours, VizTracer's,
 * Chrome's), plain or gzip, and the Perfetto protobuf that we write.
 */
#ifndef VIZ_READER_H
#define VIZ_READER_H

#include "../trace/model.h"

struct viz_reader_sink {
	int (*process)(void *ctx, uint32_t process); /* each may be NULL */
	int (*track)(void *ctx, uint32_t track);
	int (*calls)(void *ctx, const struct viz_call *calls, size_t nr);
	int (*event)(void *ctx, const struct viz_event *event);
	/* a source file that the trace carries ("file_info"), UTF-8 */
	int (*source)(void *ctx, const char *path, const char *text, size_t size);
	void *ctx;
};

/*
 * Reads @path into the tables of @trace, and calls and events into @sink, a batch at a time.
 * Names of other tools ("f (/a/b.py:3)") are split into name, file and line. Begin/end pairs
 * ("B"/"E") become calls. Returns 0, a negative errno with one line in @why (broken input is
 * named with its byte offset; everything before it was delivered), or what the sink returned.
 */
int viz_reader__read(const char *path, struct viz_trace *trace, const struct viz_reader_sink *sink,
		     char *why, size_t why_size);

#endif
