/* SPDX-License-Identifier: Apache-2.0 */
/* The statically defined probes (USDT) of the provider "python" in an ELF file. */
#ifndef VIZ_USDT_NOTES_H
#define VIZ_USDT_NOTES_H

#include "elf_image.h"
#include "interpreter.h"

/* A note as it stands in the file; the texts end within the data that was parsed. */
struct viz_usdt_note {
	uint64_t pc, base, semaphore; /* vaddrs, before prelink's move is undone */
	const char *provider, *name, *args;
};

/* Calls @each for every well-formed note in @data, until it returns non-zero, which is
 * returned; malformed ones end the walk with -EINVAL. */
int viz_usdt__parse(const void *data, size_t size,
		    int (*each)(const struct viz_usdt_note *note, void *ctx), void *ctx);

/* Fills usdt[] and nr_usdt[] of @build. Returns 0 (also when there are none) or -ENOMEM. */
int viz_usdt__read(const struct viz_elf *elf, struct viz_build *build);
void viz_usdt__free(struct viz_build *build);

#endif
