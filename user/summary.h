/* SPDX-License-Identifier: Apache-2.0 */
/* What a person sees while it runs and at the end. Nothing of it goes to standard output. */
#ifndef VIZ_SUMMARY_H
#define VIZ_SUMMARY_H

#include "session.h"

/* Recording has begun: says of what, and how to stop. */
void viz_summary__begin(struct viz_session *s);
/* One line that is written over and over, on a terminal only. */
void viz_summary__status(struct viz_session *s);
/* @p has ended and will be forgotten: what the end says of it is made now. */
void viz_summary__process(const struct viz_process *p);
/* The end: what was recorded, what was lost, how to look at it. */
void viz_summary__end(struct viz_session *s, int err);
/* The same after the end of the recording, while what is behind is taken in. */
void viz_summary__catching_up(const struct viz_session *s);

#endif
