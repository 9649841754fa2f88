/* SPDX-License-Identifier: Apache-2.0 */
/* The analysis of one file that holds a CPython. */
#ifndef VIZ_PYTHON_BUILD_H
#define VIZ_PYTHON_BUILD_H

#include "elf_image.h"
#include "interpreter.h"

/*
 * Analyses the file open at @fd, which the build keeps and closes. @path is only shown and
 * parsed for the version it claims. 0 and a build for viz_build__free(), or
 *   -ENOEXEC no CPython in it
 *   -ENOTSUP a CPython that is refused, with one line in @why
 * or another negative errno. On failure @fd stays the caller's.
 */
int viz_build__analyse(int fd, const char *path, struct viz_build **out, char *why,
		       size_t why_size);
void viz_build__free(struct viz_build *build);

#endif
