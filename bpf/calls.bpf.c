// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The hot path: a Python call begins, a Python call ends.
 *
 * Two ways in, one record format. Engine eval: uprobes on the eval function, at the
 * instructions that user/target/eval_sites.c chose. Engine usdt: the interpreter's own
 * probes. Neither changes the target's stack, so greenlets and any depth are fine.
 */
#define VIZ_DEFINE_MAPS
#include "maps.bpf.h"
#include "stack.bpf.h"
#include "life.bpf.h"
#include "filter.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile __u64 ring_wakeup_bytes = 1 << 24;
volatile __u64 lives_lost; /* life.bpf.h */

/* CPython Include/cpython/code.h: CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR. */
#define CO_GENERATOR_LIKE (0x20 | 0x80 | 0x200)
/* Include/internal/pycore_frame.h: enum _frameowner, the same in 3.11 to 3.15. */
#define OWNED_BY_GENERATOR 1

/* What one probe hit works on. */
struct hit {
	struct viz_process_info *process;
	const struct viz_build_info *build;
	struct viz_thread *thread;
	__u32 tgid, tid;
};

static __always_inline bool find_process(struct hit *hit)
{
	__u64 id = bpf_get_current_pid_tgid();

	hit->tgid = id >> 32;
	hit->tid = (__u32)id;
	hit->process = bpf_map_lookup_elem(&processes, &hit->tgid);
	if (!hit->process || !(hit->process->flags & VIZ_PROC_ACTIVE))
		return false;
	hit->build = bpf_map_lookup_elem(&builds, &hit->process->build);
	return hit->build != NULL;
}

static __always_inline bool find_thread(struct hit *hit)
{
	struct viz_thread fresh = {.tgid = hit->tgid};

	hit->thread = bpf_map_lookup_elem(&threads, &hit->tid);
	if (hit->thread)
		return true;
	bpf_map_update_elem(&threads, &hit->tid, &fresh, BPF_NOEXIST);
	bpf_map_delete_elem(&held, &hit->tid); /* of an earlier thread with this number */
	hit->thread = bpf_map_lookup_elem(&threads, &hit->tid);
	if (!hit->thread)
		__sync_fetch_and_add(&hit->process->lost_enter, 1);
	return hit->thread != NULL;
}

/* The frame that is current in the thread state. */
static __always_inline __u64 current_frame(const struct hit *hit)
{
	const struct viz_offsets *off = &hit->build->off;
	__u64 frame;

	if (!hit->thread->tstate)
		return 0;
	frame = read_user_u64(hit->thread->tstate + off->tstate_frame);
	if (off->cframe_current != VIZ_NONE && frame)
		frame = read_user_u64(frame + off->cframe_current);
	return frame;
}

/* Frames that are only the C side of a call: 3.12 and newer (cpython-facts: owner 3 and 4). */
#define OWNED_BY_C 3

/* 3.15 (Python/pystate.c: init_threadstate()) puts one below the frames of every thread. */
static __always_inline __u64 not_base(const struct hit *hit, __u64 frame)
{
	__u8 owner = 0;

	if (!frame || hit->build->version < 0x030f0000)
		return frame;
	bpf_probe_read_user(&owner, 1,
			    (void *)(unsigned long)(frame + hit->build->off.frame_owner));
	return owner >= OWNED_BY_C ? 0 : frame;
}

static __always_inline __u64 frame_code(const struct hit *hit, __u64 frame)
{
	__u64 code = read_user_u64(frame + hit->build->off.frame_code);

	return hit->build->flags & VIZ_BUILD_TAGGED ? code & ~3ULL : code;
}

/*
 * A PyUnicodeObject as it lies in memory: kind (bytes per character), whether it is
 * ASCII, and the last or first @max bytes of it. Its length comes from the target and
 * bounds nothing here but what is said to be there.
 */
