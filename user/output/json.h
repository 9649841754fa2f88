/* SPDX-License-Identifier: Apache-2.0 */
/* JSON's syntax: escaping, numbers, and checking what a traced program gave us. */
#ifndef VIZ_JSON_H
#define VIZ_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A byte becomes six at most: \u001f. */
#define VIZ_JSON_GROWTH 6
/* What viz_json__u64() and viz_json__us() write at most, with room to write carelessly. */
#define VIZ_JSON_NUMBER 32

/* Escapes UTF-8 for the inside of a JSON string into @dst, of len * VIZ_JSON_GROWTH bytes at
 * least. Returns the end. */
char *viz_json__escape(char *dst, const char *text, size_t len);
/* Whether @text is a complete JSON object, and nothing else, of bounded depth. */
bool viz_json__is_object(const char *text, size_t len);
/* The same for the members of an object, without the braces; not empty. */
bool viz_json__is_members(const char *text, size_t len);

extern const char viz_json_digits[201]; /* "00" "01" ... "99" */

static inline char *viz_json__two(char *p, uint32_t v)
{
	memcpy(p, viz_json_digits + 2 * v, 2);
	return p + 2;
}

/* Exactly eight digits; @v < 10^8. */
static inline char *viz_json__eight(char *p, uint32_t v)
{
	uint32_t high = v / 10000, low = v % 10000;

	viz_json__two(p, high / 100);
	viz_json__two(p + 2, high % 100);
	viz_json__two(p + 4, low / 100);
	viz_json__two(p + 6, low % 100);
	return p + 8;
}

/* Up to eight digits; @v < 10^8. */
static inline char *viz_json__small(char *p, uint32_t v)
{
	char digits[8];
	uint32_t skip;

	if (v < 10) {
		*p = (char)('0' + v);
		return p + 1;
	}
	if (v < 100)
		return viz_json__two(p, v);
	if (v < 1000) {
		*p = (char)('0' + v / 100);
		return viz_json__two(p + 1, v % 100);
	}
	viz_json__eight(digits, v);
	skip = v < 10000 ? 4 : v < 100000 ? 3 : v < 1000000 ? 2 : v < 10000000 ? 1 : 0;
	memcpy(p, digits + skip, 8 - skip);
	return p + 8 - skip;
}

static inline char *viz_json__u64(char *p, uint64_t v)
{
	if (v < 100000000)
		return viz_json__small(p, (uint32_t)v);
	if (v < 10000000000000000ULL) {
		p = viz_json__small(p, (uint32_t)(v / 100000000));
		return viz_json__eight(p, (uint32_t)(v % 100000000));
	}
	p = viz_json__small(p, (uint32_t)(v / 10000000000000000ULL));
	v %= 10000000000000000ULL;
	p = viz_json__eight(p, (uint32_t)(v / 100000000));
	return viz_json__eight(p, (uint32_t)(v % 100000000));
}

/* Nanoseconds as microseconds with three decimals. */
static inline char *viz_json__us(char *p, uint64_t ns)
{
	uint64_t us = ns / 1000;
	uint32_t rest = (uint32_t)(ns - us * 1000);

	p = viz_json__u64(p, us);
	*p++ = '.';
	*p++ = (char)('0' + rest / 100);
	return viz_json__two(p, rest % 100);
}

#endif
