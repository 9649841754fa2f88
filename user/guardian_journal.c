// SPDX-License-Identifier: Apache-2.0
#include "guardian_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "target/remote.h"

enum { UNFINISHED_SECONDS = 10 };

#define JOURNAL_MAGIC 0x4c4e524a5a495601ULL /* "VIZJRNL" and a byte no text has */

int viz_proc__start_time(pid_t pid, uint64_t *start_time, char *state)
{
	char path[64], text[1024], *p;
	unsigned long long start;
	ssize_t n;
	char letter;
	int fd, err = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		err = n ? -errno : -ESRCH;
	close(fd);
	if (err)
		return err;
	text[n] = '\0';
	/* The name before it is the target's choice and may hold spaces and parentheses. */
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1,
			 " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d"
			 " %*d %*d %llu",
			 &letter, &start) != 2)
		return -EPROTO;
	*start_time = start;
	if (state)
		*state = letter;
	return 0;
}

int viz_proc__mapping(pid_t pid, uint64_t start, uint32_t *major, uint32_t *minor, uint64_t *ino)
{
	char path[64], *line = NULL;
	size_t size = 0;
	int err = -ENOENT;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", viz_remote__task(pid));
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (getline(&line, &size, maps) > 0) {
		uint64_t begin;

		if (sscanf(line, "%" SCNx64 "-%*x %*4s %*x %x:%x %" SCNu64, &begin, major, minor,
			   ino) != 4)
			continue;
		if (begin == start) {
			err = 0;
			break;
		}
	}
	free(line);
	fclose(maps);
	return err;
}

static void read_boot_id(char *id, size_t size)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, id, size - 1);

	if (fd >= 0)
		close(fd);
	id[n > 0 ? n : 0] = '\0';
	id[strcspn(id, "\n")] = '\0';
}

static uint64_t own_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
}

int viz_journal__open_dir(int make, char *why, size_t why_size)
{
	struct stat st;
	int fd;

	if (make && mkdir(VIZ_RUN_DIR, 0700) && errno != EEXIST)
		return viz_why(why, why_size, -errno, "cannot make %s: %s", VIZ_RUN_DIR,
			       strerror(errno));
	fd = open(VIZ_RUN_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return viz_why(why, why_size, -errno, "cannot open %s: %s", VIZ_RUN_DIR,
			       strerror(errno));
	if (fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & 077)) {
		close(fd);
		return viz_why(
			why, why_size, -EPERM,
			"%s is not a directory of ours with mode 0700: somebody else made it; "
			"remove it",
			VIZ_RUN_DIR);
	}
	return fd;
}

static void journal_name(const struct viz_journal *journal, char *name, size_t size)
{
	snprintf(name, size, "journal-%d-%" PRIu64, journal->owner, journal->owner_start);
}

struct viz_journal *viz_journal__new(int dir, char *why, size_t why_size)
{
	struct viz_journal head = {.owner = getpid()}, *journal = NULL;
	char name[64];
	int fd, err;

	err = viz_proc__start_time(head.owner, &head.owner_start, NULL);
	if (err) {
		viz_why(why, why_size, err, "cannot read /proc/self/stat: %s", strerror(-err));
		return NULL;
	}
	journal_name(&head, name, sizeof(name));
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		viz_why(why, why_size, -errno, "cannot make %s/%s: %s", VIZ_RUN_DIR, name,
			strerror(errno));
		return NULL;
	}
	if (!ftruncate(fd, sizeof(*journal)))
		journal = mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!journal || journal == MAP_FAILED) {
		viz_why(why, why_size, -errno, "cannot map %s/%s: %s", VIZ_RUN_DIR, name,
			strerror(errno));
		unlinkat(dir, name, 0);
		close(fd);
		return NULL;
	}
	close(fd);
	journal->version = VIZ_JOURNAL_VERSION;
	journal->size = sizeof(*journal);
	read_boot_id(journal->boot_id, sizeof(journal->boot_id));
	journal->pid_ns = own_pid_ns();
	journal->owner = head.owner;
	journal->owner_start = head.owner_start;
	atomic_thread_fence(memory_order_release);
	journal->magic = JOURNAL_MAGIC;
	return journal;
}

/* Its vizbpf was killed while it made the file, some microseconds long: nothing is noted there. */
static int was_never_finished(int fd)
{
	uint64_t magic = 0;
	struct stat st;

	return pread(fd, &magic, sizeof(magic), 0) >= 0 && !magic && !fstat(fd, &st) &&
	       time(NULL) - st.st_mtime > UNFINISHED_SECONDS;
}

struct viz_journal *viz_journal__map(int dir, const char *name)
{
	struct viz_journal *journal = NULL;
	char boot_id[sizeof(journal->boot_id)];
	struct stat st;
	int fd, err = EINVAL;

	fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (was_never_finished(fd)) {
		close(fd);
		errno = ESTALE;
		return NULL;
	}
	/* A shorter file would be a SIGBUS on the first look at its end. */
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (size_t)st.st_size == sizeof(*journal))
		journal = mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (!journal || journal == MAP_FAILED) {
		errno = err;
		return NULL;
	}
	read_boot_id(boot_id, sizeof(boot_id));
	if (journal->magic != JOURNAL_MAGIC || journal->version != VIZ_JOURNAL_VERSION ||
	    journal->size != sizeof(*journal))
		err = EINVAL;
	else if (strncmp(journal->boot_id, boot_id, sizeof(boot_id)))
		err = ESTALE;
	else if (journal->pid_ns != own_pid_ns())
		err = EXDEV;
	else
		return journal;
	viz_journal__unmap(journal);
	errno = err;
	return NULL;
}

