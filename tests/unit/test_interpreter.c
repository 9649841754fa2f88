// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/interpreter.c: processes that are a Python, and processes that are not.
 * Build: user/target/interpreter.c user/target/process_maps.c user/target/page_identity.c
 *	user/target/remote.c
 *	user/target/python_version.c user/target/python_build.c user/target/python_offsets.c
 *	user/target/usdt_notes.c user/target/eval_sites.c user/target/control_flow.c
 *	user/target/exit_cut.c user/target/pop_sites.c user/target/code_x86.c user/target/code_access_x86.c
 *	user/target/elf_image.c user/target/elf_pointers.c user/target/elf_frames.c
 *	user/target/translated.c user/target/procfs.c
 *	user/base/log.c
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/interpreter.h"

#define PYTHON "/usr/bin/python3"

static int tests, failed;
static struct viz_builds *builds;
static char why[256];

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	if (!ok)
		printf("# %s\n", why);
	failed += !ok;
}

static int find(pid_t pid, struct viz_interpreter *interp)
{
	why[0] = '\0';
	return viz_interpreter__find(builds, pid, interp, why, sizeof(why));
}

/* Starts a Python that says on a pipe when it runs, and ends when the pipe is closed. */
static pid_t start_python(int *keep)
{
	static const char program[] = "import os\nos.write(1, b'r')\nos.read(0, 1)\n";
	int in[2], out[2];
	char ready;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		abort();
	pid = fork();
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(PYTHON, PYTHON, "-c", program, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	if (read(out[0], &ready, 1) != 1)
		pid = -1;
	close(out[0]);
	*keep = in[1];
	return pid;
}

static void test_not_python(void)
{
	struct viz_interpreter interp;
	pid_t zombie = fork();
	siginfo_t info;

	if (!zombie)
		_exit(0);
	check(find(getpid(), &interp) == -ENOEXEC && strstr(why, "not a Python process"),
	      "this program is no Python");
	check(find(0x7ffffff0, &interp) == -ESRCH, "a process that is not there");
	waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
	check(find(zombie, &interp) == -ESRCH, "a zombie");
	waitpid(zombie, NULL, 0);
	check(!viz_builds__count(builds) && !viz_builds__at(builds, 0), "no build is known");
}

static void test_python(void)
{
	struct viz_interpreter one = {0}, two = {0};
	int keep[2], n, err;
	uint64_t states[4];
	pid_t pids[2];

	for (int i = 0; i < 2; i++)
		pids[i] = start_python(&keep[i]);
	if (pids[0] < 0 || pids[1] < 0) {
		printf("ok %d - a Python # SKIP " PYTHON " cannot be started\n", ++tests);
		return;
	}
	err = find(pids[0], &one);
	if (err == -EACCES) {
		printf("ok %d - a Python # SKIP %s\n", ++tests, why);
		return;
	}
	check(!err && one.build && one.pid == pids[0] && one.build->major == 3, "a Python");
	check(!find(pids[1], &two) && two.build == one.build && viz_builds__count(builds) == 1 &&
		      viz_builds__index(builds, two.build) == 0 &&
		      viz_builds__at(builds, 0) == one.build,
	      "a second process of the same build shares it");
	if (!one.build)
		return;
	check(!*one.build->no_eval && one.build->nr_leave && one.build->enter.offset,
	      "its eval function has sites");
	n = viz_interpreter__states(&one, states, 4);
	check(n == 1 && states[0], "it has one interpreter state");
	check(viz_interpreter__states(&one, states, 0) == 0, "no room for any");
	check(viz_interpreter__code_dealloc(&one) != 0, "code_dealloc is found");
	check(one.map_start && one.map_start <= one.bias + one.build->eval_frame_default,
	      "the file's first mapping is before its code");
	for (int i = 0; i < 2; i++) {
		close(keep[i]);
		waitpid(pids[i], NULL, 0);
	}
	check(find(pids[0], &one) == -ESRCH, "it has ended");
	check(viz_interpreter__states(&two, states, 4) < 0, "its memory is gone");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	builds = viz_builds__new();
	test_not_python();
	test_python();
	viz_builds__free(builds);
	viz_builds__free(NULL);
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
