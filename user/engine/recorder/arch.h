/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between architectures in the recorder: system calls, the clock,
 * the thread pointer. The recorder has no libc to ask.
 */
#ifndef VIZ_REC_ARCH_H
#define VIZ_REC_ARCH_H

#include <stdint.h>

#if defined(__x86_64__)

enum {
	SYS_mmap = 9,
	SYS_munmap = 11,
	SYS_close = 3,
	SYS_pwrite64 = 18,
	SYS_rt_sigprocmask = 14,
	SYS_nanosleep = 35,
	SYS_clock_gettime = 228,
	SYS_madvise = 28,
	SYS_getpid = 39,
	SYS_ftruncate = 77,
	SYS_gettid = 186,
	SYS_memfd_create = 319,
	SYS_mremap = 25,
};

static inline __attribute__((always_inline)) long arch_syscall(long nr, long a, long b, long c,
							       long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline __attribute__((always_inline)) uint64_t arch_counter(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static inline __attribute__((always_inline)) uint64_t arch_thread_pointer(void)
{
	uint64_t tp;

	__asm__ volatile("mov %%fs:0, %0" : "=r"(tp));
	return tp;
}

static inline __attribute__((always_inline)) uint64_t arch_stack_pointer(void)
{
	uint64_t sp;

	__asm__ volatile("mov %%rsp, %0" : "=r"(sp));
	return sp;
}

/* A thread-local word of the static TLS block. */
static inline __attribute__((always_inline)) uint64_t arch_tls(int64_t offset)
{
	uint64_t value;

	__asm__ volatile("mov %%fs:(%1), %0" : "=r"(value) : "r"(offset));
	return value;
}

#elif defined(__aarch64__)

enum {
	SYS_mmap = 222,
	SYS_munmap = 215,
	SYS_close = 57,
	SYS_pwrite64 = 68,
	SYS_rt_sigprocmask = 135,
	SYS_nanosleep = 101,
	SYS_clock_gettime = 113,
	SYS_madvise = 233,
	SYS_getpid = 172,
	SYS_ftruncate = 46,
	SYS_gettid = 178,
	SYS_memfd_create = 279,
	SYS_mremap = 216,
};

static inline __attribute__((always_inline)) long arch_syscall(long nr, long a, long b, long c,
							       long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

static inline __attribute__((always_inline)) uint64_t arch_counter(void)
{
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
}

static inline __attribute__((always_inline)) uint64_t arch_thread_pointer(void)
{
	uint64_t tp;

	__asm__ volatile("mrs %0, tpidr_el0" : "=r"(tp));
	return tp;
}

static inline __attribute__((always_inline)) uint64_t arch_stack_pointer(void)
{
	uint64_t sp;

	__asm__ volatile("mov %0, sp" : "=r"(sp));
	return sp;
}

static inline __attribute__((always_inline)) uint64_t arch_tls(int64_t offset)
{
	return *(uint64_t *)(arch_thread_pointer() + offset);
}

#else
#error "the recorder knows x86-64 and aarch64 only"
#endif

#endif
