// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/process_name.c: what processes are called.
 * Build: gcc -fsanitize=address,undefined -Iuser tests/unit/process_name_test.c
 *	user/target/process_name.c user/target/procfs.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/process_name.h"

static int passed, failed;

static void check(const char *got, const char *want, int line)
{
	if (!strcmp(got, want)) {
		passed++;
		return;
	}
	failed++;
	printf("not ok %s:%d: \"%s\", wanted \"%s\"\n", __FILE__, line, got, want);
}

/* The arguments are a string literal with \0 between them. */
#define NAME(cmdline, want) name(cmdline, sizeof(cmdline), VIZ_PROCESS_NAME_MAX, want, __LINE__)
#define NAME_IN(size, cmdline, want) name(cmdline, sizeof(cmdline), size, want, __LINE__)

static void name(const char *cmdline, size_t len, size_t size, const char *want, int line)
{
	/* exactly as large as said, for the sanitizer to see any step outside */
	char *copy = malloc(len), *buf = malloc(size);

	memcpy(copy, cmdline, len);
	viz_process_name__from(copy, len - 1, "comm", buf, size);
	check(buf, want, line);
	free(copy);
	free(buf);
}

static void test_python(void)
{
	NAME("python3\0app.py\0--port\0"
	     "80",
	     "python3 app.py");
	NAME("/opt/venv/bin/python3.12\0/srv/very/long/path/to/worker.py", "python3.12 worker.py");
	NAME("python3\0-m\0http.server\0"
	     "8000",
	     "python3 -m http.server");
	NAME("python3\0-mhttp.server", "python3 -m http.server");
	NAME("python3\0-Im\0pip\0install", "python3 -m pip");
	NAME("python3\0-u\0-X\0dev\0-W\0ignore\0x.py", "python3 x.py");
	NAME("python3\0-Xdev\0-Werror\0x.py", "python3 x.py");
	NAME("python3\0-bbBOWignore\0x.py", "python3 x.py");
	NAME("python3\0--check-hash-based-pycs\0always\0x.py", "python3 x.py");
	NAME("python3\0-c\0import time; time.sleep(9)", "python3 -c import time; time.sleep(9)");
	NAME("python3\0-c\0import a\nimport b\n", "python3 -c import a...");
	NAME("python3\0-c\0import sys\ntry:\n    from vizbpf.launch import main\n\0-o\0a.json\0--\0"
	     "/srv/app.py\0x",
	     "python3 app.py");
	NAME("python3\0-c\0    from vizbpf.launch import main\n\0--\0-m\0pkg.tool\0x",
	     "python3 -m pkg.tool");
	NAME("python3\0-c\0from vizbpf.launch import main\0-o\0a.json",
	     "python3 -c from vizbpf.launch import main");
	NAME("python3\0-c", "python3");
	NAME("python3", "python3");
	NAME("python3\0-", "python3");
	NAME("python3\0-i", "python3");
	NAME("python3\0/srv/shop/__main__.py", "python3 shop/__main__.py");
	NAME("python3\0__main__.py", "python3 __main__.py");
	NAME("python3\0/srv/shop/", "python3 shop/");
	NAME("/usr/bin/python3\0/usr/bin/gunicorn\0app:main", "python3 gunicorn");
	NAME("pypy3\0x.py", "pypy3 x.py");
}

static void test_multiprocessing(void)
{
	NAME("/usr/bin/python3\0-c\0from multiprocessing.spawn import spawn_main; "
	     "spawn_main(tracker_fd=5, pipe_handle=7)\0--multiprocessing-fork",
	     "python3 (multiprocessing spawn)");
	NAME("python3\0-c\0from multiprocessing.forkserver import main; main(4, 5, ['x'])",
	     "python3 (multiprocessing forkserver)");
	NAME("python3\0-c\0from multiprocessing.resource_tracker import main;main(5)",
	     "python3 (multiprocessing resource tracker)");
}

static void test_titles(void)
{
	NAME("gunicorn: worker [shop]\0\0\0\0\0\0", "gunicorn: worker [shop]");
	NAME("gunicorn: master [shop]          ", "gunicorn: master [shop]");
	NAME("[celeryd: celery@host:MainProcess] -active- (worker -A app)",
	     "[celeryd: celery@host:MainProcess] -active- (worker -A app)");
	NAME("postgres", "postgres");
	NAME("/usr/bin/uwsgi\0--ini\0shop.ini", "uwsgi shop.ini");
	NAME("-bash", "bash");
	NAME("", "comm");
	NAME("\0\0\0", "comm");
	NAME("    ", "comm");
}

/* A name is the process's own: it can hold anything and have any length. */
static void test_hostile(void)
{
	NAME("python3\0\033]0;x\007.py", "python3 ?]0;x?.py");
	NAME("python3\0a\nb.py", "python3 a?b.py");
	NAME("python3\0\xff\xfe.py", "python3 ??.py");
	NAME("python3\0\xc2\x9b"
	     "31m.py",
	     "python3 ?31m.py");
	NAME("python3\0caf\xc3\xa9.py", "python3 caf\xc3\xa9.py");
	NAME("python3\0x\xc3", "python3 x?");
	NAME("python3\0x\xf0\x9f\x90", "python3 x???");
	NAME_IN(12, "python3\0abc\xc3\xa9.py", "python3 abc");
	NAME_IN(13, "python3\0abc\xc3\xa9.py", "python3 abc");
	NAME_IN(14, "python3\0abc\xc3\xa9.py", "python3 abc\xc3\xa9");
	NAME_IN(1, "python3\0x.py", "");
	NAME_IN(2, "python3\0x.py", "p");
	NAME("/", "/");
	NAME("///\0///", "/// ///");
	NAME("python3\0/", "python3 /");
	NAME("python3\0", "python3");
}

static void test_live(void)
{
	char buf[VIZ_PROCESS_NAME_MAX];
	siginfo_t info;
	pid_t zombie;

	prctl(PR_SET_NAME, "nimble");
	viz_thread_name__get(getpid(), getpid(), buf, sizeof(buf));
	check(buf, "nimble", __LINE__);
	prctl(PR_SET_NAME, "a\nb\033");
	viz_thread_name__get(getpid(), getpid(), buf, sizeof(buf));
	check(buf, "a?b?", __LINE__);
	check(viz_process_name__get(0x7ffffff0, buf, sizeof(buf)) ? "gone" : "there", "gone",
	      __LINE__);
	zombie = fork();
	if (!zombie)
		_exit(0);
	waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
	check(viz_process_name__get(zombie, buf, sizeof(buf)) ? "gone" : "there", "gone", __LINE__);
	waitpid(zombie, NULL, 0);
	check(viz_thread_name__get(getpid(), 0x7ffffff0, buf, sizeof(buf)) ? "gone" : "there",
	      "gone", __LINE__);
}

int main(void)
{
	test_python();
	test_multiprocessing();
	test_titles();
	test_hostile();
	test_live();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
