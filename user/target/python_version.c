// SPDX-License-Identifier: Apache-2.0
#include "python_version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/log.h"
#include "code.h"
#include "python_offsets.h"

/* 1 to 3 digits; returns the number or -1. */
static int take_number(const char **at)
{
	int n = 0, digits = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++, digits++)
		if (digits < 3)
			n = n * 10 + (**at - '0');
	return digits >= 1 && digits <= 3 && n <= 254 ? n : -1;
}

int viz_version__parse(const char *text, struct viz_python_version *out)
{
	int major, minor, micro, serial = 0;
	unsigned int level = 0xf;

	major = take_number(&text);
	if (major < 0 || *text++ != '.')
		return -EINVAL;
	minor = take_number(&text);
	if (minor < 0 || *text++ != '.')
		return -EINVAL;
	micro = take_number(&text);
	if (micro < 0)
		return -EINVAL;
	if (*text == 'a' || *text == 'b') {
		level = *text++ == 'a' ? 0xa : 0xb;
		serial = take_number(&text);
	} else if (text[0] == 'r' && text[1] == 'c') {
		level = 0xc;
		text += 2;
		serial = take_number(&text);
	}
	if (*text == '+')
		text++;
	if (*text || serial < 0 || serial > 15)
		return -EINVAL;
	out->major = (uint8_t)major;
	out->minor = (uint8_t)minor;
	out->micro = (uint8_t)micro;
	out->hex = (uint32_t)major << 24 | (uint32_t)minor << 16 | (uint32_t)micro << 8 |
		   level << 4 | (uint32_t)serial;
	return 0;
}

static int from_hex(uint64_t hex, struct viz_python_version *out)
{
	if (hex > UINT32_MAX)
		return -EINVAL;
	out->hex = (uint32_t)hex;
	out->major = (uint8_t)(hex >> 24);
	out->minor = (uint8_t)(hex >> 16);
	out->micro = (uint8_t)(hex >> 8);
	return 0;
}

struct text_search {
	const struct viz_elf *elf;
	struct viz_python_version found;
	unsigned int hits;
};

static int try_text(uint64_t ref, void *ctx)
{
	struct text_search *search = ctx;
	struct viz_python_version version = {0};
	const char *text;

	if (viz_elf__is_code(search->elf, ref))
		return 0;
	text = viz_elf__text_at(search->elf, ref);
	if (!text || strnlen(text, 32) == 32 || viz_version__parse(text, &version))
		return 0;
	if (search->hits && version.hex != search->found.hex)
		return -ENOTSUP;
	search->found = version;
	search->hits++;
	return 0;
}

/* Up to 3.10 the only word on it is PY_VERSION, an argument of a call in Py_GetVersion(). */
static int from_code(const struct viz_elf *elf, struct viz_python_version *out)
{
	struct text_search search = {.elf = elf};
	struct viz_elf_symbol symbol;
	uint64_t size;
	int err;

	if (!viz_elf__symbol(elf, "Py_GetVersion", &symbol))
		return -ENOENT;
	size = symbol.size && symbol.size < 512 ? symbol.size : 128;
	err = viz_insns__each_ref(elf, symbol.value, symbol.value + size, try_text, &search);
	if (err)
		return err;
	if (!search.hits)
		return -ENOENT;
	out->major = search.found.major;
	out->minor = search.found.minor;
	out->micro = search.found.micro;
	out->hex = search.found.hex;
	return 0;
}

/* What "libpython3.12d.so.1.0" or "python3.13t" says: the numbers and the ABI flags. */
static bool name_says(const char *name, int *major, int *minor, char *flags, size_t flags_size)
{
	const char *at = strrchr(name, '/');
	size_t n = 0;

	at = strstr(at ? at : name, "python");
	if (!at)
		return false;
	at += strlen("python");
	*major = take_number(&at);
	if (*major < 0 || *at++ != '.')
		return false;
	*minor = take_number(&at);
	if (*minor < 0)
		return false;
	while (n + 1 < flags_size && *at >= 'a' && *at <= 'z')
		flags[n++] = *at++;
	flags[n] = '\0';
	return true;
}

static int check_name(const char *name, struct viz_python_version *out, char *why, size_t why_size)
{
	char flags[16];
	int major, minor;

	if (!name_says(name, &major, &minor, flags, sizeof(flags)))
		return 0;
	if (major != out->major || minor != out->minor)
		return viz_why(why, why_size, -ENOTSUP,
			       "its name says Python %d.%d, its contents say %u.%u", major, minor,
			       out->major, out->minor);
	if (strchr(flags, 'd'))
		out->debug = true;
	if (strchr(flags, 't'))
		out->free_threaded = true;
	return 0;
}

static bool has_any(const struct viz_elf *elf, const char *const *names)
{
	struct viz_elf_symbol symbol;

	for (; *names; names++)
		if (viz_elf__symbol(elf, *names, &symbol))
			return true;
	return false;
}

/* Functions that exist only with Py_REF_DEBUG or Py_TRACE_REFS, which change objects or the
 * eval function, and only without the GIL. */
static void check_kind(const struct viz_elf *elf, struct viz_python_version *out)
{
	static const char *const debug[] = {"_Py_RefTotal",	    "_Py_GetRefTotal",
					    "_Py_NegativeRefcount", "_Py_INCREF_IncRefTotal",
					    "_Py_PrintReferences",  NULL};
	static const char *const no_gil[] = {"_Py_MergeZeroLocalRefcount", NULL};

	if (has_any(elf, debug))
		out->debug = true;
	if (has_any(elf, no_gil))
		out->free_threaded = true;
}

int viz_version__identify(const struct viz_elf *elf, const char *path,
			  struct viz_python_version *out, char *why, size_t why_size)
{
	struct viz_elf_symbol symbol;
	uint64_t hex, debug_hex;
	const void *data;
	int err = -ENOENT;

	memset(out, 0, sizeof(*out));
	if (viz_elf__symbol(elf, "Py_Version", &symbol)) {
		data = viz_elf__at(elf, symbol.value, sizeof(hex));
		if (data) {
			memcpy(&hex, data, sizeof(hex));
			err = from_hex(hex, out);
		}
	} else {
		err = from_code(elf, out);
	}
	if (err)
		return viz_why(why, why_size, -ENOTSUP, "the version of this Python is not known");
	if (viz_debug_offsets__head(elf, &debug_hex, &out->free_threaded)) {
		if (debug_hex != out->hex)
			return viz_why(why, why_size, -ENOTSUP,
				       "Py_Version and the debug offsets name different versions");
	} else if (out->major == 3 && out->minor >= 13 && out->minor <= VIZ_PYTHON_MINOR_MAX) {
		return viz_why(why, why_size, -ENOTSUP, "a Python 3.%u without debug offsets",
			       out->minor);
	}
	err = check_name(viz_elf__soname(elf), out, why, why_size);
	if (!err && !*viz_elf__soname(elf))
		err = check_name(path, out, why, why_size);
	if (!err)
		check_kind(elf, out);
	return err;
}
