/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when any process of the host maps an executable file whose name has "python" in it:
 * the moment between an exec and the interpreter's first instruction. By the perf events of
 * the kernel (PERF_RECORD_MMAP2), a few a process start; nothing is polled.
 */
#ifndef VIZ_MMAP_WATCH_H
#define VIZ_MMAP_WATCH_H

#include <sys/types.h>

struct viz_mmap_watch;

/* NULL with errno when the kernel refuses. */
struct viz_mmap_watch *viz_mmap_watch__new(void);
void viz_mmap_watch__free(struct viz_mmap_watch *watch);
/* Polls readable when something was mapped. */
int viz_mmap_watch__fd(const struct viz_mmap_watch *watch);
/* Calls @fn for each mapping there is, in no particular order. */
void viz_mmap_watch__read(struct viz_mmap_watch *watch, void (*fn)(void *ctx, pid_t pid),
			  void *ctx);

#endif
