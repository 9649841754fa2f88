/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the trampoline_*.c files only. */
#ifndef VIZ_TRAMPOLINE_PRIVATE_H
#define VIZ_TRAMPOLINE_PRIVATE_H

#include "trampoline.h"
#include "trampoline_clock.h"
#include "trampoline_feed.h"
#include "trampoline_image.h"
#include "trampoline_place.h"

enum {
	VIZ_INSTANCES_MAX = 256, /* recorders in one process */
	VIZ_LIST_MAX = 1024, /* interpreters that are looked at */
	VIZ_UNDO_MAX = 5,
	VIZ_RING_DEFAULT = 16 << 20,
	VIZ_REGIONS_LEAST = 32, /* with follow: else it is left to another engine */
};

struct viz_tramp_reader {
	struct viz_feed *feed; /* NULL: nothing was asked for so far */
	struct viz_rec_event *chunk; /* fetched; NULL: none */
	uint32_t next, nr; /* of the chunk: handed over, and all */
	uint32_t tid; /* whose records these are; 0: nobody's yet */
	uint32_t caller; /* of the next ENTER, when chained */
	bool chained;
	uint64_t last_ts;
	bool hidden; /* the next of a C function, or raised: where it happens is rejected */
	uint32_t *funcs; /* by code id */
	uint32_t nr_funcs;
};

/* The memfd of a recorder and of those in forked children: whoever is last
 * frees it. */
struct viz_tramp_file {
	unsigned int users;
	int fd;
	uint64_t regions; /* that it has room for */
	struct viz_rec_dir *dir;
	/* regions that have a reader, or are in @leaving; bits as in @dir->taken */
	uint64_t claimed[VIZ_REC_REGIONS / 64];
	/* by region: the memory of a process that is about to end, or -1 */
	int leaving[VIZ_REC_REGIONS];
};

/* A recorder in one interpreter: it has one GIL, so the ring has one writer. */
struct viz_instance {
	enum viz_trampoline_state state;
	uint64_t interp; /* the PyInterpreterState */
	uint64_t slot, original, base, boot;
	struct viz_image_entries at;
	bool again; /* the image was there already */
	bool awaited; /* its loader makes room, and the recorder has not been written there */
	bool written; /* it has, and has not run yet as far as is known */
	bool coming; /* its ring is there, it is not yet ready */
	bool inherited; /* in a forked child: made in its parent */
	bool ending; /* Py_EndInterpreter() was called for it */
	bool gone; /* the interpreter is not there any more */
	uint64_t gone_at; /* in drains */
	uint64_t nonce; /* so that an earlier ring at the same address is not taken for this one */
	bool carried; /* its loader reads from t->carrier */
	struct viz_span used[2]; /* caves, to be cleared: constants, loader */
	int nr_used;
	int undo[VIZ_UNDO_MAX];
	int nr_undo;
	struct viz_tramp_file *file;
	unsigned int region;
	uint64_t ahead; /* of its records: bytes that are allocated */
	struct viz_rec_ring *ring; /* mapped up to its records */
	struct viz_tramp_reader reader;
};

struct viz_trampoline {
	pid_t pid;
	const struct viz_interpreter *interp;
	struct viz_trampoline_params params;
	enum viz_rec_mode mode;
	unsigned int regions; /* of the memfd: 1, or as many as its limit of file sizes admits */
	struct viz_image_symbols symbols;
	struct viz_tramp_clock clock;
	uint64_t vdso;
	uint64_t start_time;
	struct viz_trampoline *parent; /* NULL: it is over */
	struct viz_trampoline *children, *next_child;
	pid_t ns_pid; /* of a child as it sees itself; 0: not known any more */
	bool switches;
	int mem;
	struct viz_instance instances[VIZ_INSTANCES_MAX];
	int nr_instances;
	struct viz_span carrier[VIZ_REC_PIECES]; /* the recorder's code in caves, for all */
	int nr_carrier;
	uint64_t drains, newest; /* interpreter, as last seen at the list's head */
	uint64_t past_enters, past_leaves; /* lost in interpreters that are gone */
	uint64_t seen[VIZ_LIST_MAX]; /* interpreters, at the last look */
	int nr_seen;
	bool warned;
	/* interpreters that found no room among others that were beginning */
	uint64_t later[VIZ_INSTANCES_MAX];
	int nr_later;
	uint64_t behind; /* viz_trampoline__behind() */
	bool over; /* detached */
	char why[256];
};

/* trampoline_check.c: 0, or a negative errno with one clause in @why. */
int viz_trampoline__check_build(const struct viz_build *build, char *why, size_t why_size);
/* @region: bytes; @regions: how many of them its file can have, with @follow; else 1. */
int viz_trampoline__check_process(pid_t pid, uint64_t region, bool follow, unsigned int *regions,
				  char *why, size_t why_size);
/* The pid of process @pid as it sees itself; 0: it is gone. */
pid_t viz_trampoline__own_pid(pid_t pid);
/* trampoline_attach.c */
int viz_instance__attach(struct viz_trampoline *t, struct viz_instance *in, uint64_t interp,
			 char *why, size_t why_size);
