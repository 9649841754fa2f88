/* SPDX-License-Identifier: Apache-2.0 */
/* Reads protobuf's encoding where unpacking whole messages would cost an allocation for each;
 * bounded by what is there. */
#ifndef VIZ_PROTOBUF_H
#define VIZ_PROTOBUF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct cursor {
	const unsigned char *p, *end;
	bool bad;
};

struct field {
	uint32_t number;
	uint64_t value; /* of a varint or a fixed one */
	struct cursor bytes; /* of a nested one */
};

static inline uint64_t varint(struct cursor *c)
{
	uint64_t value = 0;
	int shift;

	for (shift = 0; shift < 64 && c->p < c->end; shift += 7) {
		value |= (uint64_t)(*c->p & 0x7f) << shift;
		if (!(*c->p++ & 0x80))
			return value;
	}
	c->bad = true;
	return 0;
}

static inline bool next_field(struct cursor *c, struct field *f)
{
	uint64_t tag, size = 0;

	if (c->bad || c->p >= c->end)
		return false;
	tag = varint(c);
	f->number = (uint32_t)(tag >> 3);
	f->value = 0;
	f->bytes = (struct cursor){c->p, c->p, false};
	switch (tag & 7) {
	case 0:
		f->value = varint(c);
		return !c->bad;
	case 1:
		size = 8;
		break;
	case 2:
		size = varint(c);
		break;
	case 5:
		size = 4;
		break;
	default:
		c->bad = true;
	}
	if (c->bad || size > (uint64_t)(c->end - c->p)) {
		c->bad = true;
		return false;
	}
	f->bytes = (struct cursor){c->p, c->p + size, false};
	if ((tag & 7) == 1)
		memcpy(&f->value, c->p, 8);
	c->p += size;
	return true;
}

#endif
