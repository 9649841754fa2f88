/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered files with what happened around a moment, out of the flight recorder. */
#ifndef VIZ_SNAPSHOT_H
#define VIZ_SNAPSHOT_H

#include "session.h"

/* The moment is @ts: a file is due when what comes after it is there. One at a time: a moment
 * before that has been written is part of it. */
void viz_snapshot__want(struct viz_session *s, uint64_t ts, const char *reason);
/* Writes what is due at @now; all that is wanted when @now is UINT64_MAX. */
void viz_snapshot__write(struct viz_session *s, uint64_t now);
/* Looks at completed calls for the triggers. */
void viz_snapshot__watch(struct viz_session *s, const struct viz_call *calls, size_t nr);

#endif
