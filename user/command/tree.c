// SPDX-License-Identifier: Apache-2.0
/* `vizbpf tree FILE`: the slowest root calls, and where their time went. */
#include "command.h"

#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "../base/text.h"
#include "args.h"
#include "calltree.h"
#include "pick.h"
#include "table.h"

enum { DEPTH_MAX = 256, FIGURES_WIDTH = 18 };

struct tree_options {
	const char *file;
	const char *thread;
	uint64_t limit; /* roots, 0: all */
	uint64_t depth;
	double percent; /* of the root: less is not shown */
	bool all; /* library frames too */
};

/* What one root is printed with. */
struct printer {
	const struct tree_options *o;
	const struct viz_trace *trace;
	struct viz_calltree *tree;
	uint64_t whole; /* of the root */
	bool utf8; /* the terminal shows lines */
	size_t columns;
};

static const char usage[] =
	"Usage: vizbpf tree FILE [OPTION...]\n"
	"The slowest root calls of a trace as a tree: calls of one function by the same caller\n"
	"are one line. Reads .json, .json.gz and .pftrace.\n"
	"\n"
	"  --limit N        so many root calls (default 5, 0: all)\n"
	"  --depth N        so many levels (default 40)\n"
	"  --min PERCENT    hide what takes less of its root call (default 1)\n"
	"  --thread WHICH   only threads with this TID or with this in their name\n"
	"  --all            do not fold library frames (the standard library, site-packages)\n"
	"  -h, --help       this text\n";

