/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Births, programs and ends of targets. Their records come by a ring of their own
 * (bpf/life.bpf.h) and are handled at once, before calls that are older: a process that waits to
 * be prepared waits for nothing else. Only an end, and a program that takes a recorded one's
 * place, wait until the calls before it have been handled.
 */
#ifndef VIZ_LIVES_H
#define VIZ_LIVES_H

#include "session.h"

/* Begins to read; NULL: no memory, or the ring cannot be opened (errno). */
struct viz_lives *viz_lives__new(struct viz_session *s);
void viz_lives__free(struct viz_lives *lives);

/* Reads both rings until they are empty. */
void viz_lives__consume(struct viz_session *s);
/* A record of time @ts is next: what waits and is older is handled now. */
void viz_lives__until(struct viz_session *s, uint64_t ts);
/* The target @pid, of which a record has come; also one whose birth was not told. Or NULL. */
struct viz_target *viz_lives__target(struct viz_session *s, pid_t pid);
/* Acts on ends of threads and of the process that waited for the calls before them to be taken
 * in. @t may be gone afterwards. */
void viz_lives__late_exits(struct viz_session *s, struct viz_target *t);
/* Forgets those. */
void viz_lives__drop_exits(struct viz_target *t);
/* Now and then: what was not told, the ring being full, is found in the maps. */
void viz_lives__tick(struct viz_session *s);

#endif
