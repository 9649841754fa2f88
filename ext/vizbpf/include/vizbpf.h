/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of your own on the timeline of vizbpf, from C and C++: one header, no library.
 *
 *	#include <vizbpf.h>
 *
 *	vizbpf_begin("parse", "io", NULL);
 *	...
 *	vizbpf_end("parse");
 *	if (vizbpf_enabled())		// before building arguments
 *		vizbpf_instant("retry", NULL, "{\"attempt\":3}");
 *
 * An event is a USDT probe, vizbpf:event, guarded by a semaphore that the kernel raises
 * while somebody listens: nobody listening costs one load and one branch. bpftrace, perf
 * and every other USDT tool can read it too. All strings are UTF-8; category and args may
 * be NULL; args is one JSON object. Names are cut at 255 bytes, categories at 63, args that
 * do not fit in about 1700 bytes are dropped by the tracer. Needs GCC or Clang on x86-64 or
 * 64-bit Arm; elsewhere, or with VIZBPF_DISABLE defined, all of it compiles to nothing.
 */
#ifndef VIZBPF_H
#define VIZBPF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The first argument of the probe, low 8 bits. */
enum vizbpf_type {
	VIZBPF_INSTANT = 1, /* value: the scope, 't', 'p' or 'g' */
	VIZBPF_BEGIN = 2,
	VIZBPF_END = 3,
	VIZBPF_COUNTER = 4, /* value: the bits of a double, unless args are given */
	VIZBPF_ASYNC_BEGIN = 5,
	VIZBPF_ASYNC_END = 6,
	VIZBPF_FLOW_START = 7,
	VIZBPF_FLOW_STEP = 8,
	VIZBPF_FLOW_END = 9,
	VIZBPF_OBJECT_NEW = 10,
	VIZBPF_OBJECT_SNAPSHOT = 11,
	VIZBPF_OBJECT_DELETE = 12,
};

#if !defined(VIZBPF_DISABLE) && defined(__linux__) && defined(__LP64__) &&                         \
	(defined(__x86_64__) || defined(__aarch64__)) && defined(__GNUC__)
#define VIZBPF_AVAILABLE 1
#else
#define VIZBPF_AVAILABLE 0
#endif

#if VIZBPF_AVAILABLE

#ifdef __cplusplus
extern "C" {
#endif
/* One counter for each executable or library, however many files include this header. */
__attribute__((weak, used, visibility("hidden"),
	       section(".probes"))) volatile unsigned short vizbpf_event_semaphore;
#ifdef __cplusplus
}
#endif

/* Non-zero while a tracer listens. */
static inline int vizbpf_enabled(void)
{
	return __builtin_expect(vizbpf_event_semaphore != 0, 0);
}

/*
 * The note that tells tracers about the probe: an ELF note of owner "stapsdt", type 3,
 * holding the address of the probed instruction, that of a marker section (so that a
 * later move of the whole file by prelink can be undone), that of the semaphore, then
 * provider, name and where each argument is.
 */
#define VIZBPF_NOTE(args)                                                                          \
	".pushsection .note.stapsdt,\"?\",\"note\"\n"                                              \
	"	.balign 4\n"                                                                             \
	"	.4byte 8, 7782f - 7781f, 3\n"                                                            \
	"	.asciz \"stapsdt\"\n"                                                                    \
	"7781:	.8byte 7780b\n"                                                                     \
	"	.8byte _.stapsdt.base\n"                                                                 \
	"	.8byte vizbpf_event_semaphore\n"                                                         \
	"	.asciz \"vizbpf\"\n"                                                                     \
	"	.asciz \"event\"\n"                                                                      \
	"	.asciz \"" args "\"\n"                                                             \
	"7782:	.balign 4\n"                                                                        \
	".popsection\n"                                                                            \
	".ifndef _.stapsdt.base\n"                                                                 \
	".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                    \
	"	.weak _.stapsdt.base\n"                                                                  \
	"	.hidden _.stapsdt.base\n"                                                                \
	"_.stapsdt.base:\n"                                                                        \
	"	.space 1\n"                                                                              \
	"	.size _.stapsdt.base, 1\n"                                                               \
	".popsection\n"                                                                            \
	".endif\n"

/*
 * The probe. The six arguments are in the registers of the first six parameters, so that a
 * tracer needs no more than the calling convention. The instruction is a one-byte nop (four
 * bytes on Arm): Linux 6.18 replaces a probed five-byte nop by a call, which writes below
 * the stack pointer and destroys the red zone of a leaf function.
 */
