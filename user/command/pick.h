/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a trace file with some of its threads only (--thread NAME|TID), for the commands
 * that look at traces.
 */
#ifndef VIZ_PICK_H
#define VIZ_PICK_H

#include "../output/reader.h"

/*
 * Like viz_reader__read() for the calls alone; those of tracks that @thread names (a TID, or
 * a part of the thread's name; NULL: all) reach @calls. Names may stand at the end of a file,
 * therefore the file is read twice when @thread is given. -ENOENT with the names there are in
 * @why when no track fits.
 */
int viz_pick__read(const char *path, const char *thread, struct viz_trace *trace,
		   int (*calls)(void *ctx, const struct viz_call *calls, size_t nr), void *ctx,
		   char *why, size_t why_size);

#endif
