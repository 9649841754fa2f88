// SPDX-License-Identifier: Apache-2.0
/*
 * The recorder: runs inside the target, in pages of its own, and writes 16 bytes for each
 * beginning and each end of a Python call into memory that vizbpf has mapped too.
 *
 * What it has to live with:
 *  - No library and no loader: everything is relative to the program counter, the addresses
 *    of CPython's functions and the offsets of this build are constants that vizbpf wrote in
 *    front of the code (K). The build refuses relocations, undefined symbols and data.
 *  - It runs as a callee of the interpreter, so the C calling convention is all it needs to
 *    keep; it holds the GIL, so there is one writer; it never waits, for nobody.
 *  - It may find itself in a forked child. Everything that refers to the ring is in LIVE,
 *    which the kernel clears there; what Python objects refer to is in KEEP.
 *  - vizbpf stops it from outside with plain writes: KEEP.mode off, LIVE.ring zero. Every
 *    path asks LIVE.ring once, first, and then goes to RING_AREA: that memory is only
 *    unmapped by stop(), which holds the GIL.
 *  - Code objects are named when first seen, and a reference is held so that the address
 *    means the same one for as long as it is in the table.
 */
#define VIZ_REC_INSIDE
#include "recorder.h"
#include "arch.h"

#define HIDDEN __attribute__((visibility("hidden")))
#define NOINLINE __attribute__((noinline))
#define INLINE inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* From bpf/records.h, which includes more than a freestanding file can take. */
enum { ENTER_RESUME = 1, ENTER_THROW = 2, LEAVE_RAISED = 1, LEAVE_FRAME = 2 };
enum { NAME_MAX = 256, PATH_MAX = 512 };

enum { PROT_NONE = 0, PROT_READ_WRITE = 3, MAP_SHARED_FIXED = 0x11, MAP_SHARED_NEW = 0x100001 };
enum { MAP_PRIVATE_ANON_NEW = 0x100022, MAP_NOTHING_FIXED = 0x4032, WIPEONFORK = 18, EFAULT_ = 14, EINVAL_ = 22 };
enum { CO_GENERATORS = 0x2a0 }; /* CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR */

#define LOST (~0ull)

extern const struct viz_rec_consts K HIDDEN;
extern struct viz_rec_keep KEEP_PAGE HIDDEN;
extern struct viz_rec_live LIVE_PAGE HIDDEN;
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
	} ts = { 0, 0 };

	((int (*)(int, void *))K.clock)(1, &ts); /* CLOCK_MONOTONIC */
	return ts.sec * 1000000000ull + ts.nsec;
}

static INLINE uint64_t now(void)
{
	return unlikely(K.clock) ? vdso_clock() : arch_counter();
}

/* ---- writing ---- */

static INLINE int room(struct viz_rec_live *live, uint64_t nr)
{
	if (likely(live->limit - live->head >= nr))
		return 1;
	live->limit = __atomic_load_n(&RING_AREA.tail, __ATOMIC_ACQUIRE) + K.mask + 1;
	return live->limit - live->head >= nr;
}

static INLINE void publish(struct viz_rec_live *live)
{
	__atomic_store_n(&RING_AREA.head, live->head, __ATOMIC_RELEASE);
}

