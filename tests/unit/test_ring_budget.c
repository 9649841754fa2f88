// SPDX-License-Identifier: Apache-2.0
/*
 * user/engine/ring_budget.c: many processes never get more than there is, a few get what they like.
 * Build: user/engine/ring_budget.c
 */
#include "engine/ring_budget.h"

#include "tap.h"

enum { MIB = 1 << 20 };

/* As many as fit, one after another. Returns how many; @first, @last: sizes of rings. */
static unsigned int fill(struct viz_ring_budget *b, uint64_t *first, uint64_t *last)
{
	unsigned int nr = 0;
	uint64_t size;

	*first = *last = 0;
	while ((size = viz_ring_budget__size(b, 16 * MIB, MIB))) {
		*first = *first ?: size;
		if (*last && size > *last)
			return 0;
		*last = size;
		b->used += size + MIB;
		nr++;
	}
	return nr;
}

static void test_many(void)
{
	struct viz_ring_budget large = {.limit = 3072ull * MIB}, small = {.limit = 128 * MIB};
	uint64_t first, last;
	unsigned int nr = fill(&large, &first, &last);

	ok(nr > 170 && first == 16 * MIB && last == MIB, "many on a large host, the last small");
	ok(large.used <= large.limit, "not more than there is");
	nr = fill(&small, &first, &last);
	ok(nr > 15 && first == 8 * MIB && last == MIB, "some on a small host");
	ok(small.used <= small.limit, "not more than there is");
	small.used -= 9 * MIB;
	ok(viz_ring_budget__size(&small, 16 * MIB, MIB) == MIB, "what is given back can be had");
}

static void test_none(void)
{
	struct viz_ring_budget none = {.limit = MIB}, over = {.limit = 10 * MIB, .used = 20 * MIB};

	ok(!viz_ring_budget__size(&none, 16 * MIB, MIB), "no memory, no ring");
	ok(!viz_ring_budget__size(&over, 16 * MIB, MIB), "more used than there was");
	ok(viz_ring_budget__available() > 0, "what is available is known");
}

int main(void)
{
	test_many();
	test_none();
	return tap_done();
}
