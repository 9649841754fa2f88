// SPDX-License-Identifier: Apache-2.0
/* vizbpf combine A B ... -o C: traces of several runs or hosts in one, on one clock. */
#include <errno.h>
#include <limits.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../output/file.h"
#include "../output/join.h"
#include "args.h"
#include "command.h"

/* Invented process ids start above what Linux gives out (PID_MAX_LIMIT is 4 Mi). */
#define FIRST_INVENTED_PID 10000000

static const char usage[] =
	"Usage: vizbpf combine A B ... -o FILE [--align-start]\n"
	"\n"
	"Merges traces into one. Each says how its clock relates to the time of day\n"
	"(baseTimeNanoseconds), so that traces of several hosts line up as well as their\n"
	"clocks do. Processes of different traces that share a number are kept apart.\n"
	"\n"
	"  -o, --output FILE   the file to write, format by suffix as for convert\n"
	"      --align-start   let all traces begin at the same time instead\n"
	"      --no-sources    leave out the source files that the traces carry\n"
	"  -q, --quiet         say nothing but errors\n"
	"  -h, --help          show this help\n";

/* One trace that is being read, and where its parts are in the common one. */
struct input {
	const char *path;
	struct viz_trace *trace;
	uint64_t first; /* begin of its first call or event */
	int64_t base; /* its realtime_offset */
	int64_t shift; /* added to its times */
	uint32_t *funcs, *tracks, *processes; /* 1 + index in the common trace, 0: not yet */
	uint32_t nr_funcs, nr_tracks, nr_processes;
	struct combination *whole;
};

struct combination {
	struct viz_trace *trace;
	struct viz_writer *writer;
	struct input *inputs;
	int nr;
	bool sources; /* are taken along */
	uint32_t next_pid;
};

static int look_at_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct input *in = ctx;
	size_t i;

	for (i = 0; i < nr; i++)
		if (calls[i].begin < in->first)
			in->first = calls[i].begin;
	return 0;
}

static int look_at_event(void *ctx, const struct viz_event *event)
{
	struct input *in = ctx;

	if (event->ts < in->first)
		in->first = event->ts;
	return 0;
}

/* The facts that stand at the end of a file are needed before its first event is written. */
static int look(struct input *in)
{
	struct viz_reader_sink sink = {
		.calls = look_at_calls,
		.event = look_at_event,
		.ctx = in,
	};
	struct viz_trace *trace = viz_trace__new();
	int quiet = viz_log_quiet, err;
	char why[512];

	if (!trace)
		return -ENOMEM;
	in->first = UINT64_MAX;
	viz_log_quiet = 1; /* what is left out is said when it is read in earnest */
	err = viz_reader__read(in->path, trace, &sink, why, sizeof(why));
	viz_log_quiet = quiet;
	in->base = trace->realtime_offset;
	if (err)
		viz_error("%s", why);
	viz_trace__free(trace);
	return err;
}

static void choose_clock(struct combination *c, bool align_start)
{
	int64_t base = INT64_MAX;
	uint64_t first = UINT64_MAX;
	int i;

	for (i = 0; i < c->nr; i++) {
		/* the smallest, so that no time becomes negative */
		if (c->inputs[i].base < base)
			base = c->inputs[i].base;
		if (c->inputs[i].first < first)
			first = c->inputs[i].first;
	}
	for (i = 0; i < c->nr; i++) {
		struct input *in = &c->inputs[i];

		if (in->first != UINT64_MAX)
			in->shift = align_start ? (int64_t)(first - in->first) : in->base - base;
	}
	c->trace->realtime_offset = base;
}

static uint32_t *slot(uint32_t **map, uint32_t *nr, uint32_t index)
{
	uint32_t more = index + index / 2 + 64;
	uint32_t *p;

	if (index < *nr)
		return &(*map)[index];
	p = realloc(*map, more * sizeof(*p));
	if (!p)
		return NULL;
	memset(p + *nr, 0, (more - *nr) * sizeof(*p));
	*map = p;
	*nr = more;
	return &p[index];
}

/* A number that no process of the trace has. */
static uint32_t free_pid(struct combination *c, uint32_t pid)
{
	uint32_t i;

	for (i = 0; i < c->trace->nr_processes; i++)
		if (c->trace->processes[i].pid == pid)
			return c->next_pid++;
	return pid;
}

