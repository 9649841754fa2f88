// SPDX-License-Identifier: Apache-2.0
#include "python_offsets.h"

#include <errno.h>
#include <string.h>

#include "../base/log.h"
#include "code.h"

#define NONE VIZ_NONE
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/*
 * x86-64 and any other LP64 architecture, builds with the GIL and without Py_DEBUG. Found
 * with offsetof() on each version's headers and checked on live processes.
 * runtime_head and runtime_current are members of _PyRuntime: interpreters.head and
 * gilstate.tstate_current.
 */
struct layout {
	struct viz_offsets off;
	uint32_t runtime_head, runtime_current;
};

static const struct layout layouts[] = {
#define STR_OLD .str_length = 16, .str_state = 32, .str_ascii_data = 48, .str_compact_data = 72
#define STR_NEW .str_length = 16, .str_state = 32, .str_ascii_data = 40, .str_compact_data = 56
#define TSTATE .tstate_next = 8, .tstate_interp = 16
#define FRAME_OBJECT                                                                               \
	.frame_code = 32, .frame_previous = 24, .frame_owner = NONE, .tstate_frame = 24,           \
	.cframe_current = NONE, .code_qualname = NONE, .tstate_native_id = NONE,                   \
	.tstate_c_recursion = NONE, .interp_threads = 8, .interp_next = 0,                         \
	.interp_perf_profiling = NONE, .tls_offset = NONE, STR_OLD, TSTATE
#define CODE_NEW                                                                                   \
	.code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 68,      \
	.code_flags = 48
#define FRAME_NEW .frame_code = 0, .frame_previous = 8
	{.off = {FRAME_OBJECT, .frame_localsplus = 376, .code_filename = 96, .code_name = 104,
		 .code_firstlineno = 36, .code_flags = 32, .tstate_thread_id = 152,
		 .tstate_exception = 80, .interp_eval_frame = 112},
	 NONE,
	 NONE},
	{.off = {FRAME_OBJECT, .frame_localsplus = 360, .code_filename = 96, .code_name = 104,
		 .code_firstlineno = 36, .code_flags = 32, .tstate_thread_id = 176,
		 .tstate_exception = 88, .interp_eval_frame = 464},
	 24,
	 1480},
	{.off = {FRAME_OBJECT, .frame_localsplus = 360, .code_filename = 104, .code_name = 112,
		 .code_firstlineno = 40, .code_flags = 36, .tstate_thread_id = 176,
		 .tstate_exception = 88, .interp_eval_frame = 568},
	 32,
	 1368},
	{.off = {FRAME_OBJECT, .frame_localsplus = 360, .code_filename = 104, .code_name = 112,
		 .code_firstlineno = 40, .code_flags = 36, .tstate_thread_id = 176,
		 .tstate_exception = 88, .interp_eval_frame = 1400},
	 32,
	 568},
	{.off = {FRAME_OBJECT, .frame_localsplus = 352, .code_filename = 104, .code_name = 112,
		 .code_firstlineno = 40, .code_flags = 36, .tstate_thread_id = 176,
		 .tstate_exception = 88, .interp_eval_frame = 1368},
	 32,
	 568},
	{.off = {STR_OLD,
		 TSTATE,
		 .frame_code = 32,
		 .frame_previous = 48,
		 .frame_owner = 69,
		 .frame_localsplus = 72,
		 .code_filename = 112,
		 .code_name = 120,
		 .code_qualname = 128,
		 .code_firstlineno = 72,
		 .code_flags = 48,
		 .tstate_frame = 56,
		 .cframe_current = 8,
		 .tstate_thread_id = 152,
		 .tstate_native_id = 160,
		 .tstate_exception = 96,
		 .tstate_c_recursion = NONE,
		 .interp_eval_frame = 1424,
		 .interp_threads = 16,
		 .interp_next = 0,
		 .interp_perf_profiling = NONE,
		 .tls_offset = NONE},
	 40,
	 576},
	{.off = {STR_NEW, TSTATE, CODE_NEW, FRAME_NEW, .frame_owner = 70, .frame_localsplus = 72,
		 .tstate_frame = 56, .cframe_current = 0, .tstate_thread_id = 136,
		 .tstate_native_id = 144, .tstate_exception = 96, .tstate_c_recursion = 36,
		 .interp_eval_frame = 1744, .interp_threads = 72, .interp_next = 0,
		 .interp_perf_profiling = 1320, .tls_offset = NONE},
	 40,
	 NONE},
	{.off = {STR_NEW, TSTATE, CODE_NEW, FRAME_NEW, .frame_owner = 70, .frame_localsplus = 72,
		 .tstate_frame = 72, .cframe_current = NONE, .tstate_thread_id = 152,
		 .tstate_native_id = 160, .tstate_exception = 112, .tstate_c_recursion = 52,
		 .interp_eval_frame = 8472, .interp_threads = 7344, .interp_next = 7264,
		 .interp_perf_profiling = 8032, .tls_offset = NONE},
	 632,
	 NONE},
	{.off = {STR_NEW, TSTATE, CODE_NEW, FRAME_NEW, .frame_owner = 74, .frame_localsplus = 80,
		 .tstate_frame = 72, .cframe_current = NONE, .tstate_thread_id = 152,
		 .tstate_native_id = 160, .tstate_exception = 112, .tstate_c_recursion = NONE,
		 .interp_eval_frame = 8520, .interp_threads = 7344, .interp_next = 7272,
		 .interp_perf_profiling = 8072, .tls_offset = NONE},
	 808,
	 NONE},
	{.off = {STR_NEW, TSTATE, CODE_NEW, FRAME_NEW, .frame_owner = 74, .frame_localsplus = 80,
		 .tstate_frame = 72, .cframe_current = NONE, .tstate_thread_id = 176,
		 .tstate_native_id = 184, .tstate_exception = 136, .tstate_c_recursion = NONE,
		 .interp_eval_frame = 8472, .interp_threads = 7336, .interp_next = 7264,
		 .interp_perf_profiling = 8024, .tls_offset = NONE},
	 936,
	 NONE},
};

