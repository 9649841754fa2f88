/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc says about a process: small bounded reads. A process may end at any moment, and
 * its name, command line and cgroup are its own to choose: everything is text of a stranger.
 */
#ifndef VIZ_PROCFS_H
#define VIZ_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct viz_procfs_status {
	char comm[64]; /* raw bytes of the name of the main thread */
	char state; /* 'R', 'S', 'Z', ... */
	pid_t parent;
	pid_t ns_pid; /* in its innermost pid namespace; the same as outside: none */
	uid_t uid; /* effective */
	bool kernel; /* a kernel thread, or a process that has just given up its memory */
};

/* Reads at most @size - 1 bytes of /proc/@pid/@name (pid 0: of this process) and ends them with
 * NUL. Returns their number (NULs in the file are kept) or a negative errno. */
ssize_t viz_procfs__read(pid_t pid, const char *name, char *buf, size_t size);
/* 0 or a negative errno; -ESRCH when there is no such process. */
int viz_procfs__status(pid_t pid, struct viz_procfs_status *out);
/* All processes there are now. Returns their number, and the array in @pids (owned by the
 * caller), or a negative errno. */
int viz_procfs__pids(pid_t **pids);
struct viz_procfs_task {
	pid_t tid;
	pid_t ns_tid; /* in the innermost pid namespace */
};

/* The threads of @pid, at most @max. Returns their number or a negative errno. */
int viz_procfs__tasks(pid_t pid, struct viz_procfs_task *tasks, int max);
/* Field 22 of /proc/PID/stat, clock ticks since boot; 0: no such process. */
uint64_t viz_procfs__start_time(pid_t pid);

#endif