static uint32_t map_process(struct input *in, uint32_t process)
{
	struct combination *c = in->whole;
	uint32_t *at = slot(&in->processes, &in->nr_processes, process), index;

	if (!at)
		return UINT32_MAX;
	if (!*at) {
		index = viz_trace__process(c->trace,
					   free_pid(c, in->trace->processes[process].pid));
		if (index == UINT32_MAX)
			return UINT32_MAX;
		*at = index + 1;
	}
	return *at - 1;
}

static uint32_t map_track(struct input *in, uint32_t track)
{
	uint32_t *at = slot(&in->tracks, &in->nr_tracks, track), process, tid, index;
	const struct viz_track *from = &in->trace->tracks[track];

	if (!at)
		return UINT32_MAX;
	if (!*at) {
		process = map_process(in, from->process);
		if (process == UINT32_MAX)
			return UINT32_MAX;
		/* the main thread is known by having its process's number */
		tid = from->tid == from->pid ? in->whole->trace->processes[process].pid : from->tid;
		index = viz_trace__track(in->whole->trace, process, tid);
		if (index == UINT32_MAX)
			return UINT32_MAX;
		*at = index + 1;
	}
	return *at - 1;
}

static uint32_t map_func(struct input *in, uint32_t func)
{
	uint32_t *at = slot(&in->funcs, &in->nr_funcs, func), index;
	const struct viz_func *f = &in->trace->funcs[func];

	if (!at)
		return UINT32_MAX;
	if (!*at) {
		index = viz_trace__func(in->whole->trace, f->name, f->file, f->line);
		if (index == UINT32_MAX)
			return UINT32_MAX;
		*at = index + 1;
	}
	return *at - 1;
}

static int take_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct input *in = ctx;
	struct viz_trace *trace = in->whole->trace;
	struct viz_writer *w = in->whole->writer;
	struct viz_call batch[512];
	size_t i, n = 0;
	int err;

	for (i = 0; i < nr; i++) {
		struct viz_call *call = &batch[n++];

		*call = calls[i];
		call->begin += (uint64_t)in->shift;
		call->func = map_func(in, call->func);
		call->track = map_track(in, call->track);
		if (call->func == UINT32_MAX || call->track == UINT32_MAX)
			return -ENOMEM;
		if (call->args) {
			call->args = viz_trace__args(trace, in->trace->args[call->args - 1]);
			if (!call->args)
				return -ENOMEM;
		}
		if (n < 512 && i + 1 < nr)
			continue;
		err = w->ops->calls(w, batch, n);
		viz_trace__forget_args(trace);
		if (err)
			return err;
		n = 0;
	}
	return 0;
}

static int take_event(void *ctx, const struct viz_event *event)
{
	struct input *in = ctx;
	struct viz_writer *w = in->whole->writer;
	struct viz_event copy = *event;

	copy.ts += (uint64_t)in->shift;
	copy.track = map_track(in, event->track);
	return copy.track == UINT32_MAX ? -ENOMEM : w->ops->event(w, &copy);
}

static int take_process(void *ctx, uint32_t process)
{
	struct input *in = ctx;
	struct viz_trace *trace = in->whole->trace;
	const struct viz_process *from = &in->trace->processes[process];
	uint32_t index = map_process(in, process), pid;
	struct viz_process *to;
	const char *strings[] = {from->name,   from->cmdline,	 from->exe,    from->python,
				 from->engine, from->engine_why, from->limits, from->container,
				 from->image,  from->cgroup};
	size_t i;

	if (index == UINT32_MAX)
		return -ENOMEM;
	for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		const char *copy = viz_trace__string(trace, strings[i]);

		if (strings[i] && !copy)
			return -ENOMEM;
		strings[i] = copy;
	}
	to = &trace->processes[index];
	pid = to->pid;
	*to = *from;
	to->pid = pid;
	to->name = strings[0];
	to->cmdline = strings[1];
	to->exe = strings[2];
	to->python = strings[3];
	to->engine = strings[4];
	to->engine_why = strings[5];
	to->limits = strings[6];
	to->container = strings[7];
	to->image = strings[8];
	to->cgroup = strings[9];
	return in->whole->writer->ops->process(in->whole->writer, index);
}

