/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breakpoints that no probe stands behind. The kernel takes a uprobe out page by page, and gives
 * up when the one who closes it has SIGKILL pending (mm/gup.c, fatal_signal_pending(), seen on
 * 6.18: "uprobe: failed to unregister, leaking uprobe"): the breakpoint stays, and each call
 * traps for nothing. Another probe that comes to the same place and goes takes it along.
 */
#ifndef VIZ_GUARDIAN_PROBES_H
#define VIZ_GUARDIAN_PROBES_H

#include <sys/types.h>

/*
 * Looks through the code of @pid (0: through that of Python in every process) and takes out what is
 * left. Breakpoints of living probes stay, what else was written into code is not touched,
 * and a process with a debugger is left alone. May wait for the file system that the code is from.
 * Returns how many places it was.
 */
int viz_probes_left__take_out(pid_t pid);

#endif
