// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/usdt_notes.c: notes as compilers write them, and notes that lie.
 * Build: user/target/usdt_notes.c user/target/elf_image.c user/target/elf_pointers.c
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/usdt_notes.h"

static int tests, failed;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

struct seen {
	int notes;
	uint64_t pc, base, semaphore;
	char text[64];
	int stop;
};

static int keep(const struct viz_usdt_note *note, void *ctx)
{
	struct seen *seen = ctx;

	seen->notes++;
	seen->pc = note->pc;
	seen->base = note->base;
	seen->semaphore = note->semaphore;
	snprintf(seen->text, sizeof(seen->text), "%s:%s:%s", note->provider, note->name,
		 note->args);
	return seen->stop;
}

/* Appends a note of type 3 whose three texts are a literal with \0 between them. */
static size_t put(unsigned char *at, const char *owner, const void *texts, size_t size)
{
	uint32_t head[3] = {(uint32_t)strlen(owner) + 1, (uint32_t)(24 + size), 3};
	uint64_t words[3] = {0x1111, 0x2222, 0x3333};
	unsigned char *start = at;

	memcpy(at, head, sizeof(head));
	at += sizeof(head);
	memcpy(at, owner, head[0]);
	at += (head[0] + 3) & ~3u;
	memcpy(at, words, sizeof(words));
	memcpy(at + sizeof(words), texts, size);
	at += (head[1] + 3) & ~3u;
	return (size_t)(at - start);
}

/* Parses a copy of exactly that size. */
static int parse(const unsigned char *data, size_t size, struct seen *seen)
{
	unsigned char *copy = malloc(size ? size : 1);
	int err;

	memset(seen, 0, sizeof(*seen));
	memcpy(copy, data, size);
	err = viz_usdt__parse(copy, size, keep, seen);
	free(copy);
	return err;
}

#define TEXTS "python\0gc__start\0-4@%edi"

int main(void)
{
	unsigned char data[512] = {0};
	struct seen seen;
	size_t one, two, cut;
	uint32_t huge = 0xfffffffd;
	int worst = 0;

	one = put(data, "stapsdt", TEXTS, sizeof(TEXTS));
	check(!parse(data, one, &seen) && seen.notes == 1 && seen.pc == 0x1111 &&
		      seen.base == 0x2222 && seen.semaphore == 0x3333 &&
		      !strcmp(seen.text, "python:gc__start:-4@%edi"),
	      "one note");
	two = one + put(data + one, "stapsdt", "python\0line\0", 13);
	check(!parse(data, two, &seen) && seen.notes == 2 && !strcmp(seen.text, "python:line:"),
	      "a second one, without arguments");
	seen.stop = 0;
	for (cut = 0; cut < one; cut++) {
		int err = parse(data, cut, &seen);

		worst += seen.notes != 0 || (err && err != -EINVAL);
	}
	check(!worst, "cut short anywhere, there is no note and no step outside");
	memset(data, 0, sizeof(data));
	one = put(data, "GNUfoo!", TEXTS, sizeof(TEXTS));
	check(!parse(data, one, &seen) && !seen.notes, "notes of another owner are passed over");
	memset(data, 0, sizeof(data));
	one = put(data, "stapsdt", "python\0gc__start", 16);
	check(parse(data, one, &seen) == -EINVAL && !seen.notes, "texts that do not end");
	for (int i = 0; i < 2; i++) {
		memset(data, 0, sizeof(data));
		one = put(data, "stapsdt", TEXTS, sizeof(TEXTS));
		memcpy(data + 4 * i, &huge, 4);
		check(parse(data, one, &seen) == -EINVAL && !seen.notes,
		      i ? "a description of 4 GB" : "an owner's name of 4 GB");
	}
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
