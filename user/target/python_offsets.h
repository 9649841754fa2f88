/* SPDX-License-Identifier: Apache-2.0 */
/* Where CPython keeps what: from the build itself where it tells, else from what was
 * measured for its minor version, and never from one that contradicts the other. */
#ifndef VIZ_PYTHON_OFFSETS_H
#define VIZ_PYTHON_OFFSETS_H

#include "elf_image.h"
#include "interpreter.h"

#define VIZ_PYTHON_MINOR_MIN 6
#define VIZ_PYTHON_MINOR_MAX 15

/*
 * Fills info.off, info.flags and the addresses of the runtime in @build, whose version is
 * known. 0, or -ENOTSUP with a clause in @why when the build contradicts what is known.
 */
int viz_offsets__fill(const struct viz_elf *elf, struct viz_build *build, char *why,
		      size_t why_size);

/* The head of _Py_DebugOffsets (3.13+): false when the build has none. */
bool viz_debug_offsets__head(const struct viz_elf *elf, uint64_t *version, bool *free_threaded);

#endif
