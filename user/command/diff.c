// SPDX-License-Identifier: Apache-2.0
/* `vizbpf diff A B`: which functions became slower, or are called more often. */
#include "command.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/text.h"
#include "args.h"
#include "pick.h"
#include "profile.h"
#include "table.h"

enum diff_by { BY_SELF, BY_TOTAL, BY_MEAN, BY_CALLS };

struct diff_options {
	const char *files[2];
	const char *thread;
	int by; /* enum diff_by */
	uint64_t limit;
	bool json;
};

/* What one trace knows of a function. Lines differ between versions of a program, so
 * functions of the same name in the same file are one. */
struct side {
	uint64_t calls, total, self, sum;
};

struct pair {
	const struct viz_func *func; /* of the second trace, if it is there */
	const char *name, *file;
	struct side side[2];
	double change;
};

static const char usage[] =
	"Usage: vizbpf diff BEFORE AFTER [OPTION...]\n"
	"Which functions became slower or faster between two traces, the largest change first.\n"
	"Functions are the same when name and file are; the line may have moved.\n"
	"\n"
	"  --by WHAT        self (default), total, mean (of a call) or calls\n"
	"  --limit N        so many functions (default 25, 0: all)\n"
	"  --thread WHICH   only threads with this TID or with this in their name\n"
	"  --json           as JSON, times in nanoseconds\n"
	"  -h, --help       this text\n";

static const char *const by_names[] = {"self", "total", "mean", "calls", NULL};

static int parse(int argc, char **argv, struct diff_options *o)
{
	const struct viz_arg list[] = {
		{"by", 0, VIZ_ARG_WORD, .to = &o->by, .words = by_names},
		{"sort", 0, VIZ_ARG_WORD, .to = &o->by, .words = by_names},
		{"limit", 0, VIZ_ARG_NUMBER, .to = &o->limit, .max = UINT32_MAX},
		{"thread", 0, VIZ_ARG_TEXT, .to = &o->thread},
		{"json", 0, VIZ_ARG_FLAG, .to = &o->json},
	};
	const struct viz_args args = {
		"diff",
		usage,
		list,
		sizeof(list) / sizeof(*list),
		2,
		2,
		"give two trace files, before and after",
	};
	int status = viz_args__parse(&args, argc, argv);

	if (status < 0) {
		o->files[0] = argv[optind];
		o->files[1] = argv[optind + 1];
	}
	return status;
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int by_name = strcmp(x->name, y->name);

	return by_name ? by_name : strcmp(x->file, y->file);
}

static int compare_changes(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	double p = fabs(x->change), q = fabs(y->change);

	if (p != q)
		return p < q ? 1 : -1;
	return compare_pairs(a, b);
}

static size_t add_side(struct pair *pairs, size_t n, int which, const struct viz_trace *trace,
		       const struct viz_profile *p)
{
	uint32_t i;

	for (i = 0; i < p->nr_rows; i++) {
		const struct viz_row *row = &p->rows[i];

		if (!row->calls)
			continue;
		pairs[n].func = &trace->funcs[i];
		pairs[n].name = trace->funcs[i].name ? trace->funcs[i].name : "";
		pairs[n].file = trace->funcs[i].file ? trace->funcs[i].file : "";
		pairs[n++].side[which] = (struct side){row->calls, row->total, row->self, row->sum};
	}
	return n;
}

static double measure(const struct side *s, enum diff_by by)
{
	switch (by) {
	case BY_SELF:
		return (double)s->self;
	case BY_TOTAL:
		return (double)s->total;
	case BY_MEAN:
		return s->calls ? (double)s->sum / (double)s->calls : 0;
	default:
		return (double)s->calls;
	}
}

/* One pair for each function of either trace, the largest change first. */
static struct pair *make_pairs(struct viz_trace *const *traces, struct viz_profile *const *p,
			       enum diff_by by, size_t *nr)
{
	struct pair *pairs = calloc((size_t)p[0]->nr_rows + p[1]->nr_rows + 1, sizeof(*pairs));
	size_t n = 0, i, j;

	if (!pairs)
		return NULL;
	n = add_side(pairs, 0, 0, traces[0], p[0]);
	n = add_side(pairs, n, 1, traces[1], p[1]);
	qsort(pairs, n, sizeof(*pairs), compare_pairs);
	for (i = 0, j = 0; i < n; i++) {
		int w;

		if (j && !compare_pairs(&pairs[j - 1], &pairs[i])) {
			for (w = 0; w < 2; w++) {
				pairs[j - 1].side[w].calls += pairs[i].side[w].calls;
				pairs[j - 1].side[w].total += pairs[i].side[w].total;
				pairs[j - 1].side[w].self += pairs[i].side[w].self;
				pairs[j - 1].side[w].sum += pairs[i].side[w].sum;
			}
			if (pairs[i].side[1].calls)
				pairs[j - 1].func = pairs[i].func;
			continue;
		}
		pairs[j++] = pairs[i];
	}
	for (i = 0; i < j; i++) {
		/* a mean of no calls says nothing about becoming slower */
		if (by == BY_MEAN && (!pairs[i].side[0].calls || !pairs[i].side[1].calls))
			continue;
		pairs[i].change = measure(&pairs[i].side[1], by) - measure(&pairs[i].side[0], by);
	}
	qsort(pairs, j, sizeof(*pairs), compare_changes);
	*nr = j;
	return pairs;
}

