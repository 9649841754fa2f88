// SPDX-License-Identifier: Apache-2.0
/*
 * The recorder of engine trampoline in a CPython for aarch64: does from inside what vizbpf does
 * from outside (trampoline_attach.c), because an interpreter under qemu-user cannot be attached
 * to. The offsets are those that the interpreter's own headers give. For harness.py, by ctypes.
 */
#define Py_BUILD_CORE
#include <Python.h>

#include <dlfcn.h>
#include <internal/pycore_frame.h>
#include <internal/pycore_interp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "recorder/recorder.h"

#include "recorder_image.h"

enum { RECORDS = 1 << 16, NAMES = 4096, CODE_SPACE = 1 << 16 };

#if PY_VERSION_HEX >= 0x030c0000
#define IMAGE monitor_image
#define AT_START monitor_at_start
#define AT_STOP monitor_at_stop
#define FRAME_CODE offsetof(_PyInterpreterFrame, f_executable)
#else
#define IMAGE wrap_image
#define AT_START wrap_at_start
#define AT_STOP wrap_at_stop
#define FRAME_CODE offsetof(_PyInterpreterFrame, f_code)
#endif
#if PY_VERSION_HEX >= 0x030d0000
#define TSTATE_FRAME offsetof(PyThreadState, current_frame)
#define CFRAME_CURRENT VIZ_REC_ABSENT
#else
#define TSTATE_FRAME offsetof(PyThreadState, cframe)
#define CFRAME_CURRENT offsetof(_PyCFrame, current_frame)
#endif

static uint64_t base, ring_bytes, *slot;

static uint64_t address(const char *name)
{
	return (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, name);
}

static void fill(struct viz_rec_consts *k, PyInterpreterState *interp)
{
	*k = (struct viz_rec_consts){
		.magic = VIZ_REC_MAGIC,
		.mode = PY_VERSION_HEX >= 0x030c0000 ? VIZ_REC_MONITOR : VIZ_REC_WRAP,
		.chains = PY_VERSION_HEX<
			0x030c0000,
			.current_tstate = address(PY_VERSION_HEX >= 0x030d0000
							  ? "PyThreadState_GetUnchecked"
							  : "_PyThreadState_UncheckedGet"),
			.tstate_frame = TSTATE_FRAME, .cframe_current = CFRAME_CURRENT,
			.tstate_native = offsetof(PyThreadState, native_thread_id),
			.tstate_next = offsetof(PyThreadState, next), .frame_code = FRAME_CODE,
			.frame_owner = offsetof(_PyInterpreterFrame, owner),
			.frame_previous = offsetof(_PyInterpreterFrame, previous),
			.creation = PY_VERSION_HEX<
				0x030c0000, .code_name = offsetof(PyCodeObject, co_qualname),
				.code_filename = offsetof(PyCodeObject, co_filename),
				.code_firstlineno = offsetof(PyCodeObject, co_firstlineno),
				.code_flags = offsetof(PyCodeObject, co_flags),
				.str_length = offsetof(PyASCIIObject, length),
				.str_state = offsetof(PyASCIIObject, state),
				.str_ascii_data = sizeof(PyASCIIObject),
				.str_compact_data = sizeof(PyCompactUnicodeObject),
				.none = address("_Py_NoneStruct"),
				.code_type = address("PyCode_Type"),
				.inc_ref = address("Py_IncRef"), .dec_ref = address("Py_DecRef"),
				.err_fetch = address("PyErr_Fetch"),
				.err_restore = address("PyErr_Restore"),
				.err_clear = address("PyErr_Clear"),
				.sys_get_object = address("PySys_GetObject"),
				.getattr_string = address("PyObject_GetAttrString"),
				.call_method = address("PyObject_CallMethod"),
				.cfunction_new = address("PyCFunction_NewEx"),
				.long_as_long = address("PyLong_AsLong"), .mask = RECORDS - 1,
				.eval = address("_PyEval_EvalFrameDefault"),
				.slot = (uint64_t)(uintptr_t)slot, .slot_original = *slot,
				.ring_bytes = ring_bytes, .regions = 1,
				.threads = (uint64_t)(uintptr_t)&interp->threads.head,
				.nonce = 0x5eed, .judged = VIZ_REC_JUDGED, .patience = ~0ull>> 8,
		.memfd_flags = 1,
		.pid = (uint32_t)getpid(),
	};
}

