// SPDX-License-Identifier: Apache-2.0
#include "guardian.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "guardian_journal.h"
#include "guardian_probes.h"
#include "guardian_undo.h"

enum {
	TICK_MS = 500,
	STALL_TICKS = 4, /* counted in ticks, so that a suspended machine is no stall */
	RETRY_SECONDS = 5,
};

struct viz_guardian {
	struct viz_journal *journal;
	int dir; /* /run/vizbpf */
	int holds; /* the file whose byte N is locked by who traces pid N */
	int owner; /* pidfd of vizbpf */
	int kick; /* eventfd: look at the journal's head now */
	pid_t child;
	time_t checked; /* when the child was last seen alive */
	bool settled;
	int links[VIZ_JOURNAL_LINKS]; /* the guardian's own fds, 0: none */
};

static void nap(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

/* ---- the guardian process ---- */

static void close_others(const int *keep, int nr)
{
	struct dirent *entry;
	int i, fd;
	DIR *fds;

	fds = opendir("/proc/self/fd");
	if (!fds)
		return;
	while ((entry = readdir(fds))) {
		fd = atoi(entry->d_name);
		if (fd == STDERR_FILENO || fd == dirfd(fds))
			continue;
		for (i = 0; i < nr && keep[i] != fd; i++)
			;
		if (i == nr)
			close(fd);
	}
	closedir(fds);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		viz_debug(VIZ_LOG_LIFE, "guardian: %s: %s", path, strerror(errno));
	close(fd);
}

static void detach_from_parent(struct viz_guardian *g)
{
	int keep[] = {g->dir, g->owner, g->kick}, signal_number, null;
	sigset_t none;

	setsid();
	for (signal_number = 1; signal_number < NSIG; signal_number++)
		signal(signal_number, SIG_DFL);
	/* What a terminal or a service manager sends to all of vizbpf must not end the one
	 * process that cleans up after it. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTSTP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_NAME, "vizbpf-guard");
	/* Not permitted without CAP_SYS_RESOURCE below what we inherited: then so be it. */
	write_file("/proc/self/oom_score_adj", "-900");
	close_others(keep, sizeof(keep) / sizeof(*keep));
	/* So that no descriptor we get later is 0, 1 or 2. */
	while ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && null <= STDERR_FILENO)
		;
	if (null > STDERR_FILENO)
		close(null);
	if (chdir("/"))
		viz_debug(VIZ_LOG_LIFE, "guardian: chdir /: %s", strerror(errno));
}

/* The map of stopped processes: the kernel keeps it as long as we hold it. */
static int hold_watch(struct viz_guardian *g, int held)
{
	int wanted = atomic_load(&g->journal->watch), fd;

	if (!wanted || wanted == atomic_load(&g->journal->watch_held))
		return held;
	fd = (int)syscall(SYS_pidfd_getfd, g->owner, wanted - 1, 0);
	if (fd < 0)
		return held;
	if (held >= 0)
		close(held);
	atomic_store(&g->journal->watch_held, wanted);
	return fd;
}

/* Takes and gives up the owner's BPF links, as he wants it. */
static void hold_links(struct viz_guardian *g)
{
	int i;

	for (i = 0; i < VIZ_JOURNAL_LINKS; i++) {
		struct viz_journal_link *link = &g->journal->links[i];
		uint32_t state = atomic_load(&link->state);

		if (state == VIZ_LINK_WANTED) {
			g->links[i] = (int)syscall(SYS_pidfd_getfd, g->owner, link->fd, 0);
			/* Unless it was dropped meanwhile. */
			if (!atomic_compare_exchange_strong(&link->state, &state, VIZ_LINK_HELD))
				state = VIZ_LINK_DROPPED;
		}
		if (state == VIZ_LINK_DROPPED) {
			if (g->links[i] > 0)
				close(g->links[i]);
			g->links[i] = 0;
			atomic_store(&link->state, VIZ_LINK_FREE);
		}
	}
}

static void give_up_links(struct viz_guardian *g)
{
	int i;

	for (i = 0; i < VIZ_JOURNAL_LINKS; i++)
		if (g->links[i] > 0)
			close(g->links[i]);
}

/* Comes last: it asks file systems that may not answer. */
static void take_out_probes(const struct viz_journal *journal)
{
	int taken = 0, i;
	pid_t last = 0;

	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++) {
		pid_t pid = journal->entries[i].pid;

		if (pid > 0 && pid != last)
			taken += viz_probes_left__take_out(pid);
		last = pid;
	}
	taken += viz_probes_left__take_out(0);
	if (taken)
		viz_info("vizbpf (pid %d) was killed: its guardian took out %d probes that were "
			 "left",
			 journal->owner, taken);
}

