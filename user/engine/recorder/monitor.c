// SPDX-License-Identifier: Apache-2.0
/*
 * The recorder for 3.12 and newer: callbacks of sys.monitoring, registered
 * through the exported C API. The slot is put back, so calls stay inlined and
 * nothing is different for the program.
 *
 * Nothing is imported and no Python code of the program runs on the way. None
 * is immortal in these versions and needs no reference.
 */
#include "entry.h"

enum monitored { START, RESUME, THROW, RETURN, YIELD, UNWIND, CALL, C_RETURN, C_RAISE, RAISE };

/* Only events that belong to one place in the code can be switched off there.
 */
static inline void *not_recorded(int can_disable)
{
	if (!can_disable)
		return (void *)K.none;
	((void (*)(uint64_t))K.inc_ref)(KEEP_PAGE.disable);
	return (void *)KEEP_PAGE.disable;
}

static uint64_t ask_tstate(void)
{
	return K.current_tstate ? ((uint64_t(*)(void))K.current_tstate)() : arch_tls(K.tls);
}

/*
 * The thread state that runs is the one that holds the GIL, and the GIL says which: one load,
 * where a shared library has to call into another for its thread-local variables.
 */
static INLINE uint64_t current_tstate(void)
{
	return likely(KEEP_PAGE.holder) ? *(uint64_t *)KEEP_PAGE.holder : ask_tstate();
}

/* What vizbpf has not judged yet it may leave out, with what happens in there. */
static void say_inside(struct viz_rec_live *live, uint64_t code_id)
{
	if (!((code_id | K.judged) & VIZ_REC_JUDGED))
		say(live, VIZ_RECORD_INSIDE, (uint32_t)code_id);
}

/* @inside: the id word of the code where a C function is called; else 0. Returns None. */
static NOINLINE void *edge(struct viz_rec_live *live, uint64_t id, uint64_t frame,
			   unsigned int kind, uint64_t inside)
{
	struct viz_rec_thread *thread = (struct viz_rec_thread *)live->thread;
	int leave = (kind & 15) == VIZ_RECORD_LEAVE;
	uint64_t what = frame << 32 | (uint32_t)id;

	if (RING_AREA.filter && !(leave ? ends(thread, frame, frame & ~1ull)
					: begins(thread, id, frame, frame & ~1ull) == TAKEN))
		return (void *)K.none;
	if (unlikely(RING_AREA.chains)) {
		uint64_t caller = frame & 1 ? frame - 1 : caller_of(frame);

		if (leave)
			live->innermost = not_rejected(live, caller);
		else
			chain(live, frame, caller);
	}
	if (inside && !leave && room(live, 2))
		say_inside(live, inside);
	if (unlikely(!(leave ? put_leave(live, kind, what) : put_enter(live, kind, what)))) {
		if (!leave) /* vizbpf will not know of it */
			ends(thread, frame, 0);
		lost(live, leave);
	}
	return (void *)K.none;
}

#ifdef MORE
#include "events.h"
#endif

/* Every way that there is. */
static NOINLINE void *monitor_any(void *const *args, unsigned int kind, int can_disable)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t code = (uint64_t)args[0], tstate, id;

	if (unlikely(!live->ring) && !without_ring())
		return not_recorded(can_disable);
	tstate = current_tstate();
	id = admit(live, word(tstate, K.tstate_native), code);
	if (likely(!(id & VIZ_REC_REJECT)))
		return edge(live, id, current_frame(tstate), kind, 0);
	if (id != LOST)
		return not_recorded(can_disable);
	lost(live, (kind & 15) == VIZ_RECORD_LEAVE);
	return (void *)K.none;
}

#ifdef MORE /* less code before less time: more of it has to find room */
#define USUAL_WAY NOINLINE
#else
#define USUAL_WAY INLINE
#endif

/* The usual way, which calls nothing and so needs to save no register. */
static USUAL_WAY void *monitor(void *const *args, unsigned int kind)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t code = (uint64_t)args[0], tstate, frame;
	const struct viz_rec_codeslot *e = usual_place(code);

	if (unlikely(!live->ring) || unlikely(!KEEP_PAGE.holder))
		return monitor_any(args, kind, 1);
	tstate = *(uint64_t *)KEEP_PAGE.holder;
	if (unlikely(live->key != word(tstate, K.tstate_native)) || unlikely(e->code != code) ||
	    unlikely(e->id & VIZ_REC_REJECT))
		return monitor_any(args, kind, 1);
	frame = current_frame(tstate);
	if (unlikely(switches() | K.clock) || unlikely(live->head == live->limit))
		return edge(live, e->id, frame, kind, 0);
	put(live, arch_counter(), kind, frame << 32 | (uint32_t)e->id);
	publish(live);
	return (void *)K.none;
}

/* METH_FASTCALL: self, arguments, number of them. */
static void *on_start(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	return monitor(args, VIZ_RECORD_ENTER);
}

static void *on_return(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	return monitor(args, LEAVE_FRAME << 4 | VIZ_RECORD_LEAVE);
}

static void *on_resume(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	return monitor(args, ENTER_RESUME << 4 | VIZ_RECORD_ENTER);
}

