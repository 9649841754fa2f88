// SPDX-License-Identifier: Apache-2.0
#include "trampoline_place.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../target/remote.h"
#include "recorder/recorder.h"

struct region {
	uint64_t start, end, offset, ino;
	unsigned int major, minor;
	bool exec, write, private_, vdso;
};

struct regions {
	struct region *at;
	size_t nr, cap;
};

static int append(struct regions *r, const struct region *new)
{
	if (r->nr == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 256;
		void *at = realloc(r->at, cap * sizeof(*r->at));

		if (!at)
			return -ENOMEM;
		r->at = at;
		r->cap = cap;
	}
	r->at[r->nr++] = *new;
	return 0;
}

static int add_region(struct regions *r, const char *line)
{
	struct region new = {0};
	char perms[5] = "";
	int path = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &new.start, &new.end, perms, &new.offset,
		   &new.major, &new.minor, &new.ino, &path) < 7)
		return 0;
	new.write = perms[1] == 'w';
	new.exec = perms[2] == 'x';
	new.private_ = perms[3] == 'p';
	new.vdso = path && !strcmp(line + path, "[vdso]\n");
	return append(r, &new);
}

static int by_start(const void *a, const void *b)
{
	const struct region *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* What will be mapped soon is no hole any more. */
static int add_taken(struct regions *r, const struct viz_span *taken, int nr)
{
	int err = 0;

	for (int i = 0; i < nr && !err; i++) {
		struct region new = {.start = taken[i].addr, .end = taken[i].addr + taken[i].size};

		err = append(r, &new);
	}
	if (!err && r->at)
		qsort(r->at, r->nr, sizeof(*r->at), by_start);
	return err;
}

static int read_regions(struct regions *r, pid_t pid)
{
	char path[64], *line = NULL;
	size_t size = 0;
	int err = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (!err && getline(&line, &size, f) > 0)
		if (r->nr < 1000000)
			err = add_region(r, line);
	free(line);
	fclose(f);
	return err;
}

/* Where the segment mapped as @text really ends: what follows in the page is
 * not the file's. 0: not to be known. The program headers are read from the
 * target's own mapping. */
static uint64_t segment_end(const struct regions *all, const struct region *text, int mem)
{
	const struct region *first = NULL;
	Elf64_Ehdr eh;
	Elf64_Phdr ph[64];
	uint64_t bias = 0;
	bool based = false;

	for (size_t i = 0; i < all->nr && &all->at[i] <= text; i++)
		if (all->at[i].ino == text->ino && all->at[i].major == text->major &&
		    all->at[i].minor == text->minor && !all->at[i].offset)
			first = &all->at[i];
	if (!first || viz_remote__read(mem, first->start, &eh, sizeof(eh)) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_phentsize != sizeof(ph[0]) || !eh.e_phnum || eh.e_phnum > 64 ||
	    eh.e_phoff > 4096 ||
	    viz_remote__read(mem, first->start + eh.e_phoff, ph, eh.e_phnum * sizeof(ph[0])))
		return 0;
	for (int i = 0; i < eh.e_phnum && !based; i++) {
		if (ph[i].p_type != PT_LOAD || ph[i].p_offset >= 4096)
			continue;
		bias = first->start - (ph[i].p_vaddr & ~4095ull);
		based = true;
	}
	for (int i = 0; based && i < eh.e_phnum; i++) {
		uint64_t end = bias + ph[i].p_vaddr + ph[i].p_memsz;

		if (ph[i].p_type == PT_LOAD && ph[i].p_flags & PF_X &&
		    ph[i].p_filesz == ph[i].p_memsz && end > text->start && end <= text->end)
			return end;
	}
	return 0;
}

/* The kernel's own library: its file as a whole, section headers last. */
static uint64_t vdso_end(const struct region *vdso, int mem)
{
	Elf64_Ehdr eh;
	uint64_t size = vdso->end - vdso->start;

	if (viz_remote__read(mem, vdso->start, &eh, sizeof(eh)) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_shoff >= size || !eh.e_shnum ||
	    eh.e_shentsize != sizeof(Elf64_Shdr) ||
	    eh.e_shnum * sizeof(Elf64_Shdr) > size - eh.e_shoff)
		return 0;
	return vdso->start + eh.e_shoff + eh.e_shnum * sizeof(Elf64_Shdr);
}

/* Zeros behind @end, a part of @text that nobody refers to. */
static void look_for_cave(struct viz_places *p, const struct region *text, uint64_t end, int mem)
{
	uint64_t addr = (end + 31) & ~15ull, used = 0;
	uint8_t bytes[4096];
	struct viz_cave cave;
	int i;

	if (!end || addr + 256 > text->end || text->end - addr > sizeof(bytes) ||
	    viz_remote__read(mem, addr, bytes, text->end - addr))
		return;
	/* what is not zero is another interpreter's recorder on its way, or somebody else's */
	for (uint64_t at = 0; at < text->end - addr; at++)
		if (bytes[at])
			used = (at + 32) & ~15ull;
	addr += used;
	if (addr + 256 > text->end)
		return;
	cave = (struct viz_cave){.addr = addr, .size = text->end - addr};
	if (p->nr_caves == VIZ_CAVES_MAX)
		return;
	for (i = p->nr_caves++; i > 0 && p->caves[i - 1].size < cave.size; i--)
		p->caves[i] = p->caves[i - 1];
	p->caves[i] = cave;
	p->room += cave.size;
}

/* The middle of the largest gap: neither the heap nor the mappings grow into it
 * soon. */
static uint64_t find_hole(const struct regions *all, uint64_t size)
{
	uint64_t best = 0, hole = 0, from = 0;

	for (size_t i = 1; i < all->nr; i++) {
		uint64_t to = all->at[i].start;

		/* one that was taken may have been mapped meanwhile */
		if (all->at[i - 1].end > from)
			from = all->at[i - 1].end;
		/* [vsyscall] lies in the kernel's half */
		if (to <= from || to >> 47 || to - from <= best)
			continue;
		best = to - from;
		hole = from + best / 2;
	}
	hole &= ~((2ull << 20) - 1);
	return best >= 4 * (size + (2ull << 20)) ? hole : 0;
}

/* Recorders are mapped in two ways (recorder/loader.c, recorder/room.c), and what they begin with
 * has been written by vizbpf. Returns where this one ends, 0: it is none. */
static uint64_t image_end(const struct region *r, int mem)
{
	struct viz_rec_consts k;

	if (r->offset || r->end - r->start > VIZ_REC_PAGE ||
	    viz_remote__read(mem, r->start, &k, sizeof(k)) || k.magic != VIZ_REC_MAGIC)
		return 0;
	return k.bytes < r->end - r->start ? r->start + k.bytes : r->end;
}

int viz_places__find(struct viz_places *p, pid_t pid, int mem, uint64_t hole_size,
		     const struct viz_span *taken, int nr_taken)
{
	struct regions all = {0};
	const struct region *vdso = NULL;
	uint64_t end;
	int err = read_regions(&all, pid);

	*p = (struct viz_places){0};
	if (err)
		goto cleanup;
	for (size_t i = 0; i < all.nr; i++) {
		const struct region *r = &all.at[i];

		if (!r->exec || r->write || !r->private_)
			continue;
		end = image_end(r, mem);
		if (r->vdso)
			vdso = r;
		else if (!end && r->ino)
			end = segment_end(&all, r, mem);
		else if (end && p->nr_images < VIZ_IMAGES_MAX)
			p->images[p->nr_images++] = r->start;
		look_for_cave(p, r, end, mem);
	}
	if (vdso && p->room < VIZ_REC_IMAGE_MAX)
		look_for_cave(p, vdso, vdso_end(vdso, mem), mem);
	err = add_taken(&all, taken, nr_taken);
	if (!err)
		p->hole = find_hole(&all, hole_size);
cleanup:
	free(all.at);
	return err;
}

void viz_places__reserve(struct viz_places *p, uint64_t addr, uint64_t size)
{
	for (int i = 0; i < p->nr_caves; i++) {
		struct viz_cave *c = &p->caves[i];
		uint64_t end = c->addr + c->size, from = (addr + size + 15) & ~15ull;

		/* the cave begins behind what is not zero there: perhaps in the middle of it */
		if (from <= c->addr || addr >= end)
			continue;
		from = from < end ? from : end;
		p->room -= from - c->addr;
		c->addr = from;
		c->size = end - from;
	}
}

uint64_t viz_places__take(struct viz_places *p, uint64_t size)
{
	uint64_t addr;

	size = (size + 15) & ~15ull;
	/* the smallest that fits: the others are for the pieces */
	for (int i = p->nr_caves - 1; i >= 0; i--) {
		if (p->caves[i].size < size)
			continue;
		addr = p->caves[i].addr;
		p->caves[i].addr += size;
		p->caves[i].size -= size;
		p->room -= size;
		return addr;
	}
	return 0;
}

uint64_t viz_places__take_some(struct viz_places *p, uint64_t most, uint64_t *size)
{
	struct viz_cave *best = NULL;
	uint64_t addr;

	for (int i = 0; i < p->nr_caves; i++)
		if (!best || p->caves[i].size > best->size)
			best = &p->caves[i];
	if (!best || !best->size)
		return 0;
	*size = best->size < most ? best->size : most;
	addr = best->addr;
	best->addr += (*size + 15) & ~15ull;
	best->size -= (*size + 15) & ~15ull;
	p->room -= *size;
	return addr;
}
