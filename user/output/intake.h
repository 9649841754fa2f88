/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the readers of file formats and a sink: finds functions, processes and tracks in
 * the trace's tables, pairs begins with ends, and brings calls into the order of completion
 * whatever order a file has them in.
 */
#ifndef VIZ_INTAKE_H
#define VIZ_INTAKE_H

#include "buffer.h"
#include "reader.h"

struct viz_intake;

struct viz_intake *viz_intake__new(struct viz_trace *trace, const struct viz_reader_sink *sink);
void viz_intake__free(struct viz_intake *in);

/* Indexes, found or added; UINT32_MAX when out of memory. */
uint32_t viz_intake__process(struct viz_intake *in, uint32_t pid);
uint32_t viz_intake__track(struct viz_intake *in, uint32_t pid, uint32_t tid);
/* @name as "f (/a/b.py:3)", in JSON's escaped form when @escaped. */
uint32_t viz_intake__func(struct viz_intake *in, const char *name, size_t len, bool escaped);

/* A complete slice; call->args is ignored, @args are JSON members or NULL. The functions from
 * here on return 0, -errno or what the sink returned. */
int viz_intake__call(struct viz_intake *in, const struct viz_call *call, const char *args,
		     size_t args_len);
int viz_intake__begin(struct viz_intake *in, uint32_t track, uint64_t ts, uint32_t func,
		      uint32_t flags, const char *args, size_t args_len);
/* Ends the innermost begin of the track; an end without a begin is counted as skipped.
 * @flags and @args are added. */
int viz_intake__end(struct viz_intake *in, uint32_t track, uint64_t ts, uint32_t flags,
		    const char *args, size_t args_len);
int viz_intake__event(struct viz_intake *in, const struct viz_event *event);
int viz_intake__named_process(struct viz_intake *in, uint32_t process);
int viz_intake__named_track(struct viz_intake *in, uint32_t track);
/* A source file that the trace carries; viz_intake__wants_sources(): whether the sink does. */
int viz_intake__source(struct viz_intake *in, const char *path, const char *text, size_t size);
bool viz_intake__wants_sources(const struct viz_intake *in);
/* Whether the sink takes other events than calls. */
bool viz_intake__wants_events(const struct viz_intake *in);
/* What nobody here can use. */
void viz_intake__skip(struct viz_intake *in);
uint64_t viz_intake__skipped(const struct viz_intake *in);
/* Hands over everything that is held; begins without an end become unfinished calls. */
int viz_intake__finish(struct viz_intake *in);

/* Appends the characters of an escaped JSON string to @b. */
void viz_json__unescape(struct viz_buffer *b, const char *text, size_t len);

#endif