static int take_track(void *ctx, uint32_t track)
{
	struct input *in = ctx;
	struct viz_trace *trace = in->whole->trace;
	const char *name = viz_trace__string(trace, in->trace->tracks[track].name);
	uint32_t index = map_track(in, track);

	if (index == UINT32_MAX || (in->trace->tracks[track].name && !name))
		return -ENOMEM;
	trace->tracks[index].name = name;
	trace->tracks[index].lost = in->trace->tracks[track].lost;
	return in->whole->writer->ops->track(in->whole->writer, index);
}

static int take_source(void *ctx, const char *path, const char *text, size_t size)
{
	struct input *in = ctx;

	return viz_writer__keep_source(in->whole->writer, path, text, size);
}

static int read_input(struct combination *c, struct input *in)
{
	struct viz_reader_sink sink = {
		.process = take_process,
		.track = take_track,
		.calls = take_calls,
		.event = c->writer->ops->calls_only ? NULL : take_event,
		.source = c->sources && c->writer->ops->sources ? take_source : NULL,
		.ctx = in,
	};
	struct viz_trace *all = c->trace;
	char why[512];
	uint32_t i;
	int err;

	in->whole = c;
	in->trace = viz_trace__new();
	if (!in->trace)
		return -ENOMEM;
	err = viz_reader__read(in->path, in->trace, &sink, why, sizeof(why));
	if (err && why[0])
		viz_error("%s", why);
	/* losses stand at the end of a file, behind the names */
	for (i = 0; !err && i < in->trace->nr_tracks; i++)
		if (in->trace->tracks[i].lost)
			err = take_track(in, i);
	all->lost += in->trace->lost;
	all->overflow |= in->trace->overflow;
	if (in->trace->begin &&
	    (!all->begin || in->trace->begin + (uint64_t)in->shift < all->begin))
		all->begin = in->trace->begin + (uint64_t)in->shift;
	if (in->trace->end && in->trace->end + (uint64_t)in->shift > all->end)
		all->end = in->trace->end + (uint64_t)in->shift;
	viz_trace__free(in->trace);
	free(in->funcs);
	free(in->tracks);
	free(in->processes);
	return err;
}

static int combine(struct combination *c, const char *path, bool align_start)
{
	int err = 0, i, ended;

	c->trace = viz_trace__new();
	if (!c->trace)
		return -ENOMEM;
	c->next_pid = FIRST_INVENTED_PID;
	c->trace->version = VIZ_VERSION;
	for (i = 0; i < c->nr && !err; i++)
		err = look(&c->inputs[i]);
	if (err)
		goto cleanup;
	choose_clock(c, align_start);
	c->writer = viz_join__open(c->trace, path);
	if (!c->writer) {
		err = -errno;
		goto cleanup;
	}
	for (i = 0; i < c->nr && !err; i++)
		err = read_input(c, &c->inputs[i]);
	ended = viz_join__end(c->writer, path);
	err = err ? err : ended;
	if (!err)
		viz_info("%s: %d traces, %u processes, %u threads, %llu bytes", path, c->nr,
			 c->trace->nr_processes, c->trace->nr_tracks,
			 (unsigned long long)viz_output__size(c->writer->out));
cleanup:
	viz_writer__free(c->writer);
	viz_trace__free(c->trace);
	return err;
}

int viz_command__combine(int argc, char **argv)
{
	struct combination c = {0};
	bool align_start = false, no_sources = false;
	const char *path = NULL;
	const struct viz_arg list[] = {
		{"output", 'o', VIZ_ARG_TEXT, .to = &path},
		{"output-file", 0, VIZ_ARG_TEXT, .to = &path},
		{"align-start", 0, VIZ_ARG_FLAG, .to = &align_start},
		{"no-sources", 0, VIZ_ARG_FLAG, .to = &no_sources},
	};
	const struct viz_args args = {
		"combine",
		usage,
		list,
		sizeof(list) / sizeof(*list),
		1,
		INT_MAX,
		"give traces and -o FILE",
	};
	int status = viz_args__parse(&args, argc, argv), i;

	if (status >= 0)
		return status;
	if (!path) {
		viz_error("combine: -o FILE says where to");
		return 2;
	}
	c.nr = argc - optind;
	c.sources = !no_sources;
	c.inputs = calloc((size_t)c.nr, sizeof(*c.inputs));
	if (!c.inputs) {
		viz_error("out of memory");
		return 1;
	}
	for (i = 0; i < c.nr; i++)
		c.inputs[i].path = argv[optind + i];
	status = combine(&c, path, align_start) ? 1 : 0;
	free(c.inputs);
	return status;
}
