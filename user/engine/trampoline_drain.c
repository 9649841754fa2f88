// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the records. The target can write anything into its ring: a number from
 * there is copied once, checked, and harms at most that target's own part of the
 * trace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "trampoline_private.h"

enum {
	BATCH = 512,
	RUNNING_MAX = 1024,
	CODES_MAX = 1 << 22,
	CHUNK = 4096, /* records that are fetched at once */
	AT_ONCE = 32768, /* records of one drain: others wait, too */
	CODE_SLOTS_MAX = 64,
};

struct batch {
	struct viz_trampoline *t;
	struct viz_instance *in;
	const struct viz_trampoline_sink *sink;
	struct viz_edge edges[BATCH];
	size_t nr;
	struct viz_edge running[RUNNING_MAX];
	size_t nr_running;
	uint64_t running_ts;
};

static int flush(struct batch *b)
{
	struct viz_tramp_reader *r = &b->in->reader;
	size_t nr = b->nr;
	int err = 0;

	if (b->nr_running) {
		for (size_t i = 0; i < b->nr_running / 2; i++) { /* outermost first */
			struct viz_edge swap = b->running[i];

			b->running[i] = b->running[b->nr_running - 1 - i];
			b->running[b->nr_running - 1 - i] = swap;
		}
		if (r->tid && b->sink->running)
			err = b->sink->running(b->sink->ctx, r->tid, b->running_ts, b->running,
					       b->nr_running);
		b->nr_running = 0;
	}
	b->nr = 0;
	return err || !nr || !r->tid ? err : b->sink->edges(b->sink->ctx, r->tid, b->edges, nr);
}

static int keep_func(struct viz_tramp_reader *r, uint32_t id, uint32_t func)
{
	if (id >= CODES_MAX)
		return 0;
	if (id >= r->nr_funcs) {
		uint32_t nr = (id | 4095) + 1;
		uint32_t *funcs = realloc(r->funcs, nr * sizeof(*funcs));

		if (!funcs)
			return -ENOMEM;
		memset(funcs + r->nr_funcs, 0xff, (nr - r->nr_funcs) * sizeof(*funcs));
		r->funcs = funcs;
		r->nr_funcs = nr;
	}
	r->funcs[id] = func;
	return 0;
}

static uint32_t func_of(const struct viz_tramp_reader *r, uint32_t id)
{
	return id < r->nr_funcs ? r->funcs[id] : UINT32_MAX;
}