static __always_inline __u16 read_str(const struct viz_offsets *off, __u64 str, __u8 *to, __u32 max,
				      bool tail, __u32 *chars, __u8 *kind, __u8 *ascii)
{
	__u32 state = read_user_u32(str + off->str_state);
	__u64 length = read_user_u64(str + off->str_length), size, data;

	*kind = (state >> 2) & 7;
	*ascii = (state >> 6) & 1;
	*chars = length > 0xffffffffULL ? 0xffffffff : (__u32)length;
	/* Objects/unicodeobject.c: a string that is not compact (3.11 and older) keeps its
	 * text elsewhere; the compiler never makes such names. */
	if (!((state >> 5) & 1) || (*kind != 1 && *kind != 2 && *kind != 4) || !str)
		return 0;
	size = (__u64)*chars * *kind;
	data = str + (*ascii ? off->str_ascii_data : off->str_compact_data);
	if (size > max) {
		if (tail)
			data += size - max;
		size = max;
	}
	if (bpf_probe_read_user(to, size & (2 * max - 1), (void *)(unsigned long)data))
		return 0;
	return (__u16)size;
}

/* Tells user space what a code object is, and remembers that. */
static __noinline struct viz_code_state *announce(struct hit *hit, struct viz_code_key *key)
{
	const struct viz_offsets *off = &hit->build->off;
	struct viz_code_state state = {};
	void *ring = ring_of(hit->process);
	struct viz_code *rec;
	__u64 name, file;

	if (!ring)
		return NULL;
	rec = bpf_ringbuf_reserve(ring, sizeof(*rec), 0);
	if (!rec)
		return NULL;
	fill_head(&rec->head, hit->tid, VIZ_CODE, 0);
	rec->code = key->code;
	rec->tgid = hit->tgid;
	rec->line = read_user_u32(key->code + off->code_firstlineno);
	rec->code_flags = read_user_u32(key->code + off->code_flags);
	name = read_user_u64(
		key->code + (off->code_qualname != VIZ_NONE ? off->code_qualname : off->code_name));
	file = read_user_u64(key->code + off->code_filename);
	rec->name_size = read_str(off, name, rec->name, VIZ_NAME_MAX, false, &rec->name_chars,
				  &rec->name_kind, &rec->name_ascii);
	rec->file_size = read_str(off, file, rec->file, VIZ_PATH_MAX, true, &rec->file_chars,
				  &rec->file_kind, &rec->file_ascii);
	state.code_flags = rec->code_flags;
	state.announced = rec->head.ts;
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);
	bpf_map_update_elem(&codes, key, &state, BPF_ANY);
	return bpf_map_lookup_elem(&codes, key);
}

static __always_inline struct viz_code_state *code_state(struct hit *hit, __u64 code)
{
	struct viz_code_key key = {.code = code, .tgid = hit->tgid};
	struct viz_code_state *state = bpf_map_lookup_elem(&codes, &key);

	return state ?: announce(hit, &key);
}

static __always_inline void lose_enter(struct hit *hit)
{
	hit->thread->lost_enter++;
	__sync_fetch_and_add(&hit->process->lost_enter, 1);
}

static __always_inline void lose_leave(struct hit *hit)
{
	hit->thread->lost_leave++;
	__sync_fetch_and_add(&hit->process->lost_leave, 1);
}

/* A call of @code begins in @frame; @sp as at the first instruction, 0: not known. */
static __always_inline void enter(struct hit *hit, __u64 code, __u64 frame, __u64 caller, __u64 sp,
				  __u8 flags)
{
	void *ring = ring_of(hit->process);
	struct viz_enter *rec;

	rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;
	if (!rec) {
		lose_enter(hit);
		return;
	}
	fill_head(&rec->head, hit->tid, VIZ_ENTER, flags | VIZ_ENTER_CHAIN);
	rec->code = code;
	rec->tgid = hit->tgid;
	rec->sp = (__u32)sp;
	rec->frame = (__u32)frame;
	rec->caller = (__u32)caller;
	bpf_ringbuf_submit(rec, wakeup_flags(ring));
}

