/* SPDX-License-Identifier: Apache-2.0 */
/* From CPython's way of keeping a code object's names to UTF-8. */
#ifndef VIZ_CODE_NAMES_H
#define VIZ_CODE_NAMES_H

#include "../../bpf/records.h"
#include "model.h"

/*
 * Decodes @size bytes of a PyUnicodeObject of @kind bytes per character (1: Latin-1, 2: UCS-2,
 * 4: UCS-4; anything else gives "?") into UTF-8, at most @out_size - 1 bytes, never half a
 * character. Surrogates and numbers that are no characters become U+FFFD. Returns the length.
 */
size_t viz_code__decode(const uint8_t *text, size_t size, int kind, char *out, size_t out_size);

/* The function that a record names; its index in the trace, UINT32_MAX when out of memory. */
uint32_t viz_code__func(struct viz_trace *trace, const struct viz_code *code);

#endif