static void clean_up(struct viz_guardian *g, int map_fd)
{
	struct viz_journal *journal = g->journal;
	struct viz_undo_report report = {0};
	int tries;

	viz_undo__writes(journal, 0, &report);
	viz_undo__stops(journal, map_fd, false, &report);
	give_up_links(g);
	/* A signal that a probe sent in the owner's last moment may be on its way still. */
	nap(50);
	viz_undo__stops(journal, map_fd, true, &report);
	for (tries = 0; report.failed && tries < RETRY_SECONDS; tries++) {
		nap(1000);
		report.failed = 0;
		viz_undo__writes(journal, 0, &report);
	}
	if (report.undone || report.continued)
		viz_info("vizbpf (pid %d) was killed: its guardian took back %d writes in %d "
			 "processes (%d inherited) and let %d go on",
			 journal->owner, report.undone, report.processes, report.inherited,
			 report.continued);
	if (report.failed)
		viz_error("%d writes could not be taken back (%s): run vizbpf --restore",
			  report.failed, strerror(report.last_errno));
	else
		viz_journal__unlink(g->dir, journal);
	take_out_probes(journal);
}

/* The owner does not go round his loop: nobody reads the records of stopped processes. */
static void watch_stall(struct viz_journal *journal, int map_fd, uint64_t *beat, int *ticks)
{
	struct viz_undo_report report = {0};
	uint64_t now = atomic_load(&journal->beat);

	*ticks = now && now == *beat ? *ticks + 1 : 0;
	*beat = now;
	if (*ticks < STALL_TICKS)
		return;
	viz_undo__stops(journal, map_fd, false, &report);
	if (report.continued)
		viz_warn("vizbpf (pid %d) does not answer: its guardian let %d processes go on, "
			 "no longer traced in full",
			 journal->owner, report.continued);
}

static void guard(struct viz_guardian *g)
{
	struct pollfd fds[] = {{.fd = g->owner, .events = POLLIN},
			       {.fd = g->kick, .events = POLLIN}};
	int map_fd = -1, ticks = 0, n;
	uint64_t beat = 0, count, start_time = 0;

	detach_from_parent(g);
	viz_proc__start_time(getpid(), &start_time, NULL);
	atomic_store(&g->journal->guardian_start, start_time);
	atomic_store(&g->journal->guardian, getpid());
	for (;;) {
		n = poll(fds, 2, TICK_MS);
		if (n > 0 && fds[1].revents &&
		    read(g->kick, &count, sizeof(count)) != (ssize_t)sizeof(count))
			nap(1);
		if (atomic_load(&g->journal->finished))
			break;
		if (n > 0 && fds[0].revents) {
			clean_up(g, map_fd);
			break;
		}
		map_fd = hold_watch(g, map_fd);
		hold_links(g);
		if (!n)
			watch_stall(g->journal, map_fd, &beat, &ticks);
	}
	_exit(0);
}

static int spawn(struct viz_guardian *g, char *why, size_t why_size)
{
	pid_t pid;
	int i;

	/* What an earlier guardian held went with it. */
	atomic_store(&g->journal->watch_held, 0);
	for (i = 0; i < VIZ_JOURNAL_LINKS; i++) {
		uint32_t state = VIZ_LINK_HELD;

		atomic_compare_exchange_strong(&g->journal->links[i].state, &state,
					       VIZ_LINK_WANTED);
		state = VIZ_LINK_DROPPED;
		atomic_compare_exchange_strong(&g->journal->links[i].state, &state, VIZ_LINK_FREE);
	}
	pid = fork();
	if (pid < 0)
		return viz_why(why, why_size, -errno, "cannot fork the guardian: %s",
			       strerror(errno));
	if (!pid)
		guard(g);
	g->child = pid;
	return 0;
}

/* ---- journals of the dead ---- */

/* Returns 1 when it is done with, 0 when it is none of our business, -EAGAIN when some of it
 * could not be undone. */
static int restore_journal(int dir, const char *name, pid_t pid, struct viz_undo_report *report)
{
	struct viz_journal *journal;
	int failed = report->failed, tries, result = 0;

	journal = viz_journal__map(dir, name);
	if (!journal) {
		if (errno == ESTALE)
			unlinkat(dir, name, 0);
		return 0;
	}
	if (viz_journal__owner_alive(journal))
		goto cleanup;
	/* Its guardian is at it right now. */
	for (tries = 0; tries < 300 && viz_journal__guardian_alive(journal); tries++)
		nap(10);
	viz_undo__writes(journal, pid, report);
	if (!pid)
		viz_undo__stops(journal, -1, false, report);
	result = report->failed == failed ? 1 : -EAGAIN;
	if (result == 1 && !pid)
		viz_journal__unlink(dir, journal);
cleanup:
	viz_journal__unmap(journal);
	return result;
}

