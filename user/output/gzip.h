/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip beside the thread that formats: that one hands over full buffers and goes on in the
 * next while workers compress. One gzip member for the whole file, since several in a
 * row are not read by every browser.
 */
#ifndef VIZ_GZIP_H
#define VIZ_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct viz_gzip;

/* Takes compressed bytes; returns 0 or -errno. Called from the worker, or from the caller of
 * viz_gzip__sync() and viz_gzip__finish(), never from both at once. */
typedef int (*viz_gzip_write_fn)(void *ctx, const void *data, size_t size);

/* NULL with errno set. @size: of the buffers. */
struct viz_gzip *viz_gzip__new(size_t size, viz_gzip_write_fn write_fn, void *ctx);
/* Whether whoever fills buffers may wait (at first so). Otherwise, where that would happen,
 * compresses less instead, and faster: what comes from live programs would be lost meanwhile. */
void viz_gzip__patient(struct viz_gzip *gz, bool patient);
/* The buffer to fill next; it stays the caller's until viz_gzip__submit(). */
char *viz_gzip__buffer(struct viz_gzip *gz);
/* Hands over @used bytes of the buffer. Waits while the workers still have all the others.
 * Returns 0 or the error of an earlier write. */
int viz_gzip__submit(struct viz_gzip *gz, size_t used);
/* Everything submitted is compressed and written, up to a byte boundary. */
int viz_gzip__sync(struct viz_gzip *gz);
/* After viz_gzip__sync(): the bytes that would end the file after @data, without ending it.
 * *@tail is malloc'ed. */
int viz_gzip__tail(struct viz_gzip *gz, const void *data, size_t size, void **tail,
		   size_t *tail_size);
/* Writes the end of the member. */
int viz_gzip__finish(struct viz_gzip *gz);
void viz_gzip__free(struct viz_gzip *gz);

#endif
