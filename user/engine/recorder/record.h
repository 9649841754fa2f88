/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder: runs inside the target, in pages of its own, and writes 16
 * bytes for each beginning and each end of a Python call into memory that
 * vizbpf has mapped too.
 *
 * What it has to live with:
 *  - No library and no loader: everything is relative to the program counter,
 * the addresses of CPython's functions and the offsets of this build are
 * constants that vizbpf wrote in front of the code (K). The build refuses
 * relocations, undefined symbols and data.
 *  - It runs as a callee of the interpreter, so the C calling convention is all
 * it needs to keep; it holds the GIL, so there is one writer; it never waits,
 * for nobody.
 *  - It may find itself in a forked child. Everything that refers to the ring
 * is in LIVE, which the kernel clears there; what Python objects refer to is in
 * KEEP.
 *  - vizbpf stops it from outside with plain writes: KEEP.mode off, LIVE.ring
 * zero. Every path asks LIVE.ring once, first, and then goes to RING_AREA: that
 * memory is only unmapped by stop(), which holds the GIL.
 *  - Code objects are named when first seen, and a reference is held so that
 * the address means the same one for as long as it is in the table.
 */
#ifndef VIZ_RECORD_H
#define VIZ_RECORD_H

#define VIZ_REC_INSIDE
#include "arch.h"
#include "recorder.h"

#define HIDDEN __attribute__((visibility("hidden")))
#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((noinline, cold)) /* small rather than fast */
#define INLINE inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* From bpf/records.h, which includes more than a freestanding file can take. */
enum { ENTER_RESUME = 1, ENTER_THROW = 2, LEAVE_RAISED = 1, LEAVE_FRAME = 2 };
enum { NAME_MAX = 256, PATH_MAX = 512 };

enum { PROT_NONE = 0, PROT_READ_WRITE = 3, MAP_SHARED_FIXED = 0x11, MAP_SHARED_NEW = 0x100001 };
enum {
	MAP_PRIVATE_ANON_NEW = 0x100022,
	MAP_NOTHING_FIXED = 0x4032,
	WIPEONFORK = 18,
	EFAULT_ = 14,
	EINVAL_ = 22
};
enum { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2 };
enum { CO_GENERATORS = 0x2a0 }; /* CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR */

/* Instead of an id: there was no room; there is no ring any more. Both look
 * rejected. */
#define LOST (~0ull)
#define GONE (~1ull)
/* No frame. */
#define UNKNOWN (~0ull)

extern const struct viz_rec_consts K HIDDEN;
extern struct viz_rec_keep KEEP_PAGE HIDDEN;
extern struct viz_rec_live LIVE_PAGE HIDDEN;
extern struct viz_rec_dir DIR_AREA HIDDEN;
extern struct viz_rec_ring RING_AREA HIDDEN;

typedef void *(*eval_fn)(void *, void *, void *);

static inline uint64_t word(uint64_t base, uint32_t offset)
{
	return *(const uint64_t *)(base + offset);
}

static inline uint32_t half(uint64_t base, uint32_t offset)
{
	return *(const uint32_t *)(base + offset);
}

static NOINLINE uint64_t vdso_clock(void)
{
	struct {
		int64_t sec, nsec;
	} ts = {0, 0};

	((int (*)(int, void *))K.clock)(1, &ts); /* CLOCK_MONOTONIC */
	return ts.sec * 1000000000ull + ts.nsec;
}

static INLINE uint64_t now(void)
{
	return unlikely(K.clock) ? vdso_clock() : arch_counter();
}

/* What vizbpf can change at any time, and what takes a record the longer way. */
static INLINE uint64_t switches(void)
{
	return RING_AREA.filter | RING_AREA.chains | RING_AREA.min_ticks;
}

/* Of the variant: where the slot points to while recording, 0: nowhere; the end
 * (entry.h). */
static uint64_t slot_while_recording(void);
void *stop(void *a, void *b, void *c);

/* ---- writing ---- */

static INLINE void publish(struct viz_rec_live *live)
{
	__atomic_store_n(&RING_AREA.head, live->head, __ATOMIC_RELEASE);
}

