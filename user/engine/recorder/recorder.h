/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the recorder inside the target and vizbpf outside of it agree on: the
 * constants that vizbpf writes in front of the recorder's code, the two state
 * pages behind it, and the memory that both have mapped. All of it is
 * fixed-width; both sides are built together and VIZ_REC_MAGIC changes with
 * every change here.
 *
 *   base                 code, read and execute: struct viz_rec_consts, then
 * the recorder
 *   + VIZ_REC_KEEP_AT    struct viz_rec_keep: private, a forked child inherits
 * it
 *   + VIZ_REC_LIVE_AT    struct viz_rec_live: private, zero in a forked child
 * (WIPEONFORK)
 *   + VIZ_REC_DIR_AT     struct viz_rec_dir: the first page of a memfd, shared
 * with vizbpf
 *   + VIZ_REC_RING_AT    struct viz_rec_ring: one of the regions behind it in
 * the same memfd
 *
 * A process that is attached has the first region; each forked child takes one
 * of the others, so that what it records is there for vizbpf also when it ends
 * at once.
 */
#ifndef VIZ_RECORDER_H
#define VIZ_RECORDER_H

#include <stdint.h>

#define VIZ_REC_MAGIC 0x3730304352424956ull /* "VIBRC007" */

enum viz_rec_layout {
	VIZ_REC_PAGE = 0x10000, /* 64 KiB: the largest page of any architecture */
	VIZ_REC_KEEP_AT = 1 * VIZ_REC_PAGE,
	VIZ_REC_LIVE_AT = 2 * VIZ_REC_PAGE,
	VIZ_REC_DIR_AT = 3 * VIZ_REC_PAGE,
	/* a gap before it: else the kernel joins the two mappings, and their name changes */
	VIZ_REC_RING_AT = 5 * VIZ_REC_PAGE,
	VIZ_REC_REGIONS = 256, /* with follow: for the process and its living children */
	VIZ_REC_IMAGE_MAX = 12288,
	VIZ_REC_CONSTS_SIZE = 512, /* bytes reserved for struct viz_rec_consts */
	VIZ_REC_PIECES = 8, /* parts in which the image travels into the target */
};

/* How calls are seen. */
enum viz_rec_mode {
	VIZ_REC_MONITOR = 1, /* sys.monitoring callbacks, 3.12+ */
	VIZ_REC_WRAP = 2, /* the PEP 523 slot stays on the recorder, up to 3.11 */
};

/* An offset that the build does not have. */
#define VIZ_REC_ABSENT 0xffffffffu

/* Written by vizbpf before the recorder runs; the recorder only reads it. */
struct viz_rec_consts {
	uint64_t magic;
	/* the hot ones, in one cache line */
	uint64_t current_tstate; /* function that returns the thread state, or 0: use tls */
	int64_t tls; /* else where it is, relative to the thread pointer */
	uint32_t tstate_frame; /* frame, cframe or current_frame */
	uint32_t cframe_current; /* ABSENT: tstate_frame is direct */
	uint32_t tstate_native; /* native_thread_id; ABSENT: the thread pointer is the key */
	uint32_t frame_code;
	uint64_t none; /* _Py_NoneStruct, immortal from 3.12 on */
	uint64_t clock; /* 0: the counter of the CPU; else the vDSO's clock_gettime */
	uint64_t mask; /* records in the ring - 1 */

