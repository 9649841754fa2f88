// SPDX-License-Identifier: Apache-2.0
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "intake.h"

/* Open addressing; the key's bytes live elsewhere and are compared there. */
struct slot {
	uint64_t key; /* a hash of a text, or the key itself */
	uint32_t value; /* 1 + index, 0: free */
	uint32_t len; /* of a text */
	char *text;
};

struct table {
	struct slot *slots;
	uint32_t nr, cap; /* cap: a power of two */
};

struct viz_names {
	struct viz_trace *trace;
	struct table funcs, tracks, processes;
	uint64_t last_key; /* of the track asked for before */
	uint32_t last_track;
	struct viz_buffer scratch;
};

struct viz_names *viz_names__new(struct viz_trace *trace)
{
	struct viz_names *names = calloc(1, sizeof(*names));

	if (names) {
		names->trace = trace;
		names->last_track = UINT32_MAX;
	}
	return names;
}

void viz_names__free(struct viz_names *names)
{
	uint32_t i;

	if (!names)
		return;
	for (i = 0; i < names->funcs.cap; i++)
		free(names->funcs.slots[i].text);
	free(names->funcs.slots);
	free(names->tracks.slots);
	free(names->processes.slots);
	viz_buffer__free(&names->scratch);
	free(names);
}

static uint64_t mix(uint64_t h)
{
	h *= 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t h = len, word;

	for (; len >= 8; len -= 8, text += 8) {
		memcpy(&word, text, 8);
		h = mix(h ^ word);
	}
	if (len) {
		word = 0;
		memcpy(&word, text, len);
		h = mix(h ^ word);
	}
	return mix(h);
}

/* The slot of the key: taken (value != 0) or free for it. NULL when out of memory. */
static struct slot *table__find(struct table *t, uint64_t key, const char *text, size_t len)
{
	uint32_t i, at;

	if (t->nr * 2 >= t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 256;
		struct slot *slots = calloc(cap, sizeof(*slots));

		if (!slots)
			return NULL;
		for (i = 0; i < t->cap; i++) {
			if (!t->slots[i].value)
				continue;
			for (at = (uint32_t)mix(t->slots[i].key) & (cap - 1); slots[at].value;
			     at = (at + 1) & (cap - 1))
				;
			slots[at] = t->slots[i];
		}
		free(t->slots);
		t->slots = slots;
		t->cap = cap;
	}
	for (at = (uint32_t)mix(key) & (t->cap - 1); t->slots[at].value;
	     at = (at + 1) & (t->cap - 1)) {
		struct slot *slot = &t->slots[at];

		if (slot->key == key &&
		    (!text || (slot->len == len && !memcmp(slot->text, text, len))))
			return slot;
	}
	return &t->slots[at];
}

uint32_t viz_names__process(struct viz_names *names, uint32_t pid)
{
	struct slot *slot = table__find(&names->processes, pid, NULL, 0);
	uint32_t index;

	if (!slot)
		return UINT32_MAX;
	if (slot->value)
		return slot->value - 1;
	index = viz_trace__process(names->trace, pid);
	if (index == UINT32_MAX)
		return index;
	*slot = (struct slot){.key = pid, .value = index + 1};
	names->processes.nr++;
	return index;
}

uint32_t viz_names__track(struct viz_names *names, uint32_t pid, uint32_t tid)
{
	uint64_t key = (uint64_t)pid << 32 | tid;
	struct slot *slot;
	uint32_t index;

	if (key == names->last_key && names->last_track != UINT32_MAX)
		return names->last_track;
	slot = table__find(&names->tracks, key, NULL, 0);
	if (!slot)
		return UINT32_MAX;
	if (!slot->value) {
		index = viz_names__process(names, pid);
		if (index != UINT32_MAX)
			index = viz_trace__track(names->trace, index, tid);
		if (index == UINT32_MAX)
			return index;
		*slot = (struct slot){.key = key, .value = index + 1};
		names->tracks.nr++;
	}
	names->last_key = key;
	names->last_track = slot->value - 1;
	return names->last_track;
}