/* The same where calls can escape the probes: the caller's code lets user space see them. */
static __always_inline void enter_from(struct hit *hit, __u64 code, __u64 frame, __u64 caller,
				       __u64 sp, __u8 flags)
{
	void *ring = ring_of(hit->process);
	struct viz_enter_from *rec;
	__u64 caller_code = 0;

	if (caller) {
		caller_code = frame_code(hit, caller);
		if (caller_code && !code_state(hit, caller_code))
			caller_code = 0;
	}
	rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;
	if (!rec) {
		lose_enter(hit);
		return;
	}
	fill_head(&rec->enter.head, hit->tid, VIZ_ENTER, flags | VIZ_ENTER_CHAIN | VIZ_ENTER_FROM);
	rec->enter.code = code;
	rec->enter.tgid = hit->tgid;
	rec->enter.sp = (__u32)sp;
	rec->enter.frame = (__u32)frame;
	rec->enter.caller = (__u32)caller;
	rec->caller_code = caller_code;
	bpf_ringbuf_submit(rec, wakeup_flags(ring));
}

static __always_inline bool raised(const struct hit *hit)
{
	return hit->thread->tstate && hit->build->off.tstate_exception != VIZ_NONE &&
	       read_user_u64(hit->thread->tstate + hit->build->off.tstate_exception);
}

static __always_inline void leave(struct hit *hit, __u64 frame, __u64 caller, __u64 sp, __u8 flags)
{
	void *ring = ring_of(hit->process);
	struct viz_leave *rec;

	rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;
	if (!rec) {
		lose_leave(hit);
		return;
	}
	if (raised(hit))
		flags |= VIZ_LEAVE_RAISED;
	fill_head(&rec->head, hit->tid, VIZ_LEAVE, flags);
	rec->sp = (__u32)sp;
	rec->frame = (__u32)frame;
	rec->caller = (__u32)caller;
	rec->tgid = hit->tgid;
	bpf_ringbuf_submit(rec, wakeup_flags(ring));
}

static __always_inline void send_whole(struct hit *hit, const struct viz_held_call *call, __u64 now)
{
	void *ring = ring_of(hit->process);
	struct viz_whole *rec;

	rec = ring ? bpf_ringbuf_reserve(ring, sizeof(*rec), 0) : NULL;
	if (!rec) {
		lose_enter(hit);
		return;
	}
	fill_head(&rec->head, hit->tid, VIZ_CALL, raised(hit) ? VIZ_LEAVE_RAISED : 0);
	rec->head.ts = now;
	rec->begin = call->ts;
	rec->code = call->code;
	rec->tgid = hit->tgid;
	rec->sp = call->sp;
	rec->frame = call->frame;
	rec->caller = call->caller;
	bpf_ringbuf_submit(rec, wakeup_flags(ring));
}

/* Up to 3.8 the eval function does not get the thread state: a global has it. */
static __always_inline void read_global_tstate(struct hit *hit)
{
	hit->thread->tstate =
		hit->build->off.current_tstate
			? read_user_u64(hit->process->bias + hit->build->off.current_tstate)
			: 0;
}

/*
 * From 3.11 on, calling a generator function enters the eval function once, only to make
 * the generator: not a call. The return of it is left out by the stack pointer.
 */
static __always_inline bool is_creation(struct hit *hit, const struct viz_code_state *state,
					__u64 frame, __u64 sp)
{
	__u8 owner = 0;

	if (!(hit->build->flags & VIZ_BUILD_CREATION) || !(state->code_flags & CO_GENERATOR_LIKE))
		return false;
	bpf_probe_read_user(&owner, 1,
			    (void *)(unsigned long)(frame + hit->build->off.frame_owner));
	if (owner == OWNED_BY_GENERATOR)
		return false;
	hit->thread->skip_sp = (__u32)sp;
	return true;
}

#define RUNNING_MAX 48
#define RUNNING_MAX_OLD 2

struct running {
	struct hit *hit;
	void *ring;
	__u64 frame;
};

/* One frame; returns 1 when there is none any more. */
static long tell_frame(__u32 index, void *data)
{
	struct running *r = data;
	const struct viz_offsets *off = &r->hit->build->off;
	struct viz_enter *rec;
	__u64 code, frame = r->frame;
	__u8 owner = 0;

	if (!frame)
		return 1;
	code = frame_code(r->hit, frame);
	r->frame = read_user_u64(frame + off->frame_previous);
	if (off->frame_owner != VIZ_NONE)
		bpf_probe_read_user(&owner, 1, (void *)(unsigned long)(frame + off->frame_owner));
	if (owner >= OWNED_BY_C || !code || !code_state(r->hit, code))
		return 0;
	rec = bpf_ringbuf_reserve(r->ring, sizeof(*rec), 0);
	if (!rec)
		return 1;
	fill_head(&rec->head, r->hit->tid, VIZ_RUNNING, 0);
	rec->code = code;
	rec->tgid = r->hit->tgid;
	rec->sp = 0;
	rec->frame = (__u32)frame;
	rec->caller = 0;
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);
	return 0;
}

