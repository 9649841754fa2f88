// SPDX-License-Identifier: Apache-2.0
/*
 * Machine code that claims to be the eval function or an accessor. The input becomes the code
 * segment of an ELF file, its end the data segment, so that tables of jumps can be made up.
 * Build: user/target/eval_sites.c user/target/pop_sites.c user/target/control_flow.c
 *	user/target/exit_cut.c
 *	user/target/code_x86.c user/target/code_access_x86.c user/target/elf_image.c
 *	user/target/elf_pointers.c user/target/elf_frames.c user/base/log.c
 */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target/eval_sites.h"
#include "target/pop_sites.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CODE 0x1000
#define DATA 0x3000
#define PART 0x1000

struct file {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[2];
	unsigned char pad[CODE - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr)];
	unsigned char code[PART], data[PART];
};

static void fill(struct file *file, const uint8_t *data, size_t size)
{
	size_t code = size < PART ? size : PART;

	memset(file, 0, sizeof(*file));
	memcpy(file->ehdr.e_ident, ELFMAG "\2\1\1", 7);
	file->ehdr.e_type = ET_EXEC;
	file->ehdr.e_machine = EM_X86_64;
	file->ehdr.e_version = EV_CURRENT;
	file->ehdr.e_ehsize = sizeof(file->ehdr);
	file->ehdr.e_phoff = sizeof(file->ehdr);
	file->ehdr.e_phentsize = sizeof(file->phdr[0]);
	file->ehdr.e_phnum = 2;
	file->phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				     .p_flags = PF_R | PF_X,
				     .p_offset = CODE,
				     .p_vaddr = CODE,
				     .p_filesz = PART,
				     .p_memsz = PART};
	file->phdr[1] = (Elf64_Phdr){.p_type = PT_LOAD,
				     .p_flags = PF_R | PF_W,
				     .p_offset = CODE + PART,
				     .p_vaddr = DATA,
				     .p_filesz = PART,
				     .p_memsz = PART};
	memcpy(file->code, data, code);
	memcpy(file->data, data + code, size - code < PART ? size - code : PART);
	/* Short inputs have their table in their own last bytes. */
	if (size <= PART)
		memcpy(file->data, data + size / 2, size - size / 2);
}

static void check(const struct viz_site *site)
{
	if (site->offset < CODE || site->offset >= CODE + PART)
		abort();
}

static int see(uint64_t ref, void *ctx)
{
	*(uint64_t *)ctx += ref;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct viz_eval_sites sites;
	struct viz_access access;
	struct viz_site site;
	/* the first byte tells which of the two shapes */
	const struct viz_offsets off = {
		.frame_previous = 8,
		.tstate_frame = size && data[0] & 1 ? 0x38 : 0x48,
		.cframe_current = size && data[0] & 1 ? 0 : VIZ_NONE,
	};
	struct viz_pop_sites pops;
	struct viz_elf *elf;
	uint64_t sum = 0;
	struct file *file;
	int fd;

	if (size < 4)
		return 0;
	file = malloc(sizeof(*file));
	fill(file, data, size);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, file, sizeof(*file)) != sizeof(*file) || viz_elf__open(fd, &elf))
		abort();
	if (!viz_eval_sites__find(elf, CODE, size < PART ? size : PART, 0x48, &sites, NULL, 0)) {
		check(&sites.enter);
		if (!sites.nr_leave || sites.nr_leave > VIZ_LEAVE_SITES)
			abort();
		for (unsigned int i = 0; i < sites.nr_leave; i++) {
			check(&sites.leave[i]);
			if (sites.leave[i].offset == sites.enter.offset)
				abort();
		}
	}
	if (!viz_pop_sites__find(elf, CODE, size < PART ? size : PART, &off, &pops)) {
		if (!pops.nr || pops.nr > VIZ_LEAVE_SITES)
			abort();
		for (unsigned int i = 0; i < pops.nr; i++)
			check(&pops.sites[i]);
	}
	if (!viz_enter_site__find(elf, CODE, 64, VIZ_ARG0, &site))
		check(&site);
	viz_insns__accessor(elf, CODE, &access);
	viz_insns__each_ref(elf, CODE, CODE + 64, see, &sum);
	viz_elf__close(elf);
	close(fd);
	free(file);
	return 0;
}
