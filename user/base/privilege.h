/* SPDX-License-Identifier: Apache-2.0 */
/* What this process is allowed to do. */
#ifndef VIZ_PRIVILEGE_H
#define VIZ_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>

struct viz_privilege {
	unsigned int cap; /* number, include/uapi/linux/capability.h */
	const char *name; /* "CAP_SYS_PTRACE" */
	const char *why;
	bool have;
};

enum { VIZ_PRIVILEGES = 4 };

/* All that are needed, and which of them there are. */
void viz_privilege__get(struct viz_privilege out[VIZ_PRIVILEGES]);
/* The names of those that are missing, joined by ", "; "" and true when none is. */
bool viz_privilege__complete(char *missing, size_t size);

#endif
