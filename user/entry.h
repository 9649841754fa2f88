/* SPDX-License-Identifier: Apache-2.0 */
/* What the trace says of a target: its entry among the trace's processes. */
#ifndef VIZ_ENTRY_H
#define VIZ_ENTRY_H

#include "session.h"

/* Gives @t its entry, from its engine, its interpreter, and what /proc says now, and tells the
 * writer. @reason: why this engine. 0 or -ENOMEM. */
int viz_entry__new(struct viz_session *s, struct viz_target *t, const char *reason);
/* The same for a child that was just forked: all is as in @parent. The writer is not told yet,
 * for the child may execute something else at once. */
int viz_entry__inherit(struct viz_session *s, struct viz_target *t,
		       const struct viz_target *parent);
/* Tells the writer, unless it knows. */
void viz_entry__tell(struct viz_session *s, struct viz_target *t);

/* What the engine of @t does not see there, in a clause; "": nothing is known. */
const char *viz_entry__known_gaps(const struct viz_target *t);

#endif