_Static_assert(COUNT(layouts) == VIZ_PYTHON_MINOR_MAX - VIZ_PYTHON_MINOR_MIN + 1,
	       "one layout for each minor version");

/* Places in _Py_DebugOffsets (Include/internal/pycore_debug_offsets.h), bytes. */
struct debug_place {
	uint16_t in_313, in_314, in_315; /* 0: not there */
	uint16_t field; /* of struct viz_offsets, bytes */
	const char *name;
};

#define FIELD(f) offsetof(struct viz_offsets, f), #f

static const struct debug_place debug_places[] = {
	{64, 64, 64, FIELD(interp_next)},	  {72, 72, 72, FIELD(interp_threads)},
	{168, 192, 192, FIELD(tstate_next)},	  {176, 200, 200, FIELD(tstate_interp)},
	{184, 208, 208, FIELD(tstate_frame)},	  {192, 216, 240, FIELD(tstate_thread_id)},
	{200, 224, 248, FIELD(tstate_native_id)}, {0, 0, 288, FIELD(tstate_exception)},
	{232, 256, 320, FIELD(frame_previous)},	  {240, 264, 328, FIELD(frame_code)},
	{256, 280, 344, FIELD(frame_localsplus)}, {264, 288, 352, FIELD(frame_owner)},
	{280, 320, 384, FIELD(code_filename)},	  {288, 328, 392, FIELD(code_name)},
	{296, 336, 400, FIELD(code_qualname)},	  {312, 352, 416, FIELD(code_firstlineno)},
	{544, 624, 720, FIELD(str_state)},	  {552, 632, 728, FIELD(str_length)},
	{560, 640, 736, FIELD(str_ascii_data)},	  {0, 0, 744, FIELD(str_compact_data)},
};

