// SPDX-License-Identifier: Apache-2.0
#include "usdt_notes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_BYTES_MAX (1u << 20)
#define NOTE_STAPSDT 3
/* More locations of one probe than any build has: 3.15's audit has about a dozen. */
#define LOCATIONS_MAX 64

static const char *const names[VIZ_USDT_PROBES] = {
	[VIZ_USDT_ENTRY] = "function__entry",
	[VIZ_USDT_RETURN] = "function__return",
	[VIZ_USDT_GC_START] = "gc__start",
	[VIZ_USDT_GC_DONE] = "gc__done",
	[VIZ_USDT_IMPORT_START] = "import__find__load__start",
	[VIZ_USDT_IMPORT_DONE] = "import__find__load__done",
	[VIZ_USDT_AUDIT] = "audit",
};

static const char *take_text(const char **at, size_t *left)
{
	const char *text = *at, *end = memchr(text, 0, *left);

	if (!end)
		return NULL;
	*left -= (size_t)(end + 1 - text);
	*at = end + 1;
	return text;
}

static int parse_desc(const char *desc, size_t size, struct viz_usdt_note *note)
{
	if (size < 24)
		return -EINVAL;
	memcpy(&note->pc, desc, 8);
	memcpy(&note->base, desc + 8, 8);
	memcpy(&note->semaphore, desc + 16, 8);
	desc += 24;
	size -= 24;
	note->provider = take_text(&desc, &size);
	note->name = note->provider ? take_text(&desc, &size) : NULL;
	note->args = note->name ? take_text(&desc, &size) : NULL;
	return note->args ? 0 : -EINVAL;
}

int viz_usdt__parse(const void *data, size_t size,
		    int (*each)(const struct viz_usdt_note *note, void *ctx), void *ctx)
{
	const char *at = data;

	while (size >= 12) {
		uint32_t head[3]; /* name size, description size, type */
		size_t name_size, desc_size;

		memcpy(head, at, sizeof(head));
		at += sizeof(head);
		size -= sizeof(head);
		name_size = ((size_t)head[0] + 3) & ~(size_t)3;
		desc_size = ((size_t)head[1] + 3) & ~(size_t)3;
		if (name_size > size || desc_size > size - name_size)
			return -EINVAL;
		if (head[2] == NOTE_STAPSDT && head[0] == 8 && !memcmp(at, "stapsdt", 8)) {
			struct viz_usdt_note note;
			int err = parse_desc(at + name_size, head[1], &note);

			if (!err)
				err = each(&note, ctx);
			if (err)
				return err;
		}
		at += name_size + desc_size;
		size -= name_size + desc_size;
	}
	return 0;
}

struct reader {
	const struct viz_elf *elf;
	struct viz_build *build;
	uint64_t base; /* where .stapsdt.base is, 0: unknown */
};

static int add_note(const struct viz_usdt_note *note, void *ctx)
{
	struct reader *reader = ctx;
	struct viz_build *build = reader->build;
	uint64_t moved = reader->base && note->base ? reader->base - note->base : 0;
	struct viz_usdt *grown, *usdt;
	int probe;

	if (strcmp(note->provider, "python"))
		return 0;
	for (probe = 0; probe < VIZ_USDT_PROBES; probe++)
		if (!strcmp(note->name, names[probe]))
			break;
	if (probe == VIZ_USDT_PROBES || build->nr_usdt[probe] == LOCATIONS_MAX ||
	    strlen(note->args) >= sizeof(usdt->args))
		return 0;
	grown = realloc(build->usdt[probe], (build->nr_usdt[probe] + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	build->usdt[probe] = grown;
	usdt = &grown[build->nr_usdt[probe]];
	memset(usdt, 0, sizeof(*usdt));
	strcpy(usdt->args, note->args);
	if (!viz_elf__is_code(reader->elf, note->pc + moved) ||
	    !viz_elf__to_offset(reader->elf, note->pc + moved, &usdt->offset))
		return 0;
	/* A counter that cannot be raised makes a probe that never fires. */
	if (note->semaphore &&
	    !viz_elf__to_offset(reader->elf, note->semaphore + moved, &usdt->semaphore))
		return 0;
	build->nr_usdt[probe]++;
	return 0;
}

int viz_usdt__read(const struct viz_elf *elf, struct viz_build *build)
{
	struct reader reader = {.elf = elf, .build = build};
	struct viz_elf_section section;
	size_t size;
	void *data;
	int err;

	if (viz_elf__section(elf, ".stapsdt.base", &section))
		reader.base = section.vaddr;
	data = viz_elf__section_data(elf, ".note.stapsdt", NOTES_BYTES_MAX, &size);
	if (!data)
		return 0;
	err = viz_usdt__parse(data, size, add_note, &reader);
	free(data);
	return err == -ENOMEM ? err : 0;
}

void viz_usdt__free(struct viz_build *build)
{
	for (int i = 0; i < VIZ_USDT_PROBES; i++) {
		free(build->usdt[i]);
		build->usdt[i] = NULL;
		build->nr_usdt[i] = 0;
	}
}
