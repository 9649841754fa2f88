/* with: user/command/profile.c user/command/nest.c user/trace/model.c user/trace/texts.c user/base/utf8.c */
/* libs: */
// SPDX-License-Identifier: Apache-2.0
/* The profile behind stats, diff and top, checked against a slow and obvious computation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/profile.h"
#include "command/nest.h"

static int tests, failed;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

static void equal(uint64_t got, uint64_t want, const char *what)
{
	check(got == want, what);
	if (got != want)
		printf("# got %llu, want %llu\n", (unsigned long long)got,
		       (unsigned long long)want);
}

static struct viz_call call(uint32_t func, uint64_t begin, uint64_t end)
{
	return (struct viz_call){.func = func, .begin = begin, .dur = end - begin};
}

static void test_self(void)
{
	/* main(0..100) calls a(10..40), which calls b(20..30), and b(50..60) */
	const struct viz_call calls[] = {call(2, 20, 30), call(1, 10, 40), call(2, 50, 60),
					 call(0, 0, 100)};
	struct viz_profile *p = viz_profile__new();

	check(!viz_profile__calls(p, calls, 4), "taken");
	equal(p->rows[0].self, 60, "self time of the outer call");
	equal(p->rows[0].total, 100, "total time of the outer call");
	equal(p->rows[1].self, 20, "self time between");
	equal(p->rows[2].self, 20, "self time of the leaf");
	equal(p->rows[2].calls, 2, "calls");
	equal(viz_row__mean(&p->rows[2]), 10, "mean");
	equal(p->disordered, 0, "in order");
	equal(p->end - p->begin, 100, "span");
	viz_profile__free(p);
}

static void test_recursion(void)
{
	/* f(0..100) -> f(10..90) -> g(20..80) -> f(30..40), f(50..60) */
	const struct viz_call calls[] = {call(0, 30, 40), call(0, 50, 60), call(1, 20, 80),
					 call(0, 10, 90), call(0, 0, 100), call(0, 200, 230)};
	struct viz_profile *p = viz_profile__new();

	viz_profile__calls(p, calls, 6);
	equal(p->rows[0].total, 130, "recursion counts once");
	equal(p->rows[0].self, 20 + 20 + 20 + 30, "self time in recursion");
	equal(p->rows[0].calls, 5, "calls in recursion");
	equal(p->rows[0].max, 100, "max");
	equal(p->rows[0].min, 10, "min");
	viz_profile__free(p);
}

static void test_tracks(void)
{
	struct viz_call calls[] = {call(0, 10, 20), call(1, 0, 30)};
	struct viz_profile *p = viz_profile__new();

	calls[1].track = 5;
	viz_profile__calls(p, calls, 2);
	equal(p->rows[1].self, 30, "a call on another thread is not inside");
	viz_profile__free(p);
}

