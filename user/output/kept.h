/* SPDX-License-Identifier: Apache-2.0 */
/* Sources that a trace file carries, between its reader and a writer that includes them: on
 * disk, as they can be larger than everything else that is held. */
#ifndef VIZ_KEPT_H
#define VIZ_KEPT_H

#include <stddef.h>
#include <stdint.h>

struct viz_kept;

/* NULL with errno set. */
struct viz_kept *viz_kept__new(void);
void viz_kept__free(struct viz_kept *kept);
/* Keeps @size bytes of @text as what @path holds; of several for a path the first counts.
 * 0 or -errno. */
int viz_kept__add(struct viz_kept *kept, const char *path, const char *text, size_t size);
/* A viz_source_fn (@ctx is the struct viz_kept). */
int viz_kept__read(void *ctx, uint32_t place, const char *path, char **text, size_t *size);

#endif
