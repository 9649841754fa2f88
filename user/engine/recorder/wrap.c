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

enum { STACK_LOOK = 512 << 10, STACK_SAME = 64 << 10 };

/* What has to be free above the floor before recording goes on after a pause. */
static inline uint64_t headroom(const struct viz_rec_live *live)
{
	uint64_t quarter = (live->top - live->floor) / 4;

	return quarter < STACK_SAME ? quarter : STACK_SAME;
}

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
	live->paused_above = live->floor + headroom(live);
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

struct entered {
	uint64_t key, code, generation, what, tstate, caller;
	struct viz_rec_thread *thread;
};

enum entry {
	PASS_ON, /* and forget it */
	WATCH, /* not recorded; after a pause recording may go on when it has ended */
	DROPS, /* not recorded, nor is what it calls */
	RECORDED,
};

/* A call that is not recorded uses C stack all the same. */
static NOINLINE enum entry not_recorded(struct viz_rec_live *live, uint64_t sp)
{
	return sp - live->floor < 3 * headroom(live) ? WATCH : PASS_ON;
}

/* Records the beginning of a call. */
static INLINE enum entry enter(struct viz_rec_live *live, struct entered *in, uint64_t frame,
			       int thrown, uint64_t sp)
{
	int owner = K.frame_owner != VIZ_REC_ABSENT ? *(uint8_t *)(frame + K.frame_owner) : 0;
	unsigned int flags = (owner == 1 ? ENTER_RESUME : 0) | (thrown ? ENTER_THROW : 0);
	uint64_t id;

	in->code = code_of(frame);
	id = admit(live, in->key, in->code);
	if (unlikely(id == GONE))
		return PASS_ON;
	if (unlikely(sp - live->floor >= live->top - live->floor) && !stack_suffices(live, sp)) {
		pause(live, in->key);
		return PASS_ON;
	}
	if (unlikely(id >> 32)) {
		if (id == LOST)
			lost(live, 0);
		if (id & VIZ_REC_REJECT || (id & VIZ_REC_GENERATOR && owner == 0))
			return not_recorded(live, sp);
	}
	in->generation = live->generation;
	in->thread = (struct viz_rec_thread *)live->thread;
	in->what = frame << 32 | (uint32_t)id;
	if (unlikely(RING_AREA.filter)) {
		/* 3.11 links the frame after it has called us */
		enum judgement judgement =
			begins(in->thread, id, frame,
			       K.frame_owner != VIZ_REC_ABSENT ? current_frame(in->tstate) : frame);

		if (judgement != TAKEN)
			return judgement == DROPPED ? DROPS : not_recorded(live, sp);
	}
	if (unlikely(RING_AREA.chains)) {
		/* 3.11 links the frame after it has called us */
		in->caller = K.frame_owner != VIZ_REC_ABSENT ? current_frame(in->tstate)
							     : word(frame, K.frame_previous);
		in->caller = chain(live, frame, in->caller);
	}
	if (likely(put_enter(live, flags << 4 | VIZ_RECORD_ENTER, in->what)))
		return RECORDED;
	ends(in->thread, frame, 0);
	lost(live, 0);
	return not_recorded(live, sp);
}

/* @sp: of a call that has ended. */
static INLINE void resume_if_unwound(struct viz_rec_live *live, uint64_t key, uint64_t sp)
{
	if (unlikely(live->paused == key) && sp > live->paused_above)
		resume(live);
}

static INLINE void leave(struct viz_rec_live *live, struct entered *in, void *result, uint64_t sp)
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
	if (unlikely(RING_AREA.chains))
		live->innermost = in->caller;
	if (unlikely(!put_leave(live, flags << 4 | VIZ_RECORD_LEAVE, in->what)))
		lost(live, 1);
	resume_if_unwound(live, in->key, sp);
}

void *wrap(void *a, void *b, void *c)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t frame = (uint64_t)(K.frame_arg0 ? a : b);
	int thrown = (int)(uint64_t)(K.frame_arg0 ? b : c);
	uint64_t sp = (uint64_t)__builtin_frame_address(0);
	struct entered in = {.key = thread_key((uint64_t)a), .tstate = (uint64_t)a};
	enum entry entry;
	void *result;

	if (unlikely(!live->ring) && !without_ring())
		return ((eval_fn)K.eval)(a, b, c);
	entry = enter(live, &in, frame, thrown, sp);
	if (entry == PASS_ON)
		return ((eval_fn)K.eval)(a, b, c);
	result = ((eval_fn)K.eval)(a, b, c);
	if (unlikely(!live->ring))
		return result;
	if (likely(entry == RECORDED)) {
		leave(live, &in, result, sp);
		return result;
	}
	if (entry == DROPS && in.generation == live->generation)
		ends(in.thread, in.what >> 32, 0);
	resume_if_unwound(live, in.key, sp);
	return result;
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
