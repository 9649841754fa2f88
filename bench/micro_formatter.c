// SPDX-License-Identifier: Apache-2.0
/*
 * What a writer costs: calls/s and bytes/call, on calls as programs make them (a few hundred
 * functions, nested, with durations of all sizes), and this process's peak memory.
 *
 *     micro_formatter [FILE [CALLS]]    default /dev/null and 5,000,000
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "output/file.h"
#include "output/writer.h"

#define BATCH 4096
#define FUNCS 300
#define DEPTH 12

static uint64_t random_state = 88172645463325252ULL;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * n >> 32);
}

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void add_funcs(struct viz_trace *trace)
{
	static const char *const files[] = {"/srv/app/models.py", "/srv/app/views.py",
					    "/usr/lib/python3.11/json/decoder.py",
					    "/srv/app/db.py"};
	static const char *const names[] = {"Model.save", "Query.filter",
					    "get_object", "JSONDecoder.decode",
					    "render",	  "Worker.run_once"};
	char name[64];
	uint32_t i;

	for (i = 0; i < FUNCS; i++) {
		snprintf(name, sizeof(name), "%s%u", names[i % 6], i / 6);
		viz_trace__func(trace, name, files[i % 4], 10 + i * 7);
	}
}

/* Completed calls of a random walk over a call tree, as a timeline would hand them over. */
struct walk {
	uint64_t now;
	struct {
		uint64_t begin;
		uint32_t func;
	} open[DEPTH];
	uint32_t depth;
};

static void walk__fill(struct walk *walk, struct viz_call *calls, size_t nr, uint32_t track)
{
	size_t i = 0;

	while (i < nr) {
		walk->now += 60 + random_below(random_below(8) ? 400 : 40000);
		if (walk->depth < DEPTH && (!walk->depth || random_below(2))) {
			walk->open[walk->depth].begin = walk->now;
			/* callers call the same few functions */
			walk->open[walk->depth].func =
				(walk->depth
					 ? walk->open[walk->depth - 1].func * 3 + random_below(3)
					 : random_below(FUNCS)) %
				FUNCS;
			walk->depth++;
			continue;
		}
		walk->depth--;
		calls[i++] = (struct viz_call){
			.begin = walk->open[walk->depth].begin,
			.dur = walk->now - walk->open[walk->depth].begin,
			.func = walk->open[walk->depth].func,
			.track = track,
		};
	}
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/dev/null";
	uint64_t total = argc > 2 ? strtoull(argv[2], NULL, 10) : 5000000, done;
	static struct walk walks[4];
	static struct viz_call calls[BATCH];
	struct viz_trace *trace = viz_trace__new();
	struct viz_writer *writer;
	struct viz_output *out;
	struct rusage usage;
	double cpu = 0, filled = 0, all, start;
	uint32_t i;
	char why[256];
	int err;

	if (!trace)
		return 1;
	add_funcs(trace);
	viz_trace__process(trace, 4123);
	trace->processes[0].name = "python3 app.py";
	for (i = 0; i < 4; i++) {
		viz_trace__track(trace, 0, 4123 + i);
		walks[i].now = 86400123456789ULL;
	}
	out = viz_output__open(path, viz_writer__gzip(path), why, sizeof(why));
	if (!out) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	writer = viz_writer__new(trace, path, out);
	if (!writer) {
		fprintf(stderr, "%s: %s\n", path, viz_writer__check(path));
		viz_output__free(out);
		return 1;
	}
	err = writer->ops->begin(writer);
	for (done = 0; !err && done < total; done += BATCH) {
		uint32_t track = (uint32_t)(done / BATCH % 4);

		start = now(CLOCK_THREAD_CPUTIME_ID);
		walk__fill(&walks[track], calls, BATCH, track);
		filled += now(CLOCK_THREAD_CPUTIME_ID) - start;
		start = now(CLOCK_THREAD_CPUTIME_ID);
		err = writer->ops->calls(writer, calls, BATCH);
		cpu += now(CLOCK_THREAD_CPUTIME_ID) - start;
	}
	for (i = 0; !err && i < 4; i++)
		err = writer->ops->track(writer, i);
	if (!err)
		err = writer->ops->process(writer, 0);
	start = now(CLOCK_MONOTONIC);
	err = err ? err : writer->ops->end(writer);
	start = now(CLOCK_MONOTONIC) - start;
	/* with the compressing thread; what made the calls up is taken off */
	all = now(CLOCK_PROCESS_CPUTIME_ID) - filled;
	getrusage(RUSAGE_SELF, &usage);
	printf("%s: %.2f M calls/s by the formatting thread, %.2f M calls/s of CPU time in all, "
	       "end() %.3f s, %.1f bytes/call, peak %ld MB%s%s\n",
	       path, (double)done / cpu / 1e6, (double)done / all / 1e6, start,
	       (double)viz_output__size(out) / (double)done, usage.ru_maxrss / 1024,
	       err ? ": " : "", err ? strerror(-err) : "");
	viz_writer__free(writer);
	viz_trace__free(trace);
	return err != 0;
}