static INLINE void put(struct viz_rec_live *live, uint64_t when, unsigned int kind, uint64_t what)
{
	struct viz_rec_event *event = &RING_AREA.events[live->head & K.mask];

	event->when = when << 8 | kind;
	event->what = what;
	live->head++;
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
	struct viz_rec_event *last = &ring->events[(live->head - 1) & K.mask];
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

void *stop(void *a, void *b, void *c);
static void *wrap(void *a, void *b, void *c);

/* vizbpf and its guardian are both gone: take it all back at the next call. */
static void give_up(struct viz_rec_live *live)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	KEEP_PAGE.mode = VIZ_REC_OFF;
	live->ring = 0;
	if (*slot == K.slot_original || (VIZ_REC_MODE == VIZ_REC_WRAP && *slot == (uint64_t)wrap))
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
	if (now() - RING_AREA.beat > K.patience)
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

/* Another thread than the one that wrote last. Returns 0 if the ring has no room to say so. */
static NOINLINE int switch_thread(struct viz_rec_live *live, uint64_t key)
{
	struct viz_rec_ring *ring = &RING_AREA;
	uint32_t tid = K.tstate_native != VIZ_REC_ABSENT ?
			       (uint32_t)key :
			       (uint32_t)arch_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
	struct viz_rec_thread *t = thread_place(ring, tid);
	uint64_t when = now();

	live->thread = (uint64_t)t;
	live->floor = t->floor;
	live->top = t->top;
	if (!room(live, 2))
		return 0;
	put(live, when, VIZ_RECORD_THREAD, (uint64_t)(t - ring->threads) << 32 | tid);
	if (t->lost_enter != t->told_enter || t->lost_leave != t->told_leave) {
		put(live, when, VIZ_RECORD_LOST,
		    (uint64_t)(t->lost_leave - t->told_leave) << 32 |
			    (uint32_t)(t->lost_enter - t->told_enter));
		t->told_enter = t->lost_enter;
		t->told_leave = t->lost_leave;
	}
	publish(live);
	live->innermost = 0;
	live->key = key;
	return 1;
}

/* ---- code objects ---- */

/* Where the text of a str object is. An object that is not compact has none for us: names
 * made by the compiler or by unmarshalling always are. */
struct text {
	const uint8_t *data;
	uint64_t chars;
	uint32_t size;
	uint8_t kind, ascii;
};

static struct text text_of(uint64_t str, uint32_t max, int tail)
{
	struct text t = { 0, 0, 0, 0, 0 };
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

static void copy_in(struct viz_rec_ring *ring, uint64_t at, const void *from, uint32_t size)
{
	uint8_t *bytes = (uint8_t *)ring->events;
	uint64_t mask = K.mask << 4 | 15;

	/* volatile: gcc would call memcpy for this loop */
	for (uint32_t i = 0; i < size; i++)
		((volatile uint8_t *)bytes)[(at + i) & mask] = ((const uint8_t *)from)[i];
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
	uint64_t at;

	if (!room(live, 1 + slots))
		return 0;
	put(live, slots, VIZ_RECORD_CODE, place << 32 | id);
	at = live->head << 4;
	copy_in(&RING_AREA, at, &c, sizeof(c));
	copy_in(&RING_AREA, at + sizeof(c), name.data, name.size);
	copy_in(&RING_AREA, at + sizeof(c) + name.size, file.data, file.size);
	live->head += slots;
	publish(live);
	return 1;
}

/* Gives up the reference to code objects that nobody else holds, a few places at a time. */
static void sweep(struct viz_rec_live *live)
{
	struct viz_rec_ring *ring = &RING_AREA;

	for (int i = 0; i < 8; i++) {
		struct viz_rec_codeslot *e = &ring->codes[live->hand++ % VIZ_REC_CODES];
		uint64_t code = e->code;

		/* the count is in the low half in every version; negative: immortal */
		if (code <= 1 || half(code, 0) != 1)
			continue;
		e->code = 1;
		live->refs--;
		((void (*)(uint64_t))K.dec_ref)(code);
	}
}

static inline uint64_t home(uint64_t code)
{
	return (code * 0x9e3779b97f4a7c15ull) >> 48; /* VIZ_REC_CODES places */
}

/* The id word of @code, announced if it is new and @add; LOST where that is not possible. */
static NOINLINE uint64_t look_up(struct viz_rec_live *live, uint64_t code, int add)
{
	struct viz_rec_ring *ring = &RING_AREA;
	struct viz_rec_codeslot *e, *place = 0;
	uint64_t id;

	for (uint64_t i = home(code), n = 0; n < 64; i++, n++) {
		e = &ring->codes[i % VIZ_REC_CODES];
		if (e->code == code)
			return e->id;
		if (!place && e->code <= 1)
			place = e;
		if (!e->code)
			break;
	}
	if (!add)
		return LOST;
	if (!place || word(code, 8) != K.code_type) {
		ring->lost_codes++;
		return LOST;
	}
	id = live->next_id;
	if (!announce(live, code, id, place - ring->codes))
		return LOST;
	live->next_id++;
	live->refs++;
	((void (*)(uint64_t))K.inc_ref)(code);
	if (K.creation && half(code, K.code_flags) & CO_GENERATORS)
		id |= VIZ_REC_GENERATOR;
	place->id = id;
	place->code = code;
	sweep(live);
	return id;
}

static NOINLINE uint64_t admit_slowly(struct viz_rec_live *live, uint64_t key, uint64_t code)
{
	if (live->key != key && !switch_thread(live, key))
		return LOST;
	return look_up(live, code, 1);
}

/* Makes sure that the reader knows the thread and the code object. */
static INLINE uint64_t admit(struct viz_rec_live *live, uint64_t key, uint64_t code)
{
	struct viz_rec_codeslot *e = &RING_AREA.codes[home(code)];

	if (likely(live->key == key && e->code == code))
		return e->id;
	return admit_slowly(live, key, code);
}

/* ---- the ring ---- */

/* At an attach, and in a forked child in place of the parent's. */
static int open_ring(void)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	struct viz_rec_ring *ring = &RING_AREA;
	const char name[8] = "vizbpf";
	long fd, err, map;

	fd = arch_syscall(SYS_memfd_create, (long)name, K.memfd_flags, 0, 0, 0, 0);
	if (fd < 0) {
		KEEP_PAGE.failed = -fd;
		return 0;
	}
	err = arch_syscall(SYS_ftruncate, fd, K.ring_bytes, 0, 0, 0, 0);
	map = err ? err :
		    arch_syscall(SYS_mmap, (long)ring, K.ring_bytes, PROT_READ_WRITE,
				 KEEP_PAGE.reserved ? MAP_SHARED_FIXED : MAP_SHARED_NEW, fd, 0);
	arch_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	if (map != (long)ring) {
		KEEP_PAGE.failed = map < 0 ? -map : EINVAL_;
		if (map > 0)
			arch_syscall(SYS_munmap, map, K.ring_bytes, 0, 0, 0, 0);
		return 0;
	}
	KEEP_PAGE.reserved = 1;
	ring->mask = K.mask;
	ring->nonce = K.nonce;
	ring->beat = now();
	ring->pid = arch_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	live->head = live->key = live->hand = live->refs = live->paused = 0;
	live->limit = K.mask + 1;
	live->next_id = 1;
	live->thread = (uint64_t)ring->threads;
	live->generation = ++KEEP_PAGE.generation;
	__atomic_store_n(&ring->magic, VIZ_REC_MAGIC, __ATOMIC_RELEASE);
	return 1;
}

static INLINE uint64_t current_frame(uint64_t tstate)
{
	uint64_t frame = word(tstate, K.tstate_frame);

	return likely(K.cframe_current == VIZ_REC_ABSENT) || !frame ?
		       frame :
		       word(frame, K.cframe_current);
}

static inline uint64_t code_of(uint64_t frame)
{
	return word(frame, K.frame_code) & (K.tagged ? ~3ull : ~0ull);
}

static inline uint64_t caller_of(uint64_t frame)
{
	do
		frame = word(frame, K.frame_previous);
	while (frame && K.frame_owner != VIZ_REC_ABSENT &&
	       *(uint8_t *)(frame + K.frame_owner) >= 3); /* where C code called into Python */
	return frame;
}

/* In a program that switches C stacks (greenlets): says which call a new one is above, when it
 * is not the one that the reader has to think. @caller: of the frame. */
static NOINLINE void chain(struct viz_rec_live *live, uint64_t frame, uint64_t caller, int leave)
{
	if (leave) {
		live->innermost = caller;
		return;
	}
	if (live->innermost != caller && room(live, 2))
		put(live, now(), VIZ_RECORD_CALLER, caller << 32);
	live->innermost = frame;
}

/* The calls that are open in one thread, innermost first. */
static void running(struct viz_rec_live *live, uint64_t key, uint64_t frame)
{
	if (live->key != key && !switch_thread(live, key))
		return;
	for (int n = 0; frame && n < 1000; n++, frame = word(frame, K.frame_previous)) {
		uint64_t code, id;

		if (K.frame_owner != VIZ_REC_ABSENT && *(uint8_t *)(frame + K.frame_owner) >= 3)
			continue; /* where C code called into Python: no call of its own */
		code = code_of(frame);
		if (!code || word(code, 8) != K.code_type)
			continue;
		id = look_up(live, code, 1);
		if (id == LOST || !room(live, 1))
			return;
		put(live, now(), VIZ_RECORD_RUNNING, frame << 32 | (uint32_t)id);
		publish(live);
	}
}

/* With the GIL held all threads' stacks stand still. */
static void running_everywhere(struct viz_rec_live *live, uint64_t frame)
{
	uint64_t tstate;

	if (K.tstate_native == VIZ_REC_ABSENT) { /* the ids of other threads are not known here */
		running(live, arch_thread_pointer(), word(frame, K.frame_previous));
		return;
	}
	tstate = *(uint64_t *)K.threads;
	for (int n = 0; tstate && n < 1000; n++, tstate = word(tstate, K.tstate_next))
		running(live, word(tstate, K.tstate_native), current_frame(tstate));
	live->key = 0;
}

/* The first event in a forked child, or one after a detach: opens a ring and returns 1, or
 * arms the end, which needs no help from outside. */
static NOINLINE int without_ring(void)
{
	if (KEEP_PAGE.mode != VIZ_REC_ON || !K.follow || KEEP_PAGE.failed || !open_ring()) {
		give_up(&LIVE_PAGE);
		return 0;
	}
	LIVE_PAGE.ring = (uint64_t)&RING_AREA;
	RING_AREA.state = VIZ_REC_UP;
	return 1;
}

/* ---- sys.monitoring, 3.12 and newer ---- */

enum monitored { START, RESUME, THROW, RETURN, YIELD, UNWIND, MONITORED };

/* Only events that belong to one place in the code can be switched off there. */
static inline void *not_recorded(int can_disable)
{
	if (!can_disable)
		return (void *)K.none;
	((void (*)(uint64_t))K.inc_ref)(KEEP_PAGE.disable);
	return (void *)KEEP_PAGE.disable;
}

static INLINE void *monitor(void *const *args, unsigned int kind,
							   int can_disable)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t code = (uint64_t)args[0], tstate, id, what;
	int leave = (kind & 15) == VIZ_RECORD_LEAVE;

	if (unlikely(!live->ring) && !without_ring())
		return not_recorded(can_disable);
	tstate = K.current_tstate ? ((uint64_t(*)(void))K.current_tstate)() : arch_tls(K.tls);
	id = admit(live, word(tstate, K.tstate_native), code);
	if (unlikely(id & VIZ_REC_REJECT)) {
		if (id != LOST)
			return not_recorded(can_disable);
		lost(live, leave);
		return (void *)K.none;
	}
	what = current_frame(tstate);
	if (unlikely(RING_AREA.chains))
		chain(live, what, caller_of(what), leave);
	what = what << 32 | (uint32_t)id;
	if (unlikely(!(leave ? put_leave(live, kind, what) : put_enter(live, kind, what))))
		lost(live, leave);
	return (void *)K.none;
}

