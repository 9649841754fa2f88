/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person would call a process or a thread: "python3 app.py", "python3 -m http.server",
 * "gunicorn: worker [shop]", not three hundred characters of path.
 */
#ifndef VIZ_PROCESS_NAME_H
#define VIZ_PROCESS_NAME_H

#include <stddef.h>
#include <sys/types.h>

enum { VIZ_PROCESS_NAME_MAX = 128 };

/*
 * Names a process by its arguments: @cmdline holds @len bytes as /proc/PID/cmdline gives them
 * (each argument ends with NUL), and @cmdline[@len] is NUL. @comm is used when there are none.
 * The result is one line without control characters, at most @size - 1 bytes, cut at a UTF-8
 * boundary.
 */
void viz_process_name__from(const char *cmdline, size_t len, const char *comm, char *buf,
			    size_t size);
/* The same for a live process. 0; -ESRCH: it is gone, or ending: then its arguments are not known
 * any more, and @buf is what the kernel calls it. */
int viz_process_name__get(pid_t pid, char *buf, size_t size);
/* The command line for people: arguments separated by blanks, quoted where needed. */
int viz_process_name__cmdline(pid_t pid, char *buf, size_t size);
/* The kernel's name of a thread; 0 or -ESRCH. */
int viz_thread_name__get(pid_t pid, pid_t tid, char *buf, size_t size);

#endif
