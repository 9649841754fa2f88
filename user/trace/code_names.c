// SPDX-License-Identifier: Apache-2.0
#include "code_names.h"

#include <string.h>

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

size_t viz_code__decode(const uint8_t *text, size_t size, int kind, char *out, size_t out_size)
{
	size_t n = 0, i;

	if (kind != 1 && kind != 2 && kind != 4) {
		memcpy(out, "?", 2);
		return 1;
	}
	for (i = 0; i + (size_t)kind <= size && n + 5 <= out_size; i += (size_t)kind) {
		uint32_t c = text[i];

		if (kind == 2)
			c |= (uint32_t)text[i + 1] << 8;
		else if (kind == 4)
			c |= (uint32_t)text[i + 1] << 8 | (uint32_t)text[i + 2] << 16 |
			     (uint32_t)text[i + 3] << 24;
		/* NUL cannot pass through C strings; surrogates are no characters of UTF-8. */
		if (!c || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			c = 0xfffd;
		n += put_utf8(out + n, c);
	}
	out[n] = '\0';
	return n;
}

uint32_t viz_code__func(struct viz_trace *trace, const struct viz_code *code)
{
	char name[4 * VIZ_NAME_MAX + 8], file[4 * VIZ_PATH_MAX + 8];
	size_t name_size = code->name_size, file_size = code->file_size;

	if (name_size > sizeof(code->name))
		name_size = sizeof(code->name);
	if (file_size > sizeof(code->file))
		file_size = sizeof(code->file);
	viz_code__decode(code->name, name_size, code->name_kind, name, sizeof(name));
	viz_code__decode(code->file, file_size, code->file_kind, file, sizeof(file));
	return viz_trace__func(trace, name, file, code->line);
}
