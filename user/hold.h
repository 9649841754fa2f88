/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New processes wait until they are prepared: stopped by the BPF programs at an exec of python
 * or at the first call of an interpreter (bpf/hold.bpf.h), or from here while an unknown build
 * is analysed.
 */
#ifndef VIZ_HOLD_H
#define VIZ_HOLD_H

#include "session.h"

/* Stops @pid from here; false: it is better not to (a job of an interactive shell), or gone. */
bool viz_hold__begin(struct viz_session *s, pid_t pid);
/* It goes on, unless the BPF programs have stopped it too: their record is on its way. */
void viz_hold__end(struct viz_session *s, pid_t pid);
/* The record that told of a stop has been dealt with: it goes on. */
void viz_hold__release(struct viz_session *s, pid_t pid);
/* Lets those go on that were stopped long ago: the record of it was lost. @all: each, at the
 * end of the recording, after viz_probes__hold(probes, false). */
void viz_hold__rescue(struct viz_session *s, bool all);

#endif