/* Returns how many journals of dead owners were there. */
static int restore_all(int dir, pid_t pid, struct viz_undo_report *report)
{
	struct dirent *entry;
	int seen = 0, fd;
	DIR *names;

	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	names = fd < 0 ? NULL : fdopendir(fd);
	if (!names) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(names)))
		if (!strncmp(entry->d_name, "journal-", 8))
			seen += restore_journal(dir, entry->d_name, pid, report) != 0;
	closedir(names);
	return seen;
}

int viz_guardian__restore(pid_t pid)
{
	struct viz_undo_report report = {0};
	char why[256];
	int dir, seen, probes;

	dir = viz_journal__open_dir(0, why, sizeof(why));
	if (dir == -ENOENT) {
		printf("Nothing to restore: no vizbpf has run since the machine started.\n");
		return 0;
	}
	if (dir < 0) {
		viz_error("%s", why);
		return 1;
	}
	seen = restore_all(dir, pid, &report);
	close(dir);
	if (!seen)
		printf("Nothing to restore: no vizbpf ended without cleaning up.\n");
	else
		printf("Took back %d writes in %d processes; let %d go on.\n", report.undone,
		       report.processes, report.continued);
	if (report.failed) {
		viz_error("%d writes could not be taken back: %s", report.failed,
			  strerror(report.last_errno));
		return 1;
	}
	probes = viz_probes_left__take_out(pid);
	if (probes)
		printf("Took out %d probes that were left.\n", probes);
	return 0;
}

/* ---- vizbpf's side ---- */

struct viz_guardian *viz_guardian__start(char *why, size_t why_size)
{
	struct viz_guardian *g = calloc(1, sizeof(*g));
	struct viz_undo_report report = {0};

	if (!g) {
		viz_why(why, why_size, -ENOMEM, "out of memory");
		return NULL;
	}
	g->dir = g->holds = g->owner = g->kick = -1;
	g->dir = viz_journal__open_dir(1, why, why_size);
	if (g->dir < 0)
		goto fail;
	if (restore_all(g->dir, 0, &report) && report.undone)
		viz_warn("an earlier vizbpf was killed with its guardian: took back %d writes in "
			 "%d processes",
			 report.undone, report.processes);
	g->holds = openat(g->dir, "holds", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	g->owner = (int)syscall(SYS_pidfd_open, getpid(), 0);
	g->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->holds < 0 || g->owner < 0 || g->kick < 0) {
		viz_why(why, why_size, -errno, "cannot prepare the guardian: %s", strerror(errno));
		goto fail;
	}
	g->journal = viz_journal__new(g->dir, why, why_size);
	if (!g->journal || spawn(g, why, why_size))
		goto fail;
	return g;
fail:
	if (g->journal) {
		viz_journal__unlink(g->dir, g->journal);
		viz_journal__unmap(g->journal);
	}
	if (g->dir >= 0)
		close(g->dir);
	if (g->holds >= 0)
		close(g->holds);
	if (g->owner >= 0)
		close(g->owner);
	if (g->kick >= 0)
		close(g->kick);
	free(g);
	return NULL;
}

static void kick(struct viz_guardian *g)
{
	uint64_t one = 1;

	if (write(g->kick, &one, sizeof(one)) != (ssize_t)sizeof(one))
		viz_debug(VIZ_LOG_LIFE, "guardian: eventfd: %s", strerror(errno));
}

int viz_guardian__add(struct viz_guardian *g, const struct viz_undo *undo)
{
	int entry = viz_journal__add(g->journal, undo);

	if (entry == -ENOSPC) {
		viz_undo__forget(g->journal);
		entry = viz_journal__add(g->journal, undo);
	}
	return entry;
}

void viz_guardian__remove(struct viz_guardian *g, int entry)
{
	viz_journal__retire(g->journal, entry);
}

void viz_guardian__stopped(struct viz_guardian *g, pid_t pid, int stopped)
{
	if (!stopped)
		viz_journal__cont(g->journal, pid);
	else if (viz_journal__stop(g->journal, pid))
		viz_debug(VIZ_LOG_LIFE, "guardian: pid %d stopped, but not noted", pid);
}

int viz_guardian__watch(struct viz_guardian *g, int map_fd)
{
	int tries;

	/* From here on something can be stopped: the loop counts, also before its first round. */
	atomic_fetch_add(&g->journal->beat, 1);
	atomic_store(&g->journal->watch, map_fd + 1);
	kick(g);
	for (tries = 0; tries < 2500; tries++) {
		if (atomic_load(&g->journal->watch_held) == map_fd + 1)
			return 0;
		nap(2);
	}
	viz_error("the guardian does not take the map of stopped processes (pidfd_getfd came with "
		  "Linux 5.6 and needs CAP_SYS_PTRACE)");
	return -ETIMEDOUT;
}

