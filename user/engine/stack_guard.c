// SPDX-License-Identifier: Apache-2.0
#include "stack_guard.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../target/remote.h"

/*
 * Writes @to where @from is. Somebody else's value stays. Each slot is 8 aligned bytes, which
 * the kernel copies with one store on every machine we run on; the interpreter reads it once.
 */
static int exchange(const struct viz_slots *slots, uint64_t from, uint64_t to)
{
	unsigned int i;
	uint64_t now;
	int mem, err, first = 0, count = 0;

	mem = viz_remote__open(slots->pid, O_RDWR);
	if (mem < 0)
		return mem;
	for (i = 0; i < slots->nr; i++) {
		err = viz_remote__read_u64(mem, slots->addr[i], &now);
		if (!err && now == from) {
			err = viz_remote__write(mem, slots->addr[i], &to, sizeof(to));
			count += !err;
		}
		if (err && !first)
			first = err;
	}
	close(mem);
	return count || !first ? count : first;
}

int viz_stack_guard__low(struct viz_stack_guard *sg, const struct viz_guard *rec,
			 const struct viz_slots *slots)
{
	struct viz_guard_state state = {.told = 1, .cleared = 1}, before;
	uint32_t tgid = (uint32_t)slots->pid;
	bool stopped = rec->stopped;
	int count;

	sg->lows++;
	if (stopped) {
		sg->stops++;
		viz_guardian__stopped(sg->guardian, slots->pid, 1);
	}
	count = slots->nr ? exchange(slots, slots->value, 0)
			  : viz_guardian__clear(sg->guardian, slots->pid);
	/* It did not wait any longer while we were at it. */
	if (!bpf_map_lookup_elem(sg->guards, &tgid, &before)) {
		stopped |= before.stopped && !before.cleared;
		state.tid = before.tid;
	}
	/* Before the process goes on: or its next call would stop it again. */
	if (bpf_map_update_elem(sg->guards, &tgid, &state, BPF_ANY))
		viz_debug(VIZ_LOG_ENGINE, "pid %d: guard state: %s", slots->pid, strerror(errno));
	if (stopped) {
		kill(slots->pid, SIGCONT);
		viz_guardian__stopped(sg->guardian, slots->pid, 0);
	}
	viz_debug(VIZ_LOG_ENGINE,
		  "pid %d, thread %u: %llu bytes of C stack left: %d slots cleared%s", slots->pid,
		  rec->head.tid, (unsigned long long)rec->room, count,
		  stopped ? ", was stopped for it" : "");
	return count;
}

bool viz_stack_guard__is_over(const struct viz_stack_guard *sg, pid_t pid)
{
	struct viz_guard_state state;
	uint32_t tgid = (uint32_t)pid;
	char path[64];

	if (bpf_map_lookup_elem(sg->guards, &tgid, &state) || !state.cleared || !state.tid)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/task/%u", pid, state.tid);
	return access(path, F_OK) && errno == ENOENT;
}

void viz_stack_guard__release(struct viz_stack_guard *sg, pid_t pid)
{
	struct viz_guard_state state;
	uint32_t tgid = (uint32_t)pid;

	/* What is held has become another program, or will: it waits to be prepared. */
	if (bpf_map_lookup_elem(sg->guards, &tgid, &state) || state.held)
		return;
	if (state.stopped && !state.cleared)
		kill(pid, SIGCONT);
	bpf_map_delete_elem(sg->guards, &tgid);
}

int viz_stack_guard__high(struct viz_stack_guard *sg, const struct viz_slots *slots)
{
	struct viz_guard_state state = {0};
	uint32_t tgid = (uint32_t)slots->pid;

	sg->highs++;
	/* First, so that a thread that is deep already can ask again at its next call. */
	if (bpf_map_update_elem(sg->guards, &tgid, &state, BPF_ANY))
		return -errno;
	return exchange(slots, 0, slots->value);
}

int viz_stack_guard__stopped(struct viz_stack_guard *sg, pid_t *pids, int max)
{
	struct viz_guard_state state;
	uint32_t key, next;
	void *previous = NULL;
	int nr = 0;

	while (nr < max && !bpf_map_get_next_key(sg->guards, previous, &next)) {
		key = next;
		previous = &key;
		/* 2: the signal has been sent; 1: it is about to be, and a SIGCONT would come
		 * before it. */
		if (!bpf_map_lookup_elem(sg->guards, &key, &state) && state.stopped == 2 &&
		    !state.cleared && !state.held)
			pids[nr++] = (pid_t)key;
	}
	sg->rescues += (uint64_t)nr;
	return nr;
}
