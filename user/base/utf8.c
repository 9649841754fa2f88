// SPDX-License-Identifier: Apache-2.0
#include "utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the character at @s, 0 when it is not one. NUL is not one: strings end there. */
static size_t char_len(const unsigned char *s, size_t left)
{
	size_t n, i;

	if (s[0] < 0x80)
		return s[0] != 0;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (left < n)
		return 0;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

bool viz_utf8__valid(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t i = 0, n;
	uint64_t word;

	while (i < len) {
		if (len - i >= 8) {
			memcpy(&word, s + i, 8);
			/* the second term finds a zero byte among ASCII ones */
			if (!(word & 0x8080808080808080ULL) &&
			    !((word - 0x0101010101010101ULL) & 0x8080808080808080ULL)) {
				i += 8;
				continue;
			}
		}
		n = char_len(s + i, len - i);
		if (!n)
			return false;
		i += n;
	}
	return true;
}

size_t viz_utf8__clean(char *dst, size_t size, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0, i = 0, n;

	if (!size)
		return 0;
	while (i < len) {
		n = char_len(s + i, len - i);
		if (used + (n ? n : 3) >= size)
			break;
		memcpy(dst + used, n ? text + i : "\xef\xbf\xbd", n ? n : 3);
		used += n ? n : 3;
		i += n ? n : 1;
	}
	dst[used] = '\0';
	return used;
}
