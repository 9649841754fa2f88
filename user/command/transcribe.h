/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIZ_TRANSCRIBE_H
#define VIZ_TRANSCRIBE_H

#include <stddef.h>

/*
 * Reads the trace at @path (open as @fd; read through it when the path cannot be opened any
 * more) and writes it in the format of @suffix into a file without a name. The descriptor of
 * that, or -errno with a line in @why.
 */
int viz_transcribe(const char *path, int fd, const char *suffix, char *why, size_t why_size);

#endif
