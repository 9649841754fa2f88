/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the elf_*.c files only. */
#ifndef VIZ_ELF_IMAGE_PRIVATE_H
#define VIZ_ELF_IMAGE_PRIVATE_H

#include <gelf.h>
#include <libelf.h>

#include "elf_image.h"

#define VIZ_ELF_LOADS 16

struct viz_elf_load {
	uint64_t vaddr, offset, filesz, memsz;
	bool exec, write;
	bool tried;
	unsigned char *data; /* filesz bytes, NULL until needed or when unreadable */
};

struct viz_elf_reloc {
	uint64_t vaddr; /* the word that is relocated */
	uint64_t value; /* what it becomes */
};

struct viz_elf {
	int fd;
	Elf *elf;
	GElf_Ehdr ehdr;
	uint64_t file_size;
	struct viz_elf_load loads[VIZ_ELF_LOADS];
	unsigned int nr_loads;
	char soname[256];
	struct viz_elf_reloc *relocs; /* sorted by vaddr */
	size_t nr_relocs;
	bool relocs_read;
};

/* The segment's bytes, read on first use; NULL when that is impossible. */
const unsigned char *viz_elf__load_data(const struct viz_elf *elf, unsigned int index);
const struct viz_elf_load *viz_elf__load_at(const struct viz_elf *elf, uint64_t vaddr,
					    unsigned int *index);
/* The section's bytes unless they are too many. */
Elf_Data *viz_elf__contents(Elf_Scn *scn, const GElf_Shdr *shdr);
Elf_Scn *viz_elf__find_section(const struct viz_elf *elf, const char *name, GElf_Shdr *shdr);

#endif
