// SPDX-License-Identifier: Apache-2.0
/*
 * user/guardian*.c: what is written into targets is taken back, whoever is killed.
 * Build: gcc -fsanitize=address,undefined -D_GNU_SOURCE -Iuser -DVIZ_RUN_DIR='"/tmp/vizbpf-test-run"'
 *	tests/unit/guardian_test.c user/guardian.c user/guardian_journal.c user/guardian_undo.c
 *	user/guardian_probes.c user/target/process_maps.c
 *	user/target/remote.c user/base/log.c -lbpf -lpthread
 *
 * Each case has a target with a child that it forks after the write, a tracer that makes the
 * write and then does what the case says, and a look at the target and the child afterwards.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guardian.h"
#include "guardian_journal.h"

enum { SET = 7, FOREIGN = 99 };

/* What the processes of a case tell each other. */
static struct shared {
	volatile uint64_t target_slot, child_slot, go, beats;
	volatile pid_t target, child, tracer;
	volatile int results[8];
} * shared;

static volatile uint64_t slot __attribute__((aligned(8)));
static int passed, failed;
static bool leaderless; /* the target's first thread ends, another goes on */

static void check(int ok, const char *name, const char *what)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	printf("not ok %s: %s\n", name, what);
}

static void nap(void)
{
	struct timespec ts = {0, 1000000};

	nanosleep(&ts, NULL);
}

/* For what other processes do: at most ten seconds. */
#define UNTIL(condition)                                                                           \
	({                                                                                         \
		int left_ = 10000;                                                                 \
		while (!(condition) && left_-- > 0)                                                \
			nap();                                                                     \
		left_ > 0;                                                                         \
	})

static char state_of(pid_t pid)
{
	uint64_t start;
	char state = '?';

	return viz_proc__start_time(pid, &start, &state) ? '?' : state;
}

static void *live(void *unused)
{
	(void)unused;
	for (;; nap()) {
		shared->target_slot = slot;
		shared->beats++;
	}
	return NULL;
}

static void run_target(void)
{
	pthread_t other;

	while (!slot)
		nap();
	if (!fork()) {
		shared->child = getpid();
		for (;; nap())
			shared->child_slot = slot;
	}
	if (leaderless && !pthread_create(&other, NULL, live, NULL))
		syscall(SYS_exit, 0);
	live(NULL);
}

static void write_slot(pid_t pid, uint64_t value)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_WRONLY);
	if (pwrite(fd, &value, sizeof(value), (off_t)(uintptr_t)&slot) != sizeof(value))
		abort();
	close(fd);
}

static uint64_t first_mapping(pid_t pid)
{
	char path[64];
	uint64_t start = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	if (fscanf(maps, "%lx-", &start) != 1)
		abort();
	fclose(maps);
	return start;
}

static uint64_t map_shift; /* 1: no mapping begins where the write was noted */

static struct viz_undo undo_for_target(void)
{
	return (struct viz_undo){
		.pid = shared->target,
		.addr = (uint64_t)(uintptr_t)&slot,
		.expect = SET,
		.value = 0,
		.map_start = first_mapping(shared->target) + map_shift,
	};
}

static pid_t guardian_of(pid_t tracer)
{
	struct dirent *entry;
	struct viz_journal *journal;
	pid_t pid = 0;
	char why[128];
	int dir = viz_journal__open_dir(0, why, sizeof(why));
	DIR *names = fdopendir(dir);

	while ((entry = readdir(names))) {
		journal = viz_journal__map(dirfd(names), entry->d_name);
		if (journal && journal->owner == tracer)
			pid = journal->guardian;
		viz_journal__unmap(journal);
	}
	closedir(names);
	return pid;
}

static int journals(void)
{
	struct dirent *entry;
	DIR *names = opendir(VIZ_RUN_DIR);
	int nr = 0;

	while (names && (entry = readdir(names)))
		nr += !strncmp(entry->d_name, "journal-", 8);
	if (names)
		closedir(names);
	return nr;
}

