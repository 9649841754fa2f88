/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows, for everything that is not written a million times a second. */
#ifndef VIZ_BUFFER_H
#define VIZ_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed to begin with. Out of memory sets @failed and empties; later additions do nothing. */
struct viz_buffer {
	char *data;
	size_t len, cap;
	bool failed;
};

/* Room for @size more bytes at data + len, or NULL. */
char *viz_buffer__room(struct viz_buffer *b, size_t size);
void viz_buffer__add(struct viz_buffer *b, const void *data, size_t size);
void viz_buffer__text(struct viz_buffer *b, const char *text);
void viz_buffer__printf(struct viz_buffer *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A JSON string without its quotes; @text is UTF-8. */
void viz_buffer__escaped(struct viz_buffer *b, const char *text, size_t len);
/* A JSON string with its quotes. */
void viz_buffer__quoted(struct viz_buffer *b, const char *text);
void viz_buffer__free(struct viz_buffer *b);

#endif