bool viz_debug_offsets__head(const struct viz_elf *elf, uint64_t *version, bool *free_threaded)
{
	struct viz_elf_section section;
	const unsigned char *data;
	uint64_t flag;

	if (!viz_elf__section(elf, ".PyRuntime", &section))
		return false;
	data = viz_elf__at(elf, section.vaddr, 24);
	if (!data || memcmp(data, "xdebugpy", 8))
		return false;
	memcpy(version, data + 8, 8);
	memcpy(&flag, data + 16, 8);
	*free_threaded = flag != 0;
	return true;
}

/*
 * The build's own table must say what was measured. A build that moved one member has moved
 * others that its table does not mention, so a difference is a refusal.
 */
static int check_debug_offsets(const struct viz_elf *elf, const struct viz_build *build,
			       uint32_t runtime_head, char *why, size_t why_size)
{
	const unsigned char *data = viz_elf__at(elf, build->runtime, 760);
	uint64_t head;
	size_t i;

	if (!data)
		return viz_why(why, why_size, -ENOTSUP, "its table of debug offsets is cut short");
	for (i = 0; i < COUNT(debug_places); i++) {
		const struct debug_place *place = &debug_places[i];
		size_t at = build->minor == 13	 ? place->in_313
			    : build->minor == 14 ? place->in_314
						 : place->in_315;
		uint32_t known;
		uint64_t said;

		if (!at)
			continue;
		memcpy(&known, (const char *)&build->info.off + place->field, 4);
		memcpy(&said, data + at, 8);
		if (said != known)
			return viz_why(why, why_size, -ENOTSUP,
				       "its debug offsets give %s = %llu, but 3.%u has %u",
				       place->name, (unsigned long long)said, build->minor, known);
	}
	memcpy(&head, data + 40, 8);
	if (head != runtime_head)
		return viz_why(why, why_size, -ENOTSUP,
			       "its debug offsets give interpreters_head = %llu, but 3.%u has %u",
			       (unsigned long long)head, build->minor, runtime_head);
	return 0;
}

static bool access_of(const struct viz_elf *elf, const char *function, struct viz_access *access)
{
	struct viz_elf_symbol symbol;

	return viz_elf__symbol(elf, function, &symbol) &&
	       !viz_insns__accessor(elf, symbol.value, access);
}

/* "return object->member": the member's offset must be @expected; -ENOENT: not readable. */
static int check_member(const struct viz_elf *elf, const char *function, uint32_t expected,
			char *why, size_t why_size)
{
	struct viz_access access;

	if (!access_of(elf, function, &access))
		return -ENOENT;
	if (access.base == VIZ_ACCESS_ARG0 && access.disp == expected)
		return 0;
	return viz_why(why, why_size, -ENOTSUP, "%s() reads offset %lld, but %u is known for it",
		       function, (long long)access.disp, expected);
}

