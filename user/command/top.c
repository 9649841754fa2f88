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

/* What a function had when the last picture was drawn. */
struct seen {
	uint64_t calls, self, total;
};

struct viz_top {
	const struct viz_trace *trace;
	struct viz_profile *profile;
	struct seen *seen;
	uint32_t nr_seen;
	uint64_t calls, begun, last; /* ns */
	bool by_all, by_total;
	bool drawn;
	char what[256];
};

struct line {
	uint32_t func;
	uint64_t calls, self, total; /* of this interval */
	uint64_t key;
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
	free(top->seen);
	free(top);
}

int viz_top__calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct viz_top *top = ctx;

	return viz_profile__calls(top->profile, calls, nr);
}

void viz_top__sort(struct viz_top *top, bool by_all, bool by_total)
{
	top->by_all = by_all;
	top->by_total = by_total;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? 1 : -1;
	return (x->func > y->func) - (x->func < y->func);
}

static int remember(struct viz_top *top)
{
	uint32_t nr = top->profile->nr_rows;
	struct seen *seen;

	if (nr <= top->nr_seen)
		return 0;
	seen = reallocarray(top->seen, nr, sizeof(*seen));
	if (!seen)
		return -ENOMEM;
	memset(seen + top->nr_seen, 0, (nr - top->nr_seen) * sizeof(*seen));
	top->seen = seen;
	top->nr_seen = nr;
	return 0;
}

/* The functions of this interval (or of all time), in order; their number in @nr. */
static struct line *collect(struct viz_top *top, uint32_t *nr)
{
	const struct viz_profile *p = top->profile;
	struct line *lines = calloc((size_t)p->nr_rows + 1, sizeof(*lines));
	uint32_t i, n = 0;

	if (!lines || remember(top)) {
		free(lines);
		return NULL;
	}
	for (i = 0; i < p->nr_rows; i++) {
		const struct viz_row *row = &p->rows[i];
		struct seen *seen = &top->seen[i];
		struct line l = {i, row->calls - seen->calls, row->self - seen->self,
				 row->total - seen->total, 0};

		if (!row->calls || (!l.calls && !top->by_all))
			continue;
		if (top->by_all)
			l.key = top->by_total ? row->total : row->self;
		else
			l.key = top->by_total ? l.total : l.self;
		lines[n++] = l;
		*seen = (struct seen){row->calls, row->self, row->total};
	}
	qsort(lines, n, sizeof(*lines), compare_lines);
	*nr = n;
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

static void draw_heading(struct viz_top *top, FILE *out, bool terminal, uint64_t now, uint64_t lost)
{
	uint64_t ns = now > top->last && top->last ? now - top->last : 0;
	uint64_t calls = top->profile->calls - top->calls;
	char what[300], text[32], rate[32], all[32];

	viz_text__safe(what, sizeof(what), top->what);
	fprintf(out, "%s%s", terminal ? "\033[1m" : "", what);
	fputs(terminal ? "\033[0m" : "", out);
	end_line(out, terminal);
	fprintf(out, "%s calls/s, %s in all",
		viz_text__count(rate, sizeof(rate),
				ns ? (uint64_t)((double)calls * 1e9 / (double)ns) : 0),
		viz_text__count(all, sizeof(all), top->profile->calls));
	if (now > top->begun)
		fprintf(out, " in %s", viz_text__duration(text, sizeof(text), now - top->begun));
	if (lost)
		fprintf(out, ", %s lost", viz_text__count(text, sizeof(text), lost));
	fputs("; calls that have not returned yet are not counted", out);
	end_line(out, terminal);
	end_line(out, terminal);
}

static void draw_lines(struct viz_top *top, FILE *out, bool terminal, const struct line *lines,
		       size_t nr, uint64_t ns)
{
	static const struct viz_column columns[] = {
		{"own%", 7},  {"total%", 7},   {"own time", 9},
		{"total", 9}, {"calls/s", 11}, {"mean", 9},
	};
	size_t rest = terminal ? viz_table__rest(columns, 6) : 100000, i;

	fputs(terminal ? "\033[7m" : "", out);
	for (i = 0; i < 6; i++)
		fprintf(out, "%*s ", columns[i].width, columns[i].title);
	fputs("function", out);
	if (terminal)
		fputs("\033[K\033[0m", out);
	end_line(out, terminal);
	for (i = 0; i < nr; i++) {
		const struct viz_row *row = &top->profile->rows[lines[i].func];
		double span = ns ? (double)ns : 1;

		fprintf(out, "%7.1f %7.1f ", 100.0 * (double)lines[i].self / span,
			100.0 * (double)lines[i].total / span);
		viz_table__time(out, 9, row->self);
		viz_table__time(out, 9, row->total);
		viz_table__count(out, 11, (uint64_t)((double)lines[i].calls * 1e9 / span));
		viz_table__time(out, 9, viz_row__mean(row));
		viz_table__func(out, &top->trace->funcs[lines[i].func], rest);
		end_line(out, terminal);
	}
}

int viz_top__draw(struct viz_top *top, FILE *out, uint64_t now, uint64_t lost)
{
	bool terminal = isatty(fileno(out));
	uint64_t ns = top->last ? now - top->last : 0;
	struct line *lines;
	uint32_t nr = 0;
	size_t most;

	if (!top->last) { /* the first picture has no interval to show yet */
		top->begun = top->last = now;
		if (!top->profile->calls && !terminal)
			return 0;
	}
	lines = collect(top, &nr);
	if (!lines)
		return -ENOMEM;
	/* the screen that was there comes back at the end */
	if (terminal)
		fputs(top->drawn ? "\033[H" : "\033[?1049h\033[?25l\033[H", out);
	top->drawn = true;
	draw_heading(top, out, terminal, now, lost);
	most = lines_of(out, terminal);
	draw_lines(top, out, terminal, lines, nr < most ? nr : most, ns);
	if (terminal)
		fputs("\033[J", out);
	else
		fputc('\n', out);
	free(lines);
	top->calls = top->profile->calls;
	top->last = now;
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
