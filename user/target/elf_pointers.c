// SPDX-License-Identifier: Apache-2.0
/* What pointers stored in an ELF file's data will be once the file is loaded. */
#include <stdlib.h>
#include <string.h>

#include "elf_image_private.h"

#define RELOCS_MAX (1u << 20)

static int compare_relocs(const void *a, const void *b)
{
	const struct viz_elf_reloc *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

/* The value of a symbol that this file defines itself; another file's is not known here. */
static bool symbol_value(const struct viz_elf *elf, size_t table, size_t index, uint64_t *value)
{
	Elf_Scn *scn = elf_getscn(elf->elf, table);
	Elf_Data *data = NULL;
	GElf_Shdr shdr;
	GElf_Sym sym;

	if (!scn || !gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_DYNSYM)
		return false;
	data = viz_elf__contents(scn, &shdr);
	if (!data || index > INT32_MAX || !gelf_getsym(data, (int)index, &sym) ||
	    sym.st_shndx == SHN_UNDEF)
		return false;
	*value = sym.st_value;
	return true;
}

static bool reloc_value(const struct viz_elf *elf, size_t symbols, const GElf_Rela *rela,
			uint64_t *value)
{
	uint64_t type = GELF_R_TYPE(rela->r_info);

	switch (elf->ehdr.e_machine) {
	case EM_X86_64:
		if (type == R_X86_64_RELATIVE) {
			*value = (uint64_t)rela->r_addend;
			return true;
		}
		if (type != R_X86_64_GLOB_DAT && type != R_X86_64_64 && type != R_X86_64_JUMP_SLOT)
			return false;
		break;
	case EM_AARCH64:
		if (type == R_AARCH64_RELATIVE) {
			*value = (uint64_t)rela->r_addend;
			return true;
		}
		if (type != R_AARCH64_GLOB_DAT && type != R_AARCH64_ABS64 &&
		    type != R_AARCH64_JUMP_SLOT)
			return false;
		break;
	default:
		return false;
	}
	if (!symbol_value(elf, symbols, GELF_R_SYM(rela->r_info), value))
		return false;
	*value += (uint64_t)rela->r_addend;
	return true;
}

/* Room for @n more; what does not fit is left out. NULL: none. */
static struct viz_elf_reloc *grow(struct viz_elf *elf, size_t *n)
{
	struct viz_elf_reloc *grown;

	if (*n > RELOCS_MAX - elf->nr_relocs)
		*n = RELOCS_MAX - elf->nr_relocs;
	grown = realloc(elf->relocs, (elf->nr_relocs + *n + 1) * sizeof(*grown));
	if (grown)
		elf->relocs = grown;
	return grown;
}

static void read_section(struct viz_elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	Elf_Data *data = viz_elf__contents(scn, shdr);
	size_t n, i;

	if (!data || !shdr->sh_entsize)
		return;
	n = shdr->sh_size / shdr->sh_entsize;
	if (!grow(elf, &n))
		return;
	for (i = 0; i < n; i++) {
		GElf_Rela rela;
		uint64_t value;

		if (!gelf_getrela(data, (int)i, &rela))
			return;
		if (!reloc_value(elf, shdr->sh_link, &rela, &value))
			continue;
		elf->relocs[elf->nr_relocs].vaddr = rela.r_offset;
		elf->relocs[elf->nr_relocs++].value = value;
	}
}

/* A relative relocation whose address is in place. */
static void add_in_place(struct viz_elf *elf, uint64_t vaddr)
{
	const void *word = viz_elf__at(elf, vaddr, sizeof(uint64_t));

	if (!word)
		return;
	elf->relocs[elf->nr_relocs].vaddr = vaddr;
	memcpy(&elf->relocs[elf->nr_relocs++].value, word, sizeof(uint64_t));
}

/* Packed relative relocations: an address, and bit maps of the 63 words that follow each. */
static void read_packed(struct viz_elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	Elf_Data *data = viz_elf__contents(scn, shdr);
	uint64_t entry, at = 0;
	size_t n = 63;

	for (size_t i = 0; data && i + sizeof(entry) <= data->d_size; i += sizeof(entry)) {
		memcpy(&entry, (const char *)data->d_buf + i, sizeof(entry));
		if (!grow(elf, &n) || n < 63)
			return;
		if (!(entry & 1)) {
			add_in_place(elf, entry);
			at = entry + 8;
			continue;
		}
		for (unsigned int bit = 1; bit < 64; bit++, at += 8)
			if (entry >> bit & 1)
				add_in_place(elf, at);
	}
}

static void read_relocs(struct viz_elf *elf)
{
	unsigned int seen = 0;
	Elf_Scn *scn = NULL;

	elf->relocs_read = true;
	while ((scn = elf_nextscn(elf->elf, scn)) && seen++ < 4096) {
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr) || !(shdr.sh_flags & SHF_ALLOC))
			continue;
		if (shdr.sh_type == SHT_RELA)
			read_section(elf, scn, &shdr);
		else if (shdr.sh_type == SHT_RELR)
			read_packed(elf, scn, &shdr);
	}
	if (elf->nr_relocs)
		qsort(elf->relocs, elf->nr_relocs, sizeof(*elf->relocs), compare_relocs);
}

bool viz_elf__pointer_at(const struct viz_elf *elf, uint64_t vaddr, uint64_t *value)
{
	const struct viz_elf_reloc key = {.vaddr = vaddr}, *found = NULL;
	const void *word;

	if (!elf->relocs_read)
		read_relocs((struct viz_elf *)elf);
	if (elf->nr_relocs)
		found = bsearch(&key, elf->relocs, elf->nr_relocs, sizeof(key), compare_relocs);
	if (found) {
		*value = found->value;
		return true;
	}
	/* Files at a fixed address have the address in place. */
	word = viz_elf__at(elf, vaddr, sizeof(*value));
	if (!word)
		return false;
	memcpy(value, word, sizeof(*value));
	return true;
}

/* An address that stands in the data of a file at a fixed address: a number may look like one by
 * chance, hardly beside another one. What is wanted are tables. */
static bool has_company(const struct viz_elf *elf, const unsigned char *data, uint64_t size,
			uint64_t at)
{
	uint64_t before = 0, after = 0;

	if (at >= 8)
		memcpy(&before, data + at - 8, sizeof(before));
	if (at + 16 <= size)
		memcpy(&after, data + at + 8, sizeof(after));
	return viz_elf__is_code(elf, before) || viz_elf__is_code(elf, after);
}

void viz_elf__each_pointer(const struct viz_elf *elf, uint64_t lo, uint64_t hi,
			   void (*each)(uint64_t value, void *ctx), void *ctx)
{
	unsigned int i;
	size_t k;

	if (!elf->relocs_read)
		read_relocs((struct viz_elf *)elf);
	for (k = 0; k < elf->nr_relocs; k++)
		if (elf->relocs[k].value >= lo && elf->relocs[k].value < hi)
			each(elf->relocs[k].value, ctx);
	for (i = 0; viz_elf__is_fixed(elf) && i < elf->nr_loads; i++) {
		const struct viz_elf_load *load = &elf->loads[i];
		const unsigned char *data = load->exec ? NULL : viz_elf__load_data(elf, i);
		uint64_t at = -load->vaddr & 7, value;

		for (; data && at + 8 <= load->filesz; at += 8) {
			memcpy(&value, data + at, sizeof(value));
			if (value >= lo && value < hi && has_company(elf, data, load->filesz, at))
				each(value, ctx);
		}
	}
}
