/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that wait on disk: first in, first out, in a file without a name. One
 * thread adds, another takes; neither waits for the other. The pages are the
 * kernel's to write out or to keep: none of them is memory of this process, and
 * what has been taken is given back.
 */
#ifndef VIZ_TRAMPOLINE_BACKLOG_H
#define VIZ_TRAMPOLINE_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct viz_backlog {
	int fd; /* -1: not needed so far */
	bool refused; /* no file can be made */
	uint64_t begin, end; /* bytes taken, bytes added */
	uint64_t punched; /* bytes whose blocks were given back */
	uint64_t left_free; /* bytes of the file system that stay free */
};

void viz_backlog__init(struct viz_backlog *b);
void viz_backlog__free(struct viz_backlog *b);
/* Whole units of 16 bytes, as many as there is room for: 0 on a full disk, or a
 * negative errno. */
int64_t viz_backlog__add(struct viz_backlog *b, const void *data, size_t size);
/* At most @size bytes; 0: there is nothing; or a negative errno. */
int64_t viz_backlog__take(struct viz_backlog *b, void *data, size_t size);
/* Bytes that wait. */
uint64_t viz_backlog__size(const struct viz_backlog *b);

#endif
