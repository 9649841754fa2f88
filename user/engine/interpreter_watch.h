/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wait for the first call of an interpreter that is being made, or of a process that is being
 * started (bpf/interpreters.bpf.c): as long as it lasts, calls of the eval function cost a trap.
 */
#ifndef VIZ_INTERPRETER_WATCH_H
#define VIZ_INTERPRETER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "../probes.h"

enum { VIZ_COMING_MAX = 64 };

/* Of one process. All zeros but the first two: nothing is waited for. */
struct viz_interpreter_watch {
	struct viz_probes *probes;
	const struct viz_interpreter *interp;
	struct viz_attachment *first; /* the probe at the eval function */
	bool awaited; /* its next call waits */
	bool leaving; /* who makes an interpreter from now on is stopped again */
	uint64_t until; /* ns */
	uint32_t coming[VIZ_COMING_MAX]; /* threads that are making an interpreter */
	unsigned int nr_coming;
};

/* The next call in an interpreter that is not known stops the process: VIZ_SLOT_EMPTY. */
void viz_interpreter_watch__expect(struct viz_interpreter_watch *w);
/*
 * The same for a process that is there and idle: its next call is told of by VIZ_SLOT_EMPTY and
 * waits until viz_probes__await_interpreter() says that it need not. @stop: it may be stopped for it.
 */
void viz_interpreter_watch__await(struct viz_interpreter_watch *w, bool stop);
/* It need not any more: the probe goes at one of the next ticks. */
void viz_interpreter_watch__begun(struct viz_interpreter_watch *w);
/* VIZ_INTERP_COMING: expects; VIZ_SLOT_EMPTY: one less is coming. */
void viz_interpreter_watch__told(struct viz_interpreter_watch *w, const struct viz_guard *rec);
/* About ten times a second: ends a wait that is over. */
void viz_interpreter_watch__tick(struct viz_interpreter_watch *w);
void viz_interpreter_watch__end(struct viz_interpreter_watch *w);

#endif