/* The tracer of a case: has a guardian, makes the write, goes on in @act. */
static void run_tracer(void (*act)(struct viz_guardian *g, int entry), uint64_t start_time)
{
	struct viz_undo undo = undo_for_target();
	struct viz_guardian *g;
	char why[256];
	int entry;

	g = viz_guardian__start(why, sizeof(why));
	if (!g || viz_guardian__hold(g, shared->target, why, sizeof(why))) {
		printf("%s\n", why);
		exit(1);
	}
	undo.start_time = start_time;
	entry = viz_guardian__add(g, &undo);
	if (entry < 0)
		exit(2);
	write_slot(shared->target, SET);
	if (!UNTIL(shared->child_slot == SET && shared->target_slot == SET))
		exit(3);
	act(g, entry);
	raise(SIGKILL);
}

static void begin(void (*act)(struct viz_guardian *g, int entry), uint64_t start_time)
{
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	/* The write must be younger than the target, by the clock tick of /proc/PID/stat. */
	pid = fork();
	if (!pid)
		run_target();
	shared->target = pid;
	for (int i = 0; i < 30; i++)
		nap();
	pid = fork();
	if (!pid)
		run_tracer(act, start_time);
	shared->tracer = pid;
}

static void end(void)
{
	if (shared->child)
		kill(shared->child, SIGKILL);
	kill(shared->target, SIGKILL);
	kill(shared->tracer, SIGKILL);
	waitpid(shared->tracer, NULL, 0);
	waitpid(shared->target, NULL, 0);
}

/* The tracer is gone, and had come so far that there was something to take back. */
static void tracer_ended(const char *name)
{
	int status = 0;

	if (waitpid(shared->tracer, &status, 0) < 0)
		return; /* already waited for, and checked then */
	check(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), name,
	      "the tracer did its part");
}

static void expect_clear(const char *name)
{
	tracer_ended(name);
	check(UNTIL(shared->target_slot == 0), name, "the target's slot is clear");
	check(UNTIL(shared->child_slot == 0), name, "the child's slot is clear");
	check(UNTIL(journals() == 0), name, "no journal is left");
}

static void do_die(struct viz_guardian *g, int entry)
{
	(void)g, (void)entry;
}

static void do_finish(struct viz_guardian *g, int entry)
{
	(void)entry;
	viz_guardian__finish(g);
	exit(0);
}

static void do_undo(struct viz_guardian *g, int entry)
{
	(void)entry;
	shared->results[0] = viz_guardian__undo(g, shared->target);
	UNTIL(shared->target_slot == 0);
	shared->results[1] = (int)shared->child_slot;
	viz_guardian__finish(g);
	exit(0);
}

/* The entry is retired; the child's inherited write must not be forgotten with it. */
static void do_remove_and_die(struct viz_guardian *g, int entry)
{
	write_slot(shared->target, 0);
	viz_guardian__remove(g, entry);
}

static void do_stop_and_die(struct viz_guardian *g, int entry)
{
	(void)entry;
	viz_guardian__stopped(g, shared->target, 1);
	kill(shared->target, SIGSTOP);
}

/* Where /proc/PID shows no memory any more, and the process lives on. */
static void do_leaderless(struct viz_guardian *g, int entry)
{
	if (!UNTIL(state_of(shared->target) == 'Z'))
		exit(4);
	do_stop_and_die(g, entry);
}

static void do_hang(struct viz_guardian *g, int entry)
{
	do_stop_and_die(g, entry);
	viz_guardian__beat(g);
	for (;;)
		pause();
}

static void do_wait(struct viz_guardian *g, int entry)
{
	(void)entry;
	shared->go = 1;
	for (;; nap())
		viz_guardian__beat(g);
}

static void test_ends(void)
{
	begin(do_finish, 0);
	expect_clear("finish");
	end();
	begin(do_die, 0);
	expect_clear("kill");
	end();
	begin(do_remove_and_die, 0);
	expect_clear("removed");
	end();
	begin(do_undo, 0);
	expect_clear("undo");
	check(shared->results[0] == 1, "undo", "one write is taken back at once");
	check(shared->results[1] == SET, "undo", "the child keeps it until the end");
	end();
}

static void test_stops(void)
{
	uint64_t beats;

	begin(do_stop_and_die, 0);
	expect_clear("stopped");
	beats = shared->beats;
	check(UNTIL(shared->beats > beats + 3), "stopped", "the target goes on");
	end();
	begin(do_hang, 0);
	check(UNTIL(shared->target_slot == 0), "hang", "the stopped target's slot is clear");
	beats = shared->beats;
	check(UNTIL(shared->beats > beats + 3), "hang", "the target goes on");
	check(shared->child_slot == SET, "hang", "what is not stopped waits");
	kill(shared->tracer, SIGKILL);
	expect_clear("hang");
	end();
}

