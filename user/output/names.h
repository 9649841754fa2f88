/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the trace's indexes for what a file calls things, quickly for what was seen before. */
#ifndef VIZ_NAMES_H
#define VIZ_NAMES_H

#include "../trace/model.h"

struct viz_names;

struct viz_names *viz_names__new(struct viz_trace *trace);
void viz_names__free(struct viz_names *names);
/* All return UINT32_MAX when out of memory. */
uint32_t viz_names__process(struct viz_names *names, uint32_t pid);
uint32_t viz_names__track(struct viz_names *names, uint32_t pid, uint32_t tid);
/* "f (/a/b.py:3)" becomes name, file and line; anything else a name without a file. */
uint32_t viz_names__func(struct viz_names *names, const char *text, size_t len, bool escaped);

#endif
