// SPDX-License-Identifier: Apache-2.0
/*
 * The contents of a .note.stapsdt section.
 * Build: user/target/usdt_notes.c user/target/elf_image.c user/target/elf_pointers.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "target/usdt_notes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct limits {
	const char *start, *end;
};

static int each(const struct viz_usdt_note *note, void *ctx)
{
	const char *const texts[] = {note->provider, note->name, note->args};
	struct limits *limits = ctx;

	for (int i = 0; i < 3; i++)
		if (texts[i] < limits->start || texts[i] + strlen(texts[i]) >= limits->end)
			abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);
	struct limits limits = {copy, copy + size};

	memcpy(copy, data, size);
	viz_usdt__parse(copy, size, each, &limits);
	free(copy);
	return 0;
}