static void test_leaderless(void)
{
	uint64_t beats;

	leaderless = true;
	begin(do_leaderless, 0);
	expect_clear("leaderless");
	beats = shared->beats;
	check(UNTIL(shared->beats > beats + 3), "leaderless", "the target goes on");
	end();
	leaderless = false;
}

static void test_guardian_killed(void)
{
	pid_t guardian;

	begin(do_hang, 0);
	check(UNTIL(state_of(shared->target) == 'T'), "both", "the target is stopped");
	check(UNTIL((guardian = guardian_of(shared->tracer)) > 0), "both",
	      "the journal names the guardian");
	if (guardian > 0)
		kill(guardian, SIGKILL);
	kill(shared->tracer, SIGKILL);
	tracer_ended("both");
	check(journals() == 1, "both", "the journal stays");
	check(viz_guardian__restore(0) == 0, "both", "restore succeeds");
	expect_clear("both");
	end();

	begin(do_wait, 0);
	UNTIL(shared->go);
	check(UNTIL((guardian = guardian_of(shared->tracer)) > 0), "respawn",
	      "there is a guardian");
	if (guardian > 0)
		kill(guardian, SIGKILL);
	check(UNTIL(guardian_of(shared->tracer) != guardian), "respawn", "another guardian comes");
	kill(shared->tracer, SIGKILL);
	expect_clear("respawn");
	end();
}

static void test_others(void)
{
	struct viz_guardian *g;
	uint64_t start;
	char why[256];

	/* Another process has the pid now. */
	viz_proc__start_time(getpid(), &start, NULL);
	begin(do_die, start + 12345);
	tracer_ended("reuse");
	check(UNTIL(journals() == 0 && shared->child_slot == 0), "reuse",
	      "the journal is done with");
	check(shared->target_slot == SET, "reuse", "a process with the same pid is left alone");
	end();
	/* Somebody else's value is there. */
	begin(do_wait, 0);
	UNTIL(shared->go);
	write_slot(shared->target, FOREIGN);
	kill(shared->tracer, SIGKILL);
	tracer_ended("foreign");
	check(UNTIL(journals() == 0 && shared->child_slot == 0), "foreign", "the child's is clear");
	check(UNTIL(shared->target_slot == FOREIGN), "foreign", "somebody else's value stays");
	end();
	/* Something else is mapped there by now. */
	map_shift = 1;
	begin(do_wait, 0);
	UNTIL(shared->go);
	kill(shared->tracer, SIGKILL);
	tracer_ended("mapping");
	check(UNTIL(journals() == 0), "mapping", "the journal is done with");
	check(shared->target_slot == SET && shared->child_slot == SET, "mapping",
	      "what looks like ours in another program stays");
	end();
	map_shift = 0;
	/* A second tracer. */
	begin(do_wait, 0);
	UNTIL(shared->go);
	g = viz_guardian__start(why, sizeof(why));
	check(g != NULL, "second", "it starts");
	check(viz_guardian__hold(g, shared->target, why, sizeof(why)) == -EBUSY, "second",
	      "it is busy");
	snprintf(why + 200, 50, "(pid %d)", shared->tracer);
	check(strstr(why, why + 200) != NULL, "second", "the holder is named");
	kill(shared->tracer, SIGKILL);
	waitpid(shared->tracer, NULL, 0);
	check(viz_guardian__hold(g, shared->target, why, sizeof(why)) == 0, "second", "free again");
	for (int i = 0; i < 5; i++)
		nap(); /* the target looks every millisecond */
	check(shared->target_slot == 0, "second", "and clear when it is");
	viz_guardian__finish(g);
	expect_clear("second");
	end();
}

static void test_directory(void)
{
	char why[256];

	chmod(VIZ_RUN_DIR, 0777);
	check(viz_guardian__start(why, sizeof(why)) == NULL, "directory",
	      "one open to all is refused");
	chmod(VIZ_RUN_DIR, 0700);
	if (system("rm -rf " VIZ_RUN_DIR "; ln -s /tmp " VIZ_RUN_DIR))
		abort();
	check(viz_guardian__start(why, sizeof(why)) == NULL, "directory", "a link is refused");
	unlink(VIZ_RUN_DIR);
}

