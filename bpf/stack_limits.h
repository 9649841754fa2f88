/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * When engine eval steps back in time. With the PEP 523 slot set (3.11+) every Python frame
 * takes 400 to 480 bytes of C stack more than untraced in 3.11 to 3.13 and 900 in 3.14 and
 * 3.15, whether it is called from Python or through C functions, which take what they always
 * took: 400 bytes a level for a generator, 600 for functools.reduce, 1100 for re.sub, 5000 for
 * sorted(key=).
 *
 * The program counts on its whole stack. So the limit is set on what has been used, not on
 * what is left: within the default recursion limit of 1000 we take 0.5 MB (3.14: 0.9) of the
 * usual 8, and nobody comes near. A recursion of 50,000 with a raised limit does, and is then
 * at 4500 frames (3.14: 2200), with 5 MB left for what it would do untraced: in frames alone
 * nothing, as they are inlined again. 3.14 and later end at a limit of their own, which is 4 MB
 * where /proc is not mounted (Python/ceval.c, _Py_InitializeRecursionLimits; "Stack overflow
 * (used 3875 kB)" on a stack of 8).
 *
 * Between soft and hard lie 2200 calls, several milliseconds with a probe on each: user space
 * is nearly always faster and nothing is stopped.
 */
#ifndef VIZ_STACK_LIMITS_H
#define VIZ_STACK_LIMITS_H

/* A first thread without a limit: taken as this much. */
#define VIZ_STACK_UNLIMITED (64ULL << 20)
/* A stack smaller than this never has the slot set over it. */
#define VIZ_STACK_SMALL (512ULL << 10)
/* Where the kernel cannot tell the stack's size (before 5.17), it is taken as this. */
#define VIZ_STACK_ASSUMED (256ULL << 10)
/* The smaller of a part of the stack, in eighths, and so many bytes. */
#define VIZ_STACK_USED(size, eighths, bytes)                                                       \
	((size) / 8 * (eighths) < (bytes) ? (size) / 8 * (eighths) : (bytes))
/* Less room than this: the process is stopped until the slot is clear. */
#define VIZ_STACK_HARD(size)                                                                       \
	((size) < VIZ_STACK_SMALL ? (size) : (size)-VIZ_STACK_USED(size, 5, 3ULL << 20))
/* Less room than this: user space is told to clear the slot, the program runs on. */
#define VIZ_STACK_SOFT(size)                                                                       \
	((size) < VIZ_STACK_SMALL ? (size) : (size)-VIZ_STACK_USED(size, 4, 2ULL << 20))
/* More room than this: the slot may be set again. Never over a small stack. */
#define VIZ_STACK_AGAIN(size)                                                                      \
	((size) < VIZ_STACK_SMALL ? 2 * (size) : (size)-VIZ_STACK_USED(size, 3, 3ULL << 19))

/* So long a thread that has come to the hard limit waits before its process is stopped, ns. */
#define VIZ_STACK_WAIT 50000000

/*
 * 3.12 and 3.13 count C calls down in tstate->c_recursion_remaining, two for each entry of
 * the eval function (Python/ceval.c); at 0 RecursionError is raised. 1500 at first in 3.12.0 to
 * 3.12.2, 10000 after. A C function that recurses by itself (json, pickle, the compiler) counts
 * too, so a third of the small budget stays. In 3.13 4000 frames take what 2 MB of stack take.
 */
#define VIZ_C_RECURSION_HARD 500
#define VIZ_C_RECURSION_SOFT(version) ((version) < 0x030d0000 ? 900 : 2000)

#endif
