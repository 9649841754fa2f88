// SPDX-License-Identifier: Apache-2.0
#include "pick.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

struct wanted {
	uint32_t pid, tid;
};

struct pick {
	const struct viz_trace *trace;
	struct wanted *wanted;
	size_t nr_wanted;
	int (*calls)(void *ctx, const struct viz_call *calls, size_t nr);
	void *ctx;
	uint32_t last; /* the answer for the track asked last: calls come in runs */
	bool last_fits;
};

static bool names_track(const char *thread, const struct viz_track *track)
{
	char tid[16];

	snprintf(tid, sizeof(tid), "%u", track->tid);
	return !strcmp(thread, tid) || (track->name && strstr(track->name, thread));
}

static bool track_fits(struct pick *pick, uint32_t index)
{
	const struct viz_track *track = &pick->trace->tracks[index];
	size_t i;

	for (i = 0; i < pick->nr_wanted; i++)
		if (pick->wanted[i].tid == track->tid && pick->wanted[i].pid == track->pid)
			return true;
	return false;
}

static int pass_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct pick *pick = ctx;
	size_t i, from = 0;
	int err;

	for (i = 0; i <= nr; i++) {
		if (i < nr) {
			if (calls[i].track != pick->last) {
				pick->last = calls[i].track;
				pick->last_fits = track_fits(pick, calls[i].track);
			}
			if (pick->last_fits)
				continue;
		}
		if (i > from) {
			err = pick->calls(pick->ctx, calls + from, i - from);
			if (err)
				return err;
		}
		from = i + 1;
	}
	return 0;
}

static int choose(struct pick *pick, const struct viz_trace *trace, const char *path,
		  const char *thread, char *why, size_t why_size)
{
	char names[256] = "";
	size_t n = 0;
	uint32_t i;

	pick->wanted = calloc((size_t)trace->nr_tracks + 1, sizeof(*pick->wanted));
	if (!pick->wanted)
		return -ENOMEM;
	for (i = 0; i < trace->nr_tracks; i++) {
		const struct viz_track *track = &trace->tracks[i];

		if (names_track(thread, track))
			pick->wanted[pick->nr_wanted++] = (struct wanted){track->pid, track->tid};
		if (n < sizeof(names))
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%u%s%s",
					      i ? ", " : "", track->tid, track->name ? " " : "",
					      track->name ? track->name : "");
	}
	if (pick->nr_wanted)
		return 0;
	return viz_why(why, why_size, -ENOENT, "%s has no thread '%s'; it has: %s%s", path, thread,
		       names, n >= sizeof(names) ? "..." : "");
}

int viz_pick__read(const char *path, const char *thread, struct viz_trace *trace,
		   int (*calls)(void *ctx, const struct viz_call *calls, size_t nr), void *ctx,
		   char *why, size_t why_size)
{
	struct viz_reader_sink sink = {.calls = calls, .ctx = ctx};
	struct pick pick = {.trace = trace, .calls = calls, .ctx = ctx, .last = UINT32_MAX};
	struct viz_trace *first = NULL;
	int err;

	if (!thread)
		return viz_reader__read(path, trace, &sink, why, why_size);
	first = viz_trace__new();
	if (!first)
		return -ENOMEM;
	err = viz_reader__read(path, first, &(struct viz_reader_sink){0}, why, why_size);
	if (err)
		goto cleanup;
	err = choose(&pick, first, path, thread, why, why_size);
	if (err)
		goto cleanup;
	sink.calls = pass_calls;
	sink.ctx = &pick;
	err = viz_reader__read(path, trace, &sink, why, why_size);
cleanup:
	free(pick.wanted);
	viz_trace__free(first);
	return err;
}
