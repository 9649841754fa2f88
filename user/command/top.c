// SPDX-License-Identifier: Apache-2.0
#include "top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../base/text.h"
#include "profile.h"
#include "table.h"

enum { LINES_WITHOUT_TERMINAL = 20, HEADING_LINES = 4 };

/* A function: in the last interval, and what it had when that ended. */
struct line {
	uint32_t func;
	uint64_t calls, self, total;
	uint64_t calls_then, self_then, total_then;
};

struct viz_top {
	const struct viz_trace *trace;
	struct viz_profile *profile;
	struct line *lines; /* by function */
	uint32_t nr_lines;
	uint64_t calls; /* at the end of the interval */
	uint64_t rate; /* calls a second in it */
	uint64_t begun, last, interval; /* ns */
	uint64_t lost;
	struct viz_top_view view;
	bool drawn;
	char what[256];
};

struct viz_top *viz_top__new(const struct viz_trace *trace, const char *what)
{
	struct viz_top *top = calloc(1, sizeof(*top));

	if (!top)
		return NULL;
	top->trace = trace;
	snprintf(top->what, sizeof(top->what), "%s", what);
	top->profile = viz_profile__new();
	if (top->profile)
		return top;
	free(top);
	return NULL;
}

void viz_top__free(struct viz_top *top)
{
	if (!top)
		return;
	viz_profile__free(top->profile);
	free(top->lines);
	free(top);
}

int viz_top__calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct viz_top *top = ctx;

	return viz_profile__calls(top->profile, calls, nr);
}

void viz_top__view(struct viz_top *top, const struct viz_top_view *view)
{
	top->view = *view;
}