	uint64_t eval; /* what a call is passed on to */
	uint64_t slot; /* address of the PEP 523 slot of this interpreter */
	uint64_t slot_original; /* what was there */
	uint64_t slot_boot; /* what vizbpf wrote there: the loader, or start() */
	uint64_t ring_bytes; /* of a region */
	uint64_t regions;
	uint64_t threads; /* address of the interpreter's list of thread states */
	uint64_t nonce; /* of this attach; the ring repeats it */
	uint64_t bytes; /* of these constants and the code */
	uint64_t min_ticks; /* struct viz_rec_ring */
	uint64_t holder; /* MONITOR: address of the GIL's last_holder, or 0 */
	uint64_t patience; /* of the clock: without a sign of vizbpf for that long, stop */
	uint32_t mode; /* enum viz_rec_mode */
	uint32_t follow; /* a forked child opens a ring of its own */
	uint32_t memfd_flags;
	uint32_t pid; /* of the target, as it sees itself */
	uint32_t frame_arg0; /* the frame is the first argument (3.6 to 3.8) */
	uint32_t tagged; /* frame_code is a _PyStackRef: mask the low two bits */
	uint32_t creation; /* making a generator enters the eval function (3.11) */
	uint32_t frame_owner;
	uint32_t frame_previous;
	uint32_t code_name; /* the qualified name where there is one */
	uint32_t code_filename;
	uint32_t code_firstlineno;
	uint32_t code_flags;
	uint32_t str_length;
	uint32_t str_state;
	uint32_t str_ascii_data;
	uint32_t str_compact_data;
	uint32_t tstate_next;
	uint32_t filter; /* calls are judged by tree and depth: begins() in filter.h */
	uint32_t max_depth; /* at most VIZ_REC_DEPTH; 0: no limit */
	uint64_t judged; /* VIZ_REC_JUDGED: no function is ever rejected; else 0 */
	uint64_t code_type; /* PyCode_Type */
	/* MONITOR, where more than calls is asked for: PyCFunction_Type, PyCMethod_Type,
	 * PyMethodDescr_Type */
	uint64_t cfunction_type, cmethod_type, method_descriptor_type;
	uint32_t c_functions, exceptions;
	uint32_t chains, unused; /* struct viz_rec_ring */

	/* the C API, run-time addresses; the second group is only there for MONITOR
	 */
	uint64_t inc_ref, dec_ref;
	uint64_t err_fetch, err_restore, err_clear;
	uint64_t sys_get_object, getattr_string, call_method, cfunction_new, long_as_long;
};

struct viz_rec_method { /* PyMethodDef */
	uint64_t name, meth;
	int32_t flags, pad;
	uint64_t doc;
};

/* keep.mode, which vizbpf (or the guardian) changes from outside. */
enum viz_rec_switch {
	VIZ_REC_OFF = 0, /* nothing is recorded, and the next event arms stop() */
	/* a value that nothing else has at that address: the guardian looks for it in
	 * every process that may be a forked child */
	VIZ_REC_ON = 0x7669626f,
};

enum { VIZ_REC_EVENTS = 10 }; /* of sys.monitoring, at most */

struct viz_rec_keep {
	uint64_t mode; /* enum viz_rec_switch */
	uint64_t registered; /* sys.monitoring callbacks exist: 1 + tool id */
	uint64_t disable; /* sys.monitoring.DISABLE */
	uint64_t holder; /* K.holder, once it was seen to tell the truth; else 0 */
	uint64_t failed; /* errno of a ring that could not be opened: not tried again */
	uint64_t reserved; /* the ring's addresses are ours to map over */
	uint64_t generation; /* of the ring: a call entered in an older one does not end here */
	uint64_t bits[VIZ_REC_EVENTS]; /* the events as sys.monitoring numbers them */
	struct viz_rec_method defs[VIZ_REC_EVENTS];
	char name[8]; /* "vizbpf", for the callbacks */
};

struct viz_rec_live {
	uint64_t ring; /* address of struct viz_rec_ring; 0: write nothing */
	uint64_t key; /* the thread that wrote last; 0: say it again */
	uint64_t head; /* of the ring; may be ahead of ring->head */
	uint64_t limit; /* head at which the part of the ring that is being filled ends */
	uint64_t origin; /* address of record 0, if all of them stood in a row with this part's */
	uint64_t used; /* bit by part: it has records that are not read, or takes the next ones */
	uint64_t oldest; /* how many parts have been filled and read */
	uint64_t thread; /* its struct viz_rec_thread */
	uint64_t generation;
	/* WRAP: recording goes on while the stack pointer is in [floor, top) */
	uint64_t floor, top, roomy;
	uint64_t paused; /* key of the thread that stepped back */
	uint64_t paused_above; /* the slot is set again when it returns above this */
	uint64_t hand; /* place of the sweep for dead code objects */
	uint64_t next_id;
	uint64_t stopping; /* one is enough */
	uint64_t innermost; /* frame of the innermost call, as far as the reader can know */
	uint64_t refs; /* code objects in the table */
	uint64_t unwound, unwound_at; /* the exception that left a frame last, and head */
};

