/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Everything that crosses the boundary between the BPF programs and user space:
 * ring buffer records, map keys and values, the offsets of one CPython build.
 * Fixed-width types only; append, never reorder.
 *
 * All times are nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns()).
 * All tids and tgids are those of the initial pid namespace.
 */
#ifndef VIZ_RECORDS_H
#define VIZ_RECORDS_H

#ifndef __bpf__
#include <stdint.h>
#define VIZ_U8 uint8_t
#define VIZ_U16 uint16_t
#define VIZ_U32 uint32_t
#define VIZ_U64 uint64_t
#define VIZ_S32 int32_t
#else
#define VIZ_U8 __u8
#define VIZ_U16 __u16
#define VIZ_U32 __u32
#define VIZ_U64 __u64
#define VIZ_S32 __s32
#endif

enum viz_limit {
	VIZ_NAME_MAX = 256, /* bytes of a function's name that are kept, UTF-8 */
	VIZ_PATH_MAX = 512, /* bytes of a file name that are kept, UTF-8 (the end is kept) */
	VIZ_BUILDS_MAX = 64, /* different CPython builds in one trace */
	VIZ_LEAVE_SITES = 8, /* exits of one eval function */
	VIZ_PAYLOAD_MAX = 2048, /* bytes of a custom event */
};

/* The first byte after the time and the thread of every record. */
enum viz_record_kind {
	VIZ_ENTER = 1, /* struct viz_enter: a Python call begins (or a generator resumes) */
	VIZ_LEAVE = 2, /* struct viz_leave: it returns, yields or raises */
	VIZ_CODE = 3, /* struct viz_code: what a code object is; precedes its first use */
	VIZ_FORK = 5, /* struct viz_life: tgid is new, other is its parent */
	VIZ_EXEC = 6, /* struct viz_life: tgid runs another program */
	VIZ_EXIT = 7, /* struct viz_life: the thread ended; flags: VIZ_LIFE_LAST for the last one */
	VIZ_SIGHT = 8, /* struct viz_life: an interpreter nobody prepared runs in tgid */
	VIZ_STACK_LOW = 9, /* struct viz_guard: little C stack left, clear the slot now */
	VIZ_STACK_HIGH = 10, /* struct viz_guard: enough again, the slot may be set */
	VIZ_MODULE = 11, /* struct viz_life: tgid switches C stacks, or is about to */
	VIZ_CUSTOM = 12, /* struct viz_custom: an event of the in-process extension */
	VIZ_RUNNING =
		15, /* struct viz_enter: a frame that ran before, innermost first; then VIZ_ENTER */
	VIZ_CALL = 14, /* struct viz_whole: a call that was held back until its end */
	VIZ_SLOT_EMPTY = 13, /* struct viz_guard: an interpreter without the slot runs in tgid */
	VIZ_INTERP_COMING = 16, /* struct viz_guard: an interpreter is about to be made in tgid */
	VIZ_INTERP_ENDS = 17, /* struct viz_guard: this interpreter is about to be destroyed */
};

/* Head of every record. 16 bytes. */
struct viz_head {
	VIZ_U64 ts;
	VIZ_U32 tid;
	VIZ_U8 kind; /* enum viz_record_kind */
	VIZ_U8 flags; /* by kind */
	VIZ_U16 cpu;
};

enum viz_enter_flag {
	VIZ_ENTER_RESUME = 1, /* a generator or coroutine goes on */
	VIZ_ENTER_THROW = 2, /* it goes on by throw() or close() */
	VIZ_ENTER_FROM = 4, /* the record is a struct viz_enter_from */
	VIZ_ENTER_CHAIN = 8, /* caller is valid, also when it is 0 (no frame before) */
};

/*
 * sp, frame and caller are the low 32 bits of addresses: they identify an open call
 * within its thread, nothing more. sp is the stack pointer as it was at the first
 * instruction of the eval function, 0 where the engine has none. 40 bytes.
 */
struct viz_enter {
	struct viz_head head;
	VIZ_U64 code; /* address of the code object, see struct viz_code */
	VIZ_U32 tgid;
	VIZ_U32 sp;
	VIZ_U32 frame; /* the new frame */
	VIZ_U32 caller; /* the frame that was current before; 0: none or not known */
};

/* VIZ_BUILD_ESCAPES: also which code the caller's frame runs. 48 bytes. */
struct viz_enter_from {
	struct viz_enter enter;
	VIZ_U64 caller_code; /* 0: not known; announced like any code */
};