/* What a call is passed on to. */
uint64_t viz_instance__eval(const struct viz_trampoline *t, const struct viz_instance *in);
/* The constants of its recorder. */
void viz_instance__fill_consts(const struct viz_trampoline *t, const struct viz_instance *in,
			       struct viz_rec_consts *k);
/* Writes and compares what is there then: 0 or a negative errno, -EIO also if it differs. */
int viz_instance__write(int mem, uint64_t addr, const void *bytes, size_t size);
/* The same, and says in @span where. */
int viz_instance__put(struct viz_trampoline *t, struct viz_span *span, uint64_t addr,
		      const void *bytes, size_t size);
/* With C functions or exceptions. */
bool viz_trampoline__more(const struct viz_trampoline *t);
/* trampoline_room.c: a loader for which the recorder will be written later. 0 or a negative
 * errno, -ENOSPC: no place for it. */
int viz_instance__make_room(struct viz_trampoline *t, struct viz_instance *in,
			    struct viz_places *places);
/* Has it mapped the memory? Then the recorder goes there, and the slot points to it. 1: that is
 * done, 0: not yet, or a negative errno. */
int viz_instance__look_for_room(struct viz_trampoline *t, struct viz_instance *in);
/* Notes in the guardian's journal that @value goes to @addr if @expect is
 * there. */
int viz_instance__note(struct viz_trampoline *t, struct viz_instance *in, uint64_t addr,
		       uint64_t expect, uint64_t value);
void viz_instance__forget_notes(struct viz_trampoline *t, struct viz_instance *in);
/* The recorder runs, what carried it into the target is not needed any more:
 * zeros again. */
void viz_instance__clear_caves(struct viz_trampoline *t, struct viz_instance *in);
/* The same when it is not known whether the loader ran: only if every thread is
 * seen to wait elsewhere; else its bytes stay. The slot must not hold it any
 * more. 1: cleared. */
int viz_instance__leave_caves(struct viz_trampoline *t, struct viz_instance *in);
uint64_t viz_instance__ring_bytes(const struct viz_trampoline *t);
/* Recording ends at once, and stop() waits for the next call; @listed: the interpreter is there,
 * its slot may be written. */
void viz_instance__take_back(struct viz_trampoline *t, struct viz_instance *in, bool listed);
/* Writes @value to @addr if the 8 bytes there are @expect. 1: written, 0: not,
 * or -errno. */
int viz_trampoline__swap(int mem, uint64_t addr, uint64_t expect, uint64_t value);
/* trampoline_file.c: 1: the ring is there and mapped, 0: not yet, or a negative
 * errno. */
int viz_instance__find_ring(struct viz_trampoline *t, struct viz_instance *in);
/* Ends (begins) of calls that found this ring full. */
uint64_t viz_instance__lost(const struct viz_instance *in, bool enters);
/* Regions of children whose memory is gone by now can be others'; a ring that fills gets memory. */
void viz_instance__tidy(const struct viz_trampoline *t, struct viz_instance *in);
/* @gone: the process cannot write any more: its region can be another's. Else it
 * can when its memory is gone. */
void viz_instance__drop_ring(struct viz_trampoline *t, struct viz_instance *in, bool gone);
/* trampoline.c: of one that waits for its interpreter's next call: has it begun? */
void viz_instance__look_for_ring(struct viz_trampoline *t, struct viz_instance *in);
/* trampoline_interpreters.c */
/* The interpreters of the process, the main one last; their number, 0: none yet, or the list is
 * being changed. */
int viz_interpreters__list(const struct viz_trampoline *t, uint64_t states[VIZ_LIST_MAX]);
/* False: it is not in the list, or not any more. */
bool viz_interpreters__is_there(const struct viz_trampoline *t, uint64_t interp);
/* A recorder for interpreter @interp. */
int viz_interpreters__add(struct viz_trampoline *t, uint64_t interp, char *why, size_t why_size);
/* Looks for interpreters that are gone, and for those that were made since. */
void viz_interpreters__look(struct viz_trampoline *t);
/* Has another interpreter been made, or is it time to look all the same? */
bool viz_interpreters__changed(struct viz_trampoline *t);
/* Where in the file its records begin. */
off_t viz_instance__events_at(const struct viz_trampoline *t, const struct viz_instance *in);
/* trampoline_drain.c */
void viz_reader__judge_again(struct viz_instance *in, const struct viz_trampoline_sink *sink);
/* Hands over what waits in the rings, in the order of time (a thread can go from
 * one interpreter to another and back), but no more than takes some milliseconds.
 * Returns the number of records or a negative errno. */
int viz_reader__drain(struct viz_trampoline *t, struct viz_instance **rings, int nr,
		      const struct viz_trampoline_sink *sink);
/* All but the table of functions; before the ring is unmapped. */
void viz_reader__free(struct viz_tramp_reader *r);

#endif
