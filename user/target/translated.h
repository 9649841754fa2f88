/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes whose code is not run where it stands, or whose every step somebody else has written
 * down: neither a breakpoint nor a word in their memory is without effect.
 */
#ifndef VIZ_TRANSLATED_H
#define VIZ_TRANSLATED_H

#include <stddef.h>
#include <sys/types.h>

/* Who translates the code of a process that has this file mapped to execute it; NULL: nobody. */
const char *viz_translated__by(const char *path);
/* Who does so when this command is started; NULL: nobody. */
const char *viz_translated__tool(const char *command);
/* Whether @pid is recorded by rr, for a replay that would come to other ends: 0, or -ENOTSUP. */
int viz_translated__replayed(pid_t pid, char *why, size_t why_size);

#endif