enum viz_leave_flag {
	VIZ_LEAVE_RAISED = 1, /* an exception is set */
	VIZ_LEAVE_FRAME = 2, /* frame is valid: it is the frame that ends */
	VIZ_LEAVE_CALLER = 4, /* caller is valid: the frame that is current afterwards */
};

/* A whole call: begin and end in one record, under --min-duration. 48 bytes. */
struct viz_whole {
	struct viz_head head; /* ts: its end; flags: enum viz_leave_flag */
	VIZ_U64 begin;
	VIZ_U64 code;
	VIZ_U32 tgid;
	VIZ_U32 sp;
	VIZ_U32 frame;
	VIZ_U32 caller;
};

/* 32 bytes. */
struct viz_leave {
	struct viz_head head;
	VIZ_U32 sp;
	VIZ_U32 frame;
	VIZ_U32 caller;
	VIZ_U32 tgid;
};

/*
 * What a code object is. Sent once per code object and process, before its first VIZ_ENTER,
 * and again when another object has taken the address. Strings are raw bytes as CPython keeps them: name_kind and file_kind give
 * the bytes per character (1: Latin-1, 2: UCS-2, 4: UCS-4, little endian), sizes are in
 * bytes. A name longer than the limit has its true length in *_chars.
 */
struct viz_code {
	struct viz_head head;
	VIZ_U64 code; /* address of the code object */
	VIZ_U32 tgid;
	VIZ_U32 line; /* co_firstlineno */
	VIZ_U32 code_flags; /* co_flags */
	VIZ_U32 name_chars;
	VIZ_U32 file_chars;
	VIZ_U16 name_size;
	VIZ_U16 file_size;
	VIZ_U8 name_kind;
	VIZ_U8 file_kind;
	VIZ_U8 name_ascii;
	VIZ_U8 file_ascii;
	VIZ_U8 name[VIZ_NAME_MAX];
	VIZ_U8 file[VIZ_PATH_MAX];
};

enum viz_life_flag {
	VIZ_LIFE_LAST = 1, /* VIZ_EXIT: the whole process is gone */
	VIZ_LIFE_ALONE = 2, /* VIZ_FORK: not followed, but it inherited a slot that is set */
	VIZ_LIFE_HELD = 4, /* VIZ_EXEC, VIZ_SIGHT: it is stopped until it is prepared */
	VIZ_LIFE_SHARES = 8, /* VIZ_FORK: vfork(): in its parent's memory until it executes */
	VIZ_LIFE_UNREAD = 16, /* VIZ_MODULE: its name could not be read, it may be any module */
};

struct viz_life {
	struct viz_head head;
	VIZ_U32 tgid;
	VIZ_U32 other; /* FORK: the parent's tgid; EXIT: exit_code as in task_struct */
	VIZ_U64 lost_enter; /* EXIT: calls of this thread that found the ring full */
	VIZ_U64 lost_leave;
	char comm[16];
};

struct viz_guard {
	struct viz_head head;
	VIZ_U32 tgid;
	VIZ_U32 stopped; /* 1: the process was stopped by SIGSTOP and waits for us */
	VIZ_U64 room; /* bytes of C stack left */
	VIZ_U64 interp; /* address of the PyInterpreterState */
};

/*
 * An event of the in-process extension, or of anybody who includes ext/.../vizbpf.h.
 * data: `name` NUL, `category` NUL, `args` (JSON text, may be empty) NUL.
 */
struct viz_custom {
	struct viz_head head; /* flags: enum viz_custom_type */
	VIZ_U64 id; /* async, flow and object identity */
	VIZ_U64 value; /* COUNTER: bits of a double, when args is empty */
	VIZ_U32 tgid;
	VIZ_U32 size; /* bytes of data in use */
	char data[VIZ_PAYLOAD_MAX];
};

enum viz_custom_type {
	VIZ_CUSTOM_INSTANT = 1, /* value: 't', 'p' or 'g' */
	VIZ_CUSTOM_BEGIN = 2,
	VIZ_CUSTOM_END = 3,
	VIZ_CUSTOM_COUNTER = 4,
	VIZ_CUSTOM_ASYNC_BEGIN = 5,
	VIZ_CUSTOM_ASYNC_END = 6,
	VIZ_CUSTOM_FLOW_START = 7,
	VIZ_CUSTOM_FLOW_STEP = 8,
	VIZ_CUSTOM_FLOW_END = 9,
	VIZ_CUSTOM_OBJECT_NEW = 10,
	VIZ_CUSTOM_OBJECT_SNAPSHOT = 11,
	VIZ_CUSTOM_OBJECT_DELETE = 12,
};

