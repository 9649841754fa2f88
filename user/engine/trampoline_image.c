// SPDX-License-Identifier: Apache-2.0
#include "trampoline_image.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "recorder_image.h"

struct wanted {
	const char *name;
	size_t at; /* in struct viz_image_symbols */
	bool monitor; /* only where sys.monitoring is used */
};

#define AT(member) offsetof(struct viz_image_symbols, member)

static const struct wanted wanted[] = {
	{"Py_IncRef", AT(inc_ref), false},
	{"Py_DecRef", AT(dec_ref), false},
	{"PyCode_Type", AT(code_type), false},
	{"PyErr_Fetch", AT(err_fetch), true},
	{"PyErr_Restore", AT(err_restore), true},
	{"PyErr_Clear", AT(err_clear), true},
	{"PySys_GetObject", AT(sys_get_object), true},
	{"PyObject_GetAttrString", AT(getattr_string), true},
	{"PyObject_CallMethod", AT(call_method), true},
	{"PyCFunction_NewEx", AT(cfunction_new), true},
	{"PyLong_AsLong", AT(long_as_long), true},
	{"_Py_NoneStruct", AT(none), true},
	{"PyCFunction_Type", AT(cfunction_type), true},
	{"PyCMethod_Type", AT(cmethod_type), true},
	{"PyMethodDescr_Type", AT(method_descriptor_type), true},
	/* the public name is 3.13's; all three read a thread-local variable and check nothing */
	{"PyThreadState_GetUnchecked", AT(current_tstate), true},
	{"_PyThreadState_UncheckedGet", AT(current_tstate), true},
	{"_PyThreadState_GetCurrent", AT(current_tstate), true},
};

enum { NR_WANTED = sizeof(wanted) / sizeof(wanted[0]) };

static uint64_t *member(struct viz_image_symbols *s, const struct wanted *w)
{
	return (uint64_t *)((char *)s + w->at);
}

static void take_symbol(struct viz_image_symbols *out, const char *name, uint64_t value)
{
	for (int i = 0; i < NR_WANTED; i++)
		if (!strcmp(name, wanted[i].name) && !*member(out, &wanted[i]))
			*member(out, &wanted[i]) = value;
}

/* libelf bounds what it hands out; a missing or damaged table is no table. */
static void read_table(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, struct viz_image_symbols *out)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t nr = data && sh->sh_entsize ? data->d_size / sh->sh_entsize : 0;

	for (size_t i = 0; i < nr && i < 10000000; i++) {
		GElf_Sym sym;
		const char *name;

		if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF || !sym.st_value)
			continue;
		if (GELF_ST_TYPE(sym.st_info) != STT_FUNC &&
		    GELF_ST_TYPE(sym.st_info) != STT_OBJECT)
			continue;
		name = elf_strptr(elf, sh->sh_link, sym.st_name);
		if (name && (name[0] == 'P' || name[0] == '_'))
			take_symbol(out, name, sym.st_value);
	}
}

static int read_symbols(int fd, struct viz_image_symbols *out)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	Elf *elf;

	*out = (struct viz_image_symbols){0};
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOTSUP;
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!elf)
		return -ENOTSUP;
	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) &&
		    (sh.sh_type == SHT_DYNSYM || sh.sh_type == SHT_SYMTAB))
			read_table(elf, scn, &sh, out);
	elf_end(elf);
	return 0;
}

enum viz_rec_mode viz_image__mode(const struct viz_build *b)
{
	return b->major > 3 || b->minor >= 12 ? VIZ_REC_MONITOR : VIZ_REC_WRAP;
}

int viz_image__symbols(const struct viz_build *build, struct viz_image_symbols *out, char *why,
		       size_t why_size)
{
	bool monitor = viz_image__mode(build) == VIZ_REC_MONITOR;
	int err = read_symbols(build->fd, out);

	if (err)
		return viz_why(why, why_size, err, "its symbol table cannot be read");
	for (int i = 0; i < NR_WANTED; i++)
		if (!*member(out, &wanted[i]) && (monitor || !wanted[i].monitor))
			return viz_why(why, why_size, -ENOTSUP, "it does not export %s",
				       wanted[i].name);
	return 0;
}

