/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from 64-bit keys to 32-bit values: open addressing, one cache line a look-up. */
#ifndef VIZ_HASH_H
#define VIZ_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct viz_hash_slot {
	uint64_t key;
	uint32_t value;
	uint32_t used;
};

/* All zero is an empty table. */
struct viz_hash {
	struct viz_hash_slot *slots;
	size_t cap, nr;
};

static inline size_t viz_hash__place(const struct viz_hash *h, uint64_t key)
{
	key *= 0x9e3779b97f4a7c15ull;
	return (size_t)(key >> 32) & (h->cap - 1);
}

static inline bool viz_hash__get(const struct viz_hash *h, uint64_t key, uint32_t *value)
{
	size_t i;

	if (!h->cap)
		return false;
	for (i = viz_hash__place(h, key); h->slots[i].used; i = (i + 1) & (h->cap - 1)) {
		if (h->slots[i].key == key) {
			*value = h->slots[i].value;
			return true;
		}
	}
	return false;
}

/* Sets or replaces; false when out of memory. */
bool viz_hash__set(struct viz_hash *h, uint64_t key, uint32_t value);
void viz_hash__remove(struct viz_hash *h, uint64_t key);
void viz_hash__clear(struct viz_hash *h);

#endif
