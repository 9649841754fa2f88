// SPDX-License-Identifier: Apache-2.0
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "flight.h"
#include "output/file.h"
#include "sources.h"

void viz_snapshot__want(struct viz_session *s, uint64_t ts, const char *reason)
{
	if (s->snapshot.due)
		return;
	s->snapshot.ts = ts;
	s->snapshot.due = ts + s->opt->after;
	snprintf(s->snapshot.reason, sizeof(s->snapshot.reason), "%s", reason);
}

/* "dir/result.json" and 3 make "dir/result-3.json". */
static char *numbered(const char *path, unsigned int number)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const char *dot = strchr(name, '.');
	size_t stem = dot ? (size_t)(dot - path) : strlen(path);
	char *result;

	if (asprintf(&result, "%.*s-%u%s", (int)stem, path, number, path + stem) < 0)
		return NULL;
	return result;
}

static int write_all(struct viz_session *s, struct viz_writer *w, uint64_t begin, uint64_t end)
{
	int err = w->ops->begin(w);

	for (uint32_t i = 0; i < s->trace->nr_processes && !err && w->ops->process; i++)
		if (!s->trace->processes[i].hidden)
			err = w->ops->process(w, i);
	for (uint32_t i = 0; i < s->trace->nr_tracks && !err && w->ops->track; i++)
		err = w->ops->track(w, i);
	if (!err)
		err = viz_flight__write(s->flight, w, begin, end);
	return err ?: w->ops->end(w);
}

/* Writers keep what they prepared for a function in func->user: each starts with a clean one. */
static void swap_user(struct viz_trace *trace, uint32_t *saved, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t user = trace->funcs[i].user;

		trace->funcs[i].user = saved[i];
		saved[i] = user;
	}
}

static int write_file(struct viz_session *s, const char *path)
{
	uint64_t begin = s->snapshot.ts > s->opt->before ? s->snapshot.ts - s->opt->before : 0;
	uint32_t nr = s->trace->nr_funcs, *user = calloc(nr + 1, sizeof(*user));
	struct viz_writer *w = NULL;
	struct viz_output *out;
	char why[512];
	int err = -ENOMEM;

	out = user ? viz_output__open(path, viz_writer__gzip(path), why, sizeof(why)) : NULL;
	if (!out) {
		viz_error("%s", user ? why : strerror(ENOMEM));
		free(user);
		return -EACCES;
	}
	swap_user(s->trace, user, nr);
	w = viz_writer__new(s->trace, path, out);
	if (w) {
		if (s->sources)
			viz_writer__sources(w, viz_sources__read, s->sources);
		err = write_all(s, w, begin, s->snapshot.due);
	}
	viz_writer__free(w);
	swap_user(s->trace, user, nr);
	free(user);
	if (err)
		viz_error("%s: %s", path, strerror(-err));
	return err;
}

void viz_snapshot__write(struct viz_session *s, uint64_t now)
{
	char *path;

	if (!s->snapshot.due || now < s->snapshot.due)
		return;
	path = numbered(s->opt->path, s->snapshot.nr + 1);
	s->trace->end = viz_session__now();
	if (path && !write_file(s, path)) {
		s->snapshot.nr++;
		viz_info("%s written: %s", path, s->snapshot.reason);
	}
	free(path);
	s->snapshot.due = 0;
}

void viz_snapshot__watch(struct viz_session *s, const struct viz_call *calls, size_t nr)
{
	char reason[256];

	for (size_t k = 0; k < s->opt->nr_triggers; k++)
		for (size_t i = 0; i < nr && !s->snapshot.due; i++) {
			const struct viz_func *f = &s->trace->funcs[calls[i].func];

			if (!viz_trigger__fires(&s->opt->triggers[k], &calls[i], f))
				continue;
			snprintf(reason, sizeof(reason), "%.150s took %.3f ms%s", f->name,
				 (double)calls[i].dur / 1e6,
				 calls[i].flags & VIZ_CALL_RAISED ? " and raised" : "");
			viz_snapshot__want(s, calls[i].begin + calls[i].dur, reason);
		}
}