/* METH_FASTCALL: self, arguments, number of them */
#define CALLBACK(name, kind, flags, can_disable)                                                   \
	static void *name(void *self, void *const *args, long nr)                                  \
	{                                                                                          \
		(void)self, (void)nr;                                                              \
		return monitor(args, (flags) << 4 | (kind), can_disable);                          \
	}

CALLBACK(on_start, VIZ_RECORD_ENTER, 0, 1)
CALLBACK(on_resume, VIZ_RECORD_ENTER, ENTER_RESUME, 1)
CALLBACK(on_throw, VIZ_RECORD_ENTER, ENTER_RESUME | ENTER_THROW, 0)
CALLBACK(on_return, VIZ_RECORD_LEAVE, LEAVE_FRAME, 1)
CALLBACK(on_yield, VIZ_RECORD_LEAVE, LEAVE_FRAME, 1)
CALLBACK(on_unwind, VIZ_RECORD_LEAVE, LEAVE_FRAME | LEAVE_RAISED, 0)


typedef uint64_t (*call_fn)(uint64_t self, const char *method, const char *format, ...);

static inline void drop(uint64_t object)
{
	if (object)
		((void (*)(uint64_t))K.dec_ref)(object);
}

/* Calls a method for its effect; 0 if it raised (and the exception is forgotten). */
static int done(uint64_t result)
{
	if (result)
		drop(result);
	else
		((void (*)(void))K.err_clear)();
	return result != 0;
}

