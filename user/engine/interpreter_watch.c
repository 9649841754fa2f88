// SPDX-License-Identifier: Apache-2.0
#include "interpreter_watch.h"

#include "../base/log.h"
#include "../session.h"

enum { /* How long a first call is waited for, when all have come, and when some have not. */
       MORE_NS = 100 * 1000 * 1000,
       LOST = 50, /* times that: an interpreter could not be made */
};

void viz_interpreter_watch__expect(struct viz_interpreter_watch *w)
{
	const struct viz_build *b = w->interp->build;
	char why[256] = "";

	w->until = viz_session__now() + MORE_NS;
	if (w->leaving)
		viz_probes__know_interpreter(w->probes, w->interp->pid, 0, true);
	w->leaving = false;
	if (w->first || !b->enter.offset)
		return;
	w->first = viz_probes__attach_first(w->probes, b, w->interp->pid, why, sizeof(why));
	if (w->first)
		viz_probes__know_interpreter(w->probes, w->interp->pid, 0, true);
	else
		viz_debug(VIZ_LOG_PROBE, "pid %d: %s", w->interp->pid, why);
}

static void end_wait(struct viz_interpreter_watch *w)
{
	if (!w->first)
		return;
	w->nr_coming = 0;
	w->leaving = false;
	viz_probes__know_interpreter(w->probes, w->interp->pid, 0, false);
	viz_probes__detach(w->probes, w->first);
	w->first = NULL;
}

/* One way to make an interpreter may lead to another: the thread counts. */
static void note_coming(struct viz_interpreter_watch *w, uint32_t tid, bool comes)
{
	unsigned int i = 0;

	while (i < w->nr_coming && w->coming[i] != tid)
		i++;
	if (comes && i == w->nr_coming && i < VIZ_COMING_MAX)
		w->coming[w->nr_coming++] = tid;
	else if (!comes && i < w->nr_coming)
		w->coming[i] = w->coming[--w->nr_coming];
}

/* Those that are there need not be told of. */
static void know_all(struct viz_interpreter_watch *w, bool known)
{
	uint64_t states[VIZ_SLOTS_MAX];
	int nr = viz_interpreter__states(w->interp, states, VIZ_SLOTS_MAX);

	for (int i = 0; i < nr; i++)
		viz_probes__know_interpreter(w->probes, w->interp->pid, states[i], known);
}

void viz_interpreter_watch__told(struct viz_interpreter_watch *w, const struct viz_guard *rec)
{
	if (rec->head.kind == VIZ_INTERP_COMING) {
		if (!w->first)
			know_all(w, true);
		note_coming(w, rec->head.tid, true);
		viz_interpreter_watch__expect(w);
	} else if (rec->head.kind == VIZ_SLOT_EMPTY) {
		note_coming(w, rec->head.tid, false);
		w->until = viz_session__now() + MORE_NS;
	}
}

void viz_interpreter_watch__await(struct viz_interpreter_watch *w, bool stop)
{
	const struct viz_build *b = w->interp->build;
	uint64_t states[VIZ_SLOTS_MAX];
	char why[256];
	int nr = viz_interpreter__states(w->interp, states, VIZ_SLOTS_MAX);

	if (w->first || !b->enter.offset)
		return;
	for (int i = 0; i < nr; i++)
		viz_probes__await_interpreter(w->probes, w->interp->pid, states[i],
					      stop ? VIZ_INTERP_ONCE_MORE : VIZ_INTERP_AWAITED);
	w->first = viz_probes__attach_first(w->probes, b, w->interp->pid, why, sizeof(why));
	w->awaited = w->first != NULL;
	w->until = UINT64_MAX / 2;
	if (!w->first)
		viz_debug(VIZ_LOG_PROBE, "pid %d: %s", w->interp->pid, why);
}

void viz_interpreter_watch__begun(struct viz_interpreter_watch *w)
{
	w->awaited = false;
	w->until = 0;
	know_all(w, false);
	know_all(w, true);
}

void viz_interpreter_watch__tick(struct viz_interpreter_watch *w)
{
	uint64_t patience = w->nr_coming ? LOST * (uint64_t)MORE_NS : 0;

	if (!w->first || viz_session__now() <= w->until + patience)
		return;
	/* the record of one that was not stopped any more may be on its way */
	if (w->leaving)
		end_wait(w);
	else
		viz_probes__know_interpreter(w->probes, w->interp->pid, 0, false);
	w->leaving = w->first != NULL;
}

void viz_interpreter_watch__end(struct viz_interpreter_watch *w)
{
	end_wait(w);
	know_all(w, false);
}
