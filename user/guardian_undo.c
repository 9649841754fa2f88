// SPDX-License-Identifier: Apache-2.0
#include "guardian_undo.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../bpf/records.h"
#include "target/remote.h"

/* A write to look for in processes that may have inherited it. */
struct signature {
	const struct viz_journal_entry *entry;
	uint64_t since;
};

static bool maps_same_file(pid_t pid, const struct viz_journal_entry *e)
{
	uint32_t major, minor;
	uint64_t ino;

	return !viz_proc__mapping(pid, e->map_start, &major, &minor, &ino) &&
	       major == e->map_major && minor == e->map_minor && ino == e->map_ino;
}

/*
 * 1: taken back; 0: there was nothing to take back (also when the process is gone); or a
 * negative errno. The target may write the slot itself between our look and our write: a
 * window of a microsecond that only stopping it would close, which is the greater intrusion.
 */
static int undo_write(int mem, pid_t pid, const struct viz_journal_entry *e)
{
	uint64_t now;
	ssize_t n;

	n = pread(mem, &now, sizeof(now), (off_t)e->addr);
	if (n != (ssize_t)sizeof(now) || now != e->expect)
		return 0; /* unmapped, or the address space is gone: nothing of ours is there */
	if (e->map_start && !maps_same_file(pid, e))
		return 0;
	n = pwrite(mem, &e->value, sizeof(e->value), (off_t)e->addr);
	if (n == (ssize_t)sizeof(e->value))
		return 1;
	return n < 0 && errno != ESRCH && errno != EIO ? -errno : 0;
}

static void note(struct viz_undo_report *report, pid_t pid, int result)
{
	if (result > 0) {
		report->undone += result;
		if (report->last_pid != pid)
			report->processes++;
		report->last_pid = pid;
	} else if (result < 0) {
		report->failed++;
		report->last_errno = -result;
	}
}

/* The process the entry names. Negative: the entry has to stay. */
static int undo_entry(struct viz_journal_entry *e)
{
	uint64_t start_time;
	int mem, result;

	mem = viz_remote__open(e->pid, O_RDWR);
	if (mem < 0)
		return mem == -ENOENT || mem == -ESRCH ? 0 : mem;
	/* Looked at after the memory was opened: then it is the memory of this very process. */
	if (viz_proc__start_time(e->pid, &start_time, NULL) || start_time != e->start_time)
		result = 0;
	else
		result = undo_write(mem, e->pid, e);
	close(mem);
	return result;
}

void viz_undo__process(struct viz_journal *journal, pid_t pid, struct viz_undo_report *report)
{
	int i, result;

	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++) {
		struct viz_journal_entry *e = &journal->entries[i];

		if (atomic_load(&e->state) != VIZ_ENTRY_LIVE || (pid && e->pid != pid))
			continue;
		result = undo_entry(e);
		note(report, e->pid, result);
		if (result >= 0)
			viz_journal__retire(journal, i);
	}
}

/* Somebody else's target: what is written there is his. */
static bool held_by_other(int holds, pid_t pid, pid_t owner)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = pid, .l_len = 1};

	return holds >= 0 && !fcntl(holds, F_GETLK, &lock) && lock.l_type != F_UNLCK &&
	       lock.l_pid != owner;
}

static int undo_inherited(pid_t pid, const struct signature *sigs, int nr, int holds, pid_t owner,
			  struct viz_undo_report *report)
{
	uint64_t start_time;
	int mem, i, result, found = 0;

	if (viz_proc__start_time(pid, &start_time, NULL))
		return 0;
	/* Most processes are older than the writes and are not looked into at all. One tick of
	 * tolerance, as both times are rounded. */
	for (i = 0; i < nr && start_time + 1 < sigs[i].since; i++)
		;
	if (i == nr || held_by_other(holds, pid, owner))
		return 0;
	mem = viz_remote__open(pid, O_RDWR);
	if (mem < 0)
		return 0;
	for (; i < nr; i++) {
		result = undo_write(mem, pid, sigs[i].entry);
		note(report, pid, result);
		if (result > 0)
			report->inherited++, found++;
	}
	close(mem);
	return found;
}

static bool has_live_entry(const struct viz_journal *journal, pid_t pid)
{
	int i;

	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++)
		if (journal->entries[i].pid == pid &&
		    atomic_load(&journal->entries[i].state) == VIZ_ENTRY_LIVE)
			return true;
	return false;
}

/* @keep: leave the processes alone that the journal says are traced now. */
static int scan_once(const struct viz_journal *journal, const struct signature *sigs, int nr,
		     int holds, bool keep, struct viz_undo_report *report)
{
	struct dirent *entry;
	int found = 0;
	DIR *proc;

	proc = opendir("/proc");
	if (!proc)
		return 0;
	while ((entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 0 && !(keep && has_live_entry(journal, pid)))
			found += undo_inherited(pid, sigs, nr, holds, journal->owner, report);
	}
	closedir(proc);
	return found;
}

static int by_since(const void *a, const void *b)
{
	const struct signature *x = a, *y = b;

	return x->since < y->since ? -1 : x->since > y->since;
}

/* Writes that a child can have, each once. Returns how many; @sigs has room for all. */
static int collect(struct viz_journal *journal, struct signature *sigs)
{
	int i, k, nr = 0;

	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++) {
		struct viz_journal_entry *e = &journal->entries[i];
		uint32_t state = atomic_load(&e->state);

		if ((state != VIZ_ENTRY_LIVE && state != VIZ_ENTRY_RETIRED) || !e->map_start)
			continue;
		for (k = 0; k < nr; k++)
			if (sigs[k].entry->addr == e->addr && sigs[k].entry->expect == e->expect &&
			    sigs[k].entry->map_start == e->map_start &&
			    sigs[k].entry->map_ino == e->map_ino)
				break;
		if (k == nr)
			sigs[nr++] = (struct signature){e, e->since};
		else if (e->since < sigs[k].since)
			sigs[k].since = e->since;
	}
	qsort(sigs, (size_t)nr, sizeof(*sigs), by_since);
	return nr;
}

