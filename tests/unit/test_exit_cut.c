// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/exit_cut.c: graphs by hand, and random ones against a walk over every path.
 * Build: user/target/exit_cut.c
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/exit_cut.h"

#define NONE UINT32_MAX
#define NODES 12

static int tests, failed;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

static struct viz_cut_node node(uint32_t a, uint32_t b, uint32_t cost)
{
	return (struct viz_cut_node){.next = {a, b}, .cost = cost};
}

static void test_by_hand(void)
{
	/* 0 -> 1 -> 2: the cheapest of a straight line */
	struct viz_cut_node line[3] = {node(1, NONE, 5), node(2, NONE, 1), node(NONE, NONE, 5)};
	/* 0 -> 2 <- 1: two ways in, one way out */
	struct viz_cut_node join[3] = {node(2, NONE, 1), node(2, NONE, 1), node(NONE, NONE, 9)};
	struct viz_cut_node same[2] = {node(1, NONE, 4), node(NONE, NONE, 4)};
	/* 1 loops: whatever is chosen must not be in the loop */
	struct viz_cut_node loop[3] = {node(1, NONE, 50), node(1, 2, 1), node(NONE, NONE, 60)};
	struct viz_cut_node spin[1] = {node(0, NONE, 1)};

	line[0].entry = line[2].exit = true;
	check(!viz_cut__find(line, 3) && !line[0].chosen && line[1].chosen && !line[2].chosen &&
		      !line[1].after && line[2].after,
	      "the cheapest one of a line");
	join[0].entry = join[1].entry = join[2].exit = true;
	check(!viz_cut__find(join, 3) && join[0].chosen && join[1].chosen && !join[2].chosen,
	      "two cheap ones instead of a dear one");
	join[2].cost = 1;
	check(!viz_cut__find(join, 3) && !join[0].chosen && !join[1].chosen && join[2].chosen,
	      "one cheap one instead of two");
	same[0].entry = same[1].exit = true;
	check(!viz_cut__find(same, 2) && !same[0].chosen && same[1].chosen,
	      "of equals, the one nearest to the exit");
	same[0].cost = 3;
	same[0].before = true;
	check(!viz_cut__find(same, 2) && same[1].chosen, "not before what must come first");
	loop[0].entry = loop[2].exit = true;
	check(!viz_cut__find(loop, 3) && loop[0].chosen && !loop[1].chosen && !loop[2].chosen,
	      "never one in a loop, however cheap");
	loop[0].cost = loop[2].cost = VIZ_CUT_NEVER;
	check(viz_cut__find(loop, 3) == -ENOENT, "only the loop is left: refused");
	spin[0].entry = spin[0].exit = true;
	check(viz_cut__find(spin, 1) == -ENOENT, "an exit in a loop: refused");
	check(viz_cut__find(spin, 0) == -E2BIG, "no nodes at all");
}

/* Walks every path of an acyclic graph; -1 when one does not pass exactly one choice. */
static int walk(const struct viz_cut_node *nodes, uint32_t at, int passed)
{
	int err = 0;

	passed += nodes[at].chosen;
	if (passed > 1 || (nodes[at].after != (passed && !nodes[at].chosen)))
		return -1;
	if (nodes[at].exit && passed != 1)
		return -1;
	for (int k = 0; k < 2; k++)
		if (nodes[at].next[k] != NONE)
			err |= walk(nodes, nodes[at].next[k], passed);
	return err;
}

/* The cheapest valid choice, by trying all of them. */
static uint64_t best_of_all(const struct viz_cut_node *nodes)
{
	struct viz_cut_node copy[NODES];
	uint64_t best = UINT64_MAX;

	for (unsigned int set = 1; set < 1u << NODES; set++) {
		uint64_t cost = 0;
		int err = 0;

		memcpy(copy, nodes, sizeof(copy));
		for (int i = 0; i < NODES; i++) {
			copy[i].chosen = set >> i & 1;
			copy[i].after = false;
			cost += copy[i].chosen ? copy[i].cost : 0;
		}
		if (cost >= best)
			continue;
		/* "after" follows from the choice: the numbers rise along the edges. */
		for (int i = 0; i < NODES; i++)
			for (int k = 0; k < 2; k++)
				if (copy[i].next[k] != NONE && (copy[i].chosen || copy[i].after))
					copy[copy[i].next[k]].after = true;
		for (int i = 0; i < NODES && !err; i++)
			if (copy[i].entry)
				err = walk(copy, (uint32_t)i, 0);
		if (!err)
			best = cost;
	}
	return best;
}

static void random_graph(struct viz_cut_node *nodes, unsigned int *seed)
{
	for (int i = 0; i < NODES; i++) {
		int left = NODES - 1 - i;

		nodes[i] = node(NONE, NONE, 1 + (uint32_t)(rand_r(seed) % 40));
		if (left && rand_r(seed) % 8)
			nodes[i].next[0] = (uint32_t)(i + 1 + rand_r(seed) % left);
		if (left && rand_r(seed) % 3 == 0)
			nodes[i].next[1] = (uint32_t)(i + 1 + rand_r(seed) % left);
		nodes[i].entry = i == 0 || rand_r(seed) % 6 == 0;
		nodes[i].exit = nodes[i].next[0] == NONE && nodes[i].next[1] == NONE;
	}
	/* What nothing leads to must be an entry, so that every node is on some path. */
	for (int i = 1; i < NODES; i++) {
		bool led_to = false;

		for (int k = 0; k < i; k++)
			led_to |=
				nodes[k].next[0] == (uint32_t)i || nodes[k].next[1] == (uint32_t)i;
		nodes[i].entry |= !led_to;
	}
}

static void test_random(void)
{
	int wrong = 0, dear = 0, found = 0;

	for (unsigned int round = 0; round < 400; round++) {
		struct viz_cut_node nodes[NODES];
		unsigned int seed = round;
		uint64_t cost = 0, best;

		random_graph(nodes, &seed);
		best = best_of_all(nodes);
		if (viz_cut__find(nodes, NODES)) {
			wrong += best != UINT64_MAX;
			continue;
		}
		found++;
		for (int i = 0; i < NODES; i++) {
			cost += nodes[i].chosen ? nodes[i].cost : 0;
			if (nodes[i].entry)
				wrong += walk(nodes, (uint32_t)i, 0) != 0;
		}
		dear += cost != best;
	}
	printf("# %d of 400 graphs have a cut\n", found);
	check(!wrong, "every path of random graphs passes exactly one choice");
	check(!dear && found > 100, "and costs what the cheapest of all choices costs");
}

int main(void)
{
	test_by_hand();
	test_random();
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