static uint64_t attribute(uint64_t object, const char *name)
{
	uint64_t value = ((uint64_t(*)(uint64_t, const char *))K.getattr_string)(object, name);

	if (!value)
		((void (*)(void))K.err_clear)();
	return value;
}

static inline uint64_t monitoring(void)
{
	/* sys.monitoring itself, and no import: `import` may be somebody's Python code */
	return ((uint64_t(*)(const char *))K.sys_get_object)("monitoring"); /* borrowed */
}

/* The value of sys.monitoring.events.NAME: they were renumbered in 3.14. */
static int event_bit(uint64_t mon, const char *name)
{
	uint64_t events = attribute(mon, "events");
	uint64_t value = events ? attribute(events, name) : 0;
	int bit = value ? (int)((long (*)(uint64_t))K.long_as_long)(value) : 0;

	drop(value);
	drop(events);
	return bit;
}

/* Returns the event's bit, 0 on failure. */
static int watch(uint64_t mon, int tool, enum monitored which, const char *event, void *callback)
{
	struct viz_rec_method *def = &KEEP_PAGE.defs[which];
	int bit = event_bit(mon, event), ok;
	uint64_t function;

	def->name = (uint64_t) "vizbpf";
	def->meth = (uint64_t)callback;
	def->flags = 0x80; /* METH_FASTCALL */
	function = ((uint64_t(*)(void *, uint64_t, uint64_t))K.cfunction_new)(def, 0, 0);
	if (!bit || !function) {
		((void (*)(void))K.err_clear)();
		return 0;
	}
	ok = done(((call_fn)K.call_method)(mon, "register_callback", "iiO", tool, bit, function));
	drop(function);
	return ok ? bit : 0;
}

