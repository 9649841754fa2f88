/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the trampoline_*.c files only. */
#ifndef VIZ_TRAMPOLINE_PRIVATE_H
#define VIZ_TRAMPOLINE_PRIVATE_H

#include "trampoline.h"
#include "trampoline_clock.h"
#include "trampoline_image.h"
#include "trampoline_place.h"

enum { VIZ_INSTANCES_MAX = 16, VIZ_UNDO_MAX = 5, VIZ_RING_DEFAULT = 16 << 20 };


struct viz_tramp_reader {
	uint64_t tail;		/* records consumed */
	uint32_t tid;		/* whose records these are; 0: nobody's yet */
	uint64_t last_ts;
	uint32_t *funcs;	/* by code id */
	uint32_t nr_funcs;
	uint64_t told[2];	/* losses already reported, for the sum */
};

/* A recorder in one interpreter: it has one GIL, so the ring has one writer. */
struct viz_instance {
	enum viz_trampoline_state state;
	uint64_t interp;	/* the PyInterpreterState */
	uint64_t slot, original, base, boot;
	struct viz_image_entries at;
	bool again;		/* the image was there already */
	bool waiting;		/* for room: another interpreter's loader has the caves */
	struct {
		uint64_t addr, size;
	} used[VIZ_REC_PIECES + 1];	/* caves, to be cleared */
	int nr_used;
	int undo[VIZ_UNDO_MAX];
	int nr_undo;
	int memfd;		/* of the ring, -1 */
	struct viz_rec_ring *ring;
	struct viz_tramp_reader reader;
};

struct viz_trampoline {
	pid_t pid;
	const struct viz_interpreter *interp;
	struct viz_trampoline_params params;
	enum viz_rec_mode mode;
	struct viz_image_symbols symbols;
	struct viz_tramp_clock clock;
	uint64_t vdso;
	uint64_t start_time;
	uint64_t parent_ino[VIZ_INSTANCES_MAX];	/* of a forked child: rings that are the parent's */
	bool child;
	bool switches;
	int mem;
	struct viz_instance instances[VIZ_INSTANCES_MAX];
	int nr_instances;
	uint64_t nonce;		/* so that an earlier attach's ring is not taken for ours */
	uint64_t drains;
	bool over;		/* detached */
	char why[256];
};

/* trampoline_check.c: 0, or a negative errno with one clause in @why. */
int viz_trampoline__check_build(const struct viz_build *build, char *why, size_t why_size);
/* @bytes: the largest file it will have to make; @ns_pid: its pid as it sees itself. */
int viz_trampoline__check_process(pid_t pid, uint64_t bytes, pid_t *ns_pid, char *why,
				  size_t why_size);
/* trampoline_attach.c */
int viz_instance__attach(struct viz_trampoline *t, struct viz_instance *in, uint64_t interp,
			 char *why, size_t why_size);
/* Notes in the guardian's journal that @value goes to @addr if @expect is there. */
int viz_instance__note(struct viz_trampoline *t, struct viz_instance *in, uint64_t addr,
		       uint64_t expect, uint64_t value);
void viz_instance__forget_notes(struct viz_trampoline *t, struct viz_instance *in);
/* What carried the recorder into the target is not needed any more: zeros again. */
void viz_instance__clear_caves(struct viz_trampoline *t, struct viz_instance *in);
uint64_t viz_instance__ring_bytes(const struct viz_trampoline *t);
/* Writes @value to @addr if the 8 bytes there are @expect. 1: written, 0: not, or -errno. */
int viz_trampoline__swap(int mem, uint64_t addr, uint64_t expect, uint64_t value);
/* trampoline_drain.c */
int viz_reader__drain(struct viz_trampoline *t, struct viz_instance *in,
		      const struct viz_trampoline_sink *sink);

#endif