/*
 * The first call that is seen of a thread: which frames run around it. They are told of
 * from the inside out, and never again. Without bpf_loop() (kernel 5.17, commit e6f2dd0f8067) only
 * the innermost ones: an unrolled loop costs the verifier too much. @has_5_17: see guard_stack().
 */
static __always_inline void tell_running(struct hit *hit, __u64 frame, bool has_5_17)
{
	struct running r = {.hit = hit, .ring = ring_of(hit->process), .frame = frame};
	int i;

	if (!r.ring)
		return;
	if (has_5_17) {
		bpf_loop(RUNNING_MAX, tell_frame, &r, 0);
		return;
	}
	for (i = 0; i < RUNNING_MAX_OLD; i++)
		if (tell_frame(i, &r))
			break;
}

/*
 * A thread has come to another thread state, perhaps to that of a new sub-interpreter, whose
 * slot is its own and empty: user space sets it while the interpreter is still importing.
 */
static __always_inline void new_tstate(struct hit *hit, __u64 tstate)
{
	const struct viz_offsets *off = &hit->build->off;
	__u64 interp;

	hit->thread->other_tstate = hit->thread->tstate;
	hit->thread->tstate = tstate;
	if (!(hit->process->flags & VIZ_PROC_GUARD))
		return;
	interp = read_user_u64(tstate + off->tstate_interp);
	if (interp && !read_user_u64(interp + off->interp_eval_frame))
		tell_guard(hit->process, VIZ_SLOT_EMPTY, hit->tgid, hit->tid, 0, interp,
			   hold_current(hit->tgid));
}

static __always_inline bool is_left_out(struct hit *hit, struct viz_code_state *state, __u64 code,
					__u64 frame, __u64 caller, __u32 sp, bool has_5_17)
{
	struct viz_held_call call = {
		.ts = bpf_ktime_get_ns(),
		.code = code,
		.sp = sp,
		.frame = (__u32)frame,
		.caller = (__u32)caller,
	};
	struct viz_held *h;

	if (hit->process->flags & VIZ_PROC_SWITCHES) {
		h = bpf_map_lookup_elem(&held, &hit->tid);
		return h && is_below_drop(h, sp, caller, hit->build, has_5_17);
	}
	h = held_of(hit->tid);
	return h && filter_enter(h, state, &call, hit->tgid);
}

