// SPDX-License-Identifier: Apache-2.0
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

char *viz_buffer__room(struct viz_buffer *b, size_t size)
{
	size_t cap = b->cap ? b->cap : 256;
	char *data;

	if (b->failed)
		return NULL;
	if (b->data && b->cap - b->len >= size)
		return b->data + b->len;
	while (cap - b->len < size && cap < SIZE_MAX / 2)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		viz_buffer__free(b);
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

void viz_buffer__add(struct viz_buffer *b, const void *data, size_t size)
{
	char *p = viz_buffer__room(b, size);

	if (!p || !size)
		return;
	memcpy(p, data, size);
	b->len += size;
}

void viz_buffer__text(struct viz_buffer *b, const char *text)
{
	viz_buffer__add(b, text, strlen(text));
}

void viz_buffer__printf(struct viz_buffer *b, const char *fmt, ...)
{
	va_list ap;
	int need;
	char *p;

	va_start(ap, fmt);
	need = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (need < 0)
		return;
	p = viz_buffer__room(b, (size_t)need + 1);
	if (!p)
		return;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)need + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)need;
}

void viz_buffer__escaped(struct viz_buffer *b, const char *text, size_t len)
{
	char *p = viz_buffer__room(b, len * VIZ_JSON_GROWTH);

	if (p)
		b->len += (size_t)(viz_json__escape(p, text, len) - p);
}

void viz_buffer__quoted(struct viz_buffer *b, const char *text)
{
	viz_buffer__add(b, "\"", 1);
	viz_buffer__escaped(b, text, strlen(text));
	viz_buffer__add(b, "\"", 1);
}

void viz_buffer__free(struct viz_buffer *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
	b->failed = false;
}
