// SPDX-License-Identifier: Apache-2.0
#include "hold.h"

#include <bpf/bpf.h>
#include <signal.h>

#include "base/log.h"

enum { HELD_MAX = 64, RESCUE_SECONDS = 10 };

static bool held_by_bpf(const struct viz_session *s, pid_t pid)
{
	struct viz_guard_state state;
	uint32_t key = (uint32_t)pid;

	return !bpf_map_lookup_elem(s->stack_guard.guards, &key, &state) && state.held;
}

void viz_hold__release(struct viz_session *s, pid_t pid)
{
	uint32_t key = (uint32_t)pid;

	/* many new processes at once keep the session from its housekeeping; it goes on all the
	 * same, and the guardian need not step in */
	viz_guardian__beat(s->guardian);
	if (held_by_bpf(s, pid))
		bpf_map_delete_elem(s->stack_guard.guards, &key);
	kill(pid, SIGCONT);
}

void viz_hold__rescue(struct viz_session *s, bool all)
{
	uint32_t key, next, held[HELD_MAX], now = (uint32_t)(viz_session__now() >> 30);
	struct viz_guard_state state;
	void *previous;
	int nr, i;

again:
	previous = NULL;
	nr = 0;
	while (nr < HELD_MAX && !bpf_map_get_next_key(s->stack_guard.guards, previous, &next)) {
		key = next;
		previous = &key;
		if (!bpf_map_lookup_elem(s->stack_guard.guards, &key, &state) && state.held &&
		    state.stopped == 2 && (all || (int32_t)(now - state.held) >= RESCUE_SECONDS))
			held[nr++] = key;
	}
	for (i = 0; i < nr; i++) {
		struct viz_target *t = all ? NULL : viz_session__target(s, (pid_t)held[i]);

		viz_debug(VIZ_LOG_LIFE, "pid %u waited in vain", held[i]);
		if (t)
			viz_session__prepare_new(s, t);
		viz_hold__release(s, (pid_t)held[i]);
	}
	if (all && nr)
		goto again;
}
