// SPDX-License-Identifier: Apache-2.0
#include "live_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "target/process_name.h"
#include "target/procfs.h"
#include "target/python_names.h"

#define MS 1000000ull

/* FRESH_MAX: processes with new threads at once; of more the tick takes care. */
enum { THREADS_MAX = 1024, FRESH_MAX = 64, SOON_LOOKS = 3 };
/* A process that starts threads without end is looked at as often as this. */
static const uint64_t soon_wait = 5 * MS;

static const uint64_t first_wait = 100 * MS, longest_wait = 10000 * MS;

/* What is known of one process. */
struct entry {
	pid_t pid;
	uint64_t start_time;
	uint64_t bias; /* of the interpreter: another one after an exec */
	struct viz_python_place place;
	uint64_t next, wait; /* ns */
	uint64_t lanes; /* made in the whole session, when it was looked at */
};

struct viz_live_names {
	struct viz_python_names *python;
	struct viz_hash by_pid;
	struct entry *entries;
	uint32_t nr, room;
	struct {
		pid_t pid;
		int looks; /* left: threading may not have entered it in its list yet */
	} fresh[FRESH_MAX]; /* with threads that are new */
	uint32_t nr_fresh;
	uint64_t next_soon; /* ns */
	struct viz_python_thread threads[THREADS_MAX];
};

struct viz_live_names *viz_live_names__new(void)
{
	struct viz_live_names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	names->python = viz_python_names__new();
	if (!names->python) {
		free(names);
		return NULL;
	}
	return names;
}

void viz_live_names__free(struct viz_live_names *names)
{
	if (!names)
		return;
	viz_python_names__free(names->python);
	viz_hash__clear(&names->by_pid);
	free(names->entries);
	free(names);
}

static struct entry *find_entry(struct viz_live_names *names, const struct viz_target *t)
{
	struct entry *e, *grown;
	uint32_t index;

	if (viz_hash__get(&names->by_pid, (uint64_t)t->pid, &index)) {
		e = &names->entries[index];
		if (e->start_time == t->start_time && e->bias == t->interp.bias)
			return e;
	} else {
		if (names->nr == names->room) {
			names->room = names->room ? 2 * names->room : 64;
			grown = reallocarray(names->entries, names->room, sizeof(*grown));
			if (!grown) {
				names->room = names->nr;
				return NULL;
			}
			names->entries = grown;
		}
		if (!viz_hash__set(&names->by_pid, (uint64_t)t->pid, names->nr))
			return NULL;
		e = &names->entries[names->nr++];
	}
	memset(e, 0, sizeof(*e));
	e->pid = t->pid;
	e->start_time = t->start_time;
	e->bias = t->interp.bias;
	return e;
}

static void drop_entry(struct viz_live_names *names, pid_t pid)
{
	uint32_t index;

	if (!viz_hash__get(&names->by_pid, (uint64_t)pid, &index))
		return;
	viz_hash__remove(&names->by_pid, (uint64_t)pid);
	names->entries[index] = names->entries[--names->nr];
	if (index < names->nr)
		viz_hash__set(&names->by_pid, (uint64_t)names->entries[index].pid, index);
}

static void set_name(struct viz_session *s, const char **place, const char *name)
{
	if (name[0] && (!*place || strcmp(*place, name)))
		viz_trace__set(s->trace, place, name);
}

static void name_threads(struct viz_live_names *names, struct viz_session *s, struct viz_target *t,
			 struct entry *e)
{
	uint32_t index;
	int nr, i;

	nr = viz_python_names__threads(names->python, &e->place, &t->interp, names->threads,
				       THREADS_MAX);
	if (nr < 0)
		viz_debug(VIZ_LOG_NAMES, "pid %d: names of threads: %s", (int)t->pid,
			  strerror(-nr));
	for (i = 0; i < nr; i++) {
		const struct viz_python_thread *thread = &names->threads[i];

		if (thread->name[0] && viz_hash__get(&s->by_tid, (uint64_t)thread->tid, &index) &&
		    s->lanes[index].target == t)
			viz_session__name_thread(s, &s->lanes[index], thread->name);
	}
}

/* A spawned one, and one that a fork server started, has no script among its arguments: that of
 * its nearest ancestor with one is taken. */
