// SPDX-License-Identifier: Apache-2.0
#include "elf_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_image_private.h"

/* Larger than any interpreter with its debugging information. */
#define FILE_SIZE_MAX (1ull << 30)
#define LOAD_SIZE_MAX (256ull << 20)
#define LOADS_SIZE_MAX (512ull << 20)
#define SECTION_SIZE_MAX (128ull << 20)
#define SYMBOLS_MAX (2u << 20)
#define SECTIONS_MAX 4096

static int read_loads(struct viz_elf *elf)
{
	uint64_t total = 0;
	size_t n, i;

	if (elf_getphdrnum(elf->elf, &n) || n > 256)
		return -ENOEXEC;
	for (i = 0; i < n; i++) {
		struct viz_elf_load *load = &elf->loads[elf->nr_loads];
		GElf_Phdr ph;

		if (!gelf_getphdr(elf->elf, (int)i, &ph))
			return -ENOEXEC;
		if (ph.p_type != PT_LOAD)
			continue;
		if (elf->nr_loads == VIZ_ELF_LOADS)
			return -ENOEXEC;
		if (ph.p_offset > elf->file_size || ph.p_filesz > elf->file_size - ph.p_offset ||
		    ph.p_filesz > LOAD_SIZE_MAX || ph.p_memsz < ph.p_filesz ||
		    ph.p_vaddr > INT64_MAX || ph.p_memsz > INT64_MAX - ph.p_vaddr)
			return -ENOEXEC;
		/* Segments may overlap in the file; what is read must not multiply. */
		total += ph.p_filesz;
		if (total > LOADS_SIZE_MAX)
			return -ENOEXEC;
		load->vaddr = ph.p_vaddr;
		load->offset = ph.p_offset;
		load->filesz = ph.p_filesz;
		load->memsz = ph.p_memsz;
		load->exec = ph.p_flags & PF_X;
		load->write = ph.p_flags & PF_W;
		elf->nr_loads++;
	}
	return elf->nr_loads ? 0 : -ENOEXEC;
}

Elf_Data *viz_elf__contents(Elf_Scn *scn, const GElf_Shdr *shdr)
{
	return shdr->sh_size <= SECTION_SIZE_MAX ? elf_getdata(scn, NULL) : NULL;
}

/* The table of names in section @index. */
static const Elf_Data *names_in(const struct viz_elf *elf, size_t index)
{
	Elf_Scn *scn = elf_getscn(elf->elf, index);
	GElf_Shdr shdr;

	if (!scn || !gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_STRTAB)
		return NULL;
	return viz_elf__contents(scn, &shdr);
}

/*
 * Not elf_strptr(), which looks for the end of the name on every call: a file could make each
 * of a million of them walk over a hundred megabytes.
 */
static bool is_named(const Elf_Data *names, size_t at, const char *name, size_t len)
{
	return at < names->d_size && names->d_size - at > len &&
	       !memcmp((const char *)names->d_buf + at, name, len + 1);
}

Elf_Scn *viz_elf__find_section(const struct viz_elf *elf, const char *name, GElf_Shdr *shdr)
{
	unsigned int seen = 0;
	const Elf_Data *names;
	Elf_Scn *scn = NULL;
	size_t index;

	if (elf_getshdrstrndx(elf->elf, &index))
		return NULL;
	names = names_in(elf, index);
	if (!names || !names->d_buf)
		return NULL;
	while ((scn = elf_nextscn(elf->elf, scn)) && seen++ < SECTIONS_MAX)
		if (gelf_getshdr(scn, shdr) && is_named(names, shdr->sh_name, name, strlen(name)))
			return scn;
	return NULL;
}

static void read_soname(struct viz_elf *elf)
{
	const Elf_Data *names;
	Elf_Data *data;
	GElf_Shdr shdr;
	Elf_Scn *scn;
	size_t i;

	scn = viz_elf__find_section(elf, ".dynamic", &shdr);
	if (!scn || shdr.sh_type != SHT_DYNAMIC || !shdr.sh_entsize)
		return;
	data = viz_elf__contents(scn, &shdr);
	names = names_in(elf, shdr.sh_link);
	for (i = 0; data && names && names->d_buf && i < 512; i++) {
		size_t len, at;
		GElf_Dyn dyn;

		if (!gelf_getdyn(data, (int)i, &dyn) || dyn.d_tag == DT_NULL)
			return;
		if (dyn.d_tag != DT_SONAME)
			continue;
		at = dyn.d_un.d_val;
		if (at >= names->d_size)
			return;
		len = strnlen((const char *)names->d_buf + at, names->d_size - at);
		if (len < sizeof(elf->soname) && len < names->d_size - at)
			memcpy(elf->soname, (const char *)names->d_buf + at, len + 1);
		return;
	}
}

