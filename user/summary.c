// SPDX-License-Identifier: Apache-2.0
#include "summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "output/file.h"

enum { HOTTEST = 5, LATE = 100000, PROCESSES = 16 };

/* What the end says of a process. */
struct process_text {
	uint32_t id;
	char line[256];
	char limits[512]; /* "": none is known */
};

static struct {
	uint64_t last_calls, last_ts;
	bool line; /* a status line stands on the terminal */
	struct process_text processes[PROCESSES]; /* the first ones, those that have ended before */
	unsigned int nr_processes;
} sum;

static const char *size_text(uint64_t bytes, char *buf, size_t size)
{
	if (bytes < 1 << 10)
		snprintf(buf, size, "%" PRIu64 " B", bytes);
	else if (bytes < 1 << 20)
		snprintf(buf, size, "%.1f KiB", (double)bytes / 1024);
	else
		snprintf(buf, size, "%.1f MiB", (double)bytes / 1048576);
	return buf;
}

void viz_summary__begin(struct viz_session *s)
{
	unsigned int active = 0;

	for (struct viz_target *t = s->targets; t; t = t->next) {
		const struct viz_process *p = &s->trace->processes[t->process];

		if (t->state != VIZ_TARGET_ACTIVE)
			continue;
		if (active++ < 8)
			viz_info("recording pid %d (%s): CPython %s, engine %s (%s)", t->pid,
				 p->name ? p->name : "?", p->python, p->engine, p->engine_why);
		if (p->limits && p->limits[0])
			viz_info("  note: %s", p->limits);
	}
	if (active > 8)
		viz_info("recording %u processes", active);
	if (!s->opt->duration && !s->opt->launches)
		viz_info("Ctrl-C stops.");
}

static uint64_t waiting(const struct viz_session *s)
{
	uint64_t nr = 0;

	for (const struct viz_target *t = s->targets; t; t = t->next)
		if (t->state == VIZ_TARGET_ACTIVE)
			nr += t->waiting;
	return nr;
}

/* One line, never longer than the terminal is wide: the next one is written over it. */
static void print_line(const char *line)
{
	struct winsize win;
	int width = 79;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &win) && win.ws_col > 1)
		width = win.ws_col - 1;
	fprintf(stderr, "\r%.*s\033[K", width, line);
	fflush(stderr);
	sum.line = true;
}

void viz_summary__status(struct viz_session *s)
{
	uint64_t now = viz_session__now(), calls = s->trace->calls, late = waiting(s) / 2;
	char file[32], count[32], rate[32], lost[32], line[256];
	double seconds = (double)(now - sum.last_ts) / 1e9;
	size_t used, size;

	if (viz_log_quiet || !isatty(STDERR_FILENO) || now - sum.last_ts < 500000000)
		return;
	viz_probes__fill(s->probes, &used, &size);
	snprintf(line, sizeof(line),
		 "%.1f s  %u process%s  %u thread%s  %s calls  %s/s  lost %s  buffer %zu%%  %s",
		 (double)(now - s->ready) / 1e9, s->nr_active, s->nr_active == 1 ? "" : "es",
		 s->nr_lanes, s->nr_lanes == 1 ? "" : "s",
		 viz_text__count(count, sizeof(count), calls),
		 viz_text__count(
			 rate, sizeof(rate),
			 sum.last_ts ? (uint64_t)((double)(calls - sum.last_calls) / seconds) : 0),
		 viz_text__count(lost, sizeof(lost), s->trace->lost), used * 100 / size,
		 size_text(viz_output__size(s->writer->out), file, sizeof(file)));
	if (late > LATE) {
		strcat(line, "  to be written: ");
		strcat(line, viz_text__count(count, sizeof(count), late));
	}
	print_line(line);
	sum.last_calls = calls;
	sum.last_ts = now;
}

void viz_summary__catching_up(const struct viz_session *s)
{
	uint64_t now = viz_session__now();
	char count[32], line[96];

	if (viz_log_quiet || !isatty(STDERR_FILENO) || now - sum.last_ts < 200000000)
		return;
	sum.last_ts = now;
	/* a call has two records */
	snprintf(line, sizeof(line), "writing what was recorded: %s calls left",
		 viz_text__count(count, sizeof(count), waiting(s) / 2));
	print_line(line);
}