static void unregister(uint64_t mon)
{
	call_fn call = (call_fn)K.call_method;
	int tool = (int)KEEP_PAGE.registered - 1;

	if (!mon || tool < 0)
		return;
	done(call(mon, "set_events", "ii", tool, 0));
	for (int i = 0; i < MONITORED; i++)
		if (KEEP_PAGE.bits[i])
			done(call(mon, "register_callback", "iiO", tool, (int)KEEP_PAGE.bits[i],
				  K.none));
	done(call(mon, "free_tool_id", "i", tool));
	KEEP_PAGE.registered = 0;
	drop(KEEP_PAGE.disable);
	KEEP_PAGE.disable = 0;
}

/* The ids that sys names for a debugger, coverage and a profiler are left to those. */
static int take_tool(uint64_t mon)
{
	uint32_t ids = 0x435; /* 4, 3, 5: a digit each, as a table would be */

	for (int i = 0; i < 3; i++) {
		int tool = ids >> 4 * (2 - i) & 15;

		if (done(((call_fn)K.call_method)(mon, "use_tool_id", "is", tool, "vizbpf")))
			return tool;
	}
	return -1;
}

static enum viz_rec_step register_callbacks(void)
{
	call_fn call = (call_fn)K.call_method;
	uint64_t mon = monitoring();
	int tool, all = 0, ok = 1;

