/* SPDX-License-Identifier: Apache-2.0 */
/* The source files that a trace carries: which ones, and as far as they can be read. */
#ifndef VIZ_SOURCE_FILES_H
#define VIZ_SOURCE_FILES_H

#include "writer.h"

/*
 * Gives @put the text (UTF-8, not terminated) of each file that a function of the trace is in.
 * @places: by function, @nr of them: 0 where it was not called, else 1 + the viz_process.place of
 * who did. Nothing without w->read_source. 0, -ENOMEM or what @put returned.
 */
int viz_source_files__each(const struct viz_writer *w, const uint32_t *places, uint32_t nr,
			   int (*put)(void *ctx, const char *path, const char *text, size_t size),
			   void *ctx);

#endif