static __always_inline int on_enter(struct pt_regs *ctx, __u64 arg0, __u64 arg1, __u64 arg2,
				    bool has_5_17)
{
	struct hit hit = {};
	struct viz_code_state *state;
	__u64 frame, code, caller, sp = PT_REGS_SP(ctx);
	__u8 flags = 0;

	if (!find_process(&hit)) {
		sight(hit.process, hit.tgid, hit.tid);
		return 0;
	}
	if (hit.process->flags & (VIZ_PROC_USDT | VIZ_PROC_INSIDE) || !find_thread(&hit))
		return 0;
	if (hit.process->module)
		read_late(hit.process, hit.tgid, hit.tid);
	sp += hit.build->enter_sp;
	if (hit.build->flags & VIZ_BUILD_FRAME_ARG0) {
		frame = arg0;
		if ((int)arg1)
			flags = VIZ_ENTER_THROW;
		read_global_tstate(&hit);
	} else {
		frame = arg1;
		if ((int)arg2)
			flags = VIZ_ENTER_THROW;
		if (hit.thread->tstate != arg0)
			new_tstate(&hit, arg0);
	}
	guard_stack(hit.process, hit.build, hit.thread, hit.tgid, hit.tid, sp, has_5_17);
	code = frame_code(&hit, frame);
	state = code_state(&hit, code);
	if (!state) {
		lose_enter(&hit);
		return 0;
	}
	if (is_creation(&hit, state, frame, sp))
		return 0;
	if (state->code_flags & CO_GENERATOR_LIKE)
		flags |= VIZ_ENTER_RESUME;
	caller = not_base(&hit, current_frame(&hit));
	if (!hit.thread->seen) {
		hit.thread->seen = 1;
		tell_running(&hit, caller, has_5_17);
	}
	if (filter.flags && is_left_out(&hit, state, code, frame, caller, (__u32)sp, has_5_17))
		return 0;
	if (hit.build->flags & VIZ_BUILD_ESCAPES)
		enter_from(&hit, code, frame, caller, sp, flags);
	else
		enter(&hit, code, frame, caller, sp, flags);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(eval_enter, __u64 arg0, __u64 arg1, __u64 arg2)
{
	return on_enter(ctx, arg0, arg1, arg2, true);
}

/* For kernels before 5.17; user space loads one of the two. */
SEC("uprobe")
int BPF_KPROBE(eval_enter_assuming, __u64 arg0, __u64 arg1, __u64 arg2)
{
	return on_enter(ctx, arg0, arg1, arg2, false);
}

/*
 * VIZ_BUILD_POPS: a frame has been popped. The call ends if what is current now is the entry
 * frame of this very activation of the eval function, which lies in its part of the C stack,
 * from @low to @high. Returns that frame, or 0. A thread that is back from a sub-interpreter
 * has the thread state it had before.
 */
static __always_inline __u64 entry_frame(struct hit *hit, __u64 low, __u64 high)
{
	__u64 frame = current_frame(hit), tstate = hit->thread->tstate;

	if (frame > low && frame < high)
		return frame;
	if (!hit->thread->other_tstate)
		return 0;
	hit->thread->tstate = hit->thread->other_tstate;
	frame = current_frame(hit);
	if (frame > low && frame < high) {
		hit->thread->other_tstate = tstate;
		return frame;
	}
	hit->thread->tstate = tstate;
	return 0;
}

static __always_inline int eval_leave(struct pt_regs *ctx, int site)
{
	struct hit hit = {};
	__u64 sp = PT_REGS_SP(ctx), caller = 0;
	__u8 flags = 0;

	if (!find_process(&hit) || hit.process->flags & (VIZ_PROC_USDT | VIZ_PROC_INSIDE) ||
	    !find_thread(&hit))
		return 0;
	sp += hit.build->leave_sp[site];
	if (hit.build->flags & VIZ_BUILD_POPS) {
		caller = entry_frame(&hit, PT_REGS_SP(ctx), sp);
		if (!caller)
			return 0;
		caller = not_base(&hit, read_user_u64(caller + hit.build->off.frame_previous));
		flags = VIZ_LEAVE_CALLER;
	}
	if (hit.thread->skip_sp == (__u32)sp) {
		hit.thread->skip_sp = 0;
		return 0;
	}
	if (!hit.thread->tstate)
		read_global_tstate(&hit);
	if (hit.build->flags & VIZ_BUILD_CURRENT_AFTER) {
		caller = not_base(&hit, current_frame(&hit));
		flags = VIZ_LEAVE_CALLER;
	}
	unguard_stack(hit.process, hit.build, hit.thread, hit.tgid, hit.tid, sp);
	if (filter.flags) {
		struct viz_held *h = bpf_map_lookup_elem(&held, &hit.tid);
		bool switches = hit.process->flags & VIZ_PROC_SWITCHES;
		__u64 now = bpf_ktime_get_ns();
		struct viz_held_call call;

		switch (h ? filter_leave(h, (__u32)sp, now, switches, &call) : LEAVE_SEND) {
		case LEAVE_WHOLE:
			send_whole(&hit, &call, now);
			return 0;
		case LEAVE_DROP:
			return 0;
		case LEAVE_SEND:
			break;
		}
	}
	leave(&hit, 0, caller, sp, flags);
	return 0;
}

/* One program per site: the place tells how far the stack pointer has come. */
#define LEAVE_SITE(n)                                                                              \
	SEC("uprobe")                                                                              \
	int eval_leave_##n(struct pt_regs *ctx)                                                    \
	{                                                                                          \
		return eval_leave(ctx, n);                                                         \
	}

LEAVE_SITE(0)
LEAVE_SITE(1)
LEAVE_SITE(2)
LEAVE_SITE(3)
LEAVE_SITE(4)
LEAVE_SITE(5)
LEAVE_SITE(6)
LEAVE_SITE(7)

/* The thread state where no argument gives it. */
static __always_inline void find_tstate(struct hit *hit)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (hit->build->off.current_tstate) {
		read_global_tstate(hit);
		return;
	}
#if defined(__TARGET_ARCH_x86)
	if (hit->build->off.tls_offset != VIZ_NONE)
		hit->thread->tstate = read_user_u64(BPF_CORE_READ(task, thread.fsbase) -
						    hit->build->off.tls_offset);
#else
	(void)task;
#endif
}

