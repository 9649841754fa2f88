// SPDX-License-Identifier: Apache-2.0
/*
 * The recorder up to 3.11: the slot stays on wrap(), which passes every call on
 * to the eval function and records when it begins and ends. A call that is not
 * recorded is passed on by a jump and uses no stack here.
 */
#include "entry.h"

/* Asks the kernel whether the byte at @addr can be read: it copies the set in
 * before it looks at the operation, which does not exist. */
static int readable(uint64_t addr)
{
	return arch_syscall(SYS_rt_sigprocmask, -1, addr & ~7ull, 0, 8, 0, 0) == -EINVAL_;
}

/* Bytes of stack below @sp, as far as @most. Every page is asked: a guard page
 * is one. */
static uint64_t stack_below(uint64_t sp, uint64_t most)
{
	uint64_t size = 0;

	while (size < most && readable(sp - size - 4096))
		size += 4096;
	return size;
}

enum { STACK_LOOK = 512 << 10 };

/*
 * From 3.11 on the interpreter runs Python-to-Python calls without C stack
 * unless the slot is set. A program that counts on it (deep recursion, threads
 * with small stacks) must not die of being recorded: half of what a thread has
 * left when first seen, 256 KiB if it has plenty, is never used. 0: no room,
 * let go.
 */
static NOINLINE int stack_suffices(struct viz_rec_live *live, uint64_t sp)
{
	struct viz_rec_thread *t = (struct viz_rec_thread *)live->thread;
	uint64_t left, margin;
	int fresh;

	if (live->top && sp >= live->top && sp - live->top < STACK_SAME &&
	    stack_below(sp, sp - live->top + 4096) > sp - live->top) {
		t->top = sp + 1;
		take_stack(live, t);
		return 1;
	}
	left = stack_below(sp, STACK_LOOK);
	fresh = !live->top || sp >= live->top || live->top - sp > (1ull << 30);
	margin = fresh ? left / 2 : t->margin;
	if (left < margin + 4096)
		return 0;
	if (fresh)
		t->top = sp + 1;
	t->margin = margin;
	t->floor = sp - (left - t->margin);
	take_stack(live, t);
	return 1;
}

void *wrap(void *a, void *b, void *c);

/* Steps back: calls go on as without a recorder until this thread's stack has
 * unwound. */
static NOINLINE void pause(struct viz_rec_live *live, uint64_t key)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	if (*slot != (uint64_t)wrap)
		return;
	*slot = K.slot_original;
	live->paused = key;
	live->paused_above = live->floor + (live->roomy - live->floor) / 3;
	say(live, VIZ_RECORD_PAUSE, 0);
}

static NOINLINE void resume(struct viz_rec_live *live)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	live->paused = 0;
	if (*slot == K.slot_original && KEEP_PAGE.mode == VIZ_REC_ON)
		*slot = (uint64_t)wrap;
	say(live, VIZ_RECORD_RESUME, 0);
}

static inline uint64_t thread_key(uint64_t tstate)
{
	return K.tstate_native != VIZ_REC_ABSENT ? word(tstate, K.tstate_native)
						 : arch_thread_pointer();
}

/* A call that is recorded: what has to be known when it ends. */
struct entered {
	uint64_t key, code, generation, what, caller;
};

/* @sp: of a call that has ended. */
static INLINE void resume_if_unwound(struct viz_rec_live *live, uint64_t key, uint64_t sp)
{
	if (unlikely(live->paused == key) && sp > live->paused_above)
		resume(live);
}

/* The call is not recorded but uses C stack all the same: where that is short, recording may go on
 * when it has ended. */
static NOINLINE void *pass_on(void *a, void *b, void *c, uint64_t sp)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t key;
	void *result;

	if (likely(sp >= live->roomy))
		return ((eval_fn)K.eval)(a, b, c);
	key = thread_key((uint64_t)a);
	result = ((eval_fn)K.eval)(a, b, c);
	if (live->ring)
		resume_if_unwound(live, key, sp);
	return result;
}

/* Says who calls where that is not the call before. Returns the caller that the reader knows. */
static INLINE uint64_t chained(struct viz_rec_live *live, uint64_t tstate, uint64_t frame)
{
	uint64_t caller = K.frame_owner != VIZ_REC_ABSENT ? current_frame(tstate)
							  : word(frame, K.frame_previous);

	if (unlikely(live->innermost != caller))
		return chain(live, frame, caller);
	live->innermost = frame;
	return caller;
}

static INLINE void leave(struct viz_rec_live *live, struct entered *in, void *result)
{
	unsigned int flags = LEAVE_FRAME | (result ? 0 : LEAVE_RAISED);
	uint64_t id;

	/* A call that began before a fork or an earlier attach: the frame and the
	 * code object may be gone, its number in this ring is known if it was running
	 * at the start. */
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
	if (unlikely(RING_AREA.filter))
		ends((struct viz_rec_thread *)live->thread, in->what >> 32, 0);
	if (likely(RING_AREA.chains))
		live->innermost = in->caller;
	if (unlikely(!put_leave(live, flags << 4 | VIZ_RECORD_LEAVE, in->what)))
		lost(live, 1);
}