__attribute__((noinline, unused)) static void vizbpf_probe(uint64_t type, const char *name,
							   const char *category, const char *args,
							   uint64_t id, uint64_t value)
{
#if defined(__x86_64__)
	register uint64_t arg4 __asm__("r8") = id;
	register uint64_t arg5 __asm__("r9") = value;

	__asm__ volatile(
		"7780:	.byte 0x90\n" VIZBPF_NOTE("8@%%rdi 8@%%rsi 8@%%rdx 8@%%rcx 8@%%r8 8@%%r9")
		: /* no output */
		: "D"(type), "S"(name), "d"(category), "c"(args), "r"(arg4), "r"(arg5)
		: "memory");
#else
	register uint64_t arg0 __asm__("x0") = type;
	register const char *arg1 __asm__("x1") = name;
	register const char *arg2 __asm__("x2") = category;
	register const char *arg3 __asm__("x3") = args;
	register uint64_t arg4 __asm__("x4") = id;
	register uint64_t arg5 __asm__("x5") = value;

	__asm__ volatile("7780:	nop\n" VIZBPF_NOTE("8@x0 8@x1 8@x2 8@x3 8@x4 8@x5")
			 : /* no output */
			 : "r"(arg0), "r"(arg1), "r"(arg2), "r"(arg3), "r"(arg4), "r"(arg5)
			 : "memory");
#endif
}

/*
 * Fires the probe whether or not somebody listens: callers check vizbpf_enabled(). The
 * tracer is told how long the texts are (bits 8 and up of the first argument); measuring
 * them also brings their pages in, which the kernel cannot do at a probe.
 */
static inline void vizbpf_emit(enum vizbpf_type type, const char *name, const char *category,
			       const char *args, uint64_t id, uint64_t value)
{
	size_t size = 3;

	name = name ? name : "";
	category = category ? category : "";
	args = args ? args : "";
	size += strlen(name) + strlen(category) + strlen(args);
	if (size > 0xffffff)
		size = 0xffffff;
	vizbpf_probe((uint64_t)type | (uint64_t)size << 8, name, category, args, id, value);
}

#else /* !VIZBPF_AVAILABLE */

static inline int vizbpf_enabled(void)
{
	return 0;
}

static inline void vizbpf_emit(enum vizbpf_type type, const char *name, const char *category,
			       const char *args, uint64_t id, uint64_t value)
{
	(void)type, (void)name, (void)category, (void)args, (void)id, (void)value;
}

#endif

/* A moment on this thread's track. */
static inline void vizbpf_instant(const char *name, const char *category, const char *args)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_INSTANT, name, category, args, 0, 't');
}

/* A slice on this thread's track; begins and ends nest, as calls do. */
static inline void vizbpf_begin(const char *name, const char *category, const char *args)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_BEGIN, name, category, args, 0, 0);
}

static inline void vizbpf_end(const char *name)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_END, name, NULL, NULL, 0, 0);
}

/* A number over time. */
static inline void vizbpf_counter(const char *name, double number)
{
	uint64_t bits;

	if (!vizbpf_enabled())
		return;
	memcpy(&bits, &number, sizeof(bits));
	vizbpf_emit(VIZBPF_COUNTER, name, NULL, NULL, 0, bits);
}

/* A slice of its own row, which may end on another thread: the id joins the two. */
static inline void vizbpf_async_begin(const char *name, uint64_t id, const char *args)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_ASYNC_BEGIN, name, NULL, args, id, 0);
}

static inline void vizbpf_async_end(const char *name, uint64_t id, const char *args)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_ASYNC_END, name, NULL, args, id, 0);
}

/* An arrow from the slice that is open here to the one open where the next call with the
 * same id is made; threads and processes may differ. */
static inline void vizbpf_flow_start(const char *name, uint64_t id)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_FLOW_START, name, NULL, NULL, id, 0);
}

static inline void vizbpf_flow_step(const char *name, uint64_t id)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_FLOW_STEP, name, NULL, NULL, id, 0);
}

static inline void vizbpf_flow_end(const char *name, uint64_t id)
{
	if (vizbpf_enabled())
		vizbpf_emit(VIZBPF_FLOW_END, name, NULL, NULL, id, 0);
}

#ifdef __cplusplus
/* A slice as long as the object lives. The strings are not copied. */
class vizbpf_scope
{
      public:
	explicit vizbpf_scope(const char *slice, const char *category = NULL,
			      const char *args = NULL)
	    : name(vizbpf_enabled() ? slice : NULL)
	{
		if (name)
			vizbpf_emit(VIZBPF_BEGIN, name, category, args, 0, 0);
	}
	~vizbpf_scope()
	{
		if (name)
			vizbpf_emit(VIZBPF_END, name, NULL, NULL, 0, 0);
	}

      private:
	const char *name;
	vizbpf_scope(const vizbpf_scope &);
	vizbpf_scope &operator=(const vizbpf_scope &);
};
#endif

#endif