	if (!mon)
		return VIZ_STEP_NO_MONITORING;
	unregister(mon); /* of an earlier attach whose stop() never got its run */
	tool = take_tool(mon);
	if (tool < 0)
		return VIZ_STEP_NO_TOOL;
	KEEP_PAGE.registered = 1 + tool;
	KEEP_PAGE.disable = attribute(mon, "DISABLE");
	RING_AREA.tool = tool;
#define WATCH(which, name, fn)                                                                     \
	ok &= !!(KEEP_PAGE.bits[which] = watch(mon, tool, which, name, fn));                       \
	all |= KEEP_PAGE.bits[which]
	WATCH(START, "PY_START", on_start);
	WATCH(RESUME, "PY_RESUME", on_resume);
	WATCH(THROW, "PY_THROW", on_throw);
	WATCH(RETURN, "PY_RETURN", on_return);
	WATCH(YIELD, "PY_YIELD", on_yield);
	WATCH(UNWIND, "PY_UNWIND", on_unwind);
#undef WATCH
	if (!ok || !KEEP_PAGE.disable) {
		unregister(mon);
		return VIZ_STEP_CALLBACK;
	}
	if (K.restart)
		done(call(mon, "restart_events", 0));
	if (!done(call(mon, "set_events", "ii", tool, all))) {
		unregister(mon);
		return VIZ_STEP_EVENTS;
	}
	return VIZ_STEP_NONE;
}

/* ---- the wrapped eval function, up to 3.11 ---- */

/* Asks the kernel whether the byte at @addr can be read: it copies the set in before it
 * looks at the operation, which does not exist. */
static int readable(uint64_t addr)
{
	return arch_syscall(SYS_rt_sigprocmask, -1, addr & ~7ull, 0, 8, 0, 0) == -EINVAL_;
}

/* Bytes of stack below @sp, as far as @most. Every page is asked: a guard page is one. */
static uint64_t stack_below(uint64_t sp, uint64_t most)
{
	uint64_t size = 0;

	while (size < most && readable(sp - size - 4096))
		size += 4096;
	return size;
}

enum { STACK_LOOK = 512 << 10, STACK_SAME = 64 << 10 };

/*
 * From 3.11 on the interpreter runs Python-to-Python calls without C stack unless the slot is
 * set. A program that counts on it (deep recursion, threads with small stacks) must not
 * die of being recorded: half of what a thread has left when first seen, 256 KiB if it has
 * plenty, is never used. 0: no room, let go.
 */
static NOINLINE int stack_suffices(struct viz_rec_live *live, uint64_t sp)
{
	struct viz_rec_thread *t = (struct viz_rec_thread *)live->thread;
	uint64_t left;

	if (live->top && sp >= live->top && sp - live->top < STACK_SAME &&
	    stack_below(sp, sp - live->top + 4096) > sp - live->top) {
		live->top = t->top = sp + 1;
		return 1;
	}
	left = stack_below(sp, STACK_LOOK);
	if (!live->top || sp >= live->top || live->top - sp > (1ull << 30)) {
		t->margin = left / 2;
		t->top = live->top = sp + 1;
	}
	if (left < t->margin + 4096)
		return 0;
	t->floor = live->floor = sp - (left - t->margin);
	return 1;
}

/* Steps back: calls go on as without a recorder until this thread's stack has unwound. */
static NOINLINE void pause(struct viz_rec_live *live, uint64_t key)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;
	uint64_t above = (live->top - live->floor) / 4;

	if (*slot != (uint64_t)wrap)
		return;
	*slot = K.slot_original;
	live->paused = key;
	live->paused_above = live->floor + (above < STACK_SAME ? above : STACK_SAME);
	if (room(live, 1)) {
		put(live, now(), VIZ_RECORD_PAUSE, 0);
		publish(live);
	}
}

static NOINLINE void resume(struct viz_rec_live *live)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	live->paused = 0;
	if (*slot == K.slot_original && KEEP_PAGE.mode == VIZ_REC_ON)
		*slot = (uint64_t)wrap;
	if (room(live, 1)) {
		put(live, now(), VIZ_RECORD_RESUME, 0);
		publish(live);
	}
}

