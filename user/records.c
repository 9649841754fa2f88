// SPDX-License-Identifier: Apache-2.0
/* What the rings bring, kind by kind. Records come from the kernel: their layout is trusted,
 * the names and numbers in them are the target's and are not. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "custom_events.h"
#include "hold.h"
#include "lives.h"
#include "session.h"
#include "trace/code_names.h"

static void take_code(struct viz_session *s, const struct viz_code *rec)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);
	uint32_t func;

	if (!t)
		return;
	func = viz_session__func(s, t, rec);
	if (func == UINT32_MAX || !viz_hash__set(&t->codes, rec->code, func | VIZ_CODE_OWN)) {
		s->err = -ENOMEM;
		return;
	}
	if (s->opt->filter.any)
		viz_probes__verdict(s->probes, rec,
				    viz_filter__verdict(&s->opt->filter, &s->trace->funcs[func]));
	viz_debug(VIZ_LOG_NAMES, "pid %d code 0x%llx: %s", t->pid, (unsigned long long)rec->code,
		  s->trace->funcs[func].name);
}

/* A fork is handled before the calls that its parent made before it, by which the parent's own
 * code may have begun: the parent is asked, now that those have been. */
static bool in_startup(struct viz_target *t)
{
	if (t->forked_from && !t->forked_from->in_startup)
		t->in_startup = false;
	return t->in_startup;
}

/*
 * The program's own code begins with the first call that has no frame around it and is
 * not the import system's: __main__, or runpy for -m.
 */
static bool is_main(const struct viz_func *f)
{
	return !strcmp(f->name, "_run_module_as_main") ||
	       (!strcmp(f->name, "<module>") && strncmp(f->file, "<frozen ", 8));
}

static bool still_starting(struct viz_session *s, struct viz_target *t, const struct viz_enter *rec,
			   uint32_t func)
{
	if (rec->caller || !(rec->head.flags & VIZ_ENTER_CHAIN))
		return true;
	if (is_main(&s->trace->funcs[func]))
		t->in_startup = false;
	return t->in_startup;
}

/*
 * The same where calls are told when they end (a least duration): the program's own code is the
 * last of all. Its begin is among the calls of the first thread that are held back.
 */
static bool still_starting_whole(struct viz_session *s, struct viz_target *t,
				 const struct viz_whole *rec, uint32_t func)
{
	struct viz_held held;
	uint32_t outermost;

	if (!rec->caller && is_main(&s->trace->funcs[func]))
		t->in_startup = false;
	else if (viz_probes__look_held(s->probes, t->pid, &held) && !held.calls[0].caller &&
		 held.calls[0].ts <= rec->begin &&
		 viz_target__func(t, held.calls[0].code, &outermost) &&
		 is_main(&s->trace->funcs[outermost]))
		t->in_startup = false;
	return t->in_startup;
}

/*
 * Only these escape the slot (specialised calls that do not ask for it: BINARY_SUBSCR_GETITEM in
 * 3.11.0 to 3.11.3, CALL_ALLOC_AND_ENTER_INIT in 3.13). Other frames that have no call of their
 * own are real: a generator's, while throw() goes through it to the one it delegates to.
 */
static bool can_escape(const struct viz_func *f)
{
	const char *last = strrchr(f->name, '.');

	last = last ? last + 1 : f->name;
	return !strcmp(last, "__getitem__") || !strcmp(last, "__init__");
}

/* The frames around the first call of a thread, one by one from the inside out. */
static int take_running(struct viz_session *s, const struct viz_enter *rec)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);
	struct viz_edge edge = {.kind = VIZ_EDGE_ENTER, .frame = rec->frame};
	struct viz_thread_lane *lane;

	if (!t || t->state != VIZ_TARGET_ACTIVE || in_startup(t) ||
	    !viz_target__func(t, rec->code, &edge.func))
		return 0;
	lane = viz_session__lane(s, t, (pid_t)rec->head.tid);
	if (!lane)
		return -ENOMEM;
	if (!lane->running)
		lane->running = calloc(VIZ_RUNNING_MAX, sizeof(*lane->running));
	if (!lane->running)
		return -ENOMEM;
	if (lane->nr_running < VIZ_RUNNING_MAX)
		lane->running[lane->nr_running++] = edge;
	return 0;
}

/* They are complete: the call follows. */
static int place_running(struct viz_thread_lane *lane, uint64_t ts)
{
	struct viz_edge *first = lane->running;
	size_t nr = lane->nr_running;
	int err;

	for (size_t i = 0; i < nr / 2; i++) {
		struct viz_edge swap = first[i];

		first[i] = first[nr - 1 - i];
		first[nr - 1 - i] = swap;
	}
	err = lane->muted ? 0 : viz_lane__running(lane->lane, ts, first, nr);
	free(lane->running);
	lane->running = NULL;
	lane->nr_running = 0;
	return err;
}

static int take_enter(struct viz_session *s, const struct viz_enter *rec)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);
	struct viz_thread_lane *lane;
	struct viz_edge edge = {
		.kind = VIZ_EDGE_ENTER,
		.ts = rec->head.ts,
		.flags = rec->head.flags,
		.sp = rec->sp,
		.frame = rec->frame,
		.caller = rec->caller,
		.caller_func = UINT32_MAX,
	};

	if (!t || t->state != VIZ_TARGET_ACTIVE)
		return 0;
	if (!viz_target__func(t, rec->code, &edge.func))
		return 0;
	if (t->slot_pending && t->engine->tick)
		t->engine->tick(s, t);
	if (in_startup(t) && still_starting(s, t, rec, edge.func))
		return 0;
	lane = viz_session__lane(s, t, (pid_t)rec->head.tid);
	if (!lane)
		return -ENOMEM;
	if (lane->nr_running)
		place_running(lane, edge.ts);
	if (edge.flags & VIZ_ENTER_FROM &&
	    viz_target__func(t, ((const struct viz_enter_from *)rec)->caller_code,
			     &edge.caller_func) &&
	    !can_escape(&s->trace->funcs[edge.caller_func]))
		edge.caller_func = UINT32_MAX;
	return viz_session__edge(s, lane, &edge);
}

