/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output files as a root process must make them: never through a link, mode 0600 or the
 * invoking user's umask, owned by the user behind sudo, an existing file replaced only
 * when the new one is complete (written beside it, then renamed).
 */
#ifndef VIZ_FILE_H
#define VIZ_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct viz_output;

/* Opens the temporary file beside @path ("-" is standard output). @gzip: compress.
 * NULL with errno set and one line in @why. The directory must exist and be writable;
 * this is found here, before anything is attached. */
struct viz_output *viz_output__open(const char *path, bool gzip, char *why, size_t why_size);
/* Whether what is to be written waits where there is room (at first so): then a file that is
 * compressed takes its time and becomes as small as it can. */
void viz_output__patient(struct viz_output *out, bool patient);
/* Buffered append. Returns 0 or -errno; the first error sticks. */
int viz_output__write(struct viz_output *out, const void *data, size_t size);
/*
 * Room for @size bytes in the buffer to format into directly; viz_output__commit() says
 * how many were used. NULL on error (viz_output__error()). @size at most 64 KiB.
 */
char *viz_output__reserve(struct viz_output *out, size_t size);
void viz_output__commit(struct viz_output *out, size_t used);
/* Writes @size bytes so that the file ends with them, but the next write replaces them:
 * how a JSON file stays valid while it grows. */
int viz_output__terminator(struct viz_output *out, const void *data, size_t size);
/* What is written from now on is the rest of the file, valid only when complete: no
 * terminator goes between; if it cannot be written, the file ends as the last one left it. */
void viz_output__last(struct viz_output *out);
int viz_output__flush(struct viz_output *out);
int viz_output__error(const struct viz_output *out); /* 0 or -errno */
uint64_t viz_output__size(const struct viz_output *out); /* bytes in the file so far */
/* Completes: flushes, renames into place. Returns 0 or -errno. */
int viz_output__close(struct viz_output *out);
/* An output into a file without a name, for viz_output__copy(). NULL with errno set. */
struct viz_output *viz_output__scratch(bool gzip);
/* Hands all bytes of such a file, after viz_output__close(), to @fn. 0, -errno or what @fn
 * returned. */
int viz_output__copy(struct viz_output *out, int (*fn)(void *ctx, const void *data, size_t size),
		     void *ctx);
/* Drops the temporary file, if viz_output__close() did not succeed; frees. NULL is fine. */
void viz_output__free(struct viz_output *out);

#endif