static __always_inline __u64 previous_frame(struct hit *hit, __u64 frame)
{
	return frame ? not_base(hit, read_user_u64(frame + hit->build->off.frame_previous)) : 0;
}

/* python:function__entry(filename, funcname, lineno): the frame is already current. */
SEC("uprobe")
int usdt_enter(struct pt_regs *ctx)
{
	struct hit hit = {};
	struct viz_code_state *state;
	__u64 frame, code;
	__u8 flags = 0, owner = 0;

	if (!find_process(&hit)) {
		sight(hit.process, hit.tgid, hit.tid);
		return 0;
	}
	if (!(hit.process->flags & VIZ_PROC_USDT) || !find_thread(&hit))
		return 0;
	if (hit.process->module)
		read_late(hit.process, hit.tgid, hit.tid);
	find_tstate(&hit);
	frame = current_frame(&hit);
	code = frame ? frame_code(&hit, frame) : 0;
	state = code ? code_state(&hit, code) : NULL;
	if (!state) {
		lose_enter(&hit);
		return 0;
	}
	if (state->code_flags & CO_GENERATOR_LIKE) {
		flags = VIZ_ENTER_RESUME;
		/* 3.15 fires for the creation too, and then never returns from it. */
		if (hit.build->flags & VIZ_BUILD_CREATION) {
			bpf_probe_read_user(
				&owner, 1,
				(void *)(unsigned long)(frame + hit.build->off.frame_owner));
			if (owner != OWNED_BY_GENERATOR)
				return 0;
		}
	}
	enter(&hit, code, frame, previous_frame(&hit, frame), 0, flags);
	return 0;
}

/*
 * The eval function, in engine usdt on 3.15: a generator that goes on by throw() or close() has no
 * function__entry there (its eval loop begins in the error handler), but a function__return.
 */
SEC("uprobe")
int BPF_KPROBE(usdt_throw, __u64 tstate, __u64 frame, __u64 throwflag)
{
	struct hit hit = {};
	__u64 code;

	if (!(int)throwflag || !find_process(&hit) || !(hit.process->flags & VIZ_PROC_USDT) ||
	    !find_thread(&hit))
		return 0;
	hit.thread->tstate = tstate;
	code = frame_code(&hit, frame);
	if (!code_state(&hit, code))
		lose_enter(&hit);
	else
		enter(&hit, code, frame, not_base(&hit, current_frame(&hit)), 0,
		      VIZ_ENTER_RESUME | VIZ_ENTER_THROW);
	return 0;
}

/* python:function__return: the frame is still current. */
SEC("uprobe")
int usdt_leave(struct pt_regs *ctx)
{
	struct hit hit = {};
	__u64 frame;

	if (!find_process(&hit) || !(hit.process->flags & VIZ_PROC_USDT) || !find_thread(&hit))
		return 0;
	find_tstate(&hit);
	frame = current_frame(&hit);
	leave(&hit, frame, previous_frame(&hit, frame), 0, VIZ_LEAVE_FRAME | VIZ_LEAVE_CALLER);
	return 0;
}

/* code_dealloc(co): the next object at this address is another one. */
SEC("uprobe")
int BPF_KPROBE(code_dealloc, __u64 code)
{
	struct viz_code_key key = {.code = code, .tgid = bpf_get_current_pid_tgid() >> 32};

	bpf_map_delete_elem(&codes, &key);
	return 0;
}
