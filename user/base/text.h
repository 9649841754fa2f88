/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people. Names come from traced programs and from files that anybody may have
 * made: whatever of them reaches a terminal or a document goes through here.
 */
#ifndef VIZ_TEXT_H
#define VIZ_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Copies @text, showing what a terminal could act on (C0 and C1 controls, DEL, bytes that are
 * not UTF-8) as \xNN, and what would reorder or hide neighbours (bidirectional controls,
 * line separators, zero-width characters) as \u{NNNN}. Always terminated; cut at a whole
 * character when @size is too small. Returns the bytes written without the terminator.
 */
size_t viz_text__safe(char *out, size_t size, const char *text);

/*
 * The same, cut to @columns of a terminal: the end is kept when @keep_end (for paths), else
 * the beginning; what was cut shows as "~". @pad fills up with blanks. Returns the bytes.
 */
size_t viz_text__fit(char *out, size_t size, const char *text, size_t columns, bool keep_end,
		     bool pad);

/* Columns of a terminal that @text takes; it has gone through viz_text__safe(). */
size_t viz_text__columns(const char *text);

/* "1.23 s", "45.6 ms", "789 us", "12 ns": three significant digits. Returns @out. */
char *viz_text__duration(char *out, size_t size, uint64_t ns);
/* "1,234,567". Returns @out. */
char *viz_text__count(char *out, size_t size, uint64_t count);

/* @text as a JSON string with its quotes; what viz_text__safe() would not show is escaped,
 * so that the document may be printed to a terminal, and bytes that are not UTF-8 become
 * U+FFFD. */
void viz_text__json(FILE *out, const char *text);

/* The next character of UTF-8 at @text: its bytes in @bytes (1 for an invalid byte), its
 * code point as the result, UINT32_MAX when invalid. @text is not at its terminator. */
uint32_t viz_text__next(const char *text, size_t *bytes);

#endif