enum viz_rec_record {
	VIZ_RECORD_NONE = 0, /* the rest of a part that was too small for what came next */
	VIZ_RECORD_ENTER = 1, /* what = frame << 32 | id; flags: VIZ_ENTER_* */
	VIZ_RECORD_LEAVE = 2, /* what = frame << 32 | id; flags: VIZ_LEAVE_* */
	VIZ_RECORD_CODE = 3, /* what = place << 32 | id; slots follow: struct viz_rec_code */
	VIZ_RECORD_THREAD = 4, /* what = place << 32 | tid: the records below are this thread's */
	VIZ_RECORD_LOST = 5, /* what = leaves << 32 | enters that this thread lost, up to here */
	VIZ_RECORD_RUNNING = 6, /* what = frame << 32 | id: open at the attach, innermost first */
	VIZ_RECORD_PAUSE = 7, /* little C stack left: the slot is clear from here ... */
	VIZ_RECORD_RESUME = 8, /* ... to here */
	VIZ_RECORD_CALLER = 9, /* what = frame << 32: the next ENTER's caller is not
	                        the call before */
	VIZ_RECORD_RAISE = 10, /* what = frame << 32 | id: of the exception's name */
	VIZ_RECORD_INSIDE = 11, /* what = id: the next record, of a C function or a RAISE,
	                         happens there */
};

/* 16 bytes. when = clock << 8 | flags << 4 | kind; for CODE the clock is a
 * count of slots. */
struct viz_rec_event {
	uint64_t when, what;
};

/* Flags of a CODE record: what it names. For the others @address is only a number, and the
 * name is bytes, whatever name_kind says. */
enum viz_rec_named { VIZ_CODE_PYTHON = 0, VIZ_CODE_C = 1, VIZ_CODE_EXCEPTION = 2 };

/* Follows a CODE record: this, then the name, then the file; padded to whole
 * slots. */
struct viz_rec_code {
	uint64_t address;
	uint32_t line, code_flags;
	uint32_t name_chars, file_chars;
	uint16_t name_size, file_size; /* bytes */
	uint8_t name_kind, file_kind; /* bytes per character; 0: no text */
	uint8_t name_ascii, file_ascii;
};

/* Values of struct viz_rec_ring's filter, see filter.h. */
enum viz_rec_filter {
	VIZ_REC_FILTER_NONE = 0,
	VIZ_REC_FILTER_ALL = 1, /* as K.filter says */
	VIZ_REC_FILTER_OPEN = 2, /* only what is below calls that were left out before */
};

enum { VIZ_REC_THREADS = 512, VIZ_REC_CODES = 65536, VIZ_REC_DEPTH = 32, VIZ_REC_PARTS = 64 };

/* Losses by thread; place 0 takes the threads that found no place. */
struct viz_rec_thread {
	uint32_t tid; /* as the target sees it */
	uint32_t unused;
	uint32_t lost_enter, lost_leave;
	uint32_t told_enter, told_leave; /* losses up to here are in the ring */
	uint64_t floor, top,
		margin; /* WRAP: struct viz_rec_live, and what is left to the program */
	/* filter.h; frames as they are in records, 2 added so that none is 0 */
	uint32_t dropped; /* its call and what is below it is not recorded; 0: none */
	uint32_t depth; /* of the recorded calls that are open, as far as they count */
	uint32_t open[VIZ_REC_DEPTH];
};

/* A code object that was announced. id and verdict are one word for a
 * compare-and-swap. */
struct viz_rec_codeslot {
	uint64_t code; /* 0: free, 1: was freed; negative: no address, no reference (events.h) */
	uint64_t id; /* the id and these: */
};

