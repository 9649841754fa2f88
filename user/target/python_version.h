/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPython a file is, by at least one witness inside the file that names cannot fake. */
#ifndef VIZ_PYTHON_VERSION_H
#define VIZ_PYTHON_VERSION_H

#include "elf_image.h"

struct viz_python_version {
	uint8_t major, minor;
	uint8_t micro; /* 255: unknown */
	uint32_t hex; /* PY_VERSION_HEX */
	bool debug, free_threaded;
};

/* "3.12.1", "3.14.0rc2+": fills the numbers. 0 or -EINVAL. */
int viz_version__parse(const char *text, struct viz_python_version *out);

/*
 * @path: of the file, for what its name says. 0, or -ENOTSUP with a clause in @why when the
 * version is unknown, or two witnesses disagree. Says nothing on whether it is supported.
 */
int viz_version__identify(const struct viz_elf *elf, const char *path,
			  struct viz_python_version *out, char *why, size_t why_size);

#endif
