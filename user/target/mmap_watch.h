/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when any process of the host maps an executable file: an interpreter, between its exec
 * and its first instruction, or a library with probes of its own. By the perf events of the
 * kernel (PERF_RECORD_MMAP2), a few a process start; nothing is polled.
 */
#ifndef VIZ_MMAP_WATCH_H
#define VIZ_MMAP_WATCH_H

#include <stdint.h>
#include <sys/types.h>

struct viz_mmap_watch;

/* NULL with errno when the kernel refuses. */
struct viz_mmap_watch *viz_mmap_watch__new(void);
void viz_mmap_watch__free(struct viz_mmap_watch *watch);
/* Polls readable when something was mapped. */
int viz_mmap_watch__fd(const struct viz_mmap_watch *watch);
/* @addr: where it was mapped; @name: of the file, as the kernel has it, not trusted. */
typedef void (*viz_mapped_fn)(void *ctx, pid_t pid, uint64_t addr, const char *name);
/* Calls @fn for each mapping there is, in no particular order. */
void viz_mmap_watch__read(struct viz_mmap_watch *watch, viz_mapped_fn fn, void *ctx);

#endif