/* Tells the recorder the verdict on this code object. The place may be another's by now. */
static void tell(struct viz_rec_ring *ring, uint32_t place, uint32_t id, enum viz_verdict verdict)
{
	static const uint64_t bits[] = {[VIZ_VERDICT_RECORD] = VIZ_REC_JUDGED,
					[VIZ_VERDICT_DROP_TREE] = VIZ_REC_TREE,
					[VIZ_VERDICT_DROP_SELF] = VIZ_REC_REJECT};
	uint64_t *word, expect, wish;

	if (place >= VIZ_REC_CODES || verdict == VIZ_VERDICT_UNKNOWN)
		return;
	word = &ring->codes[place].id;
	expect = __atomic_load_n(word, __ATOMIC_RELAXED);
	if ((uint32_t)expect != id)
		return;
	wish = expect | bits[verdict];
	__atomic_compare_exchange_n(word, &expect, wish, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void viz_reader__judge_again(struct viz_instance *in, const struct viz_trampoline_sink *sink)
{
	struct viz_tramp_reader *r = &in->reader;

	for (uint32_t place = 0; place < VIZ_REC_CODES; place++) {
		uint64_t word = __atomic_load_n(&in->ring->codes[place].id, __ATOMIC_RELAXED);
		uint32_t id = (uint32_t)word, func = func_of(r, id);
		enum viz_verdict verdict;

		if (func == UINT32_MAX || word & (VIZ_REC_JUDGED | VIZ_REC_TREE | VIZ_REC_REJECT))
			continue;
		verdict = sink->judge(sink->ctx, func);
		if (verdict == VIZ_VERDICT_DROP_SELF)
			r->funcs[id] = UINT32_MAX;
		tell(in->ring, place, id, verdict);
	}
}

/* What is no code object: the name is text. */
static int on_name(struct batch *b, const struct viz_rec_code *c, const char *text, uint64_t place,
		   uint32_t id, bool exception)
{
	const struct viz_trampoline_sink *sink = b->sink;
	enum viz_verdict verdict = VIZ_VERDICT_RECORD;
	uint32_t index = UINT32_MAX;
	char name[VIZ_NAME_MAX + 1];
	int err;

	if (!sink->name)
		return 0;
	memcpy(name, text, c->name_size);
	name[c->name_size] = '\0';
	err = sink->name(sink->ctx, name, exception, &index);
	if (err)
		return err;
	if (sink->judge && !exception && index != UINT32_MAX)
		verdict = sink->judge(sink->ctx, index);
	tell(b->in->ring, (uint32_t)place, id, verdict);
	return keep_func(&b->in->reader, id, verdict == VIZ_VERDICT_DROP_SELF ? UINT32_MAX : index);
}

/* A CODE record with @slots slots behind it. */
static int on_code(struct batch *b, const struct viz_rec_event *slot, uint64_t slots, uint64_t what,
		   unsigned int flags)
{
	struct viz_code code = {
		.head.kind = VIZ_CODE, .head.ts = b->in->reader.last_ts, .tgid = b->t->pid};
	uint32_t id = (uint32_t)what;
	struct viz_rec_code c;
	uint8_t bytes[sizeof(c) + VIZ_NAME_MAX + VIZ_PATH_MAX + 16];
	uint32_t func = UINT32_MAX;
	enum viz_verdict verdict = VIZ_VERDICT_RECORD;
	int err;

	if (slots < sizeof(c) / 16 || slots > sizeof(bytes) / 16)
		return 0;
	memcpy(bytes, slot, 16 * slots);
	memcpy(&c, bytes, sizeof(c));
	if (c.name_size > VIZ_NAME_MAX || c.file_size > VIZ_PATH_MAX ||
	    sizeof(c) + c.name_size + c.file_size > 16 * slots)
		return 0;
	if (flags != VIZ_CODE_PYTHON)
		return on_name(b, &c, (const char *)bytes + sizeof(c), what >> 32, id,
			       flags == VIZ_CODE_EXCEPTION);
	code.code = c.address;
	code.line = c.line;
	code.code_flags = c.code_flags;
	code.name_chars = c.name_chars;
	code.file_chars = c.file_chars;
	code.name_size = c.name_size;
	code.file_size = c.file_size;
	code.name_kind = c.name_kind;
	code.file_kind = c.file_kind;
	code.name_ascii = c.name_ascii;
	code.file_ascii = c.file_ascii;
	memcpy(code.name, bytes + sizeof(c), c.name_size);
	memcpy(code.file, bytes + sizeof(c) + c.name_size, c.file_size);
	err = b->sink->code(b->sink->ctx, &code, &func);
	if (err)
		return err;
	if (b->sink->judge && func != UINT32_MAX)
		verdict = b->sink->judge(b->sink->ctx, func);
	err = keep_func(&b->in->reader, id, verdict == VIZ_VERDICT_DROP_SELF ? UINT32_MAX : func);
	tell(b->in->ring, what >> 32, id, verdict);
	return err;
}

static int on_edge(struct batch *b, uint64_t ts, unsigned int kind, unsigned int flags,
		   uint64_t what)
{
	struct viz_tramp_reader *r = &b->in->reader;
	uint32_t func = func_of(r, (uint32_t)what);
	struct viz_edge *e = &b->edges[b->nr];

	if (r->hidden && kind == VIZ_RECORD_ENTER) {
		r->hidden = false;
		return 0;
	}
	if (func == UINT32_MAX) /* rejected, while these were on their way */
		return 0;
	*e = (struct viz_edge){
		.ts = ts,
		.func = func,
		.frame = what >> 32,
		.caller = r->caller,
		.caller_func = UINT32_MAX,
		.kind = kind == VIZ_RECORD_ENTER ? VIZ_EDGE_ENTER : VIZ_EDGE_LEAVE,
		.flags = flags,
	};
	if (r->chained && kind == VIZ_RECORD_ENTER) {
		e->flags |= VIZ_ENTER_CHAIN;
		r->chained = false;
		r->caller = 0;
	}
	return ++b->nr == BATCH ? flush(b) : 0;
}

static int on_running(struct batch *b, uint64_t ts, uint64_t what)
{
	uint32_t func = func_of(&b->in->reader, (uint32_t)what);

	if (func == UINT32_MAX || b->nr_running == RUNNING_MAX)
		return 0;
	b->running_ts = ts;
	b->running[b->nr_running++] = (struct viz_edge){
		.ts = ts,
		.func = func,
		.frame = what >> 32,
		.caller_func = UINT32_MAX,
		.kind = VIZ_EDGE_ENTER,
	};
	return 0;
}

static int on_raise(struct batch *b, uint64_t ts, uint32_t index)
{
	struct viz_tramp_reader *r = &b->in->reader;
	bool hidden = r->hidden;

	r->hidden = false;
	if (hidden || index == UINT32_MAX || !b->sink->raised || !r->tid)
		return 0;
	return b->sink->raised(b->sink->ctx, r->tid, ts, index);
}

static int on_rare(struct batch *b, uint64_t ts, unsigned int kind, uint64_t what)
{
	struct viz_tramp_reader *r = &b->in->reader;
	const struct viz_trampoline_sink *sink = b->sink;
	int err;

	if (kind == VIZ_RECORD_RUNNING)
		return on_running(b, ts, what);
	if (kind == VIZ_RECORD_CALLER) {
		r->caller = what >> 32;
		r->chained = true;
		return 0;
	}
	if (kind == VIZ_RECORD_INSIDE) {
		r->hidden = func_of(r, (uint32_t)what) == UINT32_MAX;
		return 0;
	}
	err = flush(b);
	if (err)
		return err;
	switch (kind) {
	case VIZ_RECORD_RAISE:
		err = on_raise(b, ts, func_of(r, (uint32_t)what));
		break;
	case VIZ_RECORD_THREAD:
		r->tid = (uint32_t)what;
		break;
	case VIZ_RECORD_LOST:
		if (sink->lost)
			sink->lost(sink->ctx, r->tid, ts, (uint32_t)what, what >> 32);
		break;
	case VIZ_RECORD_PAUSE:
	case VIZ_RECORD_RESUME:
		if (sink->gap)
			sink->gap(sink->ctx, r->tid, ts, kind == VIZ_RECORD_PAUSE);
		break;
	}
	return err;
}

static int handle(struct batch *b, const struct viz_rec_event *e)
{
	struct viz_tramp_reader *r = &b->in->reader;
	unsigned int kind = e->when & 15, flags = e->when >> 4 & 15;
	uint64_t ts = viz_tramp_clock__ns(&b->t->clock, e->when >> 8);

	/* records are in the order of time; the conversion's slope may change between
	 * them */
	if (ts < r->last_ts)
		ts = r->last_ts;
	r->last_ts = ts;
	if (kind == VIZ_RECORD_ENTER || kind == VIZ_RECORD_LEAVE) {
		if (b->nr_running) {
			int err = flush(b);

			if (err)
				return err;
		}
		return on_edge(b, ts, kind, flags, e->what);
	}
	return on_rare(b, ts, kind, e->what);
}

/* ---- fetching ---- */

/* More records behind those that are there. 1: there are more, 0: none, or -errno. */
static int fetch(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_tramp_reader *r = &in->reader;
	uint32_t rest = r->nr - r->next;
	int64_t n;

	if (!r->feed)
		r->feed = viz_feed__new(in->ring, in->file->fd, viz_instance__events_at(t, in),
					t->params.ring_size / sizeof(struct viz_rec_event));
	if (!r->chunk)
		r->chunk = malloc(CHUNK * sizeof(*r->chunk));
	if (!r->feed || !r->chunk)
		return -ENOMEM;
	memmove(r->chunk, r->chunk + r->next, rest * sizeof(*r->chunk));
	r->next = 0;
	r->nr = rest;
	n = viz_feed__read(r->feed, in->state == VIZ_TRAMPOLINE_ENDED, r->chunk + rest,
			   CHUNK - rest);
	if (n == -EPROTO)
		viz_debug(VIZ_LOG_RING, "pid %d: its ring cannot be as it says", t->pid);
	if (n <= 0)
		return (int)n;
	r->nr += (uint32_t)n;
	/* all of them were written before */
	viz_tramp_clock__sample(&t->clock);
	return 1;
}

/* Makes sure that @nr records are there, if there are so many. 0 or -errno. */
static int want(struct viz_trampoline *t, struct viz_instance *in, uint64_t nr)
{
	int got = 1;

	while (got > 0 && in->reader.nr - in->reader.next < nr)
		got = fetch(t, in);
	return got < 0 ? got : 0;
}

/* A thread that has many rings to read keeps no memory for those that are empty. */
static void put_away(struct viz_tramp_reader *r)
{
	if (r->next < r->nr)
		return;
	free(r->chunk);
	r->chunk = NULL;
	r->next = r->nr = 0;
}

static uint64_t slots_of(const struct viz_rec_event *e)
{
	/* what announces more than that is no name */
	return (e->when & 15) != VIZ_RECORD_CODE || e->when >> 8 > CODE_SLOTS_MAX ? 0
										  : e->when >> 8;
}

/* The clock of the next record that has one; UINT64_MAX: there is none. */
static uint64_t next_stamp(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_tramp_reader *r = &in->reader;

	for (uint64_t at = 0;; at++) {
		const struct viz_rec_event *e;

		if (want(t, in, at + 1) || r->nr - r->next <= at)
			return UINT64_MAX;
		e = &r->chunk[r->next + at];
		/* many names in a row: they go before anything else */
		if ((e->when & 15) != VIZ_RECORD_CODE || at > CHUNK / 2)
			return (e->when & 15) == VIZ_RECORD_CODE ? 0 : e->when >> 8;
		at += slots_of(e);
	}
}

/* Hands over what is next. 0 or -errno. */
static int take_one(struct batch *b)
{
	struct viz_tramp_reader *r = &b->in->reader;
	const struct viz_rec_event *e = &r->chunk[r->next];
	uint64_t slots = slots_of(e);
	int err;

	if ((e->when & 15) != VIZ_RECORD_CODE) {
		err = (e->when & 15) == VIZ_RECORD_NONE ? 0 : handle(b, e);
		r->next++;
		return err;
	}
	err = want(b->t, b->in, 1 + slots);
	if (err)
		return err;
	e = &r->chunk[r->next];
	if (slots > r->nr - r->next - 1)
		slots = r->nr - r->next - 1;
	err = on_code(b, e + 1, slots, e->what, e->when >> 4 & 15);
	r->next += 1 + (uint32_t)slots;
	return err;
}

/* Hands over @most records of one ring, and none whose clock is beyond @until. */
static int drain_one(struct viz_trampoline *t, struct viz_instance *in, uint64_t until, int most,
		     const struct viz_trampoline_sink *sink)
{
	struct viz_tramp_reader *r = &in->reader;
	struct batch b = {.t = t, .in = in, .sink = sink};
	int err = 0, flushed, total = 0;

	/* calls that are open at the attach are one piece */
	while (!err && (total < most || b.nr_running)) {
		uint32_t before;

		if (r->next == r->nr) {
			err = fetch(t, in);
			if (err <= 0)
				break;
			err = 0;
		}
		if ((r->chunk[r->next].when & 15) != VIZ_RECORD_CODE &&
		    r->chunk[r->next].when >> 8 > until)
			break;
		before = r->nr - r->next;
		err = take_one(&b);
		total += before > r->nr - r->next ? (int)(before - (r->nr - r->next)) : 1;
	}
	flushed = flush(&b);
	return err < 0 ? err : flushed < 0 ? flushed : total;
}

/* Always from the ring with the oldest record, as far as the next oldest. */
static int drain_merged(struct viz_trampoline *t, struct viz_instance **rings, int nr,
			uint64_t limit, const struct viz_trampoline_sink *sink)
{
	int total = 0;

	while (total < AT_ONCE) {
		uint64_t oldest = UINT64_MAX, next = UINT64_MAX;
		int which = -1, n;

		for (int i = 0; i < nr; i++) {
			uint64_t stamp = next_stamp(t, rings[i]);

			if (stamp < oldest) {
				next = oldest;
				oldest = stamp;
				which = i;
			} else if (stamp < next) {
				next = stamp;
			}
		}
		if (which < 0 || oldest > limit)
			break;
		n = drain_one(t, rings[which], next < limit ? next : limit, AT_ONCE - total, sink);
		if (n < 0)
			return n;
		total += n;
	}
	return total;
}

int viz_reader__drain(struct viz_trampoline *t, struct viz_instance **rings, int nr,
		      const struct viz_trampoline_sink *sink)
{
	/* what is written while the rings are read waits for the next time: another
	 * one may have something older by then */
	uint64_t now = viz_tramp_clock__now(&t->clock) & (~0ull >> 8);
	uint64_t limit = nr > 1 && !t->over ? now : UINT64_MAX;
	int total;

	if (!nr)
		return 0;
	for (int i = 0; i < nr; i++)
		__atomic_store_n(&rings[i]->ring->beat, now, __ATOMIC_RELAXED);
	viz_tramp_clock__sample(&t->clock);
	total = nr == 1 ? drain_one(t, rings[0], limit, AT_ONCE, sink)
			: drain_merged(t, rings, nr, limit, sink);
	t->behind = 0;
	for (int i = 0; i < nr; i++) {
		if (total >= AT_ONCE && rings[i]->reader.last_ts > t->behind)
			t->behind = rings[i]->reader.last_ts;
		put_away(&rings[i]->reader);
	}
	if (!t->behind)
		viz_tramp_clock__forget(&t->clock);
	return total;
}

void viz_trampoline__tell_losses(struct viz_trampoline *t, const struct viz_trampoline_sink *sink)
{
	for (int i = 0; i < t->nr_instances && sink->lost; i++) {
		struct viz_instance *in = &t->instances[i];

		/* the first place is that of threads that found none: nobody's */
		for (int k = 1; in->ring && k < VIZ_REC_THREADS; k++) {
			struct viz_rec_thread *thread = &in->ring->threads[k];
			uint32_t enters = thread->lost_enter - thread->told_enter;
			uint32_t leaves = thread->lost_leave - thread->told_leave;

			if (!enters && !leaves)
				continue;
			sink->lost(sink->ctx, thread->tid, in->reader.last_ts, enters, leaves);
			thread->told_enter += enters;
			thread->told_leave += leaves;
		}
	}
}

void viz_reader__free(struct viz_tramp_reader *r)
{
	viz_feed__free(r->feed);
	free(r->chunk);
	r->feed = NULL;
	r->chunk = NULL;
	r->next = r->nr = 0;
}

uint64_t viz_trampoline__behind(const struct viz_trampoline *t)
{
	return t->behind;
}

uint64_t viz_trampoline__waiting(const struct viz_trampoline *t)
{
	uint64_t sum = 0;

	for (int i = 0; i < t->nr_instances; i++) {
		const struct viz_tramp_reader *r = &t->instances[i].reader;

		if (r->feed)
			sum += viz_feed__waiting(r->feed) + r->nr - r->next;
	}
	return sum;
}