static inline uint64_t thread_key(uint64_t tstate)
{
	return K.tstate_native != VIZ_REC_ABSENT ? word(tstate, K.tstate_native) :
						   arch_thread_pointer();
}

struct entered {
	uint64_t key, code, generation, what, tstate, caller;
};

/* Records the beginning of a call; 0: pass it on and forget it. */
static INLINE int enter(struct viz_rec_live *live, struct entered *in, uint64_t frame, int thrown,
			uint64_t sp)
{
	int owner = K.frame_owner != VIZ_REC_ABSENT ? *(uint8_t *)(frame + K.frame_owner) : 0;
	unsigned int flags = (owner == 1 ? ENTER_RESUME : 0) | (thrown ? ENTER_THROW : 0);
	uint64_t id;

	in->code = code_of(frame);
	id = admit(live, in->key, in->code);
	if (unlikely(id >> 32)) {
		if (id == LOST)
			lost(live, 0);
		if (id & VIZ_REC_REJECT || owner == 0)
			return 0;
	}
	if (unlikely(sp - live->floor >= live->top - live->floor) && !stack_suffices(live, sp)) {
		pause(live, in->key);
		return 0;
	}
	in->generation = live->generation;
	in->what = frame << 32 | (uint32_t)id;
	if (unlikely(RING_AREA.chains)) {
		/* 3.11 links the frame after it has called us */
		in->caller = K.frame_owner != VIZ_REC_ABSENT ? current_frame(in->tstate) :
							       word(frame, K.frame_previous);
		chain(live, frame, in->caller, 0);
	}
	if (likely(put_enter(live, flags << 4 | VIZ_RECORD_ENTER, in->what)))
		return 1;
	lost(live, 0);
	return 0;
}

static INLINE void leave(struct viz_rec_live *live, struct entered *in, void *result, uint64_t sp)
{
	unsigned int flags = LEAVE_FRAME | (result ? 0 : LEAVE_RAISED);
	uint64_t id;

	/* A call that began before a fork or an earlier attach: the frame and the code object
	 * may be gone, its number in this ring is known if it was running at the start. */
	if (unlikely(in->generation != live->generation)) {
		id = look_up(live, in->code, 0);
		if (id == LOST)
			return;
		in->what = in->what >> 32 << 32 | (uint32_t)id;
	}
	if (unlikely(live->key != in->key) && !switch_thread(live, in->key)) {
		lost(live, 1);
		return;
	}
	if (unlikely(RING_AREA.chains))
		chain(live, 0, in->caller, 1);
	if (unlikely(!put_leave(live, flags << 4 | VIZ_RECORD_LEAVE, in->what)))
		lost(live, 1);
	if (unlikely(live->paused == in->key) && sp > live->paused_above)
		resume(live);
}

static void *wrap(void *a, void *b, void *c)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t frame = (uint64_t)(K.frame_arg0 ? a : b);
	int thrown = (int)(uint64_t)(K.frame_arg0 ? b : c);
	uint64_t sp = (uint64_t)__builtin_frame_address(0);
	struct entered in;
	void *result;

	in.key = thread_key((uint64_t)a);
	in.tstate = (uint64_t)a;
	in.caller = 0;
	if ((unlikely(!live->ring) && !without_ring()) || !enter(live, &in, frame, thrown, sp))
		return ((eval_fn)K.eval)(a, b, c);
	result = ((eval_fn)K.eval)(a, b, c);
	if (likely(live->ring))
		leave(live, &in, result, sp);
	return result;
}

/* ---- the ways in ---- */

/* The interpreter may be in the middle of throwing into a generator: an exception is set. */
static void error_away(uint64_t error[3])
{
	((void (*)(uint64_t *, uint64_t *, uint64_t *))K.err_fetch)(&error[0], &error[1],
								     &error[2]);
}

static void error_back(uint64_t error[3])
{
	((void (*)(uint64_t, uint64_t, uint64_t))K.err_restore)(error[0], error[1], error[2]);
}