/* The loader, and the recorder in two pieces, where they can be executed and read. */
static void place_pieces(unsigned char *place, struct viz_rec_consts *k)
{
	size_t half = sizeof(IMAGE) / 2;
	struct viz_load_consts load = {
		.slot = k->slot,
		.slot_original = k->slot_original,
		.eval = k->eval,
		.base = base,
		.bytes = sizeof(IMAGE),
		.start = base + AT_START,
		.memfd_flags = k->memfd_flags,
		.pieces = {{(uint64_t)(uintptr_t)place + 8192, half},
			   {(uint64_t)(uintptr_t)place + 32768, sizeof(IMAGE) - half}},
	};

	k->slot_boot = (uint64_t)(uintptr_t)place + loader_at_load;
	memcpy(place, loader_image, sizeof(loader_image));
	memcpy(place, &load, sizeof(load));
	memcpy(place + 8192, IMAGE, half);
	memcpy(place + 8192, k, sizeof(*k));
	memcpy(place + 32768, IMAGE + half, sizeof(IMAGE) - half);
}

/* The smaller loader alone. */
static void place_room(unsigned char *place, struct viz_rec_consts *k)
{
	struct viz_room_consts room = {
		.slot = k->slot,
		.slot_original = k->slot_original,
		.eval = k->eval,
		.base = base,
		.bytes = sizeof(IMAGE),
	};

	k->slot_boot = base + AT_START;
	memcpy(place, room_image, sizeof(room_image));
	memcpy(place, &room, sizeof(room));
}

/* Brings the recorder when the smaller loader has mapped memory for it: before that there is
 * nothing whose protection could be changed. */
static void *deliver(void *consts)
{
	while (mprotect((void *)(uintptr_t)base, sizeof(IMAGE), PROT_READ | PROT_WRITE))
		usleep(100);
	memcpy((void *)(uintptr_t)base, IMAGE, sizeof(IMAGE));
	memcpy((void *)(uintptr_t)base, consts, sizeof(struct viz_rec_consts));
	mprotect((void *)(uintptr_t)base, sizeof(IMAGE), PROT_READ | PROT_EXEC);
	__builtin___clear_cache((char *)(uintptr_t)base, (char *)(uintptr_t)base + sizeof(IMAGE));
	*slot = base + AT_START;
	return NULL;
}

/* Leaves a loader for the recorder, or the smaller one (@room), and points the slot to it. 0, or
 * the number of what failed. */
