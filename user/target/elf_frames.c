// SPDX-License-Identifier: Apache-2.0
/*
 * The extents of functions from .eh_frame. It survives stripping, and unlike st_size it
 * delimits the parts that a compiler moved away from a function: GCC puts what a profile
 * calls cold elsewhere, which in Debian's 3.14 and 3.15 is the interpreter loop itself.
 */
#include <stdlib.h>
#include <string.h>

#include "elf_image_private.h"

#define FRAMES_MAX (64u << 20)

enum {
	PE_ABSPTR = 0x00,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_PCREL = 0x10,
	PE_OMIT = 0xff,
};

struct cursor {
	const unsigned char *at, *end;
};

static bool take(struct cursor *c, void *out, size_t size)
{
	if ((size_t)(c->end - c->at) < size)
		return false;
	memcpy(out, c->at, size);
	c->at += size;
	return true;
}

static bool take_leb(struct cursor *c, uint64_t *out)
{
	unsigned int shift = 0;
	unsigned char byte;

	*out = 0;
	do {
		if (shift > 63 || !take(c, &byte, 1))
			return false;
		*out |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return true;
}

/* A value in the format (low four bits) of a pointer encoding. */
static bool take_encoded(struct cursor *c, unsigned int encoding, uint64_t *out)
{
	int32_t narrow;
	uint32_t wide;

	switch (encoding & 0x0f) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		return take(c, out, 8);
	case PE_SDATA4:
		if (!take(c, &narrow, 4))
			return false;
		*out = (uint64_t)(int64_t)narrow;
		return true;
	case PE_UDATA4:
		if (!take(c, &wide, 4))
			return false;
		*out = wide;
		return true;
	default:
		return false;
	}
}

/* The encoding of addresses in the FDEs of the CIE at @at; PE_OMIT when it is not known. */
static unsigned int cie_encoding(const unsigned char *data, size_t size, uint64_t at)
{
	struct cursor c = {data + at, data + size};
	unsigned char version, encoding = PE_ABSPTR, personality;
	const char *augmentation;
	uint64_t ignored;
	uint32_t length, id;

	if (!take(&c, &length, 4) || length == UINT32_MAX || length > (size_t)(c.end - c.at))
		return PE_OMIT;
	c.end = c.at + length;
	if (!take(&c, &id, 4) || id || !take(&c, &version, 1) || (version != 1 && version != 3))
		return PE_OMIT;
	augmentation = (const char *)c.at;
	c.at = memchr(c.at, 0, (size_t)(c.end - c.at));
	if (!c.at)
		return PE_OMIT;
	c.at++;
	if (!take_leb(&c, &ignored) || !take_leb(&c, &ignored) || !take_leb(&c, &ignored))
		return PE_OMIT;
	if (!*augmentation)
		return PE_ABSPTR;
	if (*augmentation++ != 'z' || !take_leb(&c, &ignored))
		return PE_OMIT;
	for (; *augmentation; augmentation++) {
		switch (*augmentation) {
		case 'R':
			return take(&c, &encoding, 1) ? encoding : PE_OMIT;
		case 'L':
			if (!take(&c, &personality, 1))
				return PE_OMIT;
			break;
		case 'P':
			if (!take(&c, &personality, 1) || !take_encoded(&c, personality, &ignored))
				return PE_OMIT;
			break;
		case 'S':
			break;
		default:
			return PE_OMIT;
		}
	}
	return encoding;
}

bool viz_elf__fragment(const struct viz_elf *elf, uint64_t vaddr, struct viz_elf_fragment *out)
{
	unsigned int encoding = PE_OMIT;
	uint64_t at = 0, encoding_of = UINT64_MAX;
	struct viz_elf_section section;
	const unsigned char *data;

	if (!viz_elf__section(elf, ".eh_frame", &section) || section.size > FRAMES_MAX)
		return false;
	data = viz_elf__at(elf, section.vaddr, section.size);
	if (!data)
		return false;
	while (section.size - at >= 8) {
		struct cursor c = {data + at, data + section.size};
		uint64_t start, length, pc, cie;
		uint32_t size, id;

		if (!take(&c, &size, 4))
			return false;
		/* A zero ends the table; 64-bit entries are not made by any compiler here. */
		if (!size || size == UINT32_MAX || size < 4 || size > section.size - at - 4)
			return false;
		c.end = c.at + size;
		if (!take(&c, &id, 4))
			return false;
		cie = at + 4 - id;
		pc = section.vaddr + at + 8;
		at += 4 + (uint64_t)size;
		if (!id || cie >= section.size)
			continue;
		if (cie != encoding_of) {
			encoding = cie_encoding(data, section.size, cie);
			encoding_of = cie;
		}
		if ((encoding & 0x70) != PE_PCREL && (encoding & 0x70))
			continue;
		if (encoding == PE_OMIT || !take_encoded(&c, encoding, &start) ||
		    !take_encoded(&c, encoding & 0x0f, &length))
			continue;
		if (encoding & PE_PCREL)
			start += pc;
		if (vaddr >= start && vaddr - start < length && length <= INT64_MAX - start) {
			out->start = start;
			out->end = start + length;
			return true;
		}
	}
	return false;
}