void viz_journal__unmap(struct viz_journal *journal)
{
	if (journal)
		munmap(journal, sizeof(*journal));
}

void viz_journal__unlink(int dir, const struct viz_journal *journal)
{
	char name[64];

	journal_name(journal, name, sizeof(name));
	unlinkat(dir, name, 0);
}

static int same_alive(pid_t pid, uint64_t start_time)
{
	uint64_t now = 0;
	char state = 0;

	return pid > 0 && !viz_proc__start_time(pid, &now, &state) && now == start_time &&
	       state != 'Z' && state != 'X';
}

int viz_journal__owner_alive(const struct viz_journal *journal)
{
	return same_alive(journal->owner, journal->owner_start);
}

int viz_journal__guardian_alive(const struct viz_journal *journal)
{
	return same_alive(journal->guardian, journal->guardian_start);
}

static uint64_t ticks_since_boot(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)sysconf(_SC_CLK_TCK) +
	       (uint64_t)ts.tv_nsec / (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* Returns the number of a slot that only this caller has, or -ENOSPC. */
static int take_entry(struct viz_journal *journal)
{
	int i;

	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++) {
		uint32_t free = VIZ_ENTRY_FREE;

		if (atomic_load(&journal->entries[i].state) == VIZ_ENTRY_FREE &&
		    atomic_compare_exchange_strong(&journal->entries[i].state, &free,
						   VIZ_ENTRY_TAKEN))
			return i;
	}
	return -ENOSPC;
}

int viz_journal__add(struct viz_journal *journal, const struct viz_undo *undo)
{
	uint64_t start_time = undo->start_time, since = ticks_since_boot();
	struct viz_journal_entry *e;
	int i, err;

	if (undo->pid <= 0 || undo->addr % 8)
		return -EINVAL;
	if (!start_time) {
		err = viz_proc__start_time(undo->pid, &start_time, NULL);
		if (err)
			return err;
	}
	i = take_entry(journal);
	if (i < 0)
		return i;
	e = &journal->entries[i];
	e->pid = undo->pid;
	e->start_time = start_time;
	e->since = since;
	e->addr = undo->addr;
	e->expect = undo->expect;
	e->value = undo->value;
	e->map_start = undo->map_start;
	e->map_major = major(undo->dev);
	e->map_minor = minor(undo->dev);
	e->map_ino = undo->ino;
	/* On btrfs and overlayfs maps does not show what stat() gives. */
	if (undo->map_start)
		viz_proc__mapping(undo->pid, undo->map_start, &e->map_major, &e->map_minor,
				  &e->map_ino);
	atomic_store(&e->state, VIZ_ENTRY_LIVE);
	return i;
}

static int same_write(const struct viz_journal_entry *a, const struct viz_journal_entry *b)
{
	return a->addr == b->addr && a->expect == b->expect && a->value == b->value &&
	       a->map_start == b->map_start && a->map_ino == b->map_ino &&
	       a->map_major == b->map_major && a->map_minor == b->map_minor;
}

void viz_journal__retire(struct viz_journal *journal, int entry)
{
	struct viz_journal_entry *e;
	int i;

	if (entry < 0 || entry >= VIZ_JOURNAL_ENTRIES)
		return;
	e = &journal->entries[entry];
	if (atomic_load(&e->state) != VIZ_ENTRY_LIVE)
		return;
	for (i = 0; i < VIZ_JOURNAL_ENTRIES; i++) {
		struct viz_journal_entry *other = &journal->entries[i];

		if (!e->map_start || (atomic_load(&other->state) == VIZ_ENTRY_RETIRED &&
				      other->since <= e->since && same_write(e, other))) {
			atomic_store(&e->state, VIZ_ENTRY_FREE);
			return;
		}
	}
	atomic_store(&e->state, VIZ_ENTRY_RETIRED);
}

int viz_journal__stop(struct viz_journal *journal, pid_t pid)
{
	uint64_t start_time = 0;
	int i, err;

	err = viz_proc__start_time(pid, &start_time, NULL);
	if (err)
		return err;
	for (i = 0; i < VIZ_JOURNAL_STOPS; i++) {
		struct viz_journal_stop *stop = &journal->stops[i];
		uint32_t free = VIZ_ENTRY_FREE;

		if (!atomic_compare_exchange_strong(&stop->state, &free, VIZ_ENTRY_TAKEN))
			continue;
		stop->pid = pid;
		stop->start_time = start_time;
		atomic_store(&stop->state, VIZ_ENTRY_LIVE);
		return 0;
	}
	return -ENOSPC;
}

void viz_journal__cont(struct viz_journal *journal, pid_t pid)
{
	int i;

	for (i = 0; i < VIZ_JOURNAL_STOPS; i++)
		if (atomic_load(&journal->stops[i].state) == VIZ_ENTRY_LIVE &&
		    journal->stops[i].pid == pid)
			atomic_store(&journal->stops[i].state, VIZ_ENTRY_FREE);
}
