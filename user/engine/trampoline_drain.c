// SPDX-License-Identifier: Apache-2.0
/*
 * Reads the ring. The target can write anything into it: a number from there is
 * copied once, checked, and harms at most that target's own part of the trace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "trampoline_private.h"

enum { BATCH = 512, RUNNING_MAX = 1024, CODES_MAX = 1 << 22 };

struct batch {
	struct viz_trampoline *t;
	struct viz_instance *in;
	const struct viz_trampoline_sink *sink;
	struct viz_edge edges[BATCH];
	size_t nr;
	struct viz_edge running[RUNNING_MAX];
	size_t nr_running;
	uint64_t running_ts;
	uint32_t caller; /* of the next ENTER, when chained */
	bool chained;
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

static inline struct viz_rec_event event_at(const struct viz_rec_ring *ring, uint64_t mask,
					    uint64_t at)
{
	const struct viz_rec_event *e = &ring->events[at & mask];

	return (struct viz_rec_event){.when = __atomic_load_n(&e->when, __ATOMIC_RELAXED),
				      .what = __atomic_load_n(&e->what, __ATOMIC_RELAXED)};
}

static uint64_t mask_of(const struct viz_trampoline *t)
{
	return t->params.ring_size / sizeof(struct viz_rec_event) - 1;
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

/* Tells the recorder to have no more of this code object. The place may be
 * another's by now. */
static void reject(struct viz_rec_ring *ring, uint32_t place, uint32_t id)
{
	uint64_t *word, expect, wish;

	if (place >= VIZ_REC_CODES)
		return;
	word = &ring->codes[place].id;
	expect = __atomic_load_n(word, __ATOMIC_RELAXED);
	if ((uint32_t)expect != id)
		return;
	wish = expect | VIZ_REC_REJECT;
	__atomic_compare_exchange_n(word, &expect, wish, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* A CODE record at @at with @slots slots behind it. */
static int on_code(struct batch *b, uint64_t at, uint64_t slots, uint64_t what)
{
	struct viz_rec_ring *ring = b->in->ring;
	uint64_t mask = mask_of(b->t);
	struct viz_code code = {
		.head.kind = VIZ_CODE, .head.ts = b->in->reader.last_ts, .tgid = b->t->pid};
	uint32_t id = (uint32_t)what;
	struct viz_rec_code c;
	uint8_t bytes[sizeof(c) + VIZ_NAME_MAX + VIZ_PATH_MAX + 16];
	uint32_t func = UINT32_MAX;
	bool no = false;
	int err;

	if (slots < sizeof(c) / 16 || slots > sizeof(bytes) / 16)
		return 0;
	for (uint64_t i = 0; i < slots; i++)
		memcpy(bytes + 16 * i, &ring->events[(at + 1 + i) & mask], 16);
	memcpy(&c, bytes, sizeof(c));
	if (c.name_size > VIZ_NAME_MAX || c.file_size > VIZ_PATH_MAX ||
	    sizeof(c) + c.name_size + c.file_size > 16 * slots)
		return 0;
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
	err = b->sink->code(b->sink->ctx, &code, &func, &no);
	if (!err)
		err = keep_func(&b->in->reader, id, no ? UINT32_MAX : func);
	if (no)
		reject(ring, what >> 32, id);
	return err;
}

static int on_edge(struct batch *b, uint64_t ts, unsigned int kind, unsigned int flags,
		   uint64_t what)
{
	uint32_t func = func_of(&b->in->reader, (uint32_t)what);
	struct viz_edge *e = &b->edges[b->nr];

	if (func == UINT32_MAX) /* rejected, while these were on their way */
		return 0;
	*e = (struct viz_edge){
		.ts = ts,
		.func = func,
		.frame = what >> 32,
		.caller = b->caller,
		.caller_func = UINT32_MAX,
		.kind = kind == VIZ_RECORD_ENTER ? VIZ_EDGE_ENTER : VIZ_EDGE_LEAVE,
		.flags = flags,
	};
	if (b->chained && kind == VIZ_RECORD_ENTER) {
		e->flags |= VIZ_ENTER_CHAIN;
		b->chained = false;
		b->caller = 0;
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

static int on_rare(struct batch *b, uint64_t ts, unsigned int kind, uint64_t what)
{
	struct viz_tramp_reader *r = &b->in->reader;
	const struct viz_trampoline_sink *sink = b->sink;
	int err;

	if (kind == VIZ_RECORD_RUNNING)
		return on_running(b, ts, what);
	if (kind == VIZ_RECORD_CALLER) {
		b->caller = what >> 32;
		b->chained = true;
		return 0;
	}
	err = flush(b);
	if (err)
		return err;
	switch (kind) {
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
	return 0;
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

/* Where the target says its records end; -EPROTO if that cannot be. */
static int read_head(const struct viz_trampoline *t, struct viz_instance *in)
{
	bool over = in->state == VIZ_TRAMPOLINE_ENDED;
	uint64_t head = __atomic_load_n(&in->ring->head, __ATOMIC_ACQUIRE);
	uint64_t tentative = __atomic_load_n(&in->ring->tentative, __ATOMIC_ACQUIRE);

	if (over && tentative > head)
		head = tentative;
	in->reader.head = head;
	if (head - in->reader.tail <= mask_of(t) + 1)
		return 0;
	viz_debug(VIZ_LOG_RING, "pid %d: the ring says it ends at %lu, %lu were read", t->pid, head,
		  in->reader.tail);
	return -EPROTO;
}

/* The clock of the next record that has one; UINT64_MAX: there is none. */
static uint64_t next_stamp(const struct viz_trampoline *t, const struct viz_instance *in)
{
	const struct viz_tramp_reader *r = &in->reader;

	for (uint64_t at = r->tail; at < r->head; at++) {
		struct viz_rec_event e = event_at(in->ring, mask_of(t), at);

		if ((e.when & 15) != VIZ_RECORD_CODE)
			return e.when >> 8;
		at += e.when >> 8 < 64 ? e.when >> 8 : 64;
	}
	return UINT64_MAX;
}

/* Hands over the records of one ring whose clock is not beyond @until. */
static int drain_one(struct viz_trampoline *t, struct viz_instance *in, uint64_t until,
		     const struct viz_trampoline_sink *sink)
{
	struct viz_tramp_reader *r = &in->reader;
	struct batch b = {.t = t, .in = in, .sink = sink};
	uint64_t mask = mask_of(t), begin = r->tail, at;
	int err = 0;

	for (at = r->tail; at < r->head && !err; at++) {
		struct viz_rec_event e = event_at(in->ring, mask, at);

		if ((e.when & 15) == VIZ_RECORD_CODE) {
			uint64_t slots = e.when >> 8;

			if (slots > r->head - at - 1)
				slots = r->head - at - 1;
			err = on_code(&b, at, slots, e.what);
			at += slots;
		} else if (e.when >> 8 > until) {
			break;
		} else {
			err = handle(&b, &e);
		}
		/* give room back early: the target does not wait */
		if (!(at & 4095))
			__atomic_store_n(&in->ring->tail, at, __ATOMIC_RELEASE);
	}
	if (!err)
		err = flush(&b);
	r->tail = at;
	__atomic_store_n(&in->ring->tail, at, __ATOMIC_RELEASE);
	if (err < 0)
		return err;
	return at - begin > INT32_MAX ? INT32_MAX : (int)(at - begin);
}

/* Always from the ring with the oldest record, as far as the next oldest. */
static int drain_merged(struct viz_trampoline *t, struct viz_instance **rings, int nr,
			uint64_t limit, const struct viz_trampoline_sink *sink)
{
	int total = 0;

	for (;;) {
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
			return total;
		n = drain_one(t, rings[which], next < limit ? next : limit, sink);
		if (n < 0)
			return n;
		total += n;
	}
}

int viz_reader__drain(struct viz_trampoline *t, struct viz_instance **rings, int nr,
		      const struct viz_trampoline_sink *sink)
{
	/* what is written while the heads are read waits for the next time: another
	 * ring may have something older by then */
	uint64_t now = viz_tramp_clock__now(&t->clock) & (~0ull >> 8);
	uint64_t limit = nr > 1 && !t->over ? now : UINT64_MAX;
	int err = 0;

	for (int i = 0; i < nr && !err; i++) {
		err = read_head(t, rings[i]);
		__atomic_store_n(&rings[i]->ring->beat, now, __ATOMIC_RELAXED);
	}
	if (err || !nr)
		return err;
	viz_tramp_clock__sample(&t->clock);
	return nr == 1 ? drain_one(t, rings[0], limit, sink)
		       : drain_merged(t, rings, nr, limit, sink);
}