/* Where " (file:line)" begins in @text, or NULL; the line in @line. */
static char *find_place(char *text, size_t len, uint32_t *line)
{
	char *colon, *open, *p;
	uint64_t value = 0;

	if (len < 5 || text[len - 1] != ')')
		return NULL;
	colon = memrchr(text, ':', len);
	if (!colon || colon + 2 >= text + len)
		return NULL;
	for (p = colon + 1; p < text + len - 1; p++) {
		if (*p < '0' || *p > '9')
			return NULL;
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > UINT32_MAX)
			return NULL;
	}
	/* the first: a path may hold another, a qualified name does not */
	open = memmem(text, (size_t)(colon - text), " (", 2);
	if (!open || open + 2 >= colon)
		return NULL;
	*colon = '\0';
	*line = (uint32_t)value;
	return open;
}

static uint32_t func__add(struct viz_names *names, const char *text, size_t len, bool escaped)
{
	struct viz_buffer *b = &names->scratch;
	uint32_t line = 0;
	char *place;

	b->len = 0;
	if (escaped)
		viz_json__unescape(b, text, len);
	else
		viz_buffer__add(b, text, len);
	viz_buffer__add(b, "", 1);
	if (b->failed)
		return UINT32_MAX;
	place = find_place(b->data, b->len - 1, &line);
	if (!place)
		return viz_trace__func(names->trace, b->data, "", 0);
	*place = '\0';
	return viz_trace__func(names->trace, b->data, place + 2, line);
}

uint32_t viz_names__func(struct viz_names *names, const char *text, size_t len, bool escaped)
{
	uint64_t key = hash_text(text, len);
	struct slot *slot = table__find(&names->funcs, key, text, len);
	uint32_t index;
	char *copy;

	if (!slot)
		return UINT32_MAX;
	if (slot->value)
		return slot->value - 1;
	index = func__add(names, text, len, escaped);
	copy = index == UINT32_MAX ? NULL : malloc(len + 1);
	if (!copy)
		return UINT32_MAX;
	memcpy(copy, text, len);
	*slot = (struct slot){.key = key, .value = index + 1, .len = (uint32_t)len, .text = copy};
	names->funcs.nr++;
	return index;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* The four digits at @p, or -1. */
static int hex4(const char *p, const char *end)
{
	int i, value = 0, digit;

	if (end - p < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		digit = hex_digit(p[i]);
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static void add_char(struct viz_buffer *b, uint32_t c)
{
	char out[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;

	/* half of a pair, or NUL, which would end the string */
	if ((c >= 0xd800 && c < 0xe000) || !c) {
		viz_buffer__add(b, "\xef\xbf\xbd", 3);
		return;
	}
	for (i = n - 1; i; i--, c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
	viz_buffer__add(b, out, n);
}

void viz_json__unescape(struct viz_buffer *b, const char *text, size_t len)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *p = text, *end = text + len, *stop, *which;
	int c, low;

	while (p < end) {
		stop = memchr(p, '\\', (size_t)(end - p));
		viz_buffer__add(b, p, (size_t)((stop ? stop : end) - p));
		if (!stop || stop + 1 >= end)
			return;
		p = stop + 2;
		which = memchr(from, stop[1], 5);
		if (which) {
			viz_buffer__add(b, &to[which - from], 1);
		} else if (stop[1] != 'u') {
			viz_buffer__add(b, stop + 1, 1);
		} else {
			c = hex4(p, end);
			p += c < 0 ? 0 : 4;
			if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' &&
			    p[1] == 'u') {
				low = hex4(p + 2, end);
				if (low >= 0xdc00 && low < 0xe000) {
					c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
					p += 6;
				}
			}
			add_char(b, c < 0 ? 0 : (uint32_t)c);
		}
	}
}
