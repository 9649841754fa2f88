/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine makes the calls of one process visible. The session asks each, in the order
 * of preference, whether it can; attaches the first that can; and never knows more of it.
 *
 *   usdt        the interpreter's own probes function__entry and function__return
 *   eval        uprobes on the eval function, and the PEP 523 slot from 3.11 on
 *   trampoline  a recorder written into the target, no traps
 *
 * An engine writes into the target only what its page in docs/ says, and takes it back in
 * detach(), which the guardian process can also do without it (guardian.h).
 */
#ifndef VIZ_ENGINE_H
#define VIZ_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../target/interpreter.h"

struct viz_session; /* session.h */
struct viz_target; /* one traced process, session.h */

struct viz_engine {
	const char *name;
	/* 0: this engine can observe the interpreter; else -ENOTSUP and one clause in @why. */
	int (*can)(struct viz_session *s, const struct viz_interpreter *interp, char *why,
		   size_t why_size);
	/* Starts recording @t->interp. 0 or -errno with a line in @why; nothing is left behind
	 * on failure. */
	int (*attach)(struct viz_session *s, struct viz_target *t, char *why, size_t why_size);
	/* Stops recording and puts everything back. Safe when the process is gone. */
	void (*detach)(struct viz_session *s, struct viz_target *t);
	/* The process forked: @child inherited what attach() did. May be NULL. */
	int (*forked)(struct viz_session *s, struct viz_target *parent, struct viz_target *child);
	/*
	 * Of interpreters in the process, from the BPF programs (bpf/interpreters.bpf.c):
	 * VIZ_INTERP_COMING, VIZ_SLOT_EMPTY (one runs its first code, or without the slot),
	 * VIZ_INTERP_ENDS. The process waits where it is needed. NULL: tick() on SLOT_EMPTY.
	 */
	void (*interpreter)(struct viz_session *s, struct viz_target *t,
			    const struct viz_guard *rec);
	/* Called about ten times a second while recording. May be NULL. */
	void (*tick)(struct viz_session *s, struct viz_target *t);
	/* Recording ends now; what was recorded can still be drained. May be NULL. */
	void (*stop)(struct viz_session *s, struct viz_target *t);
	/* Feeds the timeline with what is there, for some milliseconds at most, and sets
	 * @t->behind and @t->waiting; called from the session's loop at least every 20 ms, and
	 * until it returns 0 at the end. Returns the number of records or -errno. NULL for
	 * engines whose records come through the BPF ring. */
	int (*drain)(struct viz_session *s, struct viz_target *t);
};

/* Warns, and notes in the trace, if C functions or exceptions were asked for and cannot be seen. */
void viz_engine__say_missing(struct viz_session *s, struct viz_target *t);

extern const struct viz_engine viz_engine_usdt, viz_engine_eval, viz_engine_trampoline;

#endif