static INLINE struct viz_rec_event *event_at(const struct viz_rec_live *live, uint64_t nr)
{
	return (struct viz_rec_event *)(live->origin + nr * sizeof(struct viz_rec_event));
}

static INLINE void put(struct viz_rec_live *live, uint64_t when, unsigned int kind, uint64_t what)
{
	uint64_t head = live->head;
	struct viz_rec_event *event = event_at(live, head);

	event->when = when << 8 | kind;
	event->what = what;
	live->head = head + 1;
}

/* Goes on with the first part of the ring that is free. 0: none is. */
static NOINLINE int next_part(struct viz_rec_live *live)
{
	struct viz_rec_ring *ring = &RING_AREA;
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	uint64_t size = (K.mask + 1) / VIZ_REC_PARTS, free;

	while (live->head < live->limit)
		put(live, 0, VIZ_RECORD_NONE, 0);
	publish(live);
	for (; live->oldest * size < live->limit && (live->oldest + 1) * size <= tail;
	     live->oldest++)
		live->used &= ~(1ull << ring->order[live->oldest % VIZ_REC_PARTS]);
	if (!~live->used)
		return 0;
	free = (uint64_t)__builtin_ctzll(~live->used);
	live->used |= 1ull << free;
	ring->order[live->limit / size % VIZ_REC_PARTS] = (uint8_t)free;
	live->origin = (uint64_t)&ring->events[free * size] - live->limit * sizeof(ring->events[0]);
	live->limit += size;
	return 1;
}

/* Whether there is room for @nr records in a row. */
static INLINE int room(struct viz_rec_live *live, uint64_t nr)
{
	return likely(live->limit - live->head >= nr) || next_part(live);
}

/* For what is rare: one record, published at once; 0 if the ring is full. */
static NOINLINE int say(struct viz_rec_live *live, unsigned int kind, uint64_t what)
{
	if (!room(live, 1))
		return 0;
	put(live, now(), kind, what);
	publish(live);
	return 1;
}

/* Puts one edge; 0 if the ring is full. */
static INLINE int put_enter(struct viz_rec_live *live, unsigned int kind, uint64_t what)
{
	if (unlikely(!room(live, 1)))
		return 0;
	put(live, now(), kind, what);
	if (unlikely(RING_AREA.min_ticks))
		RING_AREA.tentative = live->head; /* may be taken back: not yet published */
	else
		publish(live);
	return 1;
}

static NOINLINE int put_leave_unless_short(struct viz_rec_live *live, unsigned int kind,
					   uint64_t what)
{
	struct viz_rec_ring *ring = &RING_AREA;
	struct viz_rec_event *last = event_at(live, live->head - 1);
	uint64_t when = now();

	if (live->head > ring->head && (last->when & 15) == VIZ_RECORD_ENTER &&
	    last->what == what && (when & (~0ull >> 8)) - (last->when >> 8) < ring->min_ticks) {
		ring->tentative = --live->head;
		return 1;
	}
	if (!room(live, 1))
		return 0;
	put(live, when, kind, what);
	ring->tentative = live->head;
	publish(live);
	return 1;
}

static INLINE int put_leave(struct viz_rec_live *live, unsigned int kind, uint64_t what)
{
	if (unlikely(RING_AREA.min_ticks))
		return put_leave_unless_short(live, kind, what);
	if (unlikely(!room(live, 1)))
		return 0;
	put(live, now(), kind, what);
	publish(live);
	return 1;
}

/* vizbpf and its guardian are both gone: take it all back at the next call. */
static void give_up(struct viz_rec_live *live)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	KEEP_PAGE.mode = VIZ_REC_OFF;
	live->ring = 0;
	if (*slot == K.slot_original || *slot == slot_while_recording())
		*slot = (uint64_t)stop;
}

static NOINLINE void lost(struct viz_rec_live *live, int leave)
{
	struct viz_rec_thread *thread = (struct viz_rec_thread *)live->thread;

	if (leave)
		thread->lost_leave++;
	else
		thread->lost_enter++;
	live->key = 0; /* so that the next record that fits is preceded by the losses */
	if (((now() - RING_AREA.beat) & ~0ull >> 8) > K.patience)
		give_up(live);
}

/* ---- threads ---- */

