// SPDX-License-Identifier: Apache-2.0
#include "lives.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hold.h"
#include "loader_watch.h"
#include "switches.h"

enum {
	LOOK_EVERY = 64, /* records of calls */
	PROCESSES_MAX = 32768, /* as the map has room for */
	WAITING_MAX = 500000, /* records that a process may have to be waited for: some 50 ms */
};

struct viz_lives {
	struct viz_life *queue; /* those that wait, oldest first */
	size_t first, nr, room;
	struct viz_hash waiting; /* tgid -> how many of its records wait */
	unsigned int records; /* of calls, since the ring was looked at */
	pid_t nobody; /* is no target, as was found last */
	uint64_t lost; /* records, as told so far */
};

/*
 * A process that came by itself: the BPF programs know no patterns of names and no named v1
 * hierarchies, so user space has the last word. NULL: it is not wanted after all.
 */
static struct viz_target *newcomer(struct viz_session *s, pid_t pid)
{
	if (viz_select__open(&s->opt->select) && !viz_select__wants(&s->opt->select, pid)) {
		viz_probes__forget_process(s->probes, pid);
		return NULL;
	}
	return viz_session__add_target(s, pid);
}

static void act_on_exit(struct viz_session *s, struct viz_target *t, const struct viz_life *rec)
{
	struct viz_thread_lane *lane;
	uint32_t index;

	if (t->state == VIZ_TARGET_ACTIVE)
		viz_session__thread_lost(s, t, (pid_t)rec->head.tid, rec->lost_enter, rec->head.ts);
	if (viz_hash__get(&s->by_tid, rec->head.tid, &index) && s->lanes[index].target == t) {
		lane = &s->lanes[index];
		if (!s->trace->tracks[lane->track].name)
			viz_session__name_thread(s, lane, rec->comm);
		viz_session__end_lane(s, lane, rec->head.ts);
	}
	if (rec->head.flags & VIZ_LIFE_LAST)
		viz_session__end_target(s, t, rec->head.ts, true);
}

static void take_exec(struct viz_session *s, const struct viz_life *rec);

/* An exit, or an exec. */
struct viz_late_exit {
	struct viz_late_exit *next;
	struct viz_life rec;
};

void viz_lives__late_exits(struct viz_session *s, struct viz_target *t)
{
	bool last = false;

	while (!last && t->exits && (!t->behind || t->behind > t->exits->rec.head.ts)) {
		struct viz_late_exit *e = t->exits;

		t->exits = e->next;
		last = e->rec.head.flags & VIZ_LIFE_LAST;
		if (e->rec.head.kind == VIZ_EXEC)
			take_exec(s, &e->rec);
		else
			act_on_exit(s, t, &e->rec);
		free(e);
	}
}

void viz_lives__drop_exits(struct viz_target *t)
{
	struct viz_late_exit *e;

	while ((e = t->exits)) {
		t->exits = e->next;
		free(e);
	}
}

static void catch_up(struct viz_session *s, struct viz_target *t)
{
	while (t->behind && t->engine->drain(s, t) > 0)
		;
	t->behind = 0;
	viz_lives__late_exits(s, t);
}

static bool put_off(struct viz_target *t, const struct viz_life *rec)
{
	struct viz_late_exit *e = malloc(sizeof(*e)), **end = &t->exits;

	if (!e)
		return false;
	while (*end)
		end = &(*end)->next;
	*e = (struct viz_late_exit){.rec = *rec};
	*end = e;
	return true;
}

static void take_exit(struct viz_session *s, const struct viz_life *rec)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);

	if (!t)
		return;
	/* what the thread wrote last is in the engine's own ring and belongs before its end */
	if (t->state == VIZ_TARGET_ACTIVE && t->engine->drain && !t->exits)
		t->engine->drain(s, t);
	if ((!t->exits && !t->behind) || !put_off(t, rec))
		act_on_exit(s, t, rec);
}

/* Its calls before that, if there are any, are on their way. */
static bool is_replaced(struct viz_session *s, pid_t pid)
{
	struct viz_process_info info;

	return !viz_probes__get_process(s->probes, pid, &info) && info.flags & VIZ_PROC_WANTED;
}

/* @shares: it has its parent's memory and runs no Python until it executes something. */
static struct viz_target *be_born(struct viz_session *s, pid_t pid, pid_t parent_pid, bool shares)
{
	struct viz_target *parent = viz_session__target(s, parent_pid);
	struct viz_target *t = viz_session__target(s, pid);

	if (t && t->exits) /* the number is another process's already */
		catch_up(s, t);
	t = parent ? viz_session__add_target(s, pid) : newcomer(s, pid);
	viz_debug(VIZ_LOG_LIFE, "pid %d forked %d", parent_pid, pid);
	if (t)
		t->replaced = is_replaced(s, pid);
	if (t && parent && !shares && parent->state == VIZ_TARGET_ACTIVE &&
	    t->state == VIZ_TARGET_WANTED && viz_session__inherit(s, t, parent))
		viz_warn("the child %d of %d is recorded only in part", t->pid, parent->pid);
	return t;
}

