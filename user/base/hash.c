// SPDX-License-Identifier: Apache-2.0
#include "hash.h"

#include <string.h>

static void insert(struct viz_hash *h, uint64_t key, uint32_t value)
{
	size_t i = viz_hash__place(h, key);

	while (h->slots[i].used && h->slots[i].key != key)
		i = (i + 1) & (h->cap - 1);
	h->nr += !h->slots[i].used;
	h->slots[i] = (struct viz_hash_slot){.key = key, .value = value, .used = 1};
}

bool viz_hash__set(struct viz_hash *h, uint64_t key, uint32_t value)
{
	struct viz_hash grown = {.cap = h->cap ? h->cap * 2 : 64};

	if (h->nr * 2 >= h->cap) {
		grown.slots = calloc(grown.cap, sizeof(*grown.slots));
		if (!grown.slots)
			return false;
		for (size_t i = 0; i < h->cap; i++)
			if (h->slots[i].used)
				insert(&grown, h->slots[i].key, h->slots[i].value);
		free(h->slots);
		*h = grown;
	}
	insert(h, key, value);
	return true;
}

void viz_hash__remove(struct viz_hash *h, uint64_t key)
{
	size_t i, hole;

	if (!h->cap)
		return;
	for (i = viz_hash__place(h, key); h->slots[i].used && h->slots[i].key != key;)
		i = (i + 1) & (h->cap - 1);
	if (!h->slots[i].used)
		return;
	h->nr--;
	/* Entries that had to step over the removed one move up, so that look-ups find them. */
	hole = i;
	for (i = (i + 1) & (h->cap - 1); h->slots[i].used; i = (i + 1) & (h->cap - 1)) {
		size_t home = viz_hash__place(h, h->slots[i].key);

		if (((i - home) & (h->cap - 1)) >= ((i - hole) & (h->cap - 1))) {
			h->slots[hole] = h->slots[i];
			hole = i;
		}
	}
	memset(&h->slots[hole], 0, sizeof(h->slots[hole]));
}

void viz_hash__clear(struct viz_hash *h)
{
	free(h->slots);
	memset(h, 0, sizeof(*h));
}
