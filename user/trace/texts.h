/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that many have in common, each kept once for as long as somebody uses it. */
#ifndef VIZ_TEXTS_H
#define VIZ_TEXTS_H

#include <stdint.h>

struct viz_text;

/* All zero is an empty table. */
struct viz_texts {
	struct viz_text **heads;
	uint32_t nr_heads; /* a power of two */
	uint32_t nr;
};

/* The table's copy of @text (valid UTF-8: what is not becomes U+FFFD), with one more user.
 * NULL when out of memory. */
const char *viz_texts__use(struct viz_texts *texts, const char *text);
/* One user less; with the last it is freed. @text is what viz_texts__use() returned; what is
 * not out of the table, and NULL, is left alone. */
void viz_texts__drop(struct viz_texts *texts, const char *text);
void viz_texts__clear(struct viz_texts *texts);

#endif
