/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source files of recorded code, as the recorded process would read them: below its own
 * root directory and with its own user's rights. A path comes from a code object, which the
 * process made: it must not lead vizbpf, which is root, to what the process may not see.
 */
#ifndef VIZ_SOURCES_H
#define VIZ_SOURCES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct viz_sources;

struct viz_sources *viz_sources__new(void);
void viz_sources__free(struct viz_sources *sources);
/* Where the files of a process are, for viz_process.place; 0: that cannot be told, or there are
 * too many places. Processes with the same root and user share one, and so do forked children. */
uint32_t viz_sources__place(struct viz_sources *sources, pid_t pid);
/* viz_source_fn (output/writer.h); @ctx is the sources. */
int viz_sources__read(void *ctx, uint32_t process, const char *path, char **text, size_t *size);

#endif