static void take_script(struct viz_session *s, struct viz_target *t, char *own, size_t size)
{
	int i;

	for (i = 0; t && i < 8 && strstr(own, "(multiprocessing "); i++) {
		t = viz_session__target(s, (pid_t)s->trace->processes[t->process].parent);
		if (t && t->process != UINT32_MAX && s->trace->processes[t->process].name)
			snprintf(own, size, "%s", s->trace->processes[t->process].name);
		else
			t = NULL;
	}
}

/* "Process-3 (python3 app.py)": what multiprocessing calls it, and what it is part of. */
static void name_process(struct viz_live_names *names, struct viz_session *s, struct viz_target *t,
			 struct entry *e)
{
	struct viz_process *p = &s->trace->processes[t->process];
	char own[VIZ_PROCESS_NAME_MAX], name[96], text[sizeof(own) + sizeof(name) + 8];

	if (viz_process_name__get(t->pid, own, sizeof(own)))
		return;
	if (viz_python_names__process(names->python, &e->place, &t->interp, name, sizeof(name))) {
		set_name(s, &p->name, own);
		return;
	}
	take_script(s, t, own, sizeof(own));
	snprintf(text, sizeof(text), "%s (%s)", name, own);
	set_name(s, &p->name, text);
}

static void look(struct viz_live_names *names, struct viz_session *s, struct viz_target *t,
		 struct entry *e)
{
	struct viz_procfs_status status;

	if (t->process == UINT32_MAX || !t->interp.build)
		return;
	/* one that has ended has no memory and no arguments left */
	if (viz_procfs__status(t->pid, &status) || status.kernel || status.state == 'Z')
		return;
	name_threads(names, s, t, e);
	name_process(names, s, t, e);
}

void viz_live_names__tick(struct viz_live_names *names, struct viz_session *s, struct viz_target *t)
{
	struct entry *e = names ? find_entry(names, t) : NULL;
	uint64_t now = viz_session__now();

	if (!e)
		return;
	/* a new thread somewhere: it may be one of this process and is named soon */
	if (e->lanes != s->lanes_made && e->next > now + first_wait)
		e->next = now + first_wait;
	if (now < e->next)
		return;
	e->wait = e->lanes != s->lanes_made || !e->wait ? first_wait : 2 * e->wait;
	if (e->wait > longest_wait)
		e->wait = longest_wait;
	e->next = now + e->wait;
	e->lanes = s->lanes_made;
	look(names, s, t, e);
}

void viz_live_names__new_thread(struct viz_live_names *names, const struct viz_target *t)
{
	uint32_t i = 0;

	while (i < names->nr_fresh && names->fresh[i].pid != t->pid)
		i++;
	if (i == FRESH_MAX)
		return;
	names->nr_fresh += i == names->nr_fresh;
	names->fresh[i].pid = t->pid;
	names->fresh[i].looks = SOON_LOOKS;
}

void viz_live_names__soon(struct viz_live_names *names, struct viz_session *s)
{
	uint64_t now = names->nr_fresh ? viz_session__now() : 0;
	uint32_t i, nr = names->nr_fresh;
	struct viz_target *t;
	struct entry *e;

	if (now < names->next_soon || !nr)
		return;
	names->next_soon = now + soon_wait;
	names->nr_fresh = 0;
	for (i = 0; i < nr; i++) {
		t = viz_session__target(s, names->fresh[i].pid);
		if (--names->fresh[i].looks)
			names->fresh[names->nr_fresh++] = names->fresh[i];
		e = t && t->state == VIZ_TARGET_ACTIVE && t->interp.build ? find_entry(names, t)
									  : NULL;
		if (e)
			name_threads(names, s, t, e);
	}
}

void viz_live_names__threads(struct viz_live_names *names, struct viz_session *s,
			     struct viz_target *t)
{
	struct entry *e = names && t->interp.build ? find_entry(names, t) : NULL;

	if (e)
		name_threads(names, s, t, e);
}

void viz_live_names__last(struct viz_live_names *names, struct viz_session *s, struct viz_target *t)
{
	struct entry *e;

	if (!names)
		return;
	e = t->state == VIZ_TARGET_ACTIVE ? find_entry(names, t) : NULL;
	if (e && viz_procfs__start_time(t->pid) == t->start_time)
		look(names, s, t, e);
	drop_entry(names, t->pid);
}