int attach(int room)
{
	static struct viz_rec_consts k;
	PyInterpreterState *interp = PyInterpreterState_Get();
	unsigned char *place = mmap(NULL, CODE_SPACE, PROT_READ | PROT_WRITE | PROT_EXEC,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	void *hole;

	ring_bytes = (sizeof(struct viz_rec_ring) + RECORDS * 16 + VIZ_REC_PAGE - 1) &
		     ~(uint64_t)(VIZ_REC_PAGE - 1);
	hole = mmap(NULL, VIZ_REC_RING_AT + ring_bytes + VIZ_REC_PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (place == MAP_FAILED || hole == MAP_FAILED)
		return 1;
	munmap(hole, VIZ_REC_RING_AT + ring_bytes + VIZ_REC_PAGE);
	base = ((uint64_t)(uintptr_t)hole + VIZ_REC_PAGE - 1) & ~(uint64_t)(VIZ_REC_PAGE - 1);
	slot = (uint64_t *)&interp->eval_frame;
	fill(&k, interp);
	(room ? place_room : place_pieces)(place, &k);
	__builtin___clear_cache((char *)place, (char *)place + CODE_SPACE);
	if (room && pthread_create(&thread, NULL, deliver, &k))
		return 2;
	*slot = (uint64_t)(uintptr_t)place + (room ? room_at_load : loader_at_load);
	return 0;
}

static struct viz_rec_ring *the_ring(void)
{
	return (struct viz_rec_ring *)(uintptr_t)(base + VIZ_REC_RING_AT);
}

/* enum viz_rec_state; 0 also while the slot still holds the loader: nobody has come by. */
int state(void)
{
	int loaded = (*slot == 0 || *slot - base < VIZ_REC_PAGE);

	return loaded ? (int)the_ring()->state : 0;
}

int error(void)
{
	return (int)the_ring()->error;
}

static char names[NAMES][64];
static uint32_t count_of[NAMES][2], raised[NAMES];
static uint64_t threads, backwards, records;

static void name_code(const struct viz_rec_event *event, uint32_t id)
{
	struct viz_rec_code code;
	uint32_t size;

	memcpy(&code, event + 1, sizeof(code));
	size = code.name_size < sizeof(names[0]) - 1 ? code.name_size : sizeof(names[0]) - 1;
	if (code.name_kind != 1 || id >= NAMES)
		return;
	memcpy(names[id], (const char *)(event + 1) + sizeof(code), size);
	names[id][size] = '\0';
}

/* Reads what is in the ring, which was never full. */
void drain(void)
{
	struct viz_rec_ring *ring = the_ring();
	uint64_t last = 0, head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);

	for (uint64_t at = 0; at < head; at++) {
		const struct viz_rec_event *event = &ring->events[at];
		unsigned int kind = event->when & 15, flags = event->when >> 4 & 15;
		uint32_t id = (uint32_t)event->what;

		if (kind == VIZ_RECORD_NONE)
			continue;
		records++;
		if (kind == VIZ_RECORD_CODE) {
			name_code(event, id);
			at += event->when >> 8; /* slots that follow */
			continue;
		}
		threads += kind == VIZ_RECORD_THREAD;
		backwards += event->when >> 8 < last;
		last = event->when >> 8;
		if ((kind == VIZ_RECORD_ENTER || kind == VIZ_RECORD_LEAVE) && id < NAMES) {
			count_of[id][kind == VIZ_RECORD_LEAVE]++;
			raised[id] += kind == VIZ_RECORD_LEAVE && flags & 1;
		}
	}
}

/* Of a function, after drain(): 0: beginnings, 1: ends, 2: ends by an exception. */
int calls(const char *name, int what)
{
	int sum = 0;

	for (int i = 0; i < NAMES; i++)
		if (!strcmp(names[i], name))
			sum += what == 2 ? (int)raised[i] : (int)count_of[i][what];
	return sum;
}

/* 0: records, 1: THREAD records, 2: times at which the clock went back, 3: lost. */
int sum(int what)
{
	struct viz_rec_ring *ring = the_ring();
	uint64_t lost = 0;

	for (int i = 0; i < VIZ_REC_THREADS; i++)
		lost += ring->threads[i].lost_enter + ring->threads[i].lost_leave;
	return (int)(what == 0 ? records : what == 1 ? threads : what == 2 ? backwards : lost);
}

void detach(void)
{
	((struct viz_rec_keep *)(uintptr_t)(base + VIZ_REC_KEEP_AT))->mode = VIZ_REC_OFF;
	((struct viz_rec_live *)(uintptr_t)(base + VIZ_REC_LIVE_AT))->ring = 0;
	*slot = base + AT_STOP;
}

/* The slot is as it was before, or not yet. */
int is_back(void)
{
	return *slot == 0;
}
