/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets that switch C stacks (greenlet and what is built on it): each chain of calls of a
 * thread is laid out for itself, and depth is that of the greenlet.
 */
#ifndef VIZ_SWITCHES_H
#define VIZ_SWITCHES_H

#include "session.h"

/* Looks for the extension among the mappings of @t and marks it; true: it is there. */
bool viz_switches__look(struct viz_session *s, struct viz_target *t);
/* @t switches stacks: so do its threads, and those that come. */
void viz_switches__mark(struct viz_session *s, struct viz_target *t);

#endif