/* How the frame came to be run. */
static INLINE int owner_of(uint64_t frame)
{
	return K.frame_owner != VIZ_REC_ABSENT ? *(uint8_t *)(frame + K.frame_owner) : 0;
}

/* The thread and the code object are known to the reader, and nothing has rejected the call. */
static NOINLINE void *record(void *a, void *b, void *c, uint64_t frame, uint64_t id, uint64_t sp)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	int owner = owner_of(frame);
	int thrown = (int)(uint64_t)(K.frame_arg0 ? b : c);
	unsigned int flags = (owner == 1 ? ENTER_RESUME : 0) | (thrown ? ENTER_THROW : 0);
	struct entered in = {.key = live->key,
			     .code = code_of(frame),
			     .generation = live->generation,
			     .what = frame << 32 | (uint32_t)id};
	void *result;

	if (unlikely(id & VIZ_REC_GENERATOR) && owner == 0)
		return pass_on(a, b, c, sp);
	if (likely(RING_AREA.chains))
		in.caller = chained(live, (uint64_t)a, frame);
	if (unlikely(!put_enter(live, flags << 4 | VIZ_RECORD_ENTER, in.what))) {
		ends((struct viz_rec_thread *)live->thread, frame, 0);
		lost(live, 0);
		return pass_on(a, b, c, sp);
	}
	result = ((eval_fn)K.eval)(a, b, c);
	if (unlikely(!live->ring))
		return result;
	leave(live, &in, result);
	resume_if_unwound(live, in.key, sp);
	return result;
}

/* The same where calls are judged by those around them. */
static NOINLINE void *judge(void *a, void *b, void *c, uint64_t frame, uint64_t id, uint64_t sp)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	struct viz_rec_thread *thread = (struct viz_rec_thread *)live->thread;
	uint64_t generation = live->generation, key = live->key;
	enum judgement judgement = BELOW;
	void *result;

	if (!(id & VIZ_REC_GENERATOR) || owner_of(frame))
		/* 3.11 links the frame after it has called us */
		judgement = begins(thread, id, frame,
				   K.frame_owner != VIZ_REC_ABSENT ? current_frame((uint64_t)a)
								   : frame);
	if (judgement == TAKEN)
		return record(a, b, c, frame, id, sp);
	if (judgement == BELOW)
		return pass_on(a, b, c, sp);
	result = ((eval_fn)K.eval)(a, b, c);
	if (unlikely(!live->ring))
		return result;
	if (likely(generation == live->generation))
		ends(thread, frame, 0);
	resume_if_unwound(live, key, sp);
	return result;
}

/* A thread or a code object is new, or the stack is to be looked at. */
static COLD void *wrap_slowly(void *a, void *b, void *c, uint64_t frame, uint64_t sp)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t key = thread_key((uint64_t)a), id;

	if (!live->ring && !without_ring())
		return ((eval_fn)K.eval)(a, b, c);
	id = admit(live, key, code_of(frame));
	if (id == GONE)
		return ((eval_fn)K.eval)(a, b, c);
	if (sp - live->floor >= live->top - live->floor && !stack_suffices(live, sp)) {
		pause(live, key);
		return ((eval_fn)K.eval)(a, b, c);
	}
	if (id == LOST)
		lost(live, 0);
	if (id & VIZ_REC_REJECT)
		return pass_on(a, b, c, sp);
	return RING_AREA.filter ? judge(a, b, c, frame, id, sp) : record(a, b, c, frame, id, sp);
}

void *wrap(void *a, void *b, void *c)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t frame = (uint64_t)(K.frame_arg0 ? a : b), code = code_of(frame);
	uint64_t sp = arch_stack_pointer(), id;
	const struct viz_rec_codeslot *e = usual_place(code);

	if (unlikely(!live->ring) || unlikely(live->key != thread_key((uint64_t)a)) ||
	    unlikely(e->code != code) || unlikely(sp - live->roomy >= live->top - live->roomy))
		return wrap_slowly(a, b, c, frame, sp);
	id = e->id;
	if (unlikely(id & VIZ_REC_REJECT))
		return ((eval_fn)K.eval)(a, b, c);
	if (unlikely(RING_AREA.filter))
		return judge(a, b, c, frame, id, sp);
	return record(a, b, c, frame, id, sp);
}

static uint64_t slot_while_recording(void)
{
	return (uint64_t)wrap;
}

static enum viz_rec_step go_live(void)
{
	volatile uint64_t *slot = (volatile uint64_t *)K.slot;

	if (*slot == K.slot_original)
		*slot = (uint64_t)wrap;
	return VIZ_STEP_NONE;
}

static void *first_call(void *a, void *b, void *c)
{
	return wrap(a, b, c);
}

static void withdraw(void)
{
}