/*
 * Offsets of one CPython build, in bytes; VIZ_NONE where the build has no such member.
 * Filled by user/target/interpreter.c, which says where each comes from.
 */
#define VIZ_NONE 0xffffffffu

struct viz_offsets {
	/* the frame the eval function gets: PyFrameObject up to 3.10, _PyInterpreterFrame after */
	VIZ_U32 frame_code;
	VIZ_U32 frame_previous; /* f_back up to 3.10 */
	VIZ_U32 frame_owner; /* one byte, 3.11+ */
	VIZ_U32 frame_localsplus;
	/* PyCodeObject */
	VIZ_U32 code_filename;
	VIZ_U32 code_name;
	VIZ_U32 code_qualname; /* 3.11+ */
	VIZ_U32 code_firstlineno;
	VIZ_U32 code_flags;
	/* PyUnicodeObject */
	VIZ_U32 str_length;
	VIZ_U32 str_state;
	VIZ_U32 str_ascii_data;
	VIZ_U32 str_compact_data;
	/* PyThreadState */
	VIZ_U32 tstate_frame; /* frame (<= 3.10), cframe (3.11, 3.12), current_frame (3.13+) */
	VIZ_U32 cframe_current; /* 3.11: 8, 3.12: 0; VIZ_NONE: tstate_frame is direct */
	VIZ_U32 tstate_next;
	VIZ_U32 tstate_interp;
	VIZ_U32 tstate_thread_id; /* pthread_self() */
	VIZ_U32 tstate_native_id; /* TID, 3.11+ */
	VIZ_U32 tstate_exception; /* curexc_type or current_exception: NULL if none is set */
	VIZ_U32 tstate_c_recursion; /* int c_recursion_remaining, 3.12 and 3.13 */
	/* PyInterpreterState */
	VIZ_U32 interp_eval_frame; /* the PEP 523 slot, 3.6+ */
	VIZ_U32 interp_threads;
	VIZ_U32 interp_next;
	VIZ_U32 interp_perf_profiling; /* int config.perf_profiling, 3.12+ */
	/* where the current thread state is, when the probe does not give it */
	VIZ_U32 tls_offset; /* distance below the thread pointer, 3.12+ static TLS */
	VIZ_U64 current_tstate; /* address (ELF virtual) of the global, up to 3.11; 0: none */
};

enum viz_build_flag {
	VIZ_BUILD_FRAME_ARG0 = 1, /* the frame is the first argument (3.6-3.8), else the second */
	VIZ_BUILD_TAGGED = 2, /* _PyStackRef: mask the low two bits of frame_code (3.14+) */
	VIZ_BUILD_CREATION = 4, /* a generator's creation enters the eval function (3.11+) */
	VIZ_BUILD_INLINES = 8, /* needs the slot for Python-to-Python calls (3.11+) */
	VIZ_BUILD_ESCAPES = 16, /* calls escape the slot: read the caller at entry */
	VIZ_BUILD_POPS = 64, /* leave sites are at pops, see entry_frame() */
	VIZ_BUILD_CURRENT_AFTER = 32, /* at the leave site the frame has been popped already */
};

/* What the BPF programs know of a build; the index is its place in the map `builds`. */
struct viz_build_info {
	struct viz_offsets off;
	VIZ_U32 flags; /* enum viz_build_flag */
	VIZ_U32 version; /* PY_VERSION_HEX; micro and below may be 0 */
	VIZ_S32 enter_sp; /* add to the stack pointer at the probe: its value at the first instruction */
	VIZ_S32 leave_sp[VIZ_LEAVE_SITES];
	VIZ_U32 unused;
};

enum viz_process_flag {
	VIZ_PROC_ACTIVE = 1, /* record it */
	VIZ_PROC_FOLLOW = 2, /* record its children too */
	VIZ_PROC_SWITCHES = 4, /* it switches C stacks (greenlet): identify calls by frame too */
	VIZ_PROC_USDT = 8, /* engine usdt; neither this nor INSIDE: eval */
	VIZ_PROC_GUARD = 16, /* the slot is set: watch the C stack */
	/* its probes are for it alone, or its recorder has not begun: a child waits at first */
	VIZ_PROC_ALONE = 32,
	VIZ_PROC_WANTED = 64, /* chosen, but no interpreter is known in it yet */
	VIZ_PROC_FRESH = 128, /* just forked, and has no probes yet */
	VIZ_PROC_INSIDE = 256, /* engine trampoline: its calls do not come from probes */
};

