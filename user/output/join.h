/* SPDX-License-Identifier: Apache-2.0 */
/* A reader and a writer, joined: what convert does, and whatever writes what it has read. */
#ifndef VIZ_JOIN_H
#define VIZ_JOIN_H

#include "reader.h"
#include "writer.h"

/* A sink that hands everything to @w, which works on the same trace. */
struct viz_reader_sink viz_join__sink(struct viz_writer *w);
/* Opens @path for @trace and begins. NULL after a message to the user. */
struct viz_writer *viz_join__open(struct viz_trace *trace, const char *path);
/* Hands over all names once more and ends. 0 or -errno, after a message to the user. */
int viz_join__end(struct viz_writer *w, const char *path);

#endif