static void take_fork(struct viz_session *s, const struct viz_life *rec)
{
	if (rec->head.flags & VIZ_LIFE_ALONE)
		viz_guardian__clear(s->guardian, (pid_t)rec->tgid);
	else
		be_born(s, (pid_t)rec->tgid, (pid_t)rec->other, rec->head.flags & VIZ_LIFE_SHARES);
}

/* It was a process that ran Python; a child that only executes something else never was one. */
static void end_program(struct viz_session *s, struct viz_target *t, uint64_t ts)
{
	struct viz_target *child;
	struct viz_process *p;

	for (child = s->targets; child; child = child->next)
		if (child->forked_from == t) {
			child->in_startup &= t->in_startup;
			child->forked_from = NULL;
		}
	catch_up(s, t);
	viz_session__end_target(s, t, ts, false);
	p = &s->trace->processes[t->process];
	p->hidden = t->forked && !p->lost && !t->has_run;
	t->forked_from = NULL;
	t->forked = false;
}

static void take_exec(struct viz_session *s, const struct viz_life *rec)
{
	bool held = rec->head.flags & VIZ_LIFE_HELD;
	struct viz_target *t = viz_session__target(s, (pid_t)rec->tgid);
	struct viz_life late = *rec;

	viz_debug(VIZ_LOG_LIFE, "pid %u runs another program: %.16s%s", rec->tgid, rec->comm,
		  held ? ", and waits" : "");
	if (!t)
		t = newcomer(s, (pid_t)rec->tgid);
	if (t && t->behind && t->waiting > WAITING_MAX) {
		/* It does not wait for what it did before, and nobody else for it: the new
		 * program is recorded late. */
		if (held)
			viz_hold__release(s, t->pid);
		late.head.flags &= (VIZ_U8)~VIZ_LIFE_HELD;
		if (put_off(t, &late))
			return;
	}
	if (t) {
		if (t->state == VIZ_TARGET_ACTIVE)
			end_program(s, t, rec->head.ts);
		t->state = VIZ_TARGET_WANTED;
		t->replaced = false;
		t->in_startup = !s->opt->include_startup;
		if (held)
			viz_loader_watch__look(s->loaders, s, t->pid);
		viz_session__prepare_new(s, t);
	}
	if (held)
		viz_hold__release(s, (pid_t)rec->tgid);
}

static void take_sight(struct viz_session *s, const struct viz_life *rec)
{
	struct viz_target *t = viz_session__target(s, (pid_t)rec->tgid);

	viz_debug(VIZ_LOG_LIFE, "pid %u is about to run an interpreter%s", rec->tgid,
		  rec->head.flags & VIZ_LIFE_HELD ? ", and waits" : "");
	if (!t)
		t = newcomer(s, (pid_t)rec->tgid);
	if (t)
		viz_session__prepare_new(s, t);
	if (rec->head.flags & VIZ_LIFE_HELD)
		viz_hold__release(s, (pid_t)rec->tgid);
}

static void take_module(struct viz_session *s, const struct viz_life *rec)
{
	struct viz_target *t = viz_session__target(s, (pid_t)rec->tgid);

	if (!t)
		return;
	if (!(rec->head.flags & VIZ_LIFE_UNREAD))
		viz_switches__mark(s, t);
	else
		viz_switches__look(s, t);
	if (t->switches && t->state == VIZ_TARGET_ACTIVE && t->engine->tick)
		t->engine->tick(s, t);
}

static void handle(struct viz_session *s, const struct viz_life *rec)
{
	s->lives->nobody = 0;
	switch (rec->head.kind) {
	case VIZ_FORK:
		take_fork(s, rec);
		break;
	case VIZ_EXEC:
		take_exec(s, rec);
		break;
	case VIZ_EXIT:
		take_exit(s, rec);
		break;
	case VIZ_SIGHT:
		take_sight(s, rec);
		break;
	case VIZ_MODULE:
		take_module(s, rec);
		if (rec->head.flags & VIZ_LIFE_HELD)
			viz_hold__release(s, (pid_t)rec->tgid);
		break;
	default:
		viz_debug(VIZ_LOG_RING, "a record of unknown kind %u", rec->head.kind);
	}
}

/* ---- order ---- */

static uint32_t waiting(const struct viz_lives *l, uint32_t tgid)
{
	uint32_t nr;

	return l->nr && viz_hash__get(&l->waiting, tgid, &nr) ? nr : 0;
}

static bool must_wait(struct viz_session *s, const struct viz_life *rec)
{
	struct viz_target *t;

	if (rec->head.kind == VIZ_EXIT || waiting(s->lives, rec->tgid))
		return true;
	if (rec->head.kind == VIZ_FORK)
		return waiting(s->lives, rec->other);
	t = rec->head.kind == VIZ_EXEC ? viz_session__target(s, (pid_t)rec->tgid) : NULL;
	return t && t->state == VIZ_TARGET_ACTIVE;
}

