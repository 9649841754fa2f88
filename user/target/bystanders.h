/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A uprobe sits in a file, not in a process: whoever else runs the same file pays for the
 * trap too. How many they are is worth saying before it is done to them.
 */
#ifndef VIZ_BYSTANDERS_H
#define VIZ_BYSTANDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Counts the processes that have the file (@dev, @ino, as in /proc/PID/maps) mapped to execute
 * it, without those for which @traced says true (NULL: count all). Their pids go into @first,
 * as many as @max. Returns the number or a negative errno.
 */
int viz_bystanders__count(dev_t dev, ino_t ino, bool (*traced)(pid_t pid, void *arg), void *arg,
			  pid_t *first, size_t max);

/* Whether @pid maps the file to execute it. 1, 0, or a negative errno. */
int viz_bystanders__maps(pid_t pid, dev_t dev, ino_t ino);

#endif
