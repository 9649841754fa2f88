/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where probes are for one process alone, its forked children have none: the kernel puts them
 * into an address space, and a child's is a new one. PyOS_AfterFork_Child(), which CPython
 * calls before a child runs any Python, is watched instead; there the child waits. So does that of
 * a process whose recorder (engine trampoline) has not begun: it will begin in the child by itself.
 */
#ifndef VIZ_FORK_WATCH_H
#define VIZ_FORK_WATCH_H

#include "probes.h"

/* Watches forks in every process that runs @build, until the end of the recording. Without it
 * children are recorded from a few milliseconds on: a failure is only logged. @watched: of this
 * build, so that it is done once. */
void viz_fork_watch__add(struct viz_probes *probes, const struct viz_build *build, bool *watched);

#endif