static struct viz_rec_thread *thread_place(struct viz_rec_ring *ring, uint32_t tid)
{
	for (uint32_t i = 0; i < 16; i++) {
		struct viz_rec_thread *t = &ring->threads[1 + (tid + i) % (VIZ_REC_THREADS - 1)];

		if (t->tid == tid)
			return t;
		if (!t->tid) {
			t->tid = tid;
			return t;
		}
	}
	return &ring->threads[0];
}

enum { STACK_SAME = 64 << 10 };

/* What the thread has: nothing to be done above live->roomy, three times of what has to be free
 * above the floor before recording goes on after a pause. */
static void take_stack(struct viz_rec_live *live, const struct viz_rec_thread *t)
{
	uint64_t quarter = (t->top - t->floor) / 4;

	live->floor = t->floor;
	live->top = t->top;
	live->roomy = t->floor + 3 * (quarter < STACK_SAME ? quarter : STACK_SAME);
}

/* Another thread than the one that wrote last. Returns 0 if the ring has no
 * room to say so. */
static NOINLINE int switch_thread(struct viz_rec_live *live, uint64_t key)
{
	struct viz_rec_ring *ring = &RING_AREA;
	uint32_t tid = K.tstate_native != VIZ_REC_ABSENT
			       ? (uint32_t)key
			       : (uint32_t)arch_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
	struct viz_rec_thread *t = thread_place(ring, tid);
	uint32_t enters = t->lost_enter - t->told_enter, leaves = t->lost_leave - t->told_leave;

	live->thread = (uint64_t)t;
	take_stack(live, t);
	if (!room(live, 2))
		return 0;
	say(live, VIZ_RECORD_THREAD, (uint64_t)(t - ring->threads) << 32 | tid);
	if (enters | leaves)
		say(live, VIZ_RECORD_LOST, (uint64_t)leaves << 32 | enters);
	t->told_enter = t->lost_enter;
	t->told_leave = t->lost_leave;
	live->innermost = UNKNOWN; /* an outermost call has to be said to be one, too */
	live->key = key;
	return 1;
}

/* ---- code objects ---- */

/* Where the text of a str object is. An object that is not compact has none for
 * us: names made by the compiler or by unmarshalling always are. */
struct text {
	const uint8_t *data;
	uint64_t chars;
	uint32_t size;
	uint8_t kind, ascii;
};

static struct text text_of(uint64_t str, uint32_t max, int tail)
{
	struct text t = {0, 0, 0, 0, 0};
	uint32_t state;
	uint64_t fit;

	if (!str)
		return t;
	state = half(str, K.str_state);
	t.kind = state >> 2 & 7;
	if (!(state & 32) || (t.kind != 1 && t.kind != 2 && t.kind != 4)) {
		t.kind = 0;
		return t;
	}
	t.ascii = state >> 6 & 1;
	t.chars = word(str, K.str_length);
	t.data = (const uint8_t *)(str + (t.ascii ? K.str_ascii_data : K.str_compact_data));
	fit = max / t.kind;
	if (t.chars <= fit)
		fit = t.chars;
	else if (tail)
		t.data += (t.chars - fit) * t.kind;
	t.size = fit * t.kind;
	return t;
}