/* Value of the map `processes`, key: tgid. */
struct viz_process_info {
	VIZ_U32 build; /* index into `builds` */
	VIZ_U32 flags; /* enum viz_process_flag */
	VIZ_U32 ring; /* index into `rings`: one process, one ring, so its records keep order */
	VIZ_U32 parent; /* tgid, set at a fork that is followed; else 0 */
	VIZ_U64 bias; /* load bias of the file that holds the eval function */
	VIZ_U64 lost_enter; /* by threads that are gone or unknown */
	VIZ_U64 lost_leave;
	VIZ_U64 lost_other;
	VIZ_U64 module; /* name of a module that is being made and could not be read yet; or 0 */
};

/* What the programs leave out. All 0: nothing. */
enum viz_filter_flag {
	VIZ_FILTER_ON = 1, /* look at the rest */
	VIZ_FILTER_CODES = 2, /* ask `verdicts` about code objects */
};

struct viz_filter_config {
	VIZ_U32 flags; /* enum viz_filter_flag */
	VIZ_U32 max_depth; /* 0: no limit */
	VIZ_U64 min_duration; /* ns; 0: no limit */
};

/* As enum viz_verdict of user/trace/filter.h. */
enum viz_verdict_code {
	VIZ_CODE_UNKNOWN = 0,
	VIZ_CODE_RECORD = 1,
	VIZ_CODE_DROP_TREE = 2,
	VIZ_CODE_DROP_SELF = 3
};

/* Key of the map `codes`. */
struct viz_code_key {
	VIZ_U64 code;
	VIZ_U64 tgid;
};

/* Key of the map `verdicts`. */
struct viz_verdict_key {
	VIZ_U64 code;
	VIZ_U64 announced; /* head.ts of its VIZ_CODE: the next object there is another one */
	VIZ_U32 tgid;
	VIZ_U32 unused;
};

/* Value of the map `held`, key: tid. */
enum { VIZ_HELD_MAX = 64 };

struct viz_held_call {
	VIZ_U64 ts;
	VIZ_U64 code;
	VIZ_U32 sp;
	VIZ_U32 frame;
	VIZ_U32 caller;
	VIZ_U32 rejected;
};

struct viz_held {
	VIZ_U32 nr;
	VIZ_U32 depth; /* calls that were sent and are open */
	VIZ_U32 drop_sp; /* nothing below this is sent; 0: no such call is open */
	VIZ_U32 drop_frame; /* of that call */
	struct viz_held_call calls[VIZ_HELD_MAX];
};

/* Value of the map `threads`, key: tid. */
struct viz_thread {
	VIZ_U32 tgid;
	VIZ_U32 skip_sp; /* a generator's creation that is under way */
	VIZ_U64 tstate; /* its PyThreadState, as last seen */
	VIZ_U64 stack_low; /* the lowest byte its C stack can use; 0: not known */
	VIZ_U64 stack_high;
	VIZ_U64 lost_enter;
	VIZ_U64 lost_leave;
	VIZ_U32 low; /* it came near the end of its C stack */
	VIZ_U32 seen; /* a call of it has been recorded */
	VIZ_U64 other_tstate; /* the one before, when it changed */
};

/* Key of the map `known_interpreters`. */
struct viz_interp_key {
	VIZ_U64 interp;
	VIZ_U64 tgid;
};

/* Its values, but 0 and those that are threads (bpf/interpreters.bpf.c). */
#define VIZ_INTERP_ONCE_MORE (1ULL << 32) /* told of; its next call stops, or waits, once more */
#define VIZ_INTERP_AWAITED (2ULL << 32) /* its next call is told of and waits on the processor */
#define VIZ_INTERP_WAITS (3ULL << 32) /* it does */

/* Value of the map `guards`, key: tgid. User space writes it whole when the slot changes. */
struct viz_guard_state {
	VIZ_U32 told; /* VIZ_STACK_LOW was sent */
	VIZ_U32 stopped; /* 1: SIGSTOP is about to be sent, 2: it was */
	VIZ_U32 cleared; /* the slot is clear */
	VIZ_U32 held; /* it is stopped until it is prepared: when that was, seconds, not 0 */
	VIZ_U32 tid; /* the thread whose stack it is about, 0: not known */
};

#ifndef __bpf__
_Static_assert(sizeof(struct viz_head) == 16, "record layout");
_Static_assert(sizeof(struct viz_enter) == 40, "record layout");
_Static_assert(sizeof(struct viz_leave) == 32, "record layout");
_Static_assert(sizeof(struct viz_whole) == 48, "record layout");
_Static_assert(sizeof(struct viz_code) == 16 + 8 + 5 * 4 + 4 + 4 + 256 + 512 + 4, "record layout");
#endif

#endif
