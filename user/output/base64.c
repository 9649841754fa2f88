// SPDX-License-Identifier: Apache-2.0
#include "base64.h"

#include <string.h>

char *viz_base64__three(char *p, const unsigned char *in)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	p[0] = letters[in[0] >> 2];
	p[1] = letters[(in[0] & 3) << 4 | in[1] >> 4];
	p[2] = letters[(in[1] & 15) << 2 | in[2] >> 6];
	p[3] = letters[in[2] & 63];
	return p + 4;
}

void viz_base64__rest(char text[4], const unsigned char *in, size_t nr)
{
	unsigned char three[3] = {0};

	memcpy(three, in, nr);
	viz_base64__three(text, three);
	memset(text + nr + 1, '=', 3 - nr);
}

void viz_base64__add(struct viz_buffer *b, const void *data, size_t size)
{
	const unsigned char *in = data;
	char *p = viz_buffer__room(b, size / 3 * 4 + 4), *start = p;

	if (!p)
		return;
	for (; size >= 3; size -= 3, in += 3)
		p = viz_base64__three(p, in);
	if (size) {
		viz_base64__rest(p, in, size);
		p += 4;
	}
	b->len += (size_t)(p - start);
}
