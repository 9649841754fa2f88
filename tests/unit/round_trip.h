/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a random trace to a file, reads it back, and tells what is not the same. */
#ifndef ROUND_TRIP_H
#define ROUND_TRIP_H

#include <stdlib.h>
#include <string.h>

#include "output/file.h"
#include "output/reader.h"
#include "output/writer.h"
#include "random_trace.h"

/* The calls of a trace, track by track, each as a text. */
struct collected {
	const struct viz_trace *trace;
	uint64_t zero; /* what the file's times count from */
	char **calls[64];
	size_t nr[64], cap[64];
	char *events; /* a line each */
	size_t nr_events;
};

static inline char *call_text(const struct viz_trace *trace, const struct viz_call *call,
			      uint64_t zero)
{
	const struct viz_func *f = &trace->funcs[call->func];
	char *text = NULL;

	if (asprintf(&text, "%llu+%llu %s|%s|%u flags %u args %s",
		     (unsigned long long)(call->begin - zero), (unsigned long long)call->dur,
		     f->name, f->file, f->line, call->flags,
		     call->args ? trace->args[call->args - 1] : "") < 0)
		abort();
	return text;
}

static inline int collect_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct collected *c = ctx;
	size_t i;

	for (i = 0; i < nr; i++) {
		const struct viz_track *t = &c->trace->tracks[calls[i].track];
		/* tracks may be found in another order: the number tells them apart */
		uint32_t at = t->tid % 64;

		if (c->nr[at] == c->cap[at]) {
			c->cap[at] = c->cap[at] * 2 + 64;
			c->calls[at] = realloc(c->calls[at], c->cap[at] * sizeof(char *));
		}
		c->calls[at][c->nr[at]++] = call_text(c->trace, &calls[i], c->zero);
	}
	return 0;
}

static inline int collect_event(void *ctx, const struct viz_event *e)
{
	struct collected *c = ctx;
	char *old = c->events;

	if (asprintf(&c->events, "%s%d %c tid %u %llu+%llu id %llu %s %s %s\n", old ? old : "",
		     e->type, e->type == VIZ_EVENT_INSTANT ? e->scope : '-',
		     c->trace->tracks[e->track].tid, (unsigned long long)(e->ts - c->zero),
		     (unsigned long long)e->dur, (unsigned long long)e->id, e->name,
		     e->cat ? e->cat : "-", e->args ? e->args : "-") < 0)
		abort();
	free(old);
	c->nr_events++;
	return 0;
}

static inline void collected__free(struct collected *c)
{
	size_t i, j;

	for (i = 0; i < 64; i++) {
		for (j = 0; j < c->nr[i]; j++)
			free(c->calls[i][j]);
		free(c->calls[i]);
	}
	free(c->events);
}

/* How many calls differ; says which the first ones are. */
static inline size_t compare(const struct collected *a, const struct collected *b)
{
	size_t i, j, wrong = 0;

	for (i = 0; i < 64; i++) {
		if (a->nr[i] != b->nr[i]) {
			printf("# track %zu: %zu calls written, %zu read\n", i, a->nr[i], b->nr[i]);
			wrong++;
		}
		for (j = 0; j < a->nr[i] && j < b->nr[i]; j++) {
			if (!strcmp(a->calls[i][j], b->calls[i][j]))
				continue;
			if (wrong++ < 3)
				printf("# track %zu, call %zu:\n#  %s\n#  %s\n", i, j,
				       a->calls[i][j], b->calls[i][j]);
		}
	}
	return wrong;
}

/* Writes @batches batches of up to @size calls; every few a flush, if the format has that. */
static inline int write_random(struct viz_trace *trace, const char *path, struct collected *into,
			       int batches, uint32_t size, int ties, int args)
{
	struct random_lane lanes[RANDOM_TRACKS] = {0};
	struct viz_call *calls = calloc(size, sizeof(*calls));
	char why[256];
	struct viz_output *out = viz_output__open(path, viz_writer__gzip(path), why, sizeof(why));
	struct viz_writer *w = viz_writer__new(trace, path, out);
	uint32_t i, j, track, nr;
	int err = w->ops->begin(w), ended;

	for (i = 0; i < (uint32_t)batches && !err; i++) {
		track = random_below(RANDOM_TRACKS);
		nr = 1 + random_below(size);
		random_calls(trace, &lanes[track], track, calls, nr, ties);
		for (j = 0; args && j < nr; j++)
			if (!random_below(5))
				calls[j].args = viz_trace__args(
					trace, random_below(2) ? "\"return_value\":\"3\""
							       : "\"a\":{\"b\":[1,2]},\"c\":\"x\"");
		collect_calls(into, calls, nr);
		err = w->ops->calls(w, calls, nr);
		viz_trace__forget_args(trace);
		if (!err && w->ops->flush && !random_below(7))
			err = w->ops->flush(w);
	}
	for (i = 0; i < trace->nr_processes && !err; i++)
		err = w->ops->process(w, i);
	for (i = 0; i < trace->nr_tracks && !err; i++)
		err = w->ops->track(w, i);
	ended = w->ops->end(w);
	viz_writer__free(w);
	free(calls);
	return err ? err : ended;
}

/* The whole way; the number of differences. */
static inline size_t round_trip(const char *path, uint64_t seed, int batches, uint32_t size,
				int ties, int args)
{
	struct viz_trace *trace = viz_trace__new(), *back = viz_trace__new();
	struct collected written = {.trace = trace}, read = {.trace = back};
	struct viz_reader_sink sink = {.calls = collect_calls, .ctx = &read};
	char why[256] = "";
	size_t wrong;
	int err;

	random_seed(seed);
	random_tables(trace);
	/* JSON counts from the begin of the recording */
	written.zero = strstr(path, ".json") ? trace->begin : 0;
	err = write_random(trace, path, &written, batches, size, ties, args);
	if (!err)
		err = viz_reader__read(path, back, &sink, why, sizeof(why));
	wrong = err ? 1 : compare(&written, &read);
	if (err)
		printf("# %s: error %d, %s\n", path, err, why);
	wrong += back->monotonic_zero != written.zero;
	wrong += back->realtime_offset != trace->realtime_offset + (int64_t)written.zero;
	wrong += back->begin != trace->begin - written.zero ||
		 back->end != trace->end - written.zero;
	collected__free(&written);
	collected__free(&read);
	viz_trace__free(trace);
	viz_trace__free(back);
	unlink(path);
	return wrong;
}

#endif