int viz_guardian__keep(struct viz_guardian *g, int fd)
{
	struct viz_journal_link *links = g->journal->links;
	int i, tries;

	for (i = 0; i < VIZ_JOURNAL_LINKS; i++) {
		uint32_t free = VIZ_LINK_FREE;

		if (atomic_compare_exchange_strong(&links[i].state, &free, VIZ_LINK_TAKEN))
			break;
	}
	if (i == VIZ_JOURNAL_LINKS)
		return -ENOSPC;
	links[i].fd = fd;
	atomic_store(&links[i].state, VIZ_LINK_WANTED);
	kick(g);
	for (tries = 0; tries < 1000 && atomic_load(&links[i].state) != VIZ_LINK_HELD; tries++)
		nap(1);
	return i;
}

void viz_guardian__drop(struct viz_guardian *g, int number)
{
	if (number < 0 || number >= VIZ_JOURNAL_LINKS)
		return;
	atomic_store(&g->journal->links[number].state, VIZ_LINK_DROPPED);
	kick(g);
}

int viz_guardian__undo(struct viz_guardian *g, pid_t pid)
{
	struct viz_undo_report report = {0};

	viz_undo__process(g->journal, pid, &report);
	return report.undone;
}

int viz_guardian__clear(struct viz_guardian *g, pid_t pid)
{
	struct viz_undo_report report = {0};

	viz_undo__anywhere(g->journal, pid, &report);
	return report.failed ? -report.last_errno : report.undone;
}

void viz_guardian__beat(struct viz_guardian *g)
{
	struct timespec now;
	char why[128];

	atomic_fetch_add(&g->journal->beat, 1);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == g->checked)
		return;
	g->checked = now.tv_sec;
	if (waitpid(g->child, NULL, WNOHANG) != g->child)
		return;
	viz_warn("the guardian (pid %d) was killed; starting another", g->child);
	if (spawn(g, why, sizeof(why)))
		viz_error("%s; a kill of vizbpf would now leave traces until vizbpf --restore",
			  why);
	else
		kick(g);
}

void viz_guardian__settle(struct viz_guardian *g)
{
	struct viz_undo_report report = {0};

	viz_undo__writes(g->journal, 0, &report);
	viz_undo__stops(g->journal, atomic_load(&g->journal->watch) - 1, true, &report);
	if (report.failed)
		viz_error("%d writes could not be taken back: %s", report.failed,
			  strerror(report.last_errno));
	else
		viz_journal__unlink(g->dir, g->journal);
	g->settled = true;
}

void viz_guardian__finish(struct viz_guardian *g)
{
	if (!g)
		return;
	if (!g->settled)
		viz_guardian__settle(g);
	atomic_store(&g->journal->finished, 1);
	kick(g);
	while (waitpid(g->child, NULL, 0) < 0 && errno == EINTR)
		;
	viz_journal__unmap(g->journal);
	close(g->kick);
	close(g->owner);
	close(g->holds);
	close(g->dir);
	free(g);
}

/* ---- who holds which target ---- */

/* The guardian of a vizbpf that was just killed may be about to write into the target. */
static void wait_for_guardians(struct viz_guardian *g)
{
	struct dirent *entry;
	int fd, tries;
	DIR *names;

	fd = openat(g->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	names = fd < 0 ? NULL : fdopendir(fd);
	if (!names) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(names))) {
		struct viz_journal *journal;

		if (strncmp(entry->d_name, "journal-", 8))
			continue;
		journal = viz_journal__map(g->dir, entry->d_name);
		if (!journal)
			continue;
		for (tries = 0; tries < 300 && !viz_journal__owner_alive(journal) &&
				viz_journal__guardian_alive(journal);
		     tries++)
			nap(10);
		viz_journal__unmap(journal);
	}
	closedir(names);
}

int viz_guardian__hold(struct viz_guardian *g, pid_t pid, char *why, size_t why_size)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = pid, .l_len = 1};
	int err;

	if (!fcntl(g->holds, F_SETLK, &lock)) {
		wait_for_guardians(g);
		return 0;
	}
	err = -errno;
	if (err != -EAGAIN && err != -EACCES)
		return viz_why(why, why_size, err, "cannot lock pid %d in %s: %s", pid, VIZ_RUN_DIR,
			       strerror(-err));
	if (fcntl(g->holds, F_GETLK, &lock) || lock.l_type == F_UNLCK)
		return viz_why(why, why_size, -EBUSY,
			       "pid %d was traced by another vizbpf until now: try again", pid);
	return viz_why(why, why_size, -EBUSY, "pid %d is traced by another vizbpf already (pid %d)",
		       pid, lock.l_pid);
}

void viz_guardian__release(struct viz_guardian *g, pid_t pid)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = pid, .l_len = 1};

	if (fcntl(g->holds, F_SETLK, &lock))
		viz_debug(VIZ_LOG_LIFE, "guardian: unlock %d: %s", pid, strerror(errno));
}