static void copy_in(uint8_t *to, const void *from, uint32_t size)
{
	/* volatile: gcc would call memcpy for this loop */
	for (uint32_t i = 0; i < size; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
}

static int announce(struct viz_rec_live *live, uint64_t code, uint64_t id, uint64_t place)
{
	struct text name = text_of(word(code, K.code_name), NAME_MAX, 0);
	struct text file = text_of(word(code, K.code_filename), PATH_MAX, 1);
	struct viz_rec_code c = {
		.address = code,
		.line = half(code, K.code_firstlineno),
		.code_flags = half(code, K.code_flags),
		.name_chars = name.chars,
		.file_chars = file.chars,
		.name_size = name.size,
		.file_size = file.size,
		.name_kind = name.kind,
		.file_kind = file.kind,
		.name_ascii = name.ascii,
		.file_ascii = file.ascii,
	};
	uint64_t slots = (sizeof(c) + name.size + file.size + 15) / 16;
	uint8_t *to;

	if (!room(live, 1 + slots))
		return 0;
	put(live, slots, VIZ_RECORD_CODE, place << 32 | id);
	to = (uint8_t *)event_at(live, live->head);
	copy_in(to, &c, sizeof(c));
	copy_in(to + sizeof(c), name.data, name.size);
	copy_in(to + sizeof(c) + name.size, file.data, file.size);
	live->head += slots;
	publish(live);
	return 1;
}

static inline void drop(uint64_t object)
{
	if (object)
		((void (*)(uint64_t))K.dec_ref)(object);
}

/* Gives up the reference to code objects that nobody else holds, a few places
 * at a time. */
static void sweep(struct viz_rec_live *live)
{
	struct viz_rec_ring *ring = &RING_AREA;

	for (int i = 0; i < 8; i++) {
		struct viz_rec_codeslot *e = &ring->codes[live->hand++ % VIZ_REC_CODES];
		uint64_t code = e->code;

		/* the count is in the low half in every version; negative: immortal */
		if ((int64_t)code <= 1 || half(code, 0) != 1)
			continue;
		e->code = 1;
		live->refs--;
		drop(code);
	}
}

static inline uint64_t home(uint64_t code)
{
	return (code * 0x9e3779b97f4a7c15ull) >> 48; /* VIZ_REC_CODES places */
}

/* Where the code object is if no other was there before it. Not to be read too early: while
 * LIVE.ring is 0 there is no ring, which the compiler cannot know. */
static INLINE const struct viz_rec_codeslot *usual_place(uint64_t code)
{
	const struct viz_rec_codeslot *place = &RING_AREA.codes[home(code)];

	__asm__("" : "+r"(place));
	return place;
}

/* The id word of @key; or LOST, and a place for it, 0: there is none. */
static uint64_t find(uint64_t key, struct viz_rec_codeslot **place)
{
	*place = 0;
	for (uint64_t i = home(key), n = 0; n < 64; i++, n++) {
		struct viz_rec_codeslot *e = &RING_AREA.codes[i % VIZ_REC_CODES];

		if (e->code == key)
			return e->id;
		if (!*place && e->code <= 1)
			*place = e;
		if (!e->code)
			break;
	}
	return LOST;
}

/* What was announced with the next id goes to @place. Returns its id word. */
static inline uint64_t enrol(struct viz_rec_live *live, struct viz_rec_codeslot *place,
			     uint64_t key, uint64_t flags)
{
	place->id = live->next_id++ | flags;
	place->code = key;
	return place->id;
}

/* The id word of @code, announced if it is new and @add; LOST where that is not
 * possible. */
static NOINLINE uint64_t look_up(struct viz_rec_live *live, uint64_t code, int add)
{
	struct viz_rec_ring *ring = &RING_AREA;
	struct viz_rec_codeslot *place;
	uint64_t id = find(code, &place);
	int generator;

	if (id != LOST || !add)
		return id;
	if (!place || word(code, 8) != K.code_type) {
		ring->lost_codes++;
		return LOST;
	}
	if (!announce(live, code, live->next_id, place - ring->codes))
		return LOST;
	live->refs++;
	((void (*)(uint64_t))K.inc_ref)(code);
	generator = K.creation && half(code, K.code_flags) & CO_GENERATORS;
	return enrol(live, place, code, generator ? VIZ_REC_GENERATOR : 0);
}

static NOINLINE uint64_t admit_slowly(struct viz_rec_live *live, uint64_t key, uint64_t code)
{
	uint64_t id;

	if (live->key != key && !switch_thread(live, key))
		return LOST;
	id = look_up(live, code, 1);
	/* The end of a code object can run code of the program's (a weak reference's
	 * callback), and another thread with it: the ring may be that one's now, or
	 * have gone. */
	sweep(live);
	if (!live->ring)
		return GONE;
	return live->key == key || switch_thread(live, key) ? id : LOST;
}

/* Makes sure that the reader knows the thread and the code object. */
static INLINE uint64_t admit(struct viz_rec_live *live, uint64_t key, uint64_t code)
{
	const struct viz_rec_codeslot *e = usual_place(code);

	if (likely(live->key == key && e->code == code))
		return e->id;
	return admit_slowly(live, key, code);
}

#endif
