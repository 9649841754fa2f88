// SPDX-License-Identifier: Apache-2.0
#include "join.h"

#include <errno.h>
#include <string.h>

#include "../base/log.h"
#include "file.h"

static int put_process(void *ctx, uint32_t process)
{
	struct viz_writer *w = ctx;

	return w->ops->process(w, process);
}

static int put_track(void *ctx, uint32_t track)
{
	struct viz_writer *w = ctx;

	return w->ops->track(w, track);
}

static int put_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct viz_writer *w = ctx;

	return w->ops->calls(w, calls, nr);
}

static int put_event(void *ctx, const struct viz_event *event)
{
	struct viz_writer *w = ctx;

	return w->ops->event(w, event);
}

static int put_source(void *ctx, const char *path, const char *text, size_t size)
{
	return viz_writer__keep_source(ctx, path, text, size);
}

struct viz_reader_sink viz_join__sink(struct viz_writer *w)
{
	return (struct viz_reader_sink){
		.process = put_process,
		.track = put_track,
		.calls = put_calls,
		/* a reader gives slices of all kinds as calls where only calls are wanted */
		.event = w->ops->calls_only ? NULL : put_event,
		.source = w->ops->sources ? put_source : NULL,
		.ctx = w,
	};
}

struct viz_writer *viz_join__open(struct viz_trace *trace, const char *path)
{
	const char *bad = viz_writer__check(path);
	struct viz_writer *w;
	struct viz_output *out;
	char why[512];
	int err;

	if (bad) {
		viz_error("cannot write %s: %s", path, bad);
		errno = EINVAL;
		return NULL;
	}
	out = viz_output__open(path, viz_writer__gzip(path), why, sizeof(why));
	if (!out) {
		err = errno;
		viz_error("%s", why);
		errno = err;
		return NULL;
	}
	w = viz_writer__new(trace, path, out);
	err = w ? w->ops->begin(w) : -ENOMEM;
	if (!err)
		return w;
	viz_error("cannot write %s: %s", path, strerror(-err));
	if (w)
		viz_writer__free(w);
	else
		viz_output__free(out);
	errno = -err;
	return NULL;
}

int viz_join__end(struct viz_writer *w, const char *path)
{
	int err = viz_output__error(w->out), ended;
	uint32_t i;

	for (i = 0; i < w->trace->nr_processes && !err; i++)
		err = w->ops->process(w, i);
	for (i = 0; i < w->trace->nr_tracks && !err; i++)
		err = w->ops->track(w, i);
	ended = w->ops->end(w);
	err = err ? err : ended;
	if (err)
		viz_error("cannot write %s: %s", path, strerror(-err));
	return err;
}
