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

static int parse(int argc, char **argv, struct tree_options *o)
{
	const struct viz_arg list[] = {
		{"limit", 0, VIZ_ARG_NUMBER, .to = &o->limit, .max = UINT32_MAX},
		{"depth", 0, VIZ_ARG_NUMBER, .to = &o->depth, .max = DEPTH_MAX},
		{"min", 0, VIZ_ARG_PERCENT, .to = &o->percent},
		{"thread", 0, VIZ_ARG_TEXT, .to = &o->thread},
		{"all", 0, VIZ_ARG_FLAG, .to = &o->all},
	};
	const struct viz_args args = {
		"tree", usage, list, sizeof(list) / sizeof(*list), 1, 1, "give one trace file",
	};
	int status = viz_args__parse(&args, argc, argv);

	o->file = argv[optind];
	return status;
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
	int err, status;

	status = parse(argc, argv, &o);
	if (status >= 0)
		return status;
	status = 1;
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