int viz_elf__open(int fd, struct viz_elf **out)
{
	struct viz_elf *elf;
	struct stat st;
	int err;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	if ((uint64_t)st.st_size > FILE_SIZE_MAX)
		return -EFBIG;
	elf = calloc(1, sizeof(*elf));
	if (!elf)
		return -ENOMEM;
	elf->fd = fd;
	elf->file_size = (uint64_t)st.st_size;
	/* Not ELF_C_READ_MMAP: a file that is cut short under a mapping raises SIGBUS. */
	elf->elf = elf_begin(fd, ELF_C_READ, NULL);
	err = -ENOEXEC;
	if (!elf->elf || elf_kind(elf->elf) != ELF_K_ELF || !gelf_getehdr(elf->elf, &elf->ehdr))
		goto cleanup;
	if (elf->ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf->ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (elf->ehdr.e_type != ET_EXEC && elf->ehdr.e_type != ET_DYN))
		goto cleanup;
	err = read_loads(elf);
	if (err)
		goto cleanup;
	read_soname(elf);
	*out = elf;
	return 0;
cleanup:
	viz_elf__close(elf);
	return err;
}

void viz_elf__close(struct viz_elf *elf)
{
	unsigned int i;

	if (!elf)
		return;
	for (i = 0; i < elf->nr_loads; i++)
		free(elf->loads[i].data);
	free(elf->relocs);
	elf_end(elf->elf);
	free(elf);
}

uint16_t viz_elf__machine(const struct viz_elf *elf)
{
	return elf->ehdr.e_machine;
}

bool viz_elf__is_fixed(const struct viz_elf *elf)
{
	return elf->ehdr.e_type == ET_EXEC;
}

const char *viz_elf__soname(const struct viz_elf *elf)
{
	return elf->soname;
}

bool viz_elf__has_symtab(const struct viz_elf *elf)
{
	GElf_Shdr shdr;

	return viz_elf__find_section(elf, ".symtab", &shdr) && shdr.sh_type == SHT_SYMTAB;
}

static bool symbol_in(const struct viz_elf *elf, const char *table, const char *name,
		      struct viz_elf_symbol *out)
{
	size_t n, i, len = strlen(name);
	const Elf_Data *names;
	Elf_Data *data;
	GElf_Shdr shdr;
	Elf_Scn *scn;

	scn = viz_elf__find_section(elf, table, &shdr);
	if (!scn || (shdr.sh_type != SHT_DYNSYM && shdr.sh_type != SHT_SYMTAB) || !shdr.sh_entsize)
		return false;
	data = viz_elf__contents(scn, &shdr);
	names = names_in(elf, shdr.sh_link);
	if (!data || !names || !names->d_buf)
		return false;
	n = shdr.sh_size / shdr.sh_entsize;
	for (i = 1; i < n && i < SYMBOLS_MAX; i++) {
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym))
			return false;
		if (sym.st_shndx == SHN_UNDEF || !sym.st_value ||
		    !is_named(names, sym.st_name, name, len))
			continue;
		out->value = sym.st_value;
		out->size = sym.st_size;
		return true;
	}
	return false;
}

bool viz_elf__symbol(const struct viz_elf *elf, const char *name, struct viz_elf_symbol *out)
{
	return symbol_in(elf, ".dynsym", name, out) || symbol_in(elf, ".symtab", name, out);
}

bool viz_elf__section(const struct viz_elf *elf, const char *name, struct viz_elf_section *out)
{
	GElf_Shdr shdr;

	if (!viz_elf__find_section(elf, name, &shdr))
		return false;
	out->vaddr = shdr.sh_flags & SHF_ALLOC ? shdr.sh_addr : 0;
	out->offset = shdr.sh_offset;
	out->size = shdr.sh_size;
	return true;
}

void *viz_elf__section_data(const struct viz_elf *elf, const char *name, size_t max, size_t *size)
{
	Elf_Data *data;
	GElf_Shdr shdr;
	Elf_Scn *scn;
	void *copy;

	scn = viz_elf__find_section(elf, name, &shdr);
	if (!scn || shdr.sh_type == SHT_NOBITS || shdr.sh_size > SECTION_SIZE_MAX)
		return NULL;
	data = elf_rawdata(scn, NULL);
	if (!data || !data->d_buf || !data->d_size)
		return NULL;
	*size = data->d_size < max ? data->d_size : max;
	copy = malloc(*size);
	if (copy)
		memcpy(copy, data->d_buf, *size);
	return copy;
}

