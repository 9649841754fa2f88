/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef VIZ_UTF8_H
#define VIZ_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool viz_utf8__valid(const char *text, size_t len);
/* Copies as much as fits into @size bytes with the final NUL, never half a character; each
 * byte that is not UTF-8 (and NUL) becomes U+FFFD. Returns the length without the NUL. */
size_t viz_utf8__clean(char *dst, size_t size, const char *text, size_t len);

#endif