static void put_slot_back(void *mine)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	if (*slot == (uint64_t)mine || *slot == K.slot_boot)
		*slot = K.slot_original;
}

/* The pages are there, nobody records: begin. */
static void *begin(void *a, void *b, void *c)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;
	uint64_t error[3];

	live->ring = 0;
	KEEP_PAGE.failed = 0;
	/* a child of fork that was not asked for, with the slot of its parent */
	if (!K.follow &&
	    (uint32_t)arch_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0) != K.pid)
		return ((eval_fn)K.eval)(a, b, c);
	if (!open_ring())
		return ((eval_fn)K.eval)(a, b, c);
	live->ring = (uint64_t)&RING_AREA;
	running_everywhere(live, (uint64_t)(K.frame_arg0 ? a : b));
	if (VIZ_REC_MODE == VIZ_REC_WRAP) {
		if (*slot == K.slot_original)
			*slot = (uint64_t)wrap;
		KEEP_PAGE.mode = VIZ_REC_ON;
		RING_AREA.state = VIZ_REC_UP;
		return wrap(a, b, c);
	}
	error_away(error);
	RING_AREA.error = register_callbacks();
	error_back(error);
	if (RING_AREA.error)
		live->ring = 0;
	else
		KEEP_PAGE.mode = VIZ_REC_ON;
	RING_AREA.state = RING_AREA.error ? VIZ_REC_REFUSED : VIZ_REC_UP;
	return ((eval_fn)K.eval)(a, b, c);
}

/* From the loader, once in the life of the process. */
__attribute__((section(".text.start"))) void *start(void *a, void *b, void *c)
{
	long size = VIZ_REC_RING_AT - VIZ_REC_KEEP_AT;
	long at = (long)&KEEP_PAGE;
	long map = arch_syscall(SYS_mmap, at, size, PROT_READ_WRITE, MAP_PRIVATE_ANON_NEW, -1, 0);

	if (map != at) {
		if (map > 0)
			arch_syscall(SYS_munmap, map, size, 0, 0, 0, 0);
		return ((eval_fn)K.eval)(a, b, c);
	}
	if (arch_syscall(SYS_madvise, (long)&LIVE_PAGE, VIZ_REC_PAGE, WIPEONFORK, 0, 0, 0)) {
		arch_syscall(SYS_munmap, at, size, 0, 0, 0, 0);
		return ((eval_fn)K.eval)(a, b, c);
	}
	return begin(a, b, c);
}

/* From the slot, at a later attach. */
__attribute__((section(".text.start"))) void *start_again(void *a, void *b, void *c)
{
	put_slot_back(start_again);
	return begin(a, b, c);
}

/* From the slot: the end. Leaves the code and the two state pages, which some call may
 * still return through. */
__attribute__((section(".text.start"))) void *stop(void *a, void *b, void *c)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	struct viz_rec_ring *ring = &RING_AREA;
	uint64_t error[3];
	int own = live->generation != 0; /* not the ring of a parent */

	put_slot_back(stop);
	KEEP_PAGE.mode = VIZ_REC_OFF;
	live->ring = 0;
	if (VIZ_REC_MODE == VIZ_REC_MONITOR) {
		error_away(error);
		unregister(monitoring());
		error_back(error);
	}
	for (int i = 0; own && i < VIZ_REC_CODES && live->refs; i++) {
		uint64_t code = ring->codes[i].code;

		if (code <= 1)
			continue;
		ring->codes[i].code = 1;
		live->refs--;
		drop(code);
	}
	if (own)
		ring->state = VIZ_REC_STOPPED;
	live->generation = 0;
	/* gives the memory back and keeps the addresses: a later attach maps over them */
	if (KEEP_PAGE.reserved)
		arch_syscall(SYS_mmap, (long)ring, K.ring_bytes, PROT_NONE, MAP_NOTHING_FIXED, -1,
			     0);
	return ((eval_fn)K.eval)(a, b, c);
}
