/* with: user/target/translated.c user/target/procfs.c user/base/log.c */
// SPDX-License-Identifier: Apache-2.0
/* Who translates the code of a process, or records it for a replay. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "target/translated.h"

static void test_names(void)
{
	const char *by =
		viz_translated__by("/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so");

	ok(by && !strcmp(by, "valgrind"), "what valgrind maps into a process");
	ok(!viz_translated__by("/usr/lib/libpython3.12.so.1.0") && !viz_translated__by("") &&
		   !viz_translated__by("/srv/valgrind/lib.so"),
	   "what others map");
	ok(viz_translated__tool("/usr/bin/valgrind") && viz_translated__tool("drrun") &&
		   !viz_translated__tool("python3") && !viz_translated__tool("valgrind.py"),
	   "commands");
}

/* A copy of this program under the name of rr, which traces a child of its own. */
static int be_rr(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	waitpid(child, &status, 0);
	printf("%d\n", child);
	fflush(stdout);
	getchar();
	kill(child, SIGKILL);
	return 0;
}

static void test_replayed(const char *self)
{
	char dir[] = "/tmp/vizbpf-rr-XXXXXX", path[64], why[256] = "";
	int pid = 0, to[2], from[2];
	FILE *said;
	pid_t rr;

	if (!mkdtemp(dir) || pipe(to) || pipe(from))
		exit(1);
	snprintf(path, sizeof(path), "%s/rr", dir);
	if (link(self, path) && symlink(self, path))
		exit(1);
	rr = fork();
	if (!rr) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		execl(path, "rr", "trace", NULL);
		_exit(1);
	}
	close(from[1]);
	said = fdopen(from[0], "r");
	if (fscanf(said, "%d", &pid) != 1)
		pid = 0;
	if (!pid)
		printf("ok %d # SKIP ptrace is denied\n", ++tap_tests);
	else
		ok(viz_translated__replayed(pid, why, sizeof(why)) == -ENOTSUP && strstr(why, "rr"),
		   "a process that rr records: %s", why);
	ok(!viz_translated__replayed(getpid(), why, sizeof(why)), "one that nobody traces");
	close(to[1]);
	waitpid(rr, NULL, 0);
	unlink(path);
	rmdir(dir);
	fclose(said);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "trace"))
		return be_rr();
	test_names();
	test_replayed(argv[0]);
	return tap_done();
}
