// SPDX-License-Identifier: Apache-2.0
#include "hold.h"

#include <bpf/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "target/procfs.h"

enum { HELD_MAX = 64, RESCUE_SECONDS = 10 };

/* Fields 4 to 7 of /proc/PID/stat. */
static bool job_of(pid_t pid, int *parent, int *group, int *tty)
{
	char text[1024], *p;
	int session;

	if (viz_procfs__read(pid, "stat", text, sizeof(text)) <= 0)
		return false;
	p = strrchr(text, ')');
	return p && sscanf(p + 1, " %*c %d %d %d %d", parent, group, &session, tty) == 4;
}

/* As in bpf/hold.bpf.h: an interactive shell would take its job for suspended. */
static bool is_shell_job(pid_t pid)
{
	int parent, group, tty, ignored, parents_group;

	if (!job_of(pid, &parent, &group, &tty))
		return true;
	return tty && group == pid && job_of(parent, &ignored, &parents_group, &ignored) &&
	       parents_group != group;
}

bool viz_hold__begin(struct viz_session *s, pid_t pid)
{
	if (is_shell_job(pid))
		return false;
	viz_guardian__stopped(s->guardian, pid, 1);
	if (!kill(pid, SIGSTOP))
		return true;
	viz_guardian__stopped(s->guardian, pid, 0);
	return false;
}

static bool held_by_bpf(const struct viz_session *s, pid_t pid)
{
	struct viz_guard_state state;
	uint32_t key = (uint32_t)pid;

	return !bpf_map_lookup_elem(s->stack_guard.guards, &key, &state) && state.held;
}

void viz_hold__end(struct viz_session *s, pid_t pid)
{
	if (!held_by_bpf(s, pid))
		kill(pid, SIGCONT);
	viz_guardian__stopped(s->guardian, pid, 0);
}

void viz_hold__release(struct viz_session *s, pid_t pid)
{
	uint32_t key = (uint32_t)pid;

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
