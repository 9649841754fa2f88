// SPDX-License-Identifier: Apache-2.0
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../base/log.h"
#include "create.h"
#include "gzip.h"
#include "scratch.h"

#define BUFFER_SIZE (256 * 1024)

struct viz_output {
	struct viz_place place;
	char *buffer;
	size_t used;
	uint64_t written; /* bytes of the file that stay */
	uint64_t length; /* of the file, with the tail behind them */
	char *terminator; /* as given */
	size_t terminator_size;
	bool has_terminator, last;
	/* What ends the file, and where: put back when a later write fails. Behind gzip these
	 * are compressed bytes, else @tail is @terminator. */
	char *tail;
	size_t tail_size;
	uint64_t tail_at;
	bool has_tail;
	int error;
	bool closed;
	struct viz_gzip *gzip;
};

/* Behind gzip the worker writes, while the status line asks for the size. */
static void set_length(struct viz_output *out, uint64_t length)
{
	__atomic_store_n(&out->length, length, __ATOMIC_RELAXED);
}

/* All of @iov, at @at or, for a stream, at the end. */
static int write_all(struct viz_output *out, struct iovec *iov, int nr, uint64_t at)
{
	ssize_t n;

	while (nr) {
		if (!iov->iov_len) {
			iov++;
			nr--;
			continue;
		}
		n = out->place.stream ? writev(out->place.fd, iov, nr)
				      : pwritev(out->place.fd, iov, nr, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		at += (uint64_t)n;
		for (; nr && (size_t)n >= iov->iov_len; iov++, nr--)
			n -= (ssize_t)iov->iov_len;
		if (nr) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* The file ends as the last tail left it: its blocks are there even on a full disk. */
static void restore_tail(struct viz_output *out)
{
	struct iovec iov = {.iov_base = out->tail, .iov_len = out->tail_size};

	if (out->place.stream || !out->has_tail)
		return;
	if (!write_all(out, &iov, 1, out->tail_at) &&
	    !ftruncate(out->place.fd, (off_t)(out->tail_at + out->tail_size))) {
		out->written = out->tail_at;
		set_length(out, out->tail_at + out->tail_size);
	}
}

static int fail(struct viz_output *out, int err)
{
	if (!out->error) {
		out->error = err;
		restore_tail(out);
	}
	return out->error;
}

/* @data stays, @tail only until the next write. Does not touch out->tail. */
static int put(struct viz_output *out, const void *data, size_t size, const void *tail,
	       size_t tail_size)
{
	struct iovec iov[2] = {
		{.iov_base = (void *)data, .iov_len = size},
		{.iov_base = (void *)tail, .iov_len = tail_size},
	};
	uint64_t end = out->written + size + tail_size;
	int err;

	err = write_all(out, iov, 2, out->written);
	if (err)
		return err;
	if (!out->place.stream && end < out->length && ftruncate(out->place.fd, (off_t)end) < 0)
		return -errno;
	out->written += size;
	set_length(out, end);
	return 0;
}

static int put_compressed(void *ctx, const void *data, size_t size)
{
	return put(ctx, data, size, NULL, 0);
}

/* Empties the buffer. @whole: it ends where the file may end. */
static int spill(struct viz_output *out, bool whole)
{
	bool tail = whole && out->has_terminator && !out->last && !out->place.stream;
	int err;

	if (out->error)
		return out->error;
	if (out->gzip) {
		err = viz_gzip__submit(out->gzip, out->used);
		out->buffer = viz_gzip__buffer(out->gzip);
	} else {
		err = put(out, out->buffer, out->used, tail ? out->terminator : NULL,
			  tail ? out->terminator_size : 0);
		if (!err && tail)
			out->tail_at = out->written;
	}
	if (err)
		return fail(out, err);
	out->used = 0;
	return 0;
}

static int make_buffer(struct viz_output *out, bool gzip)
{
	if (gzip) {
		out->gzip = viz_gzip__new(BUFFER_SIZE, put_compressed, out);
		if (!out->gzip)
			return -errno;
		out->buffer = viz_gzip__buffer(out->gzip);
		return 0;
	}
	out->buffer = malloc(BUFFER_SIZE);
	return out->buffer ? 0 : -ENOMEM;
}

struct viz_output *viz_output__open(const char *path, bool gzip, char *why, size_t why_size)
{
	struct viz_output *out = calloc(1, sizeof(*out));
	int err;

	if (!out) {
		errno = -viz_why(why, why_size, -ENOMEM, "out of memory");
		return NULL;
	}
	err = viz_place__open(&out->place, path, why, why_size);
	if (err)
		goto cleanup;
	err = make_buffer(out, gzip);
	if (err)
		viz_why(why, why_size, err, "cannot write %s: %s", path, strerror(-err));
cleanup:
	if (err) {
		viz_output__free(out);
		errno = -err;
		return NULL;
	}
	return out;
}

void viz_output__patient(struct viz_output *out, bool patient)
{
	if (out->gzip)
		viz_gzip__patient(out->gzip, patient);
}

struct viz_output *viz_output__scratch(bool gzip)
{
	struct viz_output *out = calloc(1, sizeof(*out));
	int err;

	if (!out)
		return NULL;
	out->place.dir = -1;
	out->place.fd = viz_scratch__open();
	err = out->place.fd < 0 ? out->place.fd : make_buffer(out, gzip);
	if (err) {
		viz_output__free(out);
		errno = -err;
		return NULL;
	}
	return out;
}

int viz_output__copy(struct viz_output *out, int (*fn)(void *ctx, const void *data, size_t size),
		     void *ctx)
{
	char data[16384];
	off_t at = 0;
	ssize_t n;
	int err;

	for (;;) {
		n = pread(out->place.fd, data, sizeof(data), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		err = fn(ctx, data, (size_t)n);
		if (err)
			return err;
		at += n;
	}
}

int viz_output__write(struct viz_output *out, const void *data, size_t size)
{
	const char *p = data;
	size_t n;
	int err;

	if (BUFFER_SIZE - out->used < size) {
		err = spill(out, true);
		if (err)
			return err;
	}
	while (size) {
		n = BUFFER_SIZE - out->used < size ? BUFFER_SIZE - out->used : size;
		memcpy(out->buffer + out->used, p, n);
		out->used += n;
		p += n;
		size -= n;
		if (size) {
			err = spill(out, false);
			if (err)
				return err;
		}
	}
	return out->error;
}

char *viz_output__reserve(struct viz_output *out, size_t size)
{
	if (BUFFER_SIZE - out->used < size && spill(out, true))
		return NULL;
	return out->error ? NULL : out->buffer + out->used;
}

void viz_output__commit(struct viz_output *out, size_t used)
{
	out->used += used;
}

static int terminate_gzip(struct viz_output *out)
{
	size_t size;
	void *tail;
	int err;

	err = spill(out, true);
	if (err)
		return err;
	err = viz_gzip__sync(out->gzip);
	if (err)
		return fail(out, err);
	if (out->place.stream)
		return 0;
	err = viz_gzip__tail(out->gzip, out->terminator, out->terminator_size, &tail, &size);
	if (err)
		return fail(out, err);
	err = put(out, NULL, 0, tail, size);
	if (err) {
		free(tail);
		return fail(out, err);
	}
	free(out->tail);
	out->tail = tail;
	out->tail_size = size;
	out->tail_at = out->written;
	out->has_tail = true;
	return 0;
}

int viz_output__terminator(struct viz_output *out, const void *data, size_t size)
{
	char *copy;
	int err;

	if (out->error)
		return out->error;
	copy = malloc(size + 1);
	if (!copy)
		return fail(out, -ENOMEM);
	memcpy(copy, data, size);
	if (out->gzip) {
		free(out->terminator);
		out->terminator = copy;
		out->terminator_size = size;
		out->has_terminator = true;
		return terminate_gzip(out);
	}
	err = out->place.stream ? put(out, out->buffer, out->used, NULL, 0)
				: put(out, out->buffer, out->used, copy, size);
	if (err) {
		free(copy);
		return fail(out, err);
	}
	out->used = 0;
	free(out->terminator);
	out->terminator = copy;
	out->terminator_size = size;
	out->tail = copy;
	out->tail_size = size;
	out->tail_at = out->written;
	out->has_terminator = true;
	out->has_tail = !out->place.stream;
	return 0;
}

void viz_output__last(struct viz_output *out)
{
	spill(out, true);
	out->last = true;
}

int viz_output__flush(struct viz_output *out)
{
	int err;

	if (out->gzip && out->has_terminator && !out->last)
		return out->error ? out->error : terminate_gzip(out);
	err = spill(out, true);
	if (!err && out->gzip) {
		err = viz_gzip__sync(out->gzip);
		if (err)
			err = fail(out, err);
	}
	return err;
}

int viz_output__error(const struct viz_output *out)
{
	return out->error;
}

uint64_t viz_output__size(const struct viz_output *out)
{
	return __atomic_load_n(&out->length, __ATOMIC_RELAXED);
}

/* What no viz_output__last() announced is ended by the terminator. */
static int finish(struct viz_output *out)
{
	int err = out->error;

	if (!err && out->has_terminator && !out->last && (out->place.stream || out->gzip))
		err = viz_output__write(out, out->terminator, out->terminator_size);
	out->last = out->last || out->place.stream || out->gzip;
	if (!err)
		err = spill(out, true);
	if (!err && out->gzip) {
		err = viz_gzip__finish(out->gzip);
		if (err)
			err = fail(out, err);
	}
	return err;
}

int viz_output__close(struct viz_output *out)
{
	int err, renamed;

	if (out->closed)
		return out->error;
	err = finish(out);
	/* a file that was cut short but ends well is worth having; half of another is not */
	if (err && !out->has_tail)
		return err;
	renamed = viz_place__commit(&out->place);
	out->closed = !renamed;
	return err ? err : renamed;
}

void viz_output__free(struct viz_output *out)
{
	if (!out)
		return;
	if (out->gzip)
		viz_gzip__free(out->gzip);
	else
		free(out->buffer);
	viz_place__close(&out->place);
	if (out->tail != out->terminator)
		free(out->tail);
	free(out->terminator);
	free(out);
}