#define VIZ_REC_REJECT (1ull << 32) /* by vizbpf: its calls are not wanted */
#define VIZ_REC_GENERATOR (2ull << 32) /* creation is no call */
#define VIZ_REC_TREE (4ull << 32) /* by vizbpf: nor what is called from there */
#define VIZ_REC_JUDGED (8ull << 32) /* by vizbpf: wanted, and counts for the depth */

enum viz_rec_state {
	VIZ_REC_FRESH = 0,
	VIZ_REC_UP = 1, /* recording */
	VIZ_REC_REFUSED = 2, /* error says at which step; the slot is back */
	VIZ_REC_STOPPED = 3,
};

/*
 * The events are filled in VIZ_REC_PARTS equal parts, and always the first one that is free: while
 * vizbpf keeps up these are the same few, which are in the cache and have been touched before. The
 * first touch of a page costs the target as much as the records of fifty calls.
 */
struct viz_rec_ring {
	uint64_t magic;
	uint32_t state; /* enum viz_rec_state */
	uint32_t error; /* the step that failed, enum viz_rec_step */
	uint32_t pid, tool; /* as the target sees itself */
	uint64_t mask;
	uint64_t nonce;
	uint64_t unused0[3];
	uint64_t head; /* records that can be read */
	uint64_t tentative; /* at the end: these too */
	uint64_t unused1[6];
	uint64_t tail; /* written by vizbpf */
	uint64_t beat; /* the clock when vizbpf last looked */
	uint64_t unused2[6];
	uint64_t min_ticks; /* shorter calls without callees kept are taken back; by vizbpf */
	uint64_t chains; /* say who calls; vizbpf sets it when the program switches stacks */
	uint64_t lost_codes;
	uint64_t
		filter; /* enum viz_rec_filter; vizbpf changes it when the program switches stacks */
	uint64_t unused3[4];
	/* record n is in part order[n / size of a part % VIZ_REC_PARTS] of the events */
	uint8_t order[VIZ_REC_PARTS];
	struct viz_rec_thread threads[VIZ_REC_THREADS];
	struct viz_rec_codeslot codes[VIZ_REC_CODES];
	struct viz_rec_event events[];
};

/* Which regions are in use: by the process or by a child of whatever
 * generation. */
struct viz_rec_dir {
	uint64_t nonce;
	/* bit by region; set in the target, cleared by vizbpf */
	uint64_t taken[VIZ_REC_REGIONS / 64];
	uint64_t missed; /* children that found none */
};

enum viz_rec_step {
	VIZ_STEP_NONE = 0,
	VIZ_STEP_NO_MONITORING = 1, /* sys.monitoring is not there */
	VIZ_STEP_NO_TOOL = 2, /* tool ids 4, 3 and 5 are taken */
	VIZ_STEP_CALLBACK = 3, /* a callback could not be made or registered */
	VIZ_STEP_EVENTS = 4, /* set_events failed */
};

/* The loader, written into an executable cave; its data stand in front of it.
 */
struct viz_load_consts {
	uint64_t slot, slot_original, eval;
	uint64_t base, bytes, start;
	uint64_t memfd_flags;
	struct {
		uint64_t from, size;
	} pieces[VIZ_REC_PIECES]; /* size 0: the end */
};

/* The smaller loader (room.c), in the same way. It waits so long at most. */
struct viz_room_consts {
	uint64_t slot, slot_original, eval;
	uint64_t base, bytes; /* of the memory for the recorder */
};

enum { VIZ_ROOM_WAIT_NS = 4000000, VIZ_ROOM_NAP_NS = 50000 };

#ifndef VIZ_REC_INSIDE
_Static_assert(sizeof(struct viz_rec_event) == 16, "layout");
_Static_assert(sizeof(struct viz_rec_code) == 32, "layout");
_Static_assert(sizeof(struct viz_rec_thread) == 184, "layout");
_Static_assert(sizeof(struct viz_rec_consts) <= VIZ_REC_CONSTS_SIZE, "layout");
#endif

#endif