static void leave_unfinished(int dir, const char *name, off_t size, time_t age)
{
	struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
	int fd = openat(dir, name, O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, size) || futimens(fd, times))
		abort();
	close(fd);
}

/* errno of a look at the journal of this process with one byte of it turned, 0: it is taken. */
static int look_with(int dir, struct viz_journal *journal, void *byte)
{
	struct viz_journal *seen;
	char name[64];
	int err;

	snprintf(name, sizeof(name), "journal-%d-%lu", journal->owner,
		 (unsigned long)journal->owner_start);
	if (byte)
		*(unsigned char *)byte ^= 1;
	seen = viz_journal__map(dir, name);
	err = seen ? 0 : errno;
	viz_journal__unmap(seen);
	if (byte)
		*(unsigned char *)byte ^= 1;
	return err;
}

/* Journals that must not be acted upon. */
static void test_strange(void)
{
	char why[256];
	int dir = viz_journal__open_dir(1, why, sizeof(why));
	struct viz_journal *journal = viz_journal__new(dir, why, sizeof(why));

	if (!journal)
		abort();
	check(look_with(dir, journal, NULL) == 0, "strange", "as it is, it is taken");
	check(look_with(dir, journal, journal->boot_id) == ESTALE, "strange", "of another boot");
	check(look_with(dir, journal, &journal->pid_ns) == EXDEV, "strange", "of other pids");
	check(look_with(dir, journal, &journal->version) == EINVAL, "strange", "another version");
	check(look_with(dir, journal, &journal->size) == EINVAL, "strange", "of another size");
	viz_journal__unlink(dir, journal);
	viz_journal__unmap(journal);
	close(dir);
}

/* A vizbpf that was killed while it made its journal. */
static void test_unfinished(void)
{
	char why[256];
	int dir = viz_journal__open_dir(1, why, sizeof(why));

	leave_unfinished(dir, "journal-1-1", 0, 100);
	leave_unfinished(dir, "journal-1-2", sizeof(struct viz_journal), 100);
	leave_unfinished(dir, "journal-1-3", 0, 0);
	check(viz_guardian__restore(0) == 0, "unfinished", "restore succeeds");
	check(journals() == 1 && !faccessat(dir, "journal-1-3", F_OK, 0), "unfinished",
	      "what may be finished yet stays, the others go");
	unlinkat(dir, "journal-1-3", 0);
	close(dir);
}

static void test_journal(void)
{
	struct viz_undo undo = {.pid = getpid(), .addr = 8, .expect = 1, .map_start = 4096};
	struct viz_journal *journal;
	char why[256];
	int dir = viz_journal__open_dir(1, why, sizeof(why)), i, fd;

	journal = viz_journal__new(dir, why, sizeof(why));
	check(journal != NULL, "journal", "it is made");
	undo.addr = 12;
	check(viz_journal__add(journal, &undo) == -EINVAL, "journal", "an odd address is refused");
	undo.addr = 8;
	for (i = 0; i < 1000; i++)
		viz_journal__retire(journal, viz_journal__add(journal, &undo));
	check(viz_journal__add(journal, &undo) == 1, "journal", "equal retired entries are one");
	for (i = 2; i < VIZ_JOURNAL_ENTRIES; i++)
		viz_journal__add(journal, &undo);
	check(viz_journal__add(journal, &undo) == -ENOSPC, "journal", "it says when it is full");
	viz_journal__unlink(dir, journal);
	viz_journal__unmap(journal);
	/* Not ours, or not whole. */
	fd = openat(dir, "journal-short", O_RDWR | O_CREAT, 0600);
	if (write(fd, "short", 5) != 5)
		abort();
	close(fd);
	check(viz_journal__map(dir, "journal-short") == NULL, "journal", "a short file is refused");
	unlinkat(dir, "journal-short", 0);
	close(dir);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (geteuid()) {
		printf("skip: not root\n");
		return 77;
	}
	test_journal();
	test_ends();
	test_stops();
	test_leaderless();
	test_strange();
	test_unfinished();
	test_guardian_killed();
	test_others();
	test_directory();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
