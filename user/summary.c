// SPDX-License-Identifier: Apache-2.0
#include "summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "output/file.h"

enum { HOTTEST = 5, LATE = 100000 };

static struct {
	uint64_t last_calls, last_ts;
	bool line; /* a status line stands on the terminal */
} sum;

static const char *size_text(uint64_t bytes, char *buf, size_t size)
{
	if (bytes < 10 << 10)
		snprintf(buf, size, "%" PRIu64 " B", bytes);
	else if (bytes < 10 << 20)
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

void viz_summary__status(struct viz_session *s)
{
	uint64_t now = viz_session__now(), calls = s->trace->calls, late = waiting(s) / 2;
	char size[32], count[32];
	double rate;

	if (viz_log_quiet || !isatty(STDERR_FILENO))
		return;
	if (now - sum.last_ts < 500000000)
		return;
	rate = sum.last_ts ? (double)(calls - sum.last_calls) * 1e9 / (double)(now - sum.last_ts)
			   : 0;
	sum.last_calls = calls;
	sum.last_ts = now;
	fprintf(stderr, "\r%.1f s  %u processes  %u threads  %s calls  %.0f/s  %s\033[K",
		(double)(now - s->ready) / 1e9, s->nr_active, s->nr_lanes,
		viz_text__count(count, sizeof(count), calls), rate,
		size_text(viz_output__size(s->writer->out), size, sizeof(size)));
	if (late > LATE)
		fprintf(stderr, "  %s to be written", viz_text__count(count, sizeof(count), late));
	if (s->trace->lost)
		fprintf(stderr, "  lost %" PRIu64, s->trace->lost);
	fflush(stderr);
	sum.line = true;
}

void viz_summary__catching_up(const struct viz_session *s)
{
	uint64_t now = viz_session__now();
	char count[32];

	if (viz_log_quiet || !isatty(STDERR_FILENO) || now - sum.last_ts < 200000000)
		return;
	sum.last_ts = now;
	/* a call has two records */
	fprintf(stderr, "\rwriting what was recorded: %s calls left\033[K",
		viz_text__count(count, sizeof(count), waiting(s) / 2));
	fflush(stderr);
	sum.line = true;
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

static void print_processes(struct viz_session *s)
{
	char lost[32];

	for (uint32_t i = 0; i < s->trace->nr_processes && i < 16; i++) {
		const struct viz_process *p = &s->trace->processes[i];

		if (!p->engine || p->hidden)
			continue;
		viz_info("  pid %u (%s): CPython %s, engine %s%s%s", p->pid,
			 p->name ? p->name : "?", p->python ? p->python : "?", p->engine,
			 p->lost ? ", lost " : "",
			 p->lost ? viz_text__count(lost, sizeof(lost), p->lost) : "");
		if (p->limits && p->limits[0])
			viz_info("    not complete: %s", p->limits);
	}
	if (s->stack_guard.lows)
		viz_info("  recording paused %" PRIu64
			 " times in deep recursion, to leave the C stack alone",
			 s->stack_guard.lows);
}

void viz_summary__end(struct viz_session *s, int err)
{
	double seconds = (double)(s->trace->end - s->ready) / 1e9;
	char calls[32], size[32], lost[32];

	if (sum.line)
		fputs("\r\033[K", stderr);
	if (err || viz_log_quiet)
		return;
	viz_info("%s calls in %.1f s (%.0f calls/s), lost %s",
		 viz_text__count(calls, sizeof(calls), s->trace->calls), seconds,
		 seconds > 0 ? (double)s->trace->calls / seconds : 0.0,
		 viz_text__count(lost, sizeof(lost), s->trace->lost));
	print_processes(s);
	print_hottest(s);
	viz_info("%s written (%s). To look at it:\n  vizbpf view %s", s->opt->path,
		 size_text(viz_output__size(s->writer->out), size, sizeof(size)), s->opt->path);
}
