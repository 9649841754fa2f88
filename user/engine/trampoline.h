/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engine trampoline without the session around it: a recorder of vizbpf's own
 * inside the target, and its reader. docs/trampoline.md has the drawing and
 * what is changed in the target.
 *
 * For one process at a time; not for several threads.
 */
#ifndef VIZ_TRAMPOLINE_H
#define VIZ_TRAMPOLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../guardian.h"
#include "../target/interpreter.h"
#include "../trace/filter.h"
#include "../trace/timeline.h"

struct viz_trampoline;

struct viz_trampoline_params {
	size_t ring_size; /* bytes of records per interpreter, a power of two; 0: 16 MiB */
	bool told; /* of new interpreters by __begins() and __ends(); else they are looked for */
	bool follow; /* forked children record, too: see viz_trampoline__forked() */
	uint64_t min_duration; /* ns; calls that are shorter are left out when that is cheap */
	uint32_t max_depth; /* the same for calls that are deeper; 0: no limit */
	bool judges; /* the sink's verdicts are not always VIZ_VERDICT_RECORD */
	bool switches; /* as viz_trampoline__switches() tells, from the beginning */
	bool c_functions, exceptions; /* those, too; from 3.12 on, else there are none */
	struct viz_guardian *guardian; /* NULL: nobody puts things back if vizbpf is killed */
};

/*
 * Who takes what is read. Thread ids are those of the target's own pid
 * namespace. A negative return value ends the drain and is returned by it.
 * @running, @lost and @gap may be NULL.
 */
struct viz_trampoline_sink {
	void *ctx;
	/* A function is seen first. Sets the index for its edges (UINT32_MAX: none). */
	int (*code)(void *ctx, const struct viz_code *code, uint32_t *func);
	/* What the recorder can leave out from now on: of a DROP_SELF there are no edges at
	 * all, the others have to be judged here once more. UNKNOWN: record, ask again when
	 * told (viz_trampoline__judge_again()). */
	enum viz_verdict (*judge)(void *ctx, uint32_t func);
	int (*edges)(void *ctx, uint32_t tid, const struct viz_edge *edges, size_t nr);
	/* The calls that were open at the attach, outermost first. */
	int (*running)(void *ctx, uint32_t tid, uint64_t ts, const struct viz_edge *frames,
		       size_t nr);
	/* The ring was full: so many begins and ends of this thread are missing
	 * before @ts. */
	void (*lost)(void *ctx, uint32_t tid, uint64_t ts, uint64_t enters, uint64_t leaves);
	/* A C function (or the type of an exception) is seen first: sets the index for its
	 * edges (for raised()). NULL: they are left out. */
	int (*name)(void *ctx, const char *name, bool exception, uint32_t *index);
	/* An exception is raised by the innermost call. May be NULL. */
	int (*raised)(void *ctx, uint32_t tid, uint64_t ts, uint32_t index);
	/* Too little C stack: nothing of this interpreter is seen from here (true) to
	 * (false). */
	void (*gap)(void *ctx, uint32_t tid, uint64_t ts, bool begins);
};

enum viz_trampoline_state {
	VIZ_TRAMPOLINE_ARMED, /* written; waits for the target's next Python call */
	VIZ_TRAMPOLINE_UP,
	VIZ_TRAMPOLINE_REFUSED, /* the target would not have it; nothing is left: __why() */
	VIZ_TRAMPOLINE_ENDED, /* detached, or the process is gone */
};

/* 0, or -ENOTSUP with one clause in @why: no such build, no room, seccomp,
 * limits. */
int viz_trampoline__can(const struct viz_interpreter *interp, char *why, size_t why_size);
/*
 * Writes the recorder into every interpreter of the process and returns at once; nothing is left
 * behind on failure of the main one's, the others' are tried again. @interp must stay valid.
 */
int viz_trampoline__attach(struct viz_trampoline **out, const struct viz_interpreter *interp,
			   const struct viz_trampoline_params *params, char *why, size_t why_size);
/* The child of a fork of a process that is attached with follow: reads its ring
 * once it opens one. @interp is the child's. */
int viz_trampoline__forked(struct viz_trampoline **out, struct viz_trampoline *parent,
			   const struct viz_interpreter *interp);
/* What the ring of such a child takes from the memory of the host at first. */
uint64_t viz_trampoline__child_bytes(void);
/* A child (or a child's child) that records and has no reader yet: its pid as
 * it sees itself, 0: none. For those who are not told of forks. */
pid_t viz_trampoline__newborn(const struct viz_trampoline *t);
/*
 * Moves forward: finds rings that came up, new sub-interpreters, and hands over
 * the records that are there, but no more than takes some milliseconds. Call it
 * every 20 ms or so, and after the end until it returns 0. Who comes later finds
 * the records on disk, where a thread has brought them before a ring was full.
 * Returns the number of records or a negative errno.
 */
int viz_trampoline__drain(struct viz_trampoline *t, const struct viz_trampoline_sink *sink);
/* Interpreter @interp, the address of its PyInterpreterState, runs its first code; or ends. For
 * those who are told: a new one can have the address of one that has ended. */
void viz_trampoline__begins(struct viz_trampoline *t, uint64_t interp);
void viz_trampoline__ends(struct viz_trampoline *t, uint64_t interp);
/* Whether the recorder of interpreter @interp (0: of any) still waits for the next call there; opens
 * the rings of those that do not. */
bool viz_trampoline__is_armed(struct viz_trampoline *t, uint64_t interp);
/* Records that are there already. */
uint64_t viz_trampoline__waiting(const struct viz_trampoline *t);
/* 0: the last drain has handed over all that was there; else the time (ns) up to
 * which it has. */
uint64_t viz_trampoline__behind(const struct viz_trampoline *t);
/* The sink can judge what was UNKNOWN. */
void viz_trampoline__judge_again(struct viz_trampoline *t, const struct viz_trampoline_sink *sink);
/* The program switches C stacks (greenlets): edges tell the caller where it is
 * not the call before. */
void viz_trampoline__switches(struct viz_trampoline *t);
enum viz_trampoline_state viz_trampoline__state(const struct viz_trampoline *t);
/* Whether the interpreter tells of C functions and exceptions. */
bool viz_trampoline__tells_more(const struct viz_interpreter *interp);
/* Why it was refused; "" else. */
const char *viz_trampoline__why(const struct viz_trampoline *t);
/* Records that found the ring full: begins, and ends. */
void viz_trampoline__losses(const struct viz_trampoline *t, uint64_t *enters, uint64_t *leaves);
/* Forked children, and theirs, that found no region: nobody counts what they did. */
uint64_t viz_trampoline__missed(const struct viz_trampoline *t);
/* At the end: those that no later record told of. */
void viz_trampoline__tell_losses(struct viz_trampoline *t, const struct viz_trampoline_sink *sink);
/*
 * Takes everything back with plain writes: recording ends at once, the
 * callbacks and the memory go at the target's next Python call. Safe when the
 * process is gone. Drain once more afterwards.
 */
void viz_trampoline__detach(struct viz_trampoline *t);
void viz_trampoline__free(struct viz_trampoline *t);

#endif