static int take_leave(struct viz_session *s, const struct viz_leave *rec)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);
	struct viz_edge edge = {
		.kind = VIZ_EDGE_LEAVE,
		.ts = rec->head.ts,
		.flags = rec->head.flags,
		.sp = rec->sp,
		.frame = rec->frame,
		.caller = rec->caller,
		.func = UINT32_MAX,
	};
	uint32_t index;

	if (!t || t->state != VIZ_TARGET_ACTIVE ||
	    !viz_hash__get(&s->by_tid, rec->head.tid, &index) || s->lanes[index].target != t)
		return 0;
	return viz_session__edge(s, &s->lanes[index], &edge);
}

static int take_whole(struct viz_session *s, const struct viz_whole *rec)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);
	struct viz_thread_lane *lane;
	uint32_t func;

	if (!t || t->state != VIZ_TARGET_ACTIVE || !viz_target__func(t, rec->code, &func) ||
	    (in_startup(t) && still_starting_whole(s, t, rec, func)))
		return 0;
	lane = viz_session__lane(s, t, (pid_t)rec->head.tid);
	if (!lane)
		return -ENOMEM;
	if (s->paused || lane->muted)
		return 0;
	return viz_lane__whole(lane->lane, rec->begin, rec->head.ts, func,
			       rec->head.flags & VIZ_LEAVE_RAISED ? VIZ_CALL_RAISED : 0);
}

/* The stack of the thread that was low has unwound: the slot is set again. */
static void go_on(struct viz_session *s, struct viz_target *t)
{
	t->stepped_back = 0;
	viz_probes__guard(s->probes, t->pid, false);
	s->stack_guard.highs++;
	if (t->engine->tick)
		t->engine->tick(s, t);
}

static void take_guard(struct viz_session *s, const struct viz_guard *rec, bool low)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);
	struct viz_slots slots = {.pid = (pid_t)rec->tgid};
	struct viz_thread_lane *lane;
	char args[96];

	if (t && t->state == VIZ_TARGET_ACTIVE) {
		slots.addr = t->slots;
		slots.nr = t->nr_slots;
		slots.value = t->interp.build->eval_frame_default + t->interp.bias;
	}
	if (!low) {
		if (!t || !t->stepped_back)
			return;
		go_on(s, t);
	} else {
		viz_stack_guard__low(&s->stack_guard, rec, &slots);
		if (!t || t->stepped_back)
			return;
		t->stepped_back = rec->head.ts;
		t->step_backs++;
	}
	lane = viz_session__lane(s, t, (pid_t)rec->head.tid);
	if (!lane)
		return;
	snprintf(args, sizeof(args), "{\"stack_left\":%llu}", (unsigned long long)rec->room);
	viz_session__instant(s, lane->track, rec->head.ts,
			     low ? "vizbpf: deep recursion, recording pauses"
				 : "vizbpf: recording goes on",
			     args);
}

static int take_custom(struct viz_session *s, const struct viz_custom *rec, size_t size)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);
	struct viz_thread_lane *lane;

	if (!t || t->state != VIZ_TARGET_ACTIVE)
		return 0;
	lane = viz_session__lane(s, t, (pid_t)rec->head.tid);
	return lane ? viz_custom_events__take(s->custom, rec, size, lane->track) : -ENOMEM;
}

static void take_interpreter(struct viz_session *s, const struct viz_guard *rec)
{
	struct viz_target *t = viz_lives__target(s, (pid_t)rec->tgid);

	if (t && t->state == VIZ_TARGET_ACTIVE && t->engine->interpreter)
		t->engine->interpreter(s, t, rec);
	else if (t && t->state == VIZ_TARGET_ACTIVE && t->engine->tick)
		t->engine->tick(s, t);
	if (rec->stopped)
		viz_hold__release(s, (pid_t)rec->tgid);
}

int viz_records__handle(void *ctx, const void *record, size_t size)
{
	struct viz_session *s = ctx;
	const struct viz_head *head = record;
	int err = 0;

	if (size < sizeof(*head))
		return 0;
	s->records++;
	viz_lives__until(s, head->ts);
	switch (head->kind) {
	case VIZ_ENTER:
		if (!s->end_ts || head->ts <= s->end_ts)
			err = take_enter(s, record);
		break;
	case VIZ_RUNNING:
		err = take_running(s, record);
		break;
	case VIZ_LEAVE:
		if (!s->end_ts || head->ts <= s->end_ts)
			err = take_leave(s, record);
		break;
	case VIZ_CALL:
		if (!s->end_ts || head->ts <= s->end_ts)
			err = take_whole(s, record);
		break;
	case VIZ_CODE:
		take_code(s, record);
		break;
	case VIZ_STACK_LOW:
	case VIZ_STACK_HIGH:
		take_guard(s, record, head->kind == VIZ_STACK_LOW);
		break;
	case VIZ_CUSTOM:
		err = take_custom(s, record, size);
		break;
	case VIZ_SLOT_EMPTY:
	case VIZ_INTERP_COMING:
	case VIZ_INTERP_ENDS:
		take_interpreter(s, record);
		break;
	default:
		viz_debug(VIZ_LOG_RING, "a record of unknown kind %u", head->kind);
	}
	if (err && !s->err)
		s->err = err;
	/* The reader must not stop in the middle: errors end the session in its loop. */
	return 0;
}