static void *on_throw(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	return monitor_any(args, (ENTER_RESUME | ENTER_THROW) << 4 | VIZ_RECORD_ENTER, 0);
}

static void *on_unwind(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	monitor_any(args, (LEAVE_FRAME | LEAVE_RAISED) << 4 | VIZ_RECORD_LEAVE, 0);
#ifdef MORE
	unwinds(args);
#endif
	return (void *)K.none;
}

typedef uint64_t (*call_fn)(uint64_t self, const char *method, const char *format, ...);

/* Calls a method for its effect; 0 if it raised (and the exception is
 * forgotten). */
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
	/* sys.monitoring itself, and no import: `import` may be somebody's Python
	 * code */
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

/*
 * A builtin function keeps the C function that is called for a vector call in itself; it
 * comes with one that checks recursion and flags and then calls ours. The arguments stand at the
 * same place for both, so ours can be called at once. Where it is, the type says.
 */
static void shorten(uint64_t function, void *callback)
{
	uint64_t offset = word(word(function, 8), 56); /* tp_vectorcall_offset */

	if (offset >= 16 && offset <= 64 && !(offset & 7) && word(function, offset))
		*(uint64_t *)(function + offset) = (uint64_t)callback;
}

/* Returns the event's bit, 0 on failure. */
static int watch(uint64_t mon, int tool, enum monitored which, const char *event, void *callback)
{
	struct viz_rec_method *def = &KEEP_PAGE.defs[which];
	int bit = event_bit(mon, event), ok;
	uint64_t function;

	def->name = (uint64_t)KEEP_PAGE.name;
	def->meth = (uint64_t)callback;
	def->flags = 0x80; /* METH_FASTCALL */
	function = ((uint64_t(*)(void *, uint64_t, uint64_t))K.cfunction_new)(def, 0, 0);
	if (!bit || !function) {
		((void (*)(void))K.err_clear)();
		return 0;
	}
	shorten(function, callback);
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
	for (int i = 0; i < VIZ_REC_EVENTS; i++)
		if (KEEP_PAGE.bits[i])
			done(call(mon, "register_callback", "iiO", tool, (int)KEEP_PAGE.bits[i],
				  K.none));
	done(call(mon, "free_tool_id", "i", tool));
	KEEP_PAGE.registered = 0;
	drop(KEEP_PAGE.disable);
	KEEP_PAGE.disable = 0;
}

/* The ids that sys names for a debugger, coverage and a profiler are left to
 * those. */
static int take_tool(uint64_t mon)
{
	uint32_t ids = 0x435; /* 4, 3, 5: a digit each, as a table would be */

	for (int i = 0; i < 3; i++) {
		int tool = ids >> 4 * (2 - i) & 15;

		if (done(((call_fn)K.call_method)(mon, "use_tool_id", "is", tool, KEEP_PAGE.name)))
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
	/* a pointer to a constant may end up in the code as an address: "vizbpf" as a number */
	*(volatile uint64_t *)KEEP_PAGE.name = 0x00006670627a6976;
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
	WATCH(YIELD, "PY_YIELD", on_return);
	WATCH(UNWIND, "PY_UNWIND", on_unwind);
#ifdef MORE
	if (K.c_functions) { /* the interpreter wants all three or none */
		WATCH(CALL, "CALL", on_call);
		WATCH(C_RETURN, "C_RETURN", on_c_return);
		WATCH(C_RAISE, "C_RAISE", on_c_raise);
	}
	if (K.exceptions) {
		WATCH(RAISE, "RAISE", on_raise);
	}
#endif
#undef WATCH
	if (!ok || !KEEP_PAGE.disable) {
		unregister(mon);
		return VIZ_STEP_CALLBACK;
	}
	/* What a tool of this number has disabled stays so for the next one, until then: in code
	 * that did not run in between (_Py_Instrument, Python/instrumentation.c). */
	done(call(mon, "restart_events", 0));
	if (!done(call(mon, "set_events", "ii", tool, all))) {
		unregister(mon);
		return VIZ_STEP_EVENTS;
	}
	return VIZ_STEP_NONE;
}

/* An exception may be set: the interpreter may be about to throw it into a
 * generator. */
static void error_away(uint64_t error[3])
{
	((void (*)(uint64_t *, uint64_t *, uint64_t *))K.err_fetch)(&error[0], &error[1],
								    &error[2]);
}

static void error_back(uint64_t error[3])
{
	((void (*)(uint64_t, uint64_t, uint64_t))K.err_restore)(error[0], error[1], error[2]);
}

static uint64_t slot_while_recording(void)
{
	return K.slot_original;
}

static enum viz_rec_step go_live(void)
{
	enum viz_rec_step step;
	uint64_t error[3];

	KEEP_PAGE.holder = K.holder && *(uint64_t *)K.holder == ask_tstate() ? K.holder : 0;
	error_away(error);
	step = register_callbacks();
	error_back(error);
	return step;
}

static void *first_call(void *a, void *b, void *c)
{
	return ((eval_fn)K.eval)(a, b, c);
}

static void withdraw(void)
{
	uint64_t error[3];

	error_away(error);
	unregister(monitoring());
	error_back(error);
}