static const struct option long_options[] = {
	{"limit", required_argument, NULL, 'l'},
	{"depth", required_argument, NULL, 'd'},
	{"min", required_argument, NULL, 'm'},
	{"thread", required_argument, NULL, 't'},
	{"all", no_argument, NULL, 'a'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static int parse_percent(const char *text, double *percent)
{
	char *end;

	*percent = strtod(text, &end);
	if (end != text && !*end && *percent >= 0 && *percent <= 100)
		return 0;
	viz_error("--min: '%s' is not a percentage", text);
	return -1;
}

/* 0: go on, else the exit status plus one. */
static int parse(int argc, char **argv, struct tree_options *o)
{
	int c;

	viz_args__dashes(argc, argv);
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		switch (c) {
		case 'l':
			if (viz_args__number("--limit", optarg, UINT32_MAX, &o->limit))
				return 3;
			break;
		case 'd':
			if (viz_args__number("--depth", optarg, DEPTH_MAX, &o->depth))
				return 3;
			break;
		case 'm':
			if (parse_percent(optarg, &o->percent))
				return 3;
			break;
		case 't':
			o->thread = optarg;
			break;
		case 'a':
			o->all = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			return viz_args__bad("tree", argc, argv, c) + 1;
		}
	}
	if (argc - optind != 1) {
		viz_error("tree: give one trace file (vizbpf tree --help)");
		return 3;
	}
	o->file = argv[optind];
	return 0;
}

/* Not the program's own code: C functions, the standard library, installed packages. */
static bool is_library(void *ctx, uint32_t func)
{
	static const char *const places[] = {"/site-packages/", "/dist-packages/", "/lib/python",
					     "/lib64/python"};
	const struct viz_trace *trace = ctx;
	const char *file = trace->funcs[func].file;
	size_t i;

	if (!file || !*file || *file == '<')
		return true;
	for (i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (strstr(file, places[i]))
			return true;
	return false;
}

static void print_figures(const struct printer *p, uint64_t ns)
{
	viz_table__time(stdout, 9, ns);
	printf("%5.1f%%  ", p->whole ? 100.0 * (double)ns / (double)p->whole : 100.0);
}

static void print_name(const struct printer *p, const struct viz_node *node, size_t indent)
{
	size_t columns = p->columns > indent + 40 ? p->columns - indent : 40;
	char calls[32], extra[96] = "";
	int n = 0;

	if (node->calls > 1)
		n = snprintf(extra, sizeof(extra), "  x%s",
			     viz_text__count(calls, sizeof(calls), node->calls));
	if (node->folded)
		snprintf(extra + n, sizeof(extra) - (size_t)n, "  [+%u library frame%s]",
			 node->folded, node->folded > 1 ? "s" : "");
	if (node->func == (uint32_t)VIZ_CALLTREE_OTHER)
		fputs("(other)", stdout);
	else
		viz_table__func(stdout, &p->trace->funcs[node->func], columns - strlen(extra));
	printf("%s\n", extra);
}

static void print_node(const struct printer *p, uint32_t number, char *indent, size_t level,
		       bool last);

static void print_children(const struct printer *p, uint32_t number, char *indent, size_t level)
{
	const struct viz_node *node = &p->tree->nodes[number], *c;
	double least = p->o->percent / 100 * (double)p->whole;
	uint32_t child, shown[160];
	uint64_t hidden = 0;
	size_t nr = 0, i;

	for (child = node->child; child; child = c->next) {
		c = &p->tree->nodes[child];
		if ((double)c->total >= least && nr < sizeof(shown) / sizeof(*shown))
			shown[nr++] = child;
		else
			hidden += c->total;
	}
	for (i = 0; i < nr; i++)
		print_node(p, shown[i], indent, level, i + 1 == nr);
	/* what is neither in a line above nor the function's own would otherwise be a riddle */
	if ((double)hidden >= least && hidden && p->whole) {
		print_figures(p, hidden);
		printf("%s   (smaller ones)\n", indent);
	}
}

static void print_node(const struct printer *p, uint32_t number, char *indent, size_t level,
		       bool last)
{
	const struct viz_node *node = &p->tree->nodes[number];
	size_t len = strlen(indent);

	print_figures(p, node->total);
	if (level)
		printf("%s%s", indent, p->utf8 ? (last ? "└─ " : "├─ ") : (last ? "`- " : "|- "));
	print_name(p, node, FIGURES_WIDTH + 3 * level);
	if (level >= p->o->depth) {
		if (node->child)
			printf("%*s%s   (deeper: --depth)\n", FIGURES_WIDTH, "", indent);
		return;
	}
	if (level)
		strcat(indent, last ? "   " : p->utf8 ? "│  " : "|  ");
	print_children(p, number, indent, level + 1);
	indent[len] = 0;
}

static void print_root(struct printer *p, const struct viz_root *root)
{
	const struct viz_track *track = &p->trace->tracks[root->track];
	char indent[DEPTH_MAX * 5 + 8] = "", name[128] = "", at[32];
	uint64_t begin = p->trace->begin;

	if (!p->o->all)
		viz_calltree__fold(p->tree, root->node, is_library, (void *)p->trace);
	viz_calltree__sort(p->tree, root->node);
	p->whole = p->tree->nodes[root->node].total;
	if (track->name)
		viz_text__safe(name, sizeof(name), track->name);
	printf("thread %u%s%s (process %u)", track->tid, *name ? " " : "", name, track->pid);
	if (begin && root->begin >= begin)
		printf(", at +%s", viz_text__duration(at, sizeof(at), root->begin - begin));
	putchar('\n');
	print_node(p, root->node, indent, 0, true);
	putchar('\n');
}

static int print_roots(const struct tree_options *o, const struct viz_trace *trace,
		       struct viz_calltree *tree)
{
	struct printer p = {.o = o, .trace = trace, .tree = tree};
	struct viz_root *roots;
	size_t nr, i, shown;
	char calls[32];

	roots = viz_calltree__roots(tree, &nr);
	if (!roots) {
		viz_error("out of memory");
		return -1;
	}
	setlocale(LC_CTYPE, "");
	p.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	p.columns = viz_table__rest(NULL, 0);
	shown = o->limit && o->limit < nr ? o->limit : nr;
	for (i = 0; i < shown; i++)
		print_root(&p, &roots[i]);
	printf("%s calls", viz_text__count(calls, sizeof(calls), tree->calls));
	printf(" in %s root calls", viz_text__count(calls, sizeof(calls), nr));
	if (shown < nr)
		printf("; the slowest %zu shown", shown);
	putchar('\n');
	free(roots);
	return 0;
}

int viz_command__tree(int argc, char **argv)
{
	struct tree_options o = {.limit = 5, .depth = 40, .percent = 1};
	struct viz_calltree *tree = NULL;
	struct viz_trace *trace = NULL;
	char why[512] = "out of memory";
	int err, status = 1;

	err = parse(argc, argv, &o);
	if (err)
		return err - 1;
	trace = viz_trace__new();
	tree = viz_calltree__new();
	if (!trace || !tree) {
		viz_error("%s", why);
		goto cleanup;
	}
	err = viz_pick__read(o.file, o.thread, trace, viz_calltree__calls, tree, why, sizeof(why));
	if (err)
		viz_error("%s", why);
	if (err && !tree->calls)
		goto cleanup;
	if (print_roots(&o, trace, tree))
		goto cleanup;
	if (fflush(stdout) || ferror(stdout))
		viz_error("cannot write to standard output: %m");
	else
		status = err ? 1 : 0;
cleanup:
	viz_calltree__free(tree);
	viz_trace__free(trace);
	return status;
}
