/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a trace says of processes and threads that have ended: written down on disk when they
 * are forgotten, and read when the trace's metadata is written. Memory is that of those alive.
 */
#ifndef VIZ_ENDED_H
#define VIZ_ENDED_H

#include <stdbool.h>

#include "../trace/model.h"

struct json_object;
struct viz_ended;

struct viz_ended *viz_ended__new(void);
void viz_ended__free(struct viz_ended *ended);
/* The entry of a process, and that of a thread's or another track's losses. 0 or -errno. */
int viz_ended__process(struct viz_ended *ended, const struct viz_process *process);
int viz_ended__track(struct viz_ended *ended, const struct viz_track *track);
/* From now on the metadata has all entries. Before, what is written with every flush has them
 * only while they are few, and says how many are missing. */
void viz_ended__complete(struct viz_ended *ended);
/* Adds the entries, as one element, to the array of processes or of losses. NULL is fine.
 * Returns how many were left out. */
uint64_t viz_ended__list_processes(const struct viz_ended *ended, struct json_object *array);
uint64_t viz_ended__list_losses(const struct viz_ended *ended, struct json_object *array);

#endif