static int enqueue(struct viz_lives *l, const struct viz_life *rec)
{
	if (l->first + l->nr == l->room) {
		size_t room = l->nr < l->room / 2 ? l->room : l->room ? 2 * l->room : 64;
		struct viz_life *queue = malloc(room * sizeof(*queue));

		if (!queue)
			return -ENOMEM;
		if (l->nr)
			memcpy(queue, l->queue + l->first, l->nr * sizeof(*queue));
		free(l->queue);
		l->queue = queue;
		l->room = room;
		l->first = 0;
	}
	if (!viz_hash__set(&l->waiting, rec->tgid, waiting(l, rec->tgid) + 1))
		return -ENOMEM;
	l->queue[l->first + l->nr++] = *rec;
	return 0;
}

static struct viz_life dequeue(struct viz_lives *l)
{
	struct viz_life rec = l->queue[l->first++];
	uint32_t nr = waiting(l, rec.tgid);

	l->nr--;
	if (nr > 1)
		viz_hash__set(&l->waiting, rec.tgid, nr - 1);
	else
		viz_hash__remove(&l->waiting, rec.tgid);
	return rec;
}

static int on_life(void *ctx, const void *record, size_t size)
{
	struct viz_session *s = ctx;

	if (size < sizeof(struct viz_life))
		return 0;
	if (!must_wait(s, record))
		handle(s, record);
	else if (enqueue(s->lives, record))
		s->err = s->err ?: -ENOMEM;
	return 0;
}

void viz_lives__until(struct viz_session *s, uint64_t ts)
{
	struct viz_lives *l = s->lives;

	if (++l->records >= LOOK_EVERY) {
		l->records = 0;
		viz_probes__consume_lives(s->probes);
	}
	while (l->nr && l->queue[l->first].head.ts <= ts) {
		struct viz_life rec = dequeue(l);

		handle(s, &rec);
	}
}

/*
 * What waits was there before the ring of the calls was seen to be empty: all calls that are
 * older have been handled then.
 */
void viz_lives__consume(struct viz_session *s)
{
	viz_probes__consume_lives(s->probes);
	viz_probes__consume(s->probes);
	viz_lives__until(s, UINT64_MAX);
}

/* ---- what was not told ---- */

/* A child whose birth found the ring full. */
static struct viz_target *adopt(struct viz_session *s, pid_t pid)
{
	struct viz_process_info info;

	if (viz_probes__get_process(s->probes, pid, &info) || !info.parent ||
	    !(info.flags & VIZ_PROC_ACTIVE))
		return NULL;
	return be_born(s, pid, (pid_t)info.parent, false);
}

struct viz_target *viz_lives__target(struct viz_session *s, pid_t pid)
{
	struct viz_target *t = viz_session__target(s, pid);

	if (t || pid == s->lives->nobody)
		return t;
	viz_probes__consume_lives(s->probes);
	t = viz_session__target(s, pid) ?: adopt(s, pid);
	if (!t)
		s->lives->nobody = pid;
	return t;
}

static void check(struct viz_session *s, pid_t pid, const struct viz_process_info *info)
{
	struct viz_target *t = viz_session__target(s, pid);
	struct viz_life exec = {
		.head = {.ts = viz_session__now(), .tid = (uint32_t)pid, .kind = VIZ_EXEC},
		.tgid = (uint32_t)pid,
	};

	if (waiting(s->lives, (uint32_t)pid))
		return;
	if (!t && info->flags & VIZ_PROC_ACTIVE)
		adopt(s, pid);
	else if (info->flags & VIZ_PROC_WANTED && (!t || t->state == VIZ_TARGET_ACTIVE))
		handle(s, &exec);
}

void viz_lives__tick(struct viz_session *s)
{
	uint64_t lost = viz_probes__lives_lost(s->probes);
	struct viz_known_process *known;
	int nr;

	if (lost == s->lives->lost)
		return;
	known = calloc(PROCESSES_MAX, sizeof(*known));
	if (!known)
		return;
	viz_debug(VIZ_LOG_LIFE, "%llu births, programs or ends were not told of",
		  (unsigned long long)(lost - s->lives->lost));
	s->lives->lost = lost;
	viz_lives__consume(s);
	nr = viz_probes__processes(s->probes, known, PROCESSES_MAX);
	for (int i = 0; i < nr; i++)
		check(s, known[i].pid, &known[i].info);
	free(known);
}

struct viz_lives *viz_lives__new(struct viz_session *s)
{
	struct viz_lives *lives = calloc(1, sizeof(*lives));

	if (lives && viz_probes__open_lives(s->probes, on_life)) {
		free(lives);
		return NULL;
	}
	return lives;
}

void viz_lives__free(struct viz_lives *lives)
{
	if (!lives)
		return;
	free(lives->queue);
	viz_hash__clear(&lives->waiting);
	free(lives);
}