static void print_hottest(struct viz_session *s)
{
	uint32_t best[HOTTEST], nr = 0, funcs;
	const struct viz_own_time *own = viz_timeline__own(s->timeline, &funcs);
	char total[32], count[32];

	for (uint32_t f = 0; f < funcs && f < s->trace->nr_funcs; f++) {
		uint32_t at = nr;

		if (!own[f].calls)
			continue;
		while (at && own[best[at - 1]].ns < own[f].ns)
			at--;
		if (at == HOTTEST)
			continue;
		if (nr < HOTTEST)
			nr++;
		memmove(best + at + 1, best + at, (nr - at - 1) * sizeof(*best));
		best[at] = f;
	}
	if (nr)
		viz_info("  most time, callees left out (waiting counts):");
	for (uint32_t i = 0; i < nr; i++) {
		const struct viz_func *f = &s->trace->funcs[best[i]];

		char place[640] = "";

		if (f->file[0]) /* a C function has none */
			snprintf(place, sizeof(place), " (%s:%u)", f->file, f->line);
		viz_info("  %10s  %12s calls  %s%s",
			 viz_text__duration(total, sizeof(total), own[best[i]].ns),
			 viz_text__count(count, sizeof(count), own[best[i]].calls), f->name, place);
	}
}

/* What the processes are that ended stays here: the trace forgets them. */
void viz_summary__process(const struct viz_process *p)
{
	struct process_text *text = &sum.processes[sum.nr_processes];
	char lost[32];

	if (!p->engine || p->hidden || sum.nr_processes++ >= PROCESSES)
		return;
	snprintf(text->line, sizeof(text->line), "pid %u (%s): CPython %s, engine %s%s%s", p->pid,
		 p->name ? p->name : "?", p->python ? p->python : "?", p->engine,
		 p->lost ? ", lost " : "",
		 p->lost ? viz_text__count(lost, sizeof(lost), p->lost) : "");
	snprintf(text->limits, sizeof(text->limits), "%s", p->limits ? p->limits : "");
	text->id = p->id;
}

static int by_id(const void *a, const void *b)
{
	const struct process_text *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static void print_processes(struct viz_session *s)
{
	const char *limits = ""; /* the last that were printed */
	unsigned int shown;

	for (uint32_t i = 0; i < s->trace->nr_processes; i++)
		viz_summary__process(&s->trace->processes[i]);
	shown = sum.nr_processes < PROCESSES ? sum.nr_processes : PROCESSES;
	qsort(sum.processes, shown, sizeof(sum.processes[0]), by_id);
	for (unsigned int i = 0; i < shown; i++) {
		const struct process_text *text = &sum.processes[i];
		bool same = *limits && !strcmp(limits, text->limits);

		viz_info("  %s%s", text->line, same ? ", not complete as above" : "");
		if (!*text->limits || same)
			continue;
		viz_info("    not complete: %s", text->limits);
		limits = text->limits;
	}
	if (sum.nr_processes > shown)
		viz_info("  and %u processes more", sum.nr_processes - shown);
	if (s->stack_guard.lows)
		viz_info("  recording paused %" PRIu64
			 " times in deep recursion, to leave the C stack alone",
			 s->stack_guard.lows);
}

/* As a shell reads it. */
static const char *quoted(const char *path, char *out, size_t size)
{
	size_t n = 0;

	if (!path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			       "_./,:=@%+-")])
		return path;
	out[n++] = '\'';
	for (; *path && n < size - 6; path++)
		n += (size_t)sprintf(out + n, *path == '\'' ? "'\\''" : "%c", *path);
	out[n++] = '\'';
	out[n] = '\0';
	return out;
}

void viz_summary__end(struct viz_session *s, int err)
{
	double seconds = (double)(s->trace->end - s->ready) / 1e9;
	char calls[32], rate[32], size[32], lost[32], command[4096];

	if (sum.line)
		fputs("\r\033[K", stderr);
	if (err || viz_log_quiet)
		return;
	viz_info("%s calls in %.1f s (%s calls/s), lost %s",
		 viz_text__count(calls, sizeof(calls), s->trace->calls), seconds,
		 viz_text__count(rate, sizeof(rate),
				 seconds > 0 ? (uint64_t)((double)s->trace->calls / seconds) : 0),
		 viz_text__count(lost, sizeof(lost), s->trace->lost));
	print_processes(s);
	print_hottest(s);
	if (!s->trace->calls && s->opt->filter.any && !s->opt->filter.keep_callees)
		viz_info("  the filters left no call: one that is left out by its file takes what "
			 "it calls with it, unless --keep-callees is given");
	size_text(viz_output__size(s->writer->out), size, sizeof(size));
	if (!strcmp(s->opt->path, "-"))
		return;
	viz_info("%s written (%s). To look at it:\n  vizbpf view %s", s->opt->path, size,
		 quoted(s->opt->path, command, sizeof(command)));
}
