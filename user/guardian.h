/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was written into targets is noted in a journal that a small guardian process shares,
 * so that it is taken back when vizbpf is killed; and that `vizbpf --restore` reads when the
 * guardian was killed too. Also who holds which target.
 *
 * An entry is a conditional write: "if the 8 bytes at addr of pid equal expect, write value".
 * Forked children that inherited the state are found at restore time: every process that maps
 * the file (dev, ino) at the same address is checked the same way.
 *
 * The guardian is a child of the calling process: wait for children by their pid, not for any.
 * Everything here except start and finish may be called from several threads.
 */
#ifndef VIZ_GUARDIAN_H
#define VIZ_GUARDIAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct viz_guardian;

struct viz_undo {
	pid_t pid;
	uint64_t start_time; /* field 22 of /proc/PID/stat: guards against pid reuse; 0: read it */
	uint64_t addr; /* 8-byte aligned */
	uint64_t expect;
	uint64_t value;
	uint64_t dev, ino; /* of the interpreter's file, for forked children */
	uint64_t map_start; /* where that file's first mapping begins in the target; 0: the write
				 * is not looked for in children */
};

/* Forks the guardian, after finishing the work of a vizbpf that died with its guardian. Call
 * before any thread is started and before anything is attached. NULL with a line in @why. */
struct viz_guardian *viz_guardian__start(char *why, size_t why_size);
/* Notes an entry before the write it undoes is made. Returns its number >= 0, or -errno:
 * then the write must not be made. */
int viz_guardian__add(struct viz_guardian *g, const struct viz_undo *undo);
/* The write was undone. The entry is kept for children that inherited it until the end. */
void viz_guardian__remove(struct viz_guardian *g, int entry);
/* The process was (1) or is no more (0) stopped on our behalf: SIGCONT is owed. */
void viz_guardian__stopped(struct viz_guardian *g, pid_t pid, int stopped);
/*
 * @map_fd: of the BPF map `guards` (tgid to struct viz_guard_state). The guardian holds it
 * too, so that a stop whose record nobody read any more is not forgotten. 0 or -errno.
 */
int viz_guardian__watch(struct viz_guardian *g, int map_fd);
/*
 * @fd: of the BPF link whose program watches the C stack. The guardian holds it too: when
 * vizbpf is killed the slot is set for some milliseconds more, and so long somebody must watch.
 * Returns a number for drop(), or -errno (then nothing is held).
 */
int viz_guardian__keep(struct viz_guardian *g, int fd);
/* The link was destroyed. */
void viz_guardian__drop(struct viz_guardian *g, int number);
/* Undoes every entry of @pid (0: all) now, from the calling process; returns how many. */
int viz_guardian__undo(struct viz_guardian *g, pid_t pid);
/*
 * Undoes in @pid whatever writes are known, also when it is a child that only inherited them
 * and nobody follows. Entries stay: the write may be made again. Returns how many or -errno.
 */
int viz_guardian__clear(struct viz_guardian *g, pid_t pid);
/*
 * The session's loop goes round: call it at least every 500 ms. When it does not for 2 s
 * (vizbpf itself is stopped or hangs), the guardian lets every process go on that is stopped
 * on our behalf, its slot cleared; everything else waits. Also replaces a guardian that died.
 */
void viz_guardian__beat(struct viz_guardian *g);
/* Normal end: everything left is undone, and the journal removed if all could be. Then the probes
 * go, which takes a while and leaves breakpoints when vizbpf is killed meanwhile: the guardian
 * is still there. */
void viz_guardian__settle(struct viz_guardian *g);
/* The probes are gone: so is the guardian. Settles what is not settled. */
void viz_guardian__finish(struct viz_guardian *g);

/* Takes @pid for this vizbpf (lock under /run/vizbpf). 0, or -EBUSY with a line in @why that
 * names the pid of the vizbpf that holds it. */
int viz_guardian__hold(struct viz_guardian *g, pid_t pid, char *why, size_t why_size);
void viz_guardian__release(struct viz_guardian *g, pid_t pid);

/* `vizbpf --restore [PID]`: undoes what journals of dead vizbpf processes say (pid 0: all of
 * them). Prints what it did. Returns the exit status. */
int viz_guardian__restore(pid_t pid);

#endif
