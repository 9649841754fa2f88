// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <string.h>

uint32_t viz_text__next(const char *text, size_t *bytes)
{
	const unsigned char *s = (const unsigned char *)text;
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint32_t c = s[0];
	size_t more, i;

	*bytes = 1;
	if (c < 0x80)
		return c;
	if (c >= 0xc2 && c <= 0xdf) {
		more = 1;
		c &= 0x1f;
	} else if ((c & 0xf0) == 0xe0) {
		more = 2;
		c &= 0x0f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		more = 3;
		c &= 0x07;
	} else {
		return UINT32_MAX;
	}
	for (i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80) /* also stops at the terminator */
			return UINT32_MAX;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return UINT32_MAX;
	*bytes = more + 1;
	return c;
}

static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Characters that show nothing of their own but change what stands around them. */
static bool is_deceptive(uint32_t c)
{
	return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

/* How the character at @text is shown, in @out of at least 16 bytes; its source bytes. */
static size_t show(const char *text, char *out)
{
	size_t bytes;
	uint32_t c = viz_text__next(text, &bytes);

	if (c == UINT32_MAX) {
		snprintf(out, 16, "\\x%02x", (unsigned char)*text);
	} else if (is_control(c)) {
		snprintf(out, 16, "\\x%02x", (unsigned int)c);
	} else if (is_deceptive(c)) {
		snprintf(out, 16, "\\u{%x}", (unsigned int)c);
	} else {
		memcpy(out, text, bytes);
		out[bytes] = 0;
	}
	return bytes;
}

size_t viz_text__safe(char *out, size_t size, const char *text)
{
	size_t n = 0;

	if (!size)
		return 0;
	while (*text) {
		char one[16];
		size_t used = show(text, one), len = strlen(one);

		if (n + len + 1 > size)
			break;
		memcpy(out + n, one, len);
		n += len;
		text += used;
	}
	out[n] = 0;
	return n;
}

/* Good enough for aligning columns: wide scripts and emoji take two, combining marks none.
 * wcwidth() would depend on the locale that the user happens to have. */
static size_t char_columns(uint32_t c)
{
	if ((c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) ||
	    (c >= 0x20d0 && c <= 0x20ff) || (c >= 0xfe00 && c <= 0xfe0f))
		return 0;
	if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
	    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
	    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
	    (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
	    (c >= 0x20000 && c <= 0x3fffd))
		return 2;
	return 1;
}

size_t viz_text__columns(const char *text)
{
	size_t columns = 0, bytes;

	for (; *text; text += bytes)
		columns += char_columns(viz_text__next(text, &bytes));
	return columns;
}

size_t viz_text__fit(char *out, size_t size, const char *text, size_t columns, bool keep_end,
		     bool pad)
{
	char safe[2048];
	const char *from = safe;
	size_t width, n = 0, used = 0, bytes;
	bool cut;

	if (!size)
		return 0;
	viz_text__safe(safe, sizeof(safe), text);
	width = viz_text__columns(safe);
	cut = width > columns;
	if (cut && keep_end && columns) {
		while (*from && width > columns - 1) {
			width -= char_columns(viz_text__next(from, &bytes));
			from += bytes;
		}
		if (n + 1 < size)
			out[n++] = '~';
		used = 1;
		cut = false;
	}
	for (; *from; from += bytes) {
		size_t w = char_columns(viz_text__next(from, &bytes));

		if (used + w > columns - (cut && columns ? 1 : 0) || n + bytes + 1 > size)
			break;
		memcpy(out + n, from, bytes);
		n += bytes;
		used += w;
	}
	if (cut && columns && n + 1 < size) {
		out[n++] = '~';
		used++;
	}
	for (; pad && used < columns && n + 1 < size; used++)
		out[n++] = ' ';
	out[n] = 0;
	return n;
}

char *viz_text__duration(char *out, size_t size, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *unit;
	} units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}};
	size_t i;

	for (i = 0; i < 3; i++) {
		double v = (double)ns / (double)units[i].ns;

		/* 999.7 us would print as "1000 us" */
		if (v < 0.9995)
			continue;
		snprintf(out, size, "%.*f %s", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, units[i].unit);
		return out;
	}
	snprintf(out, size, "%llu ns", (unsigned long long)ns);
	return out;
}

char *viz_text__count(char *out, size_t size, uint64_t count)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count), i;
	size_t n = 0;

	if (!size)
		return out;
	for (i = 0; i < len && n + 2 < size; i++) {
		if (i && (len - i) % 3 == 0)
			out[n++] = ',';
		if (n + 1 < size)
			out[n++] = digits[i];
	}
	out[n] = 0;
	return out;
}

void viz_text__json(FILE *out, const char *text)
{
	size_t bytes;

	fputc('"', out);
	for (; *text; text += bytes) {
		uint32_t c = viz_text__next(text, &bytes);

		if (c == UINT32_MAX)
			fputs("\\ufffd", out);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", (char)c);
		else if (is_control(c) || (is_deceptive(c) && c < 0x10000))
			fprintf(out, "\\u%04x", (unsigned int)c);
		else if (is_deceptive(c))
			fprintf(out, "\\u%04x\\u%04x", 0xd800 + (unsigned int)((c - 0x10000) >> 10),
				0xdc00 + (unsigned int)((c - 0x10000) & 0x3ff));
		else
			fwrite(text, 1, bytes, out);
	}
	fputc('"', out);
}
