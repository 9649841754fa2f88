/* SPDX-License-Identifier: Apache-2.0 */
/* What engine trampoline keeps of a target; shared by trampoline_engine.c and trampoline_sink.c. */
#ifndef VIZ_TRAMPOLINE_RECORDING_H
#define VIZ_TRAMPOLINE_RECORDING_H

#include "../session.h"
#include "interpreter_watch.h"
#include "trampoline.h"

/* What hangs on a target. */
struct recording {
	struct viz_session *s;
	struct viz_target *t;
	struct viz_trampoline *tramp; /* NULL: the interpreter is not up yet */
	struct viz_hash tids; /* as the target sees them -> outside */
	size_t startup_depth;
	struct viz_interpreter_watch watch;
	unsigned int ticks;
	uint64_t charged; /* memory of its ring, against session->rings */
	bool switches;
	bool called; /* a first call was told of */
	bool past_end; /* what comes now is not part of the trace any more */
	const char **exceptions; /* names, of the trace */
	uint32_t nr_exceptions;
};

/* Where a reader brings what it reads: calls to lanes, names to the trace. */
struct viz_trampoline_sink viz_recording__sink(struct recording *r);
/* Adds what was lost since the last time to what the trace says of the process. */
void viz_recording__count_losses(struct recording *r);

#endif