/* @pid 0: look at every process. */
static void undo_children(struct viz_journal *journal, pid_t pid, bool keep,
			  struct viz_undo_report *report)
{
	struct signature *sigs;
	int nr, clean, passes, holds;

	sigs = calloc(VIZ_JOURNAL_ENTRIES, sizeof(*sigs));
	if (!sigs) {
		note(report, 0, -ENOMEM);
		return;
	}
	nr = collect(journal, sigs);
	holds = open(VIZ_RUN_DIR "/holds", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	/*
	 * A process may fork while we look, and its child then has what we just took from the
	 * parent: go on until two passes in a row find nothing. The limit is for a fork bomb.
	 */
	for (clean = 0, passes = 0; nr && clean < 2 && passes < 100; passes++) {
		int found = pid ? undo_inherited(pid, sigs, nr, holds, journal->owner, report)
				: scan_once(journal, sigs, nr, holds, keep, report);

		clean = found ? 0 : clean + 1;
	}
	if (holds >= 0)
		close(holds);
	free(sigs);
}

void viz_undo__writes(struct viz_journal *journal, pid_t pid, struct viz_undo_report *report)
{
	viz_undo__process(journal, pid, report);
	undo_children(journal, pid, false, report);
}

void viz_undo__forget(struct viz_journal *journal)
{
	struct viz_undo_report report = {0};
	int i;

	undo_children(journal, 0, true, &report);
	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++) {
		uint32_t retired = VIZ_ENTRY_RETIRED;

		atomic_compare_exchange_strong(&journal->entries[i].state, &retired,
					       VIZ_ENTRY_FREE);
	}
}

static bool is_stopped(pid_t pid)
{
	uint64_t start_time;
	char state;

	return !viz_proc__start_time(viz_remote__task(pid), &start_time, &state) && state == 'T';
}

/* @start_time 0: whoever has the pid now, if he is stopped. Whether the signal was sent. */
static bool let_go(pid_t pid, uint64_t start_time, struct viz_undo_report *report)
{
	bool sent = false;
	uint64_t now;
	int pidfd;

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return false;
	if (!viz_proc__start_time(pid, &now, NULL) &&
	    (start_time ? now == start_time : is_stopped(pid)))
		sent = !syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
	report->continued += sent;
	close(pidfd);
	return sent;
}

/* The entries stay live: the owner may come back and set the slot again. */
void viz_undo__anywhere(struct viz_journal *journal, pid_t pid, struct viz_undo_report *report)
{
	int i;

	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++) {
		struct viz_journal_entry *e = &journal->entries[i];

		if (atomic_load(&e->state) == VIZ_ENTRY_LIVE && e->pid == pid)
			note(report, pid, undo_entry(e));
	}
	undo_children(journal, pid, false, report);
}

/* What the BPF program stopped and nobody has cleared since; @again: or has. */
static int stopped_by_map(int map_fd, bool again, uint32_t *pids, int max)
{
	struct viz_guard_state state;
	uint32_t key, next;
	void *previous = NULL;
	int nr = 0;

	while (map_fd >= 0 && nr < max && !bpf_map_get_next_key(map_fd, previous, &next)) {
		key = next;
		previous = &key;
		if (!bpf_map_lookup_elem(map_fd, &key, &state) && state.stopped &&
		    (again || !state.cleared))
			pids[nr++] = key;
	}
	return nr;
}

static void mark_cleared(int map_fd, uint32_t pid)
{
	struct viz_guard_state state = {.told = 1, .stopped = 1, .cleared = 1};

	if (map_fd >= 0)
		bpf_map_update_elem(map_fd, &pid, &state, BPF_EXIST);
}

/* One that waits to be prepared has no slot to be cleared, and is forgotten when it goes on. */
static void undo_map_stop(struct viz_journal *journal, int map_fd, uint32_t pid,
			  struct viz_undo_report *report)
{
	struct viz_guard_state state;
	bool held = !bpf_map_lookup_elem(map_fd, &pid, &state) && state.held;

	viz_undo__anywhere(journal, (pid_t)pid, report);
	if (!held)
		mark_cleared(map_fd, pid);
	if (let_go((pid_t)pid, 0, report) && held)
		bpf_map_delete_elem(map_fd, &pid);
}

void viz_undo__stops(struct viz_journal *journal, int map_fd, bool again,
		     struct viz_undo_report *report)
{
	uint32_t pids[VIZ_JOURNAL_STOPS];
	uint64_t now;
	int i, nr;

	for (i = 0; i < VIZ_JOURNAL_STOPS; i++) {
		struct viz_journal_stop *stop = &journal->stops[i];

		if (atomic_load(&stop->state) != VIZ_ENTRY_LIVE)
			continue;
		if (!viz_proc__start_time(stop->pid, &now, NULL) && now == stop->start_time)
			viz_undo__anywhere(journal, stop->pid, report);
		mark_cleared(map_fd, (uint32_t)stop->pid);
		let_go(stop->pid, stop->start_time, report);
		atomic_store(&stop->state, VIZ_ENTRY_FREE);
	}
	nr = stopped_by_map(map_fd, again, pids, VIZ_JOURNAL_STOPS);
	for (i = 0; i < nr; i++)
		undo_map_stop(journal, map_fd, pids[i], report);
}
