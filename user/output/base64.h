/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIZ_BASE64_H
#define VIZ_BASE64_H

#include "buffer.h"

/* Three bytes become four letters at @p. Returns the end. */
char *viz_base64__three(char *p, const unsigned char *in);
/* The last one or two bytes, padded: four letters. */
void viz_base64__rest(char text[4], const unsigned char *in, size_t nr);
/* All of @data, behind what is in @b. */
void viz_base64__add(struct viz_buffer *b, const void *data, size_t size);

#endif
