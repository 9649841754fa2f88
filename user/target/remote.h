/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading (and, for the PEP 523 slot and the recorder, writing) another process's memory.
 * Every address comes from the target and is not trusted: a failed or short access is
 * an error, never a crash.
 */
#ifndef VIZ_REMOTE_H
#define VIZ_REMOTE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The thread under whose number /proc shows the memory of @pid: itself, or, when its first
 * thread has ended before others, one of these. @pid when there is none.
 */
pid_t viz_remote__task(pid_t pid);
/* The others return 0 or a negative errno. @fd: of /proc/PID/mem. */
int viz_remote__open(pid_t pid, int flags); /* O_RDONLY or O_RDWR; returns the fd or -errno */
int viz_remote__read(int fd, uint64_t addr, void *buf, size_t size);
int viz_remote__read_u64(int fd, uint64_t addr, uint64_t *value);
int viz_remote__read_u32(int fd, uint64_t addr, uint32_t *value);
int viz_remote__write(int fd, uint64_t addr, const void *buf, size_t size);

/*
 * Reads a PyUnicodeObject into UTF-8 (malformed parts become U+FFFD), at most
 * @size - 1 bytes, NUL terminated. Returns its length or a negative errno.
 */
struct viz_offsets;
int viz_remote__read_str(int fd, uint64_t addr, const struct viz_offsets *off, char *buf,
			 size_t size);

#endif