static void test_disorder(void)
{
	/* the caller first, as other tools write it */
	const struct viz_call calls[] = {call(0, 0, 100), call(1, 10, 20)};
	struct viz_profile *p = viz_profile__new();

	viz_profile__calls(p, calls, 2);
	equal(p->disordered, 1, "a wrong order is noticed");
	equal(p->rows[1].self, 10, "and does no harm to what comes later");
	viz_profile__free(p);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void test_percentiles(void)
{
	enum { N = 20000 };
	static uint64_t all[N];
	struct viz_profile *p = viz_profile__new();
	static const double percents[] = {1, 25, 50, 90, 99, 99.9};
	uint64_t at = 0, value, want;
	size_t i;
	int bad = 0;

	srand(3);
	for (i = 0; i < N; i++) {
		struct viz_call c;

		all[i] = 20 +
			 (uint64_t)(rand() % 1000) * (uint64_t)(rand() % 1000) * (i % 100 ? 1 : 50);
		c = call(0, at, at + all[i]);
		viz_profile__calls(p, &c, 1);
		at += all[i] + 5;
	}
	qsort(all, N, sizeof(*all), compare);
	for (i = 0; i < sizeof(percents) / sizeof(*percents); i++) {
		want = all[(size_t)(percents[i] / 100 * N)];
		value = viz_row__percentile(&p->rows[0], percents[i]);
		if (llabs((long long)value - (long long)want) > (long long)(want * 0.04) + 1) {
			printf("# p%g: %llu, want %llu\n", percents[i], (unsigned long long)value,
			       (unsigned long long)want);
			bad++;
		}
	}
	check(!bad, "percentiles are within the promised error");
	equal(viz_row__percentile(&p->rows[0], 100), all[N - 1], "p100 is the maximum");
	viz_profile__free(p);
}

/* A random tree of calls; self times computed on the way, for comparison. */
static struct viz_call made[200000];
static uint64_t self[16], total[16];
static size_t nr_made;

static uint64_t grow(uint64_t at, int depth, unsigned int open)
{
	uint32_t func = (uint32_t)rand() % 16;
	uint64_t begin = at, inside = 0;
	int children = depth > 12 ? 0 : rand() % 5, i;

	at += 1 + (uint64_t)rand() % 100;
	for (i = 0; i < children; i++) {
		uint64_t child = at;

		at = grow(at, depth + 1, open | 1u << func);
		inside += at - child;
		at += (uint64_t)rand() % 50;
		/* gaps are the caller's own */
	}
	at += 1 + (uint64_t)rand() % 100;
	self[func] += at - begin - inside;
	if (!(open & 1u << func))
		total[func] += at - begin;
	if (nr_made < sizeof(made) / sizeof(*made))
		made[nr_made++] = call(func, begin, at);
	return at;
}

static void test_random_trees(void)
{
	struct viz_profile *p = viz_profile__new();
	uint64_t at = 0;
	int i, bad_self = 0, bad_total = 0;

	srand(11);
	while (nr_made < 100000)
		at = grow(at, 0, 0) + 10;
	check(nr_made < sizeof(made) / sizeof(*made), "the whole tree was made");
	for (i = 0; (size_t)i < nr_made; i += 100)
		viz_profile__calls(p, made + i,
				   nr_made - (size_t)i < 100 ? nr_made - (size_t)i : 100);
	for (i = 0; i < 16; i++) {
		bad_self += p->rows[i].self != self[i];
		/* of a function not yet known to be recursive, only a few calls wait */
		bad_total +=
			llabs((long long)(p->rows[i].total - total[i])) > (long long)total[i] / 100;
	}
	check(!bad_self, "self times of random trees are exact");
	check(!bad_total, "total times of random trees are within 1 %");
	viz_profile__free(p);
}

static void test_bounded(void)
{
	struct viz_nest nest = {0};
	uint64_t inside, i, sum = 0;

	for (i = 0; i < 1000000; i++) {
		viz_nest__add(&nest, i * 10, i * 10 + 7, 64, &inside);
		sum += 7;
	}
	check(nest.nr <= 64, "a million waiting calls take 64 places");
	viz_nest__add(&nest, 0, 10000000, 64, &inside);
	equal(inside, sum, "merged neighbours keep their sum");
	equal(nest.nr, 1, "the caller took them all");
	viz_nest__clear(&nest);
	for (i = 0; i < 100000; i++)
		viz_nest__add(&nest, i * 10, i * 10 + 7, 64, &inside);
	viz_nest__add(&nest, 500000, 1000000, 64, &inside);
	check(inside > 340000 && inside < 360000, "a merged neighbour is divided in proportion");
	viz_nest__clear(&nest);
}

static void test_sorted(void)
{
	struct viz_trace *trace = viz_trace__new();
	struct viz_profile *p = viz_profile__new();
	const struct viz_call calls[] = {call(0, 0, 10), call(2, 10, 40), call(1, 50, 60),
					 call(1, 70, 85)};
	uint32_t *order, nr;

	viz_trace__func(trace, "b", "", 0);
	viz_trace__func(trace, "a", "", 0);
	viz_trace__func(trace, "c", "", 0);
	viz_trace__func(trace, "never", "", 0);
	viz_profile__calls(p, calls, 4);
	order = viz_profile__sorted(p, trace, VIZ_SORT_SELF, &nr);
	check(nr == 3 && order[0] == 2 && order[1] == 1 && order[2] == 0, "by self time");
	free(order);
	order = viz_profile__sorted(p, trace, VIZ_SORT_NAME, &nr);
	check(order[0] == 1 && order[1] == 0 && order[2] == 2, "by name");
	free(order);
	order = viz_profile__sorted(p, trace, VIZ_SORT_CALLS, &nr);
	check(order[0] == 1 && order[1] == 0, "by calls, then by name");
	free(order);
	check(!strcmp(viz_sort_names[VIZ_SORT_P99], "p99") && !viz_sort_names[VIZ_SORTS],
	      "names of orders");
	viz_profile__free(p);
	viz_trace__free(trace);
}

int main(void)
{
	test_self();
	test_recursion();
	test_tracks();
	test_disorder();
	test_percentiles();
	test_random_trees();
	test_bounded();
	test_sorted();
	printf("1..%d\n", tests);
	return failed != 0;
}
