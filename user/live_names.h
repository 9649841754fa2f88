/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that targets give themselves while they run: threads of threading, processes of
 * multiprocessing, titles set by setproctitle. Looked at again ever more rarely, and a last
 * time when the recording of a process ends.
 */
#ifndef VIZ_LIVE_NAMES_H
#define VIZ_LIVE_NAMES_H

#include "session.h"

struct viz_live_names;

struct viz_live_names *viz_live_names__new(void);
void viz_live_names__free(struct viz_live_names *names);

/* For an active target: looks when it is time to, or when it has threads without a name yet.
 * Updates trace->processes[].name and trace->tracks[].name; the writers read them at the end. */
void viz_live_names__tick(struct viz_live_names *names, struct viz_session *s,
			  struct viz_target *t);
/* A thread of the target is new: it may have ended before the next tick. */
void viz_live_names__new_thread(struct viz_live_names *names, const struct viz_target *t);
/* Looks for the names of new threads, if there are any; called in each turn of the session's
 * loop. */
void viz_live_names__soon(struct viz_live_names *names, struct viz_session *s);
/* Looks for the names of threads now: one is new, and its name decides (--threads). */
void viz_live_names__threads(struct viz_live_names *names, struct viz_session *s,
			     struct viz_target *t);
/* Looks now if the process is still there, and forgets it. */
void viz_live_names__last(struct viz_live_names *names, struct viz_session *s,
			  struct viz_target *t);

#endif