const unsigned char *viz_image__code(enum viz_rec_mode mode, bool more, size_t *size,
				     struct viz_image_entries *e)
{
	if (mode == VIZ_REC_MONITOR && more) {
		*e = (struct viz_image_entries){monitor_more_at_start, monitor_more_at_start_again,
						monitor_more_at_stop, 0};
		*size = sizeof(monitor_more_image);
		return monitor_more_image;
	}
	if (mode == VIZ_REC_MONITOR) {
		*e = (struct viz_image_entries){monitor_at_start, monitor_at_start_again,
						monitor_at_stop, 0};
		*size = sizeof(monitor_image);
		return monitor_image;
	}
	*e = (struct viz_image_entries){wrap_at_start, wrap_at_start_again, wrap_at_stop,
					wrap_at_wrap};
	*size = sizeof(wrap_image);
	return wrap_image;
}

const unsigned char *viz_image__loader(size_t *size, uint32_t *entry)
{
	*size = sizeof(loader_image);
	*entry = loader_at_load;
	return loader_image;
}

const unsigned char *viz_image__room(size_t *size, uint32_t *entry)
{
	*size = sizeof(room_image);
	*entry = room_at_load;
	return room_image;
}

void viz_image__consts(struct viz_rec_consts *k, const struct viz_interpreter *interp,
		       const struct viz_image_symbols *s)
{
	const struct viz_build *b = interp->build;
	const struct viz_offsets *o = &b->info.off;
	uint64_t bias = interp->bias;

	*k = (struct viz_rec_consts){
		.magic = VIZ_REC_MAGIC,
		.mode = viz_image__mode(b),
		.current_tstate = s->current_tstate ? s->current_tstate + bias : 0,
		.tstate_frame = o->tstate_frame,
		.cframe_current = o->cframe_current,
		.tstate_native = o->tstate_native_id,
		.tstate_next = o->tstate_next,
		.frame_code = o->frame_code,
		.frame_owner = o->frame_owner,
		.frame_previous = o->frame_previous,
		.frame_arg0 = !!(b->info.flags & VIZ_BUILD_FRAME_ARG0),
		.tagged = !!(b->info.flags & VIZ_BUILD_TAGGED),
		.creation = !!(b->info.flags & VIZ_BUILD_CREATION),
		.code_name = o->code_qualname != VIZ_NONE ? o->code_qualname : o->code_name,
		.code_filename = o->code_filename,
		.code_firstlineno = o->code_firstlineno,
		.code_flags = o->code_flags,
		.str_length = o->str_length,
		.str_state = o->str_state,
		.str_ascii_data = o->str_ascii_data,
		.str_compact_data = o->str_compact_data,
		.none = s->none + bias,
		.code_type = s->code_type + bias,
		.cfunction_type = s->cfunction_type + bias,
		.cmethod_type = s->cmethod_type + bias,
		.method_descriptor_type = s->method_descriptor_type + bias,
		.inc_ref = s->inc_ref + bias,
		.dec_ref = s->dec_ref + bias,
		.err_fetch = s->err_fetch + bias,
		.err_restore = s->err_restore + bias,
		.err_clear = s->err_clear + bias,
		.sys_get_object = s->sys_get_object + bias,
		.getattr_string = s->getattr_string + bias,
		.call_method = s->call_method + bias,
		.cfunction_new = s->cfunction_new + bias,
		.long_as_long = s->long_as_long + bias,
	};
#if defined(__x86_64__)
	/* one load instead of a call into another library; wherever the build shows
	 * where */
	if (o->tls_offset != VIZ_NONE && o->tls_offset) {
		k->tls = -(int64_t)o->tls_offset;
		k->current_tstate = 0;
	}
#endif
}
_Static_assert(VIZ_REC_ABSENT == VIZ_NONE, "the recorder takes offsets as they are");
