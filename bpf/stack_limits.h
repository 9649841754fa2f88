/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * When engine eval steps back in time. With the PEP 523 slot set (3.11+) every
 * Python-to-Python call takes C stack: 400 to 912 bytes, and up to some KiB through
 * C functions. Untraced it takes none, so what is left must suffice for everything
 * the program would have done with its whole stack.
 */
#ifndef VIZ_STACK_LIMITS_H
#define VIZ_STACK_LIMITS_H

/* A first thread without a limit: taken as this much. */
#define VIZ_STACK_UNLIMITED (64ULL << 20)
/* A stack smaller than this never has the slot set over it. */
#define VIZ_STACK_SMALL (512ULL << 10)
/* Where the kernel cannot tell the stack's size (before 5.17), it is taken as this. */
#define VIZ_STACK_ASSUMED (256ULL << 10)
/* Less room than this: the process is stopped until the slot is clear. */
#define VIZ_STACK_HARD(size) \
	((size) < VIZ_STACK_SMALL ? (size) : (size) / 4 > (1ULL << 20) ? (1ULL << 20) : (size) / 4)
/* Less room than this: user space is told to clear the slot, the program runs on. */
#define VIZ_STACK_SOFT(size) (2 * VIZ_STACK_HARD(size))
/* More room than this: the slot may be set again. */
#define VIZ_STACK_AGAIN(size) (VIZ_STACK_SOFT(size) + VIZ_STACK_SOFT(size) / 4)

/*
 * 3.12 and 3.13 count C calls down in tstate->c_recursion_remaining, two for each entry of
 * the eval function (Python/ceval.c); at 0 RecursionError is raised. 1500 at first in 3.12.0 to
 * 3.12.2, 10000 after.
 */
#define VIZ_C_RECURSION_HARD 500
#define VIZ_C_RECURSION_SOFT 900

#endif
