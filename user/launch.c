// SPDX-License-Identifier: Apache-2.0
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "identity.h"
#include "target/translated.h"

enum { NOT_FOUND = 127, NOT_EXECUTABLE = 126 };

/* What a child that could not become the program says. */
struct failure {
	int err;
	bool user; /* in becoming the user, not in executing */
	char file[256];
};

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && !strcmp(name + len - n, suffix);
}

/* The first line of a script says whose it is; none at all is a Python file too. */
static bool looks_like_python(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char text[256];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 2)
		return n >= 0;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!memcmp(text, "\177E", 2))
		return false;
	return memcmp(text, "#!", 2) || strstr(text, "python");
}

/* Is it what one would give to `python3`, rather than a command? Asked as the user. */
static bool is_script(const char *name)
{
	static const char *const suffixes[] = {".py", ".pyw", ".pyc", ".pyz"};
	char path[4096];
	struct stat st;
	size_t i;

	for (i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++)
		if (has_suffix(name, suffixes[i]))
			return true;
	if (stat(name, &st))
		return false;
	if (S_ISDIR(st.st_mode)) {
		snprintf(path, sizeof(path), "%s/__main__.py", name);
		return !access(path, R_OK);
	}
	return S_ISREG(st.st_mode) && access(name, X_OK) && looks_like_python(name);
}

/* The argument list of what is executed; NULL when out of memory. */
static char **build_argv(const struct viz_launch *l)
{
	bool script = !l->module && is_script(l->argv[0]);
	size_t nr = 0, used = 0;
	char **argv;

	while (l->argv[nr])
		nr++;
	argv = calloc(nr + 4, sizeof(*argv));
	if (!argv)
		return NULL;
	if (l->module || script)
		argv[used++] = (char *)"python3";
	if (l->module) {
		argv[used++] = (char *)"-m";
		argv[used++] = (char *)l->module;
	}
	memcpy(argv + used, l->argv, nr * sizeof(*argv));
	return argv;
}

static void __attribute__((noreturn))
run_child(const struct viz_launch *l, const struct viz_identity *id, int go, int failed)
{
	struct failure failure = {0};
	char **argv, byte;
	ssize_t n;

	do
		n = read(go, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1) /* vizbpf gave up, or is gone */
		_exit(NOT_FOUND);
	failure.err = -viz_identity__become(id);
	failure.user = failure.err != 0;
	if (!failure.err) {
		argv = build_argv(l);
		if (argv) {
			snprintf(failure.file, sizeof(failure.file), "%s", argv[0]);
			execvp(argv[0], argv);
			if (errno == ENOENT && !strcmp(argv[0], "python3") && l->argv[0] != argv[0])
				execvp("python", argv);
		}
		failure.err = argv ? errno : ENOMEM;
	}
	/* NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): there is nobody else to tell */
	n = write(failed, &failure, sizeof(failure));
	_exit(failure.err == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int viz_launch__start(struct viz_launch *l, char *why, size_t why_size)
{
	int go[2] = {-1, -1}, failed[2] = {-1, -1}, err;
	const char *translator = l->module ? NULL : viz_translated__tool(l->argv[0]);
	struct viz_identity id;

	l->pid = 0;
	if (translator)
		return viz_why(why, why_size, -ENOTSUP,
			       "%s translates the code of what it runs, and would take vizbpf's "
			       "probes for instructions of it: the program would end by SIGTRAP",
			       translator);
	l->pidfd = l->go = l->failed = -1;
	l->ended = false;
	l->name[0] = '\0';
	if (!l->module && !l->argv[0])
		return viz_why(why, why_size, -EINVAL, "no program was given");
	err = viz_identity__choose(l->user, l->as_root, &id, why, why_size);
	if (err)
		return err;
	if (id.change && id.name[0])
		snprintf(l->name, sizeof(l->name), "user %s", id.name);
	else if (id.change)
		snprintf(l->name, sizeof(l->name), "user %u", (unsigned int)id.uid);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) || pipe2(failed, O_CLOEXEC)) {
		err = viz_why(why, why_size, -errno, "cannot make a pipe: %s", strerror(errno));
		goto cleanup;
	}
	fflush(NULL);
	l->pid = fork();
	if (l->pid < 0) {
		err = viz_why(why, why_size, -errno, "cannot start a process: %s", strerror(errno));
		goto cleanup;
	}
	if (!l->pid) {
		close(go[1]);
		close(failed[0]);
		run_child(l, &id, go[0], failed[1]);
	}
	l->pidfd = (int)syscall(SYS_pidfd_open, l->pid, 0);
	if (l->pidfd >= 0)
		fcntl(l->pidfd, F_SETFD, FD_CLOEXEC);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would leave no status to pass on */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	l->go = go[1];
	l->failed = failed[0];
	go[1] = failed[0] = -1;
cleanup:
	close_one(&go[0]);
	close_one(&go[1]);
	close_one(&failed[0]);
	close_one(&failed[1]);
	viz_identity__free(&id);
	return err;
}

int viz_launch__go(struct viz_launch *l, char *why, size_t why_size)
{
	struct failure failure;
	ssize_t n;

	do
		n = send(l->go, "g", 1, MSG_NOSIGNAL); /* a Ctrl-C may have ended it already */
	while (n < 0 && errno == EINTR);
	close_one(&l->go);
	/* the other end closes when the exec succeeds, or when it was killed meanwhile */
	do
		n = read(l->failed, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	close_one(&l->failed);
	if (n != sizeof(failure))
		return 0;
	failure.file[sizeof(failure.file) - 1] = '\0';
	viz_launch__ended(l, true);
	if (failure.user)
		return viz_why(why, why_size, -failure.err, "cannot run the program as %s: %s",
			       l->name, strerror(failure.err));
	return viz_why(why, why_size, -failure.err, "cannot run %s%s%s: %s", failure.file,
		       l->name[0] ? " as " : "", l->name, strerror(failure.err));
}

void viz_launch__signal(struct viz_launch *l, int signo, int code)
{
	/* positive codes are the kernel's: the terminal told the whole group */
	if (l->pid > 0 && code <= 0 && !viz_launch__ended(l, false))
		kill(l->pid, signo);
}

bool viz_launch__ended(struct viz_launch *l, bool wait)
{
	pid_t pid;

	if (l->ended || l->pid <= 0)
		return true;
	do
		pid = waitpid(l->pid, &l->status, wait ? 0 : WNOHANG);
	while (pid < 0 && errno == EINTR);
	l->ended = pid == l->pid || (pid < 0 && errno == ECHILD);
	return l->ended;
}

int viz_launch__status(const struct viz_launch *l)
{
	sigset_t all;
	int signo;

	if (!l->ended || l->pid <= 0)
		return 0;
	if (WIFEXITED(l->status))
		return WEXITSTATUS(l->status);
	signo = WTERMSIG(l->status);
	/* the program left a core file if one was wanted; ours would say nothing */
	prctl(PR_SET_DUMPABLE, 0);
	signal(signo, SIG_DFL);
	sigfillset(&all);
	sigdelset(&all, signo);
	sigprocmask(SIG_SETMASK, &all, NULL);
	raise(signo);
	return 128 + signo;
}

void viz_launch__free(struct viz_launch *l)
{
	close_one(&l->go);
	close_one(&l->failed);
	/* one that still waits reads the end of the pipe and leaves */
	if (l->pid > 0 && !l->ended)
		viz_launch__ended(l, false);
	close_one(&l->pidfd);
}