static int check_accessors(const struct viz_elf *elf, const struct viz_build *build, char *why,
			   size_t why_size)
{
	const struct viz_offsets *off = &build->info.off;
	const struct {
		const char *function;
		uint32_t offset;
		bool needed;
	} members[] = {
		{"PyInterpreterState_Next", off->interp_next, true},
		{"PyInterpreterState_ThreadHead", off->interp_threads, false},
		{"PyThreadState_Next", off->tstate_next, true},
		{"PyThreadState_GetInterpreter", off->tstate_interp, false},
		/* The slot is written to from 3.11 on: nothing but the build's word will do. */
		{"_PyInterpreterState_GetEvalFrameFunc", off->interp_eval_frame,
		 build->minor >= 11},
	};

	for (size_t i = 0; i < COUNT(members); i++) {
		int err = check_member(elf, members[i].function, members[i].offset, why, why_size);

		if (err == -ENOENT && members[i].needed)
			return viz_why(why, why_size, -ENOTSUP, "its %s() cannot be read",
				       members[i].function);
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

/* Where the list of interpreters starts, and what holds the current thread state. */
static int find_globals(const struct viz_elf *elf, struct viz_build *build,
			const struct layout *layout, char *why, size_t why_size)
{
	struct viz_access access;
	struct viz_elf_symbol symbol;

	if (!access_of(elf, "PyInterpreterState_Head", &access) ||
	    access.base != VIZ_ACCESS_GLOBAL || access.disp <= 0)
		return viz_why(why, why_size, -ENOTSUP,
			       "its PyInterpreterState_Head() cannot be read");
	if (layout->runtime_head != NONE &&
	    (uint64_t)access.disp != build->runtime + layout->runtime_head)
		return viz_why(why, why_size, -ENOTSUP,
			       "PyInterpreterState_Head() and _PyRuntime contradict each other");
	build->interp_head = (uint64_t)access.disp;
	if (build->minor == 6) {
		if (!viz_elf__symbol(elf, "_PyThreadState_Current", &symbol))
			return viz_why(why, why_size, -ENOTSUP, "it has no _PyThreadState_Current");
		build->info.off.current_tstate = symbol.value;
		return 0;
	}
	if (layout->runtime_current == NONE)
		return 0;
	build->info.off.current_tstate = build->runtime + layout->runtime_current;
	if (access_of(elf, "_PyThreadState_UncheckedGet", &access) &&
	    (access.base != VIZ_ACCESS_GLOBAL ||
	     (uint64_t)access.disp != build->info.off.current_tstate))
		return viz_why(
			why, why_size, -ENOTSUP,
			"_PyThreadState_UncheckedGet() and _PyRuntime contradict each other");
	return 0;
}

static void set_flags(struct viz_build *build)
{
	uint32_t *flags = &build->info.flags;

	if (build->minor <= 8)
		*flags |= VIZ_BUILD_FRAME_ARG0;
	if (build->minor >= 11)
		*flags |= VIZ_BUILD_CREATION | VIZ_BUILD_INLINES;
	if (build->minor >= 14)
		*flags |= VIZ_BUILD_TAGGED;
	/* BINARY_SUBSCR_GETITEM up to 3.11.3 (gh-104405), CALL_ALLOC_AND_ENTER_INIT in 3.13
	 * and compiled traces ignore the slot. */
	if ((build->minor == 11 && (build->micro <= 3 || build->micro == 255)) ||
	    build->minor == 13 || build->jit)
		*flags |= VIZ_BUILD_ESCAPES;
}

int viz_offsets__fill(const struct viz_elf *elf, struct viz_build *build, char *why,
		      size_t why_size)
{
	const struct layout *layout;
	struct viz_elf_symbol symbol;
	struct viz_access access;
	int err;

	if (build->minor < VIZ_PYTHON_MINOR_MIN || build->minor > VIZ_PYTHON_MINOR_MAX)
		return -ENOTSUP;
	layout = &layouts[build->minor - VIZ_PYTHON_MINOR_MIN];
	build->info.off = layout->off;
	if (viz_elf__symbol(elf, "_PyRuntime", &symbol))
		build->runtime = symbol.value;
	else if (build->minor >= 7)
		return viz_why(why, why_size, -ENOTSUP, "it has no _PyRuntime");
	if (build->minor >= 13) {
		err = check_debug_offsets(elf, build, layout->runtime_head, why, why_size);
		if (err)
			return err;
	}
	err = find_globals(elf, build, layout, why, why_size);
	if (!err)
		err = check_accessors(elf, build, why, why_size);
	if (err)
		return err;
	if (build->minor >= 12 && access_of(elf, "_PyThreadState_GetCurrent", &access) &&
	    access.base == VIZ_ACCESS_TLS && access.disp < 0 && access.disp > -(1 << 20))
		build->info.off.tls_offset = (uint32_t)-access.disp;
	set_flags(build);
	return 0;
}
