// SPDX-License-Identifier: Apache-2.0
#include "custom_probe.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_image.h"
#include "process_maps.h"
#include "usdt_notes.h"

enum {
	SECTIONS_MAX = 4096,
	NOTES_SIZE_MAX = 1 << 20,
	FILES_MAX = 4096, /* different ones in one process */
};

#if defined(__x86_64__)
#define ARGS "8@%rdi 8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9"
#else
#define ARGS "8@x0 8@x1 8@x2 8@x3 8@x4 8@x5"
#endif

static const char provider[] = "vizbpf", probe[] = "event";

/* Files that were looked at during one search. */
struct search {
	pid_t pid;
	uint64_t addr;
	struct {
		uint64_t ino;
		unsigned int dev_major, dev_minor;
	} seen[FILES_MAX];
	size_t nr_seen;
	int (*each)(const struct viz_custom_site *site, void *ctx);
	void *ctx;
};

static bool read_at(int fd, void *data, size_t size, uint64_t offset)
{
	return offset <= INT64_MAX && pread(fd, data, size, (off_t)offset) == (ssize_t)size;
}

/*
 * Whether the file's notes mention the probe. Most files have no such section: this reads a
 * few kilobytes of each, where an image of the whole file would be megabytes.
 */
static bool mentions_probe(int fd)
{
	static const char both[] = "vizbpf\0event";
	Elf64_Shdr *sections = NULL;
	char *data = NULL;
	Elf64_Ehdr head;
	bool found = false;

	if (!read_at(fd, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_shentsize != sizeof(*sections) ||
	    head.e_shnum > SECTIONS_MAX)
		return false;
	sections = calloc(head.e_shnum ? head.e_shnum : 1, sizeof(*sections));
	if (!sections || !read_at(fd, sections, head.e_shnum * sizeof(*sections), head.e_shoff))
		goto cleanup;
	for (unsigned int i = 0; i < head.e_shnum && !found; i++) {
		const Elf64_Shdr *s = &sections[i];

		if (s->sh_type != SHT_NOTE || (s->sh_flags & SHF_ALLOC) ||
		    s->sh_size < sizeof(both) || s->sh_size > NOTES_SIZE_MAX)
			continue;
		free(data);
		data = malloc(s->sh_size);
		if (!data)
			break;
		found = read_at(fd, data, s->sh_size, s->sh_offset) &&
			memmem(data, s->sh_size, both, sizeof(both));
	}
cleanup:
	free(sections);
	free(data);
	return found;
}

struct sites {
	const struct viz_elf *elf;
	uint64_t base; /* of the section .stapsdt.base: prelink moves it with everything else */
	struct viz_custom_site list[VIZ_CUSTOM_SITES_MAX];
	size_t nr;
};

static int take_note(const struct viz_usdt_note *note, void *ctx)
{
	struct sites *sites = ctx;
	struct viz_custom_site *site = &sites->list[sites->nr];
	uint64_t moved;

	/* The BPF program takes the arguments by the calling convention: no other form. */
	if (strcmp(note->provider, provider) || strcmp(note->name, probe) ||
	    strcmp(note->args, ARGS) || !note->semaphore)
		return 0;
	if (sites->nr == VIZ_CUSTOM_SITES_MAX)
		return 0;
	moved = sites->base && note->base ? sites->base - note->base : 0;
	if (!viz_elf__is_code(sites->elf, note->pc + moved) ||
	    !viz_elf__to_offset(sites->elf, note->pc + moved, &site->offset) ||
	    !viz_elf__to_offset(sites->elf, note->semaphore + moved, &site->semaphore))
		return 0;
	sites->nr++;
	return 0;
}

static int look_at_file(struct search *search, int fd)
{
	struct viz_elf_section base;
	struct viz_elf *elf = NULL;
	struct sites sites = {0};
	struct stat st;
	void *notes = NULL;
	size_t size;
	int err;

	err = viz_elf__open(fd, &elf);
	if (err || fstat(fd, &st))
		goto cleanup;
	sites.elf = elf;
	if (viz_elf__section(elf, ".stapsdt.base", &base))
		sites.base = base.vaddr;
	notes = viz_elf__section_data(elf, ".note.stapsdt", NOTES_SIZE_MAX, &size);
	if (notes)
		viz_usdt__parse(notes, size, take_note, &sites);
	for (size_t i = 0; i < sites.nr && !err; i++) {
		sites.list[i].dev = st.st_dev;
		sites.list[i].ino = st.st_ino;
		sites.list[i].fd = fd;
		err = search->each(&sites.list[i], search->ctx);
	}
cleanup:
	free(notes);
	viz_elf__close(elf);
	return err > 0 ? err : 0;
}

static bool seen_before(struct search *search, const struct viz_map *map)
{
	for (size_t i = 0; i < search->nr_seen; i++)
		if (search->seen[i].ino == map->inode &&
		    search->seen[i].dev_major == map->dev_major &&
		    search->seen[i].dev_minor == map->dev_minor)
			return true;
	if (search->nr_seen == FILES_MAX)
		return true;
	search->seen[search->nr_seen].ino = map->inode;
	search->seen[search->nr_seen].dev_major = map->dev_major;
	search->seen[search->nr_seen++].dev_minor = map->dev_minor;
	return false;
}

static int look_at_map(const struct viz_map *map, void *ctx)
{
	struct search *search = ctx;
	struct stat st;
	int fd, err = 0;

	if (!map->exec || !map->inode)
		return 0;
	if (search->addr && (search->addr < map->start || search->addr >= map->end))
		return 0;
	if (seen_before(search, map))
		return 0;
	fd = viz_maps__open(search->pid, map);
	if (fd < 0)
		return 0;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && mentions_probe(fd))
		err = look_at_file(search, fd);
	close(fd);
	return err;
}

int viz_custom__find(pid_t pid, uint64_t addr,
		     int (*each)(const struct viz_custom_site *site, void *ctx), void *ctx)
{
	struct search *search = calloc(1, sizeof(*search));
	int err;

	if (!search)
		return -ENOMEM;
	search->pid = pid;
	search->addr = addr;
	search->each = each;
	search->ctx = ctx;
	err = viz_maps__each(pid, look_at_map, search);
	free(search);
	return err;
}
