/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: a file in /run/vizbpf, mapped shared by vizbpf and its guardian, read by
 * `vizbpf --restore`. Every change is one atomic store, so that a process killed between
 * any two instructions leaves it meaningful.
 */
#ifndef VIZ_GUARDIAN_JOURNAL_H
#define VIZ_GUARDIAN_JOURNAL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guardian.h"

#ifndef VIZ_RUN_DIR /* the unit test has its own */
#define VIZ_RUN_DIR "/run/vizbpf"
#endif

enum {
	VIZ_JOURNAL_VERSION = 2,
	VIZ_JOURNAL_ENTRIES = 16384, /* sparse: only what is used takes memory */
	VIZ_JOURNAL_STOPS = 1024,
	VIZ_JOURNAL_LINKS = 4096,
};

enum viz_entry_state {
	VIZ_ENTRY_FREE = 0,
	VIZ_ENTRY_TAKEN = 1, /* being filled in: its write has not been made */
	VIZ_ENTRY_LIVE = 2, /* the write may have been made */
	VIZ_ENTRY_RETIRED = 3, /* undone; children may have inherited it */
};

struct viz_journal_entry {
	_Atomic uint32_t state;
	uint32_t map_major, map_minor; /* of the file, as /proc/PID/maps prints them */
	int32_t pid;
	uint64_t start_time;
	uint64_t since; /* clock ticks since boot: children are not older */
	uint64_t addr, expect, value;
	uint64_t map_start, map_ino;
};

struct viz_journal_stop {
	_Atomic uint32_t state; /* FREE, TAKEN or LIVE */
	int32_t pid;
	uint64_t start_time;
};

enum viz_link_state {
	VIZ_LINK_FREE = 0,
	VIZ_LINK_TAKEN = 1,
	VIZ_LINK_WANTED = 2, /* the guardian is to hold it */
	VIZ_LINK_HELD = 3,
	VIZ_LINK_DROPPED = 4, /* the guardian is to close it */
};

struct viz_journal_link {
	_Atomic uint32_t state;
	int32_t fd; /* the owner's */
};

struct viz_journal {
	uint64_t magic;
	uint32_t version, size; /* size of the whole file */
	char boot_id[40];
	uint64_t pid_ns; /* inode of the pid namespace that the pids belong to */
	int32_t owner;
	_Atomic int32_t guardian;
	uint64_t owner_start;
	_Atomic uint64_t guardian_start;
	_Atomic uint64_t beat;
	_Atomic uint32_t finished; /* the owner is done: the guardian may go */
	_Atomic int32_t watch; /* the owner's fd of the map of stopped processes, plus 1 */
	_Atomic int32_t watch_held; /* the same number once the guardian holds the map */
	struct viz_journal_entry entries[VIZ_JOURNAL_ENTRIES];
	struct viz_journal_stop stops[VIZ_JOURNAL_STOPS];
	struct viz_journal_link links[VIZ_JOURNAL_LINKS];
};

/* Opens (and makes) the directory; refuses one that others could have prepared. */
int viz_journal__open_dir(int make, char *why, size_t why_size);
/* Makes the journal of this process. NULL with a line in @why. */
struct viz_journal *viz_journal__new(int dir, char *why, size_t why_size);
/* Maps the journal @name. NULL: not one of ours (errno says); ESTALE: it can be removed, as it
 * is of another boot or was never finished. */
struct viz_journal *viz_journal__map(int dir, const char *name);
void viz_journal__unmap(struct viz_journal *journal);
void viz_journal__unlink(int dir, const struct viz_journal *journal);
int viz_journal__owner_alive(const struct viz_journal *journal);
int viz_journal__guardian_alive(const struct viz_journal *journal);

int viz_journal__add(struct viz_journal *journal, const struct viz_undo *undo);
/* LIVE to RETIRED; to FREE where an equal retired entry stands for it already. */
void viz_journal__retire(struct viz_journal *journal, int entry);
int viz_journal__stop(struct viz_journal *journal, pid_t pid);
void viz_journal__cont(struct viz_journal *journal, pid_t pid);

/* Field 22 of /proc/PID/stat and the state letter (may be NULL). 0 or -errno. */
int viz_proc__start_time(pid_t pid, uint64_t *start_time, char *state);
/* Device and inode, as /proc/PID/maps prints them, of the mapping that begins at @start. */
int viz_proc__mapping(pid_t pid, uint64_t start, uint32_t *major, uint32_t *minor, uint64_t *ino);

#endif
