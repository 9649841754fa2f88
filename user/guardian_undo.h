/* SPDX-License-Identifier: Apache-2.0 */
/* Takes back what a journal says, from whichever process still lives to do it. */
#ifndef VIZ_GUARDIAN_UNDO_H
#define VIZ_GUARDIAN_UNDO_H

#include <stdbool.h>
#include <sys/types.h>

#include "guardian_journal.h"

struct viz_undo_report {
	int undone; /* writes taken back */
	int processes; /* in so many processes */
	int inherited; /* of the writes: in children nobody had noted */
	int continued; /* processes let go on */
	int failed; /* writes that are still there, as far as we know */
	int last_errno; /* of the last failure */
	pid_t last_pid;
};

/*
 * Undoes the entries of @pid (0: all) and the same writes in every process that inherited
 * them; entries whose write is gone become retired. Does not let anything go on.
 */
void viz_undo__writes(struct viz_journal *journal, pid_t pid, struct viz_undo_report *report);
/* Only @pid, only its own address space: cheap. */
void viz_undo__process(struct viz_journal *journal, pid_t pid, struct viz_undo_report *report);
/* Makes room: cleans the children of what was undone, except those traced now, and frees the
 * retired entries. */
void viz_undo__forget(struct viz_journal *journal);
/* In @pid, a child that is in no entry too; the entries stay as they are. */
void viz_undo__anywhere(struct viz_journal *journal, pid_t pid, struct viz_undo_report *report);
/*
 * Undoes the writes in what is stopped on our behalf, by the journal and by the BPF map
 * (-1: none), and lets it go on. @again: a second look, also at what was let go on before:
 * the BPF program notes a stop just before it sends the signal.
 */
void viz_undo__stops(struct viz_journal *journal, int map_fd, bool again,
		     struct viz_undo_report *report);

#endif
