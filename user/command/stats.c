// SPDX-License-Identifier: Apache-2.0
/* `vizbpf stats FILE`: what each function cost. */
#include "command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/text.h"
#include "args.h"
#include "pick.h"
#include "profile.h"
#include "table.h"

struct stats_options {
	const char *file;
	const char *thread;
	int sort; /* enum viz_sort */
	uint64_t limit; /* 0: all */
	bool json;
};

static const char usage[] =
	"Usage: vizbpf stats FILE [OPTION...]\n"
	"What each function of a trace cost. Reads .json, .json.gz and .pftrace.\n"
	"\n"
	"  --sort ORDER     self (default), total, calls, mean, p50, p99, max, name\n"
	"  --limit N        so many functions (default 25, 0: all)\n"
	"  --thread WHICH   only threads with this TID or with this in their name\n"
	"  --json           as JSON, times in nanoseconds\n"
	"  -h, --help       this text\n"
	"\n"
	"total is the time from begin to end (of recursion, the outermost call), self is total\n"
	"without the calls made; p50 and p99 are exact within 3 %.\n";

static int parse(int argc, char **argv, struct stats_options *o)
{
	const struct viz_arg list[] = {
		{"sort", 0, VIZ_ARG_WORD, .to = &o->sort, .words = viz_sort_names},
		{"limit", 0, VIZ_ARG_NUMBER, .to = &o->limit, .max = UINT32_MAX},
		{"thread", 0, VIZ_ARG_TEXT, .to = &o->thread},
		{"json", 0, VIZ_ARG_FLAG, .to = &o->json},
	};
	const struct viz_args args = {
		"stats", usage, list, sizeof(list) / sizeof(*list), 1, 1, "give one trace file",
	};
	int status = viz_args__parse(&args, argc, argv);

	o->file = argv[optind];
	return status;
}

static void print_table(const struct viz_trace *trace, const struct viz_profile *p,
			const uint32_t *order, uint32_t nr)
{
	static const struct viz_column columns[] = {
		{"calls", 11}, {"total", 9}, {"self", 9}, {"self%", 6},
		{"mean", 9},   {"p50", 9},   {"p99", 9},  {"max", 9},
	};
	uint64_t all_self = 0;
	uint32_t i;

	for (i = 0; i < p->nr_rows; i++)
		all_self += p->rows[i].self;
	viz_table__head(stdout, columns, 8, "function");
	for (i = 0; i < nr; i++) {
		const struct viz_row *row = &p->rows[order[i]];

		viz_table__count(stdout, 11, row->calls);
		viz_table__time(stdout, 9, row->total);
		viz_table__time(stdout, 9, row->self);
		printf("%6.1f ", all_self ? 100.0 * (double)row->self / (double)all_self : 0.0);
		viz_table__time(stdout, 9, viz_row__mean(row));
		viz_table__time(stdout, 9, viz_row__percentile(row, 50));
		viz_table__time(stdout, 9, viz_row__percentile(row, 99));
		viz_table__time(stdout, 9, row->max);
		viz_table__func(stdout, &trace->funcs[order[i]], viz_table__rest(columns, 8));
		putchar('\n');
	}
}

static void print_summary(const struct viz_trace *trace, const struct viz_profile *p,
			  uint32_t shown, uint32_t nr)
{
	char calls[32], span[32], funcs[32];
	uint64_t ns = p->end > p->begin ? p->end - p->begin : 0;

	printf("%s calls of %s functions in %s", viz_text__count(calls, sizeof(calls), p->calls),
	       viz_text__count(funcs, sizeof(funcs), nr),
	       viz_text__duration(span, sizeof(span), ns));
	if (shown < nr)
		printf("; %u shown (--limit 0 shows all)", shown);
	putchar('\n');
	if (trace->lost)
		printf("%s calls were lost while recording: the figures lack them\n",
		       viz_text__count(calls, sizeof(calls), trace->lost));
	if (p->disordered)
		printf("%s calls are not in order of completion in this file: self times and "
		       "recursion are approximate\n",
		       viz_text__count(calls, sizeof(calls), p->disordered));
}

static void print_json(const struct viz_trace *trace, const struct viz_profile *p,
		       const uint32_t *order, uint32_t nr)
{
	uint32_t i;

	printf("{\"calls\":%llu,\"lost\":%llu,\"disordered\":%llu,\"span_ns\":%llu,\"functions\":[",
	       (unsigned long long)p->calls, (unsigned long long)trace->lost,
	       (unsigned long long)p->disordered,
	       (unsigned long long)(p->end > p->begin ? p->end - p->begin : 0));
	for (i = 0; i < nr; i++) {
		const struct viz_row *row = &p->rows[order[i]];
		const struct viz_func *func = &trace->funcs[order[i]];

		printf("%s\n{\"name\":", i ? "," : "");
		viz_text__json(stdout, func->name ? func->name : "");
		printf(",\"file\":");
		viz_text__json(stdout, func->file ? func->file : "");
		printf(",\"line\":%u,\"calls\":%llu,\"raised\":%llu,\"total_ns\":%llu,"
		       "\"self_ns\":%llu,\"mean_ns\":%llu,\"min_ns\":%llu,\"p50_ns\":%llu,"
		       "\"p99_ns\":%llu,\"max_ns\":%llu}",
		       func->line, (unsigned long long)row->calls, (unsigned long long)row->raised,
		       (unsigned long long)row->total, (unsigned long long)row->self,
		       (unsigned long long)viz_row__mean(row), (unsigned long long)row->min,
		       (unsigned long long)viz_row__percentile(row, 50),
		       (unsigned long long)viz_row__percentile(row, 99),
		       (unsigned long long)row->max);
	}
	printf("\n]}\n");
}

int viz_command__stats(int argc, char **argv)
{
	struct stats_options o = {.limit = 25, .sort = VIZ_SORT_SELF};
	struct viz_trace *trace = NULL;
	struct viz_profile *p = NULL;
	uint32_t *order = NULL, nr = 0, shown;
	char why[512] = "out of memory";
	int err, status;

	status = parse(argc, argv, &o);
	if (status >= 0)
		return status;
	status = 1;
	trace = viz_trace__new();
	p = viz_profile__new();
	if (!trace || !p) {
		viz_error("%s", why);
		goto cleanup;
	}
	/* of a file that breaks off, what can be read is shown */
	err = viz_pick__read(o.file, o.thread, trace, viz_profile__calls, p, why, sizeof(why));
	if (err)
		viz_error("%s", why);
	if (err && !p->calls)
		goto cleanup;
	order = viz_profile__sorted(p, trace, (enum viz_sort)o.sort, &nr);
	if (!order) {
		viz_error("out of memory");
		goto cleanup;
	}
	shown = o.limit && o.limit < nr ? (uint32_t)o.limit : nr;
	if (o.json) {
		print_json(trace, p, order, shown);
	} else {
		print_table(trace, p, order, shown);
		print_summary(trace, p, shown, nr);
	}
	if (fflush(stdout) || ferror(stdout))
		viz_error("cannot write to standard output: %m");
	else
		status = err ? 1 : 0;
cleanup:
	free(order);
	viz_profile__free(p);
	viz_trace__free(trace);
	return status;
}
