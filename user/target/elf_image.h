/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ELF file of a target, read through a descriptor that is open already. The file is not
 * trusted: every size is bounded, and the contents are read into memory of ours, so that a
 * file that shrinks meanwhile gives an error and no signal.
 *
 * "vaddr" is an ELF virtual address, "offset" a place in the file.
 */
#ifndef VIZ_ELF_IMAGE_H
#define VIZ_ELF_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct viz_elf;

struct viz_elf_symbol {
	uint64_t value;
	uint64_t size;
};

struct viz_elf_section {
	uint64_t vaddr; /* 0: not loaded */
	uint64_t offset;
	uint64_t size;
};

/* A piece of a function, as the unwind tables delimit it: [start, end). */
struct viz_elf_fragment {
	uint64_t start, end;
};

/* 0, -ENOEXEC (not an ELF file this machine could run), -EFBIG, or another negative errno.
 * The descriptor stays the caller's and must outlive the image. */
int viz_elf__open(int fd, struct viz_elf **out);
void viz_elf__close(struct viz_elf *elf);

uint16_t viz_elf__machine(const struct viz_elf *elf);
bool viz_elf__is_fixed(const struct viz_elf *elf); /* ET_EXEC: the load bias is 0 */
bool viz_elf__has_symtab(const struct viz_elf *elf);
/* DT_SONAME, or "". */
const char *viz_elf__soname(const struct viz_elf *elf);

/* Defined symbols, .dynsym before .symtab; the version suffix is not part of the name. */
bool viz_elf__symbol(const struct viz_elf *elf, const char *name, struct viz_elf_symbol *out);
bool viz_elf__section(const struct viz_elf *elf, const char *name, struct viz_elf_section *out);
/* A copy of the section's bytes, at most @max of them; free() it. NULL when there is none. */
void *viz_elf__section_data(const struct viz_elf *elf, const char *name, size_t max, size_t *size);

/* Both return false when no loaded segment has it in the file. */
bool viz_elf__to_offset(const struct viz_elf *elf, uint64_t vaddr, uint64_t *offset);
bool viz_elf__to_vaddr(const struct viz_elf *elf, uint64_t offset, uint64_t *vaddr);
/* Where a page of an executable segment that is mapped from @offset has its place. It may
 * begin before the segment, and then belongs to two of them: the executable one is meant. */
bool viz_elf__to_code(const struct viz_elf *elf, uint64_t offset, uint64_t *vaddr);
bool viz_elf__is_code(const struct viz_elf *elf, uint64_t vaddr);

/* Bytes as the file has them (not relocated). NULL unless all are in one segment. */
const void *viz_elf__at(const struct viz_elf *elf, uint64_t vaddr, size_t size);
/* The NUL-terminated text there, NULL when it does not end within the segment. */
const char *viz_elf__text_at(const struct viz_elf *elf, uint64_t vaddr);
/* The pointer stored at @vaddr once the file's own relocations are applied, as a vaddr. */
bool viz_elf__pointer_at(const struct viz_elf *elf, uint64_t vaddr, uint64_t *value);
/* Calls @each with every vaddr in [lo, hi) that data of the file points at, repeats included; in a
 * file at a fixed address only what stands beside another address. */
void viz_elf__each_pointer(const struct viz_elf *elf, uint64_t lo, uint64_t hi,
			   void (*each)(uint64_t value, void *ctx), void *ctx);
/* Does any loaded read-only data contain this text? */
bool viz_elf__contains(const struct viz_elf *elf, const char *text);
/* The piece of code around @vaddr, from .eh_frame. */
bool viz_elf__fragment(const struct viz_elf *elf, uint64_t vaddr, struct viz_elf_fragment *out);

#endif
