/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the program that is to be traced. It is held before its first instruction until
 * everything is attached, is its user's and not root's, and keeps what is its own: standard
 * files, working directory, signals, the way it ends.
 */
#ifndef VIZ_LAUNCH_H
#define VIZ_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct viz_launch {
	/* filled by the caller, who owns the strings */
	char *const *argv; /* script or command, and its arguments; NULL terminated */
	const char *module; /* -m: run this module, argv is its arguments alone; or NULL */
	const char *user; /* --user, or NULL */
	bool as_root; /* --as-root: do not drop to the user behind sudo */

	/* filled by start() */
	pid_t pid;
	int pidfd; /* readable when the program has ended; -1 where there are none */
	char name[256]; /* who it runs as: "user alice", "" when nothing changes */

	/* its own */
	int go, failed;
	bool ended;
	int status; /* as from waitpid() */
};

/*
 * Forks the process; it waits. Call before threads are started and before the signal handling
 * of vizbpf is set up: the program gets the dispositions and the mask of this moment.
 * From here on SIGINT and SIGQUIT are ignored by vizbpf: a Ctrl-C reaches the program, which
 * is in the same group, once, and its end ends the trace.
 * 0, or a negative errno and a line in @why.
 */
int viz_launch__start(struct viz_launch *l, char *why, size_t why_size);

/* Lets it run; returns when it has become the program. A negative errno and a line in @why
 * when it cannot be executed (then it has ended). */
int viz_launch__go(struct viz_launch *l, char *why, size_t why_size);

/* Passes on a signal that was sent to vizbpf alone (SIGTERM, SIGHUP, or SIGINT by kill):
 * @code is si_code of the siginfo. One from the terminal reached the program already. */
void viz_launch__signal(struct viz_launch *l, int signo, int code);

/* Whether it has ended; reaps it. Does not wait unless @wait. */
bool viz_launch__ended(struct viz_launch *l, bool wait);

/*
 * Ends vizbpf as the program ended: returns its exit status; when it died by a signal, raises
 * that here (without a second core file) and returns 128 + the signal if this survives.
 * For main(), after everything is written.
 */
int viz_launch__status(const struct viz_launch *l);

/* Closes descriptors; a program that still waits is ended. */
void viz_launch__free(struct viz_launch *l);

#endif
