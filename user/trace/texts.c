// SPDX-License-Identifier: Apache-2.0
#include "texts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"

struct viz_text {
	struct viz_text *next;
	uint32_t hash, users;
	char text[];
};

static uint32_t hash_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	while (*text)
		hash = (hash ^ (unsigned char)*text++) * 0x100000001b3ULL;
	return (uint32_t)(hash ^ hash >> 32);
}

/* Where the text hangs, or would. */
static struct viz_text **find(const struct viz_texts *texts, const char *text, uint32_t hash)
{
	struct viz_text **at = &texts->heads[hash & (texts->nr_heads - 1)];

	while (*at && ((*at)->hash != hash || strcmp((*at)->text, text)))
		at = &(*at)->next;
	return at;
}

static int grow(struct viz_texts *texts)
{
	uint32_t nr = texts->nr_heads ? 2 * texts->nr_heads : 64;
	struct viz_text **heads = calloc(nr, sizeof(*heads)), *t, *next;

	if (!heads)
		return -1;
	for (uint32_t i = 0; i < texts->nr_heads; i++)
		for (t = texts->heads[i]; t; t = next) {
			next = t->next;
			t->next = heads[t->hash & (nr - 1)];
			heads[t->hash & (nr - 1)] = t;
		}
	free(texts->heads);
	texts->heads = heads;
	texts->nr_heads = nr;
	return 0;
}

static const char *use_valid(struct viz_texts *texts, const char *text)
{
	uint32_t hash = hash_of(text);
	size_t size = strlen(text) + 1;
	struct viz_text **at, *t;

	if (texts->nr >= texts->nr_heads && grow(texts))
		return NULL;
	at = find(texts, text, hash);
	if (!*at) {
		t = malloc(sizeof(*t) + size);
		if (!t)
			return NULL;
		t->next = NULL;
		t->hash = hash;
		t->users = 0;
		memcpy(t->text, text, size);
		*at = t;
		texts->nr++;
	}
	(*at)->users++;
	return (*at)->text;
}

const char *viz_texts__use(struct viz_texts *texts, const char *text)
{
	size_t len = strlen(text);
	const char *result;
	char *clean;

	if (viz_utf8__valid(text, len))
		return use_valid(texts, text);
	/* each bad byte becomes the three of U+FFFD */
	clean = malloc(3 * len + 1);
	if (!clean)
		return NULL;
	viz_utf8__clean(clean, 3 * len + 1, text, len);
	result = use_valid(texts, clean);
	free(clean);
	return result;
}

void viz_texts__drop(struct viz_texts *texts, const char *text)
{
	struct viz_text **at, *t;

	if (!text || !texts->nr)
		return;
	at = find(texts, text, hash_of(text));
	t = *at;
	if (!t || t->text != text || --t->users)
		return;
	*at = t->next;
	texts->nr--;
	free(t);
}

void viz_texts__clear(struct viz_texts *texts)
{
	struct viz_text *t, *next;

	for (uint32_t i = 0; i < texts->nr_heads; i++)
		for (t = texts->heads[i]; t; t = next) {
			next = t->next;
			free(t);
		}
	free(texts->heads);
	memset(texts, 0, sizeof(*texts));
}