static int remember(struct viz_top *top)
{
	uint32_t nr = top->profile->nr_rows;
	struct line *lines;

	if (nr <= top->nr_lines)
		return 0;
	lines = reallocarray(top->lines, nr, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	memset(lines + top->nr_lines, 0, (nr - top->nr_lines) * sizeof(*lines));
	top->lines = lines;
	top->nr_lines = nr;
	return 0;
}

int viz_top__take(struct viz_top *top, uint64_t now, uint64_t lost)
{
	const struct viz_profile *p = top->profile;
	uint32_t i;

	if (!top->last) /* there is no interval yet */
		top->begun = top->last = now;
	if (remember(top))
		return -ENOMEM;
	for (i = 0; i < p->nr_rows; i++) {
		const struct viz_row *row = &p->rows[i];
		struct line *l = &top->lines[i];

		*l = (struct line){i,
				   row->calls - l->calls_then,
				   row->self - l->self_then,
				   row->total - l->total_then,
				   row->calls,
				   row->self,
				   row->total};
	}
	top->interval = now - top->last;
	top->rate =
		top->interval
			? (uint64_t)((double)(p->calls - top->calls) * 1e9 / (double)top->interval)
			: 0;
	top->calls = p->calls;
	top->last = now;
	top->lost = lost;
	return 0;
}

static uint64_t key_of(const struct viz_top *top, const struct line *l)
{
	uint64_t calls = top->view.all ? l->calls_then : l->calls;

	switch (top->view.order) {
	case VIZ_TOP_TOTAL:
		return top->view.all ? l->total_then : l->total;
	case VIZ_TOP_CALLS:
		return calls;
	case VIZ_TOP_MEAN:
		return calls ? (top->view.all ? l->total_then : l->total) / calls : 0;
	default:
		return top->view.all ? l->self_then : l->self;
	}
}

static int compare_lines(const void *a, const void *b, void *ctx)
{
	const struct viz_top *top = ctx;
	const struct line *x = a, *y = b;
	uint64_t first = key_of(top, x), second = key_of(top, y);
	int order = (first < second) - (first > second);

	if (top->view.order == VIZ_TOP_NAME)
		order = strcmp(top->trace->funcs[x->func].name, top->trace->funcs[y->func].name);
	if (!order)
		order = (x->func > y->func) - (x->func < y->func);
	return top->view.reverse ? -order : order;
}

/* The lines to be seen, in order; their number in @nr. */
static struct line *collect(struct viz_top *top, uint32_t *nr)
{
	struct line *lines = calloc((size_t)top->nr_lines + 1, sizeof(*lines));
	uint32_t i;

	if (!lines)
		return NULL;
	*nr = 0;
	for (i = 0; i < top->nr_lines; i++) {
		const struct line *l = &top->lines[i];

		if (top->view.all ? l->calls_then : l->calls)
			lines[(*nr)++] = *l;
	}
	qsort_r(lines, *nr, sizeof(*lines), compare_lines, top);
	return lines;
}

static size_t lines_of(FILE *out, bool terminal)
{
	struct winsize size;

	if (!terminal || ioctl(fileno(out), TIOCGWINSZ, &size) || size.ws_row <= HEADING_LINES + 2)
		return LINES_WITHOUT_TERMINAL;
	return size.ws_row - HEADING_LINES - 1;
}

/* Every line ends by clearing what the last picture had there. */
static void end_line(FILE *out, bool terminal)
{
	fputs(terminal ? "\033[K\n" : "\n", out);
}

/* What the table is, and that there are keys. */
static void draw_state(const struct viz_top *top, FILE *out)
{
	static const char *const orders[] = {"own time", "total time", "calls", "mean time",
					     "name"};
	const struct viz_top_view *v = &top->view;

	fprintf(out, "by %s%s, %s", orders[v->order], v->reverse ? ", reversed" : "",
		v->all ? "since the beginning" : "of the last interval");
	if (v->paused)
		fputs(", \033[7m paused \033[0m", out);
	if (v->keys)
		fputs("; h: keys, q: quit", out);
}

static void draw_heading(struct viz_top *top, FILE *out, bool terminal)
{
	char what[300], text[32], rate[32], all[32];

	viz_text__safe(what, sizeof(what), top->what);
	fprintf(out, "%s%s%s", terminal ? "\033[1m" : "", what, terminal ? "\033[0m" : "");
	end_line(out, terminal);
	fprintf(out, "%s calls/s, %s in all", viz_text__count(rate, sizeof(rate), top->rate),
		viz_text__count(all, sizeof(all), top->calls));
	if (top->last > top->begun)
		fprintf(out, " in %s",
			viz_text__duration(text, sizeof(text), top->last - top->begun));
	if (top->lost)
		fprintf(out, ", %s lost", viz_text__count(text, sizeof(text), top->lost));
	fputs("; calls that have not returned yet are not counted", out);
	end_line(out, terminal);
	if (terminal)
		draw_state(top, out);
	end_line(out, terminal);
}

static void draw_lines(struct viz_top *top, FILE *out, bool terminal, const struct line *lines,
		       size_t nr)
{
	static const struct viz_column columns[] = {
		{"own%", 7},  {"total%", 7},   {"own time", 9},
		{"total", 9}, {"calls/s", 11}, {"mean", 9},
	};
	size_t rest = terminal ? viz_table__rest(columns, 6) : 100000, i;
	double span = (double)top->interval;

	fputs(terminal ? "\033[7m" : "", out);
	for (i = 0; i < 6; i++)
		fprintf(out, "%*s ", columns[i].width, columns[i].title);
	fputs("function", out);
	if (terminal)
		fputs("\033[K\033[0m", out);
	end_line(out, terminal);
	for (i = 0; i < nr; i++) {
		const struct viz_row *row = &top->profile->rows[lines[i].func];

		fprintf(out, "%7.1f %7.1f ", 100.0 * (double)lines[i].self / span,
			100.0 * (double)lines[i].total / span);
		viz_table__time(out, 9, lines[i].self_then);
		viz_table__time(out, 9, lines[i].total_then);
		viz_table__count(out, 11, (uint64_t)((double)lines[i].calls * 1e9 / span));
		viz_table__time(out, 9, viz_row__mean(row));
		viz_table__func(out, &top->trace->funcs[lines[i].func], rest);
		end_line(out, terminal);
	}
}

static void draw_help(FILE *out)
{
	static const char *const lines[] = {
		"o  by own time: without what it calls",
		"t  by total time",
		"c  by calls",
		"m  by mean time",
		"n  by name",
		"r  reverse the order",
		"a  since the beginning, or of the last interval",
		"p  pause, or go on",
		"q  quit (or Ctrl-C)",
		"",
		"own% and total% are of the last interval, over all threads; own time,",
		"total and mean since the beginning. Any key goes back to the table.",
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		fputs(lines[i], out);
		end_line(out, true);
	}
}

int viz_top__draw(struct viz_top *top, FILE *out)
{
	bool terminal = isatty(fileno(out));
	struct line *lines;
	uint32_t nr = 0;
	size_t most;

	if (!terminal && !top->calls)
		return 0;
	lines = collect(top, &nr);
	if (!lines)
		return -ENOMEM;
	/* the screen that was there comes back at the end */
	if (terminal)
		fputs(top->drawn ? "\033[H" : "\033[?1049h\033[?25l\033[H", out);
	top->drawn = true;
	draw_heading(top, out, terminal);
	/* without an interval there are no figures */
	most = top->interval ? lines_of(out, terminal) : 0;
	if (terminal && top->view.help)
		draw_help(out);
	else
		draw_lines(top, out, terminal, lines, nr < most ? nr : most);
	if (terminal)
		fputs("\033[J", out);
	else
		fputc('\n', out);
	free(lines);
	return fflush(out) || ferror(out) ? -EIO : 0;
}

void viz_top__leave(struct viz_top *top, FILE *out)
{
	char count[32], span[32];

	if (!top || !top->drawn || !isatty(fileno(out)))
		return;
	/* the pictures are gone now; it would look as if nothing had happened */
	fprintf(out, "\033[?25h\033[?1049l%s calls in %s\n",
		viz_text__count(count, sizeof(count), top->profile->calls),
		viz_text__duration(span, sizeof(span), top->last - top->begun));
	fflush(out);
	top->drawn = false;
}
