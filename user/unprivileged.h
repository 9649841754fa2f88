/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a program recorded without root, or for what only the program itself can tell: the
 * Python extension does it from inside (`python3 -m vizbpf`), and vizbpf becomes that.
 */
#ifndef VIZ_UNPRIVILEGED_H
#define VIZ_UNPRIVILEGED_H

#include <stdbool.h>
#include <stddef.h>

struct viz_launch;

/* Whether this process lacks what loading BPF programs takes (CAP_BPF and CAP_PERFMON, or
 * CAP_SYS_ADMIN): attaching is out of the question then. */
bool viz_unprivileged__is(void);

/*
 * Becomes the recorder from inside. @options: the words of the command line before the program
 * (argv + 1, @nr of them, -m and its module may be among them); @launch: what to start, and as
 * whom (under sudo the user behind it, as for any launch).
 * Returns only when that fails: a negative errno and a line in @why.
 */
int viz_unprivileged__exec(char *const *options, size_t nr, const struct viz_launch *launch,
			   char *why, size_t why_size);

#endif