const unsigned char *viz_elf__load_data(const struct viz_elf *elf, unsigned int index)
{
	/* Reading on demand does not change what the image says. */
	struct viz_elf_load *load = (struct viz_elf_load *)&elf->loads[index];
	size_t done = 0;

	if (load->tried || !load->filesz)
		return load->data;
	load->tried = true;
	load->data = malloc(load->filesz);
	while (load->data && done < load->filesz) {
		ssize_t n = pread(elf->fd, load->data + done, load->filesz - done,
				  (off_t)(load->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(load->data);
			load->data = NULL;
			break;
		}
		done += (size_t)n;
	}
	return load->data;
}

const struct viz_elf_load *viz_elf__load_at(const struct viz_elf *elf, uint64_t vaddr,
					    unsigned int *index)
{
	unsigned int i;

	for (i = 0; i < elf->nr_loads; i++) {
		const struct viz_elf_load *load = &elf->loads[i];

		if (vaddr >= load->vaddr && vaddr - load->vaddr < load->memsz) {
			*index = i;
			return load;
		}
	}
	return NULL;
}

bool viz_elf__to_offset(const struct viz_elf *elf, uint64_t vaddr, uint64_t *offset)
{
	const struct viz_elf_load *load;
	unsigned int i;

	load = viz_elf__load_at(elf, vaddr, &i);
	if (!load || vaddr - load->vaddr >= load->filesz)
		return false;
	*offset = load->offset + (vaddr - load->vaddr);
	return true;
}

bool viz_elf__to_vaddr(const struct viz_elf *elf, uint64_t offset, uint64_t *vaddr)
{
	unsigned int i;

	for (i = 0; i < elf->nr_loads; i++) {
		const struct viz_elf_load *load = &elf->loads[i];

		if (offset >= load->offset && offset - load->offset < load->filesz) {
			*vaddr = load->vaddr + (offset - load->offset);
			return true;
		}
	}
	return false;
}

bool viz_elf__to_code(const struct viz_elf *elf, uint64_t offset, uint64_t *vaddr)
{
	unsigned int i;

	for (i = 0; i < elf->nr_loads; i++) {
		const struct viz_elf_load *load = &elf->loads[i];
		uint64_t before = load->offset & 4095;

		if (load->exec && before <= load->vaddr && offset >= load->offset - before &&
		    offset < load->offset + load->filesz) {
			*vaddr = load->vaddr - load->offset + offset;
			return true;
		}
	}
	return false;
}

bool viz_elf__is_code(const struct viz_elf *elf, uint64_t vaddr)
{
	const struct viz_elf_load *load;
	unsigned int i;

	load = viz_elf__load_at(elf, vaddr, &i);
	return load && load->exec && vaddr - load->vaddr < load->filesz;
}

const void *viz_elf__at(const struct viz_elf *elf, uint64_t vaddr, size_t size)
{
	const struct viz_elf_load *load;
	const unsigned char *data;
	unsigned int i;

	load = viz_elf__load_at(elf, vaddr, &i);
	if (!load || vaddr - load->vaddr >= load->filesz ||
	    size > load->filesz - (vaddr - load->vaddr))
		return NULL;
	data = viz_elf__load_data(elf, i);
	return data ? data + (vaddr - load->vaddr) : NULL;
}

const char *viz_elf__text_at(const struct viz_elf *elf, uint64_t vaddr)
{
	const struct viz_elf_load *load;
	const unsigned char *data;
	unsigned int i;
	uint64_t at;

	load = viz_elf__load_at(elf, vaddr, &i);
	if (!load || vaddr - load->vaddr >= load->filesz)
		return NULL;
	data = viz_elf__load_data(elf, i);
	at = vaddr - load->vaddr;
	if (!data || !memchr(data + at, 0, load->filesz - at))
		return NULL;
	return (const char *)data + at;
}

bool viz_elf__contains(const struct viz_elf *elf, const char *text)
{
	unsigned int i;

	for (i = 0; i < elf->nr_loads; i++) {
		const unsigned char *data;

		if (elf->loads[i].write)
			continue;
		data = viz_elf__load_data(elf, i);
		if (data && memmem(data, elf->loads[i].filesz, text, strlen(text)))
			return true;
	}
	return false;
}