static void print_change(const struct pair *pair, enum diff_by by)
{
	char text[32], sign = pair->change < 0 ? '-' : pair->change > 0 ? '+' : ' ', both[40];

	if (by == BY_CALLS)
		viz_text__count(text, sizeof(text), (uint64_t)fabs(pair->change));
	else
		viz_text__duration(text, sizeof(text), (uint64_t)fabs(pair->change));
	snprintf(both, sizeof(both), "%c%s", sign, text);
	printf("%10s ", both);
}

static void print_ratio(double before, double after)
{
	if (before > 0 && after > 0)
		printf("%6.2fx ", after / before);
	else
		printf("%7s ", before > 0 ? "gone" : after > 0 ? "new" : "-");
}

static void print_table(const struct pair *pairs, size_t nr, const struct diff_options *o)
{
	const char *what = by_names[o->by];
	char before[24], after[24];
	const struct viz_column columns[] = {
		{before, 12},	      {after, 11},   {"change", 10},	 {"ratio", 7},
		{"calls before", 12}, {"after", 11}, {"mean ratio", 10},
	};
	size_t i;
	int w;

	snprintf(before, sizeof(before), "%s before", what);
	snprintf(after, sizeof(after), "after");
	viz_table__head(stdout, columns, 7, "function");
	for (i = 0; i < nr; i++) {
		const struct side *s = pairs[i].side;

		for (w = 0; w < 2; w++) {
			uint64_t v = (uint64_t)measure(&s[w], (enum diff_by)o->by);

			if (o->by == BY_CALLS)
				viz_table__count(stdout, columns[w].width, v);
			else
				viz_table__time(stdout, columns[w].width, v);
		}
		print_change(&pairs[i], (enum diff_by)o->by);
		print_ratio(measure(&s[0], (enum diff_by)o->by),
			    measure(&s[1], (enum diff_by)o->by));
		viz_table__count(stdout, 12, s[0].calls);
		viz_table__count(stdout, 11, s[1].calls);
		fputs("   ", stdout);
		print_ratio(measure(&s[0], BY_MEAN), measure(&s[1], BY_MEAN));
		viz_table__func(stdout, pairs[i].func, viz_table__rest(columns, 7));
		putchar('\n');
	}
}

static void print_json(const struct pair *pairs, size_t nr)
{
	static const char *const keys[] = {"before", "after"};
	size_t i;
	int w;

	printf("{\"functions\":[");
	for (i = 0; i < nr; i++) {
		printf("%s\n{\"name\":", i ? "," : "");
		viz_text__json(stdout, pairs[i].name);
		printf(",\"file\":");
		viz_text__json(stdout, pairs[i].file);
		printf(",\"line\":%u,\"change\":%.0f", pairs[i].func->line, pairs[i].change);
		for (w = 0; w < 2; w++) {
			const struct side *s = &pairs[i].side[w];

			printf(",\"%s\":{\"calls\":%llu,\"total_ns\":%llu,\"self_ns\":%llu,"
			       "\"mean_ns\":%.0f}",
			       keys[w], (unsigned long long)s->calls, (unsigned long long)s->total,
			       (unsigned long long)s->self, measure(s, BY_MEAN));
		}
		putchar('}');
	}
	printf("\n]}\n");
}

static int print_diff(struct viz_trace *const *traces, struct viz_profile *const *p,
		      const struct diff_options *o)
{
	struct pair *pairs;
	size_t nr = 0, shown;
	char a[32], b[32];

	pairs = make_pairs(traces, p, (enum diff_by)o->by, &nr);
	if (!pairs) {
		viz_error("out of memory");
		return -1;
	}
	shown = o->limit && o->limit < nr ? o->limit : nr;
	if (o->json) {
		print_json(pairs, shown);
	} else {
		print_table(pairs, shown, o);
		printf("%s calls before, %s after, %zu functions",
		       viz_text__count(a, sizeof(a), p[0]->calls),
		       viz_text__count(b, sizeof(b), p[1]->calls), nr);
		if (shown < nr)
			printf("; %zu shown (--limit 0 shows all)", shown);
		putchar('\n');
	}
	free(pairs);
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	viz_error("cannot write to standard output: %m");
	return -1;
}

int viz_command__diff(int argc, char **argv)
{
	struct diff_options o = {.limit = 25};
	struct viz_trace *traces[2] = {0};
	struct viz_profile *p[2] = {0};
	char why[512] = "out of memory";
	int err, i, status;

	status = parse(argc, argv, &o);
	if (status >= 0)
		return status;
	status = 1;
	for (i = 0; i < 2; i++) {
		traces[i] = viz_trace__new();
		p[i] = viz_profile__new();
		err = -1;
		if (traces[i] && p[i])
			err = viz_pick__read(o.files[i], o.thread, traces[i], viz_profile__calls,
					     p[i], why, sizeof(why));
		/* half a trace would look like a program that became twice as fast */
		if (err) {
			viz_error("%s", why);
			goto cleanup;
		}
	}
	if (!print_diff(traces, p, &o))
		status = 0;
cleanup:
	for (i = 0; i < 2; i++) {
		viz_profile__free(p[i]);
		viz_trace__free(traces[i]);
	}
	return status;
}
