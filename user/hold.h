/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New processes wait until they are prepared: the BPF programs stop them at an exec of python,
 * when their libraries are mapped, and at the first call of an interpreter (bpf/hold.bpf.h).
 * Each stop has a record, and only that record ends it.
 */
#ifndef VIZ_HOLD_H
#define VIZ_HOLD_H

#include "session.h"

/* The record that told of a stop has been dealt with: it goes on. */
void viz_hold__release(struct viz_session *s, pid_t pid);
/* Lets those go on that were stopped long ago: the record of it was lost. @all: each, at the
 * end of the recording, after viz_probes__hold(probes, false). */
void viz_hold__rescue(struct viz_session *s, bool all);

#endif
