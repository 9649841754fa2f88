/* with: user/command/calltree.c */
/* libs: */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/calltree.h"

static int tests, failed;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

static void add(struct viz_calltree *tree, uint32_t func, uint64_t begin, uint64_t end)
{
	const struct viz_call call = {.func = func, .begin = begin, .dur = end - begin};

	if (viz_calltree__calls(tree, &call, 1))
		abort();
}

/* "0x1=100(1x2=30 2x1=5)": function x calls = time (children), the slowest first. */
static void describe(const struct viz_calltree *tree, uint32_t node, char *out)
{
	const struct viz_node *n = &tree->nodes[node];
	uint32_t child;

	sprintf(out + strlen(out), "%dx%llu=%llu", (int)n->func, (unsigned long long)n->calls,
		(unsigned long long)n->total);
	if (n->folded)
		sprintf(out + strlen(out), "+%u", n->folded);
	if (!n->child)
		return;
	strcat(out, "(");
	for (child = n->child; child; child = tree->nodes[child].next) {
		describe(tree, child, out);
		strcat(out, tree->nodes[child].next ? " " : ")");
	}
}

static void expect(struct viz_calltree *tree, const char *want, const char *what)
{
	struct viz_root *roots;
	char got[4096] = "";
	size_t nr, i;

	roots = viz_calltree__roots(tree, &nr);
	for (i = 0; i < nr; i++) {
		viz_calltree__sort(tree, roots[i].node);
		strcat(got, i ? " | " : "");
		describe(tree, roots[i].node, got);
	}
	free(roots);
	check(!strcmp(got, want), what);
	if (strcmp(got, want))
		printf("# got  %s\n# want %s\n", got, want);
}

static void test_shape(void)
{
	struct viz_calltree *tree = viz_calltree__new();

	add(tree, 1, 5, 10);
	add(tree, 2, 12, 20);
	add(tree, 1, 20, 25);
	add(tree, 0, 0, 30);
	expect(tree, "0x1=30(1x2=10 2x1=8)", "calls of one function by one caller are one node");
	add(tree, 2, 41, 43);
	add(tree, 1, 40, 45);
	add(tree, 3, 60, 160);
	expect(tree, "3x1=100 | 0x1=30(1x2=10 2x1=8) | 1x1=5(2x1=2)", "roots, the slowest first");
	viz_calltree__free(tree);
}

static bool is_library(void *ctx, uint32_t func)
{
	(void)ctx;
	return func >= 100;
}

static void test_fold(void)
{
	struct viz_calltree *tree = viz_calltree__new();
	struct viz_root *roots;
	size_t nr;

	/* 0 calls the library 100 -> 101 -> 102 -> 1 (our callback) -> 103; and 101 -> 1 too */
	add(tree, 103, 50, 55);
	add(tree, 1, 45, 60);
	add(tree, 102, 40, 65);
	add(tree, 1, 70, 80);
	add(tree, 101, 30, 85);
	add(tree, 100, 20, 90);
	add(tree, 0, 0, 100);
	roots = viz_calltree__roots(tree, &nr);
	viz_calltree__fold(tree, roots[0].node, is_library, NULL);
	free(roots);
	expect(tree, "0x1=100(100x1=70+2(1x2=25(103x1=5)))",
	       "library frames called by library frames are folded, callbacks stay");
	viz_calltree__free(tree);
}

static void test_deep(void)
{
	struct viz_calltree *tree = viz_calltree__new();
	struct viz_root *roots;
	uint64_t i;
	size_t nr;

	for (i = 0; i < 100000; i++)
		add(tree, 7, 1000000 - i, 1000000 + i + 1);
	roots = viz_calltree__roots(tree, &nr);
	check(nr == 1 && tree->nodes[roots[0].node].total == 2 * 99999 + 1,
	      "a recursion of 100000 has one root");
	check(tree->nodes[roots[0].node].height <= 512 && tree->live <= 512,
	      "and is cut at a bounded depth");
	viz_calltree__fold(tree, roots[0].node, is_library, NULL);
	viz_calltree__sort(tree, roots[0].node);
	free(roots);
	viz_calltree__free(tree);
}

static void test_many_siblings(void)
{
	struct viz_calltree *tree = viz_calltree__new();
	uint64_t i, calls = 0, total = 0;
	struct viz_root *roots;
	uint32_t child;
	size_t nr;

	for (i = 0; i < 300000; i++) /* every 1000th is slow */
		add(tree, (uint32_t)(i % 3), i * 100, i * 100 + (i % 1000 ? 10 : 90));
	roots = viz_calltree__roots(tree, &nr);
	check(nr < 20000 && tree->merged, "waiting calls are merged when there are many");
	check(tree->nodes[roots[0].node].total >= 90, "the slowest is first");
	free(roots);
	add(tree, 9, 0, 40000000);
	roots = viz_calltree__roots(tree, &nr);
	check(nr == 1, "their caller takes them all");
	for (child = tree->nodes[roots[0].node].child; child; child = tree->nodes[child].next) {
		calls += tree->nodes[child].calls;
		total += tree->nodes[child].total;
	}
	check(calls == 300000 && total == 300000 * 10 + 300 * 80, "no call and no time is lost");
	check(tree->nodes[roots[0].node].nr_children == 3, "in one node for each function");
	free(roots);
	viz_calltree__free(tree);
}

static void test_many_functions(void)
{
	struct viz_calltree *tree = viz_calltree__new();
	struct viz_root *roots;
	uint64_t i, calls = 0;
	uint32_t child;
	size_t nr;

	for (i = 0; i < 2000; i++)
		add(tree, (uint32_t)i + 1, i * 100, i * 100 + 10 + i % 50);
	add(tree, 0, 0, 1000000);
	roots = viz_calltree__roots(tree, &nr);
	check(nr == 1 && tree->nodes[roots[0].node].nr_children <= 130,
	      "thousands of different callees are bounded");
	for (child = tree->nodes[roots[0].node].child; child; child = tree->nodes[child].next)
		calls += tree->nodes[child].calls;
	check(calls == 2000, "the rest is summed up as other");
	free(roots);
	viz_calltree__free(tree);
}

static void test_budget(void)
{
	struct viz_calltree *tree = viz_calltree__new();
	uint64_t at = 0;
	uint32_t i, j;

	tree->budget = 5000;
	for (i = 0; i < 5000; i++) { /* distinct small trees of 20 nodes */
		uint64_t begin = at;

		for (j = 0; j < 19; j++) {
			add(tree, 1 + (i * 19 + j) % 4000, at + 1, at + 100);
			at += 100;
		}
		add(tree, 0, begin, ++at);
	}
	check(tree->live <= 5000, "the number of nodes stays in its budget");
	check(tree->calls == 100000, "all calls were seen");
	viz_calltree__free(tree);
}

int main(void)
{
	test_shape();
	test_fold();
	test_deep();
	test_many_siblings();
	test_many_functions();
	test_budget();
	printf("1..%d\n", tests);
	return failed != 0;
}
