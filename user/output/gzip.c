// SPDX-License-Identifier: Apache-2.0
#include "gzip.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

/*
 * A line of a trace is a few long repetitions with digits between. Bytes a call, of json and ast at
 * work, csv and decimal in four threads, recursion, and calls a second on one core:
 *	level 1                         12.8  15.3  10.2   1.9 M
 *	level 6                         10.3  12.3   8.5   0.7 M
 *	level 6, filtered, tuned         9.5  11.7   7.9   0.9 M
 * Filtered: no matches of under six bytes, which digits beat. Tuned: long chains are followed only
 * until a match of half a line.
 */
#define DENSE 6
#define FAST 1
#define GOOD_MATCH 120
#define MAX_LAZY 258
#define NICE_MATCH 120
#define MAX_CHAIN 24
/* Buffers that are compressed fast after one that was waited for. */
#define PENALTY 16
#define WINDOW_BITS (15 + 16) /* 16: gzip framing */
#define MEM_LEVEL 9

struct viz_gzip {
	z_stream stream;
	char *buffers[2];
	unsigned char *packed;
	size_t size;
	int filling; /* index of the caller's buffer */
	viz_gzip_write_fn write_fn;
	void *ctx;

	pthread_t worker;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t pending; /* bytes of the worker's buffer, 0: idle */
	bool stop;
	int error;
	bool patient; /* the caller's */
	int penalty; /* buffers left to be compressed fast */
	bool dense; /* the stream's present state, the worker's */
};

/* The level, for what follows. */
static int set_dense(struct viz_gzip *gz, bool dense)
{
	int err, ret;

	if (gz->dense == dense)
		return 0;
	gz->stream.next_in = NULL;
	gz->stream.avail_in = 0;
	do {
		gz->stream.next_out = gz->packed;
		gz->stream.avail_out = (unsigned int)gz->size;
		ret = deflateParams(&gz->stream, dense ? DENSE : FAST, Z_FILTERED);
		if (ret == Z_STREAM_ERROR)
			return -EIO;
		err = gz->write_fn(gz->ctx, gz->packed, gz->size - gz->stream.avail_out);
		if (err)
			return err;
	} while (ret == Z_BUF_ERROR);
	if (dense)
		deflateTune(&gz->stream, GOOD_MATCH, MAX_LAZY, NICE_MATCH, MAX_CHAIN);
	gz->dense = dense;
	return 0;
}

/* Compresses and writes until deflate() has taken everything. */
static int run_deflate(struct viz_gzip *gz, const void *data, size_t size, int how)
{
	int err, ret;

	gz->stream.next_in = (unsigned char *)data;
	gz->stream.avail_in = (unsigned int)size;
	do {
		gz->stream.next_out = gz->packed;
		gz->stream.avail_out = (unsigned int)gz->size;
		ret = deflate(&gz->stream, how);
		if (ret == Z_STREAM_ERROR)
			return -EIO;
		err = gz->write_fn(gz->ctx, gz->packed, gz->size - gz->stream.avail_out);
		if (err)
			return err;
	} while (!gz->stream.avail_out);
	return 0;
}

static void *worker(void *arg)
{
	struct viz_gzip *gz = arg;
	bool dense;
	size_t size;
	int err;

	pthread_mutex_lock(&gz->lock);
	for (;;) {
		while (!gz->pending && !gz->stop)
			pthread_cond_wait(&gz->changed, &gz->lock);
		if (!gz->pending)
			break;
		size = gz->pending;
		err = gz->error;
		dense = !gz->penalty;
		pthread_mutex_unlock(&gz->lock);
		if (!err)
			err = set_dense(gz, dense);
		if (!err)
			err = run_deflate(gz, gz->buffers[!gz->filling], size, Z_NO_FLUSH);
		pthread_mutex_lock(&gz->lock);
		gz->error = err;
		gz->pending = 0;
		pthread_cond_broadcast(&gz->changed);
	}
	pthread_mutex_unlock(&gz->lock);
	return NULL;
}

struct viz_gzip *viz_gzip__new(size_t size, viz_gzip_write_fn write_fn, void *ctx)
{
	struct viz_gzip *gz = calloc(1, sizeof(*gz));
	int err = ENOMEM;

	if (!gz)
		return NULL;
	gz->size = size;
	gz->write_fn = write_fn;
	gz->ctx = ctx;
	pthread_mutex_init(&gz->lock, NULL);
	pthread_cond_init(&gz->changed, NULL);
	gz->buffers[0] = malloc(size);
	gz->buffers[1] = malloc(size);
	gz->packed = malloc(size);
	if (!gz->buffers[0] || !gz->buffers[1] || !gz->packed)
		goto cleanup;
	if (deflateInit2(&gz->stream, FAST, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_FILTERED) != Z_OK)
		goto cleanup;
	err = pthread_create(&gz->worker, NULL, worker, gz);
	if (err)
		goto cleanup;
	gz->started = true;
	return gz;
cleanup:
	viz_gzip__free(gz);
	errno = err;
	return NULL;
}

void viz_gzip__patient(struct viz_gzip *gz)
{
	pthread_mutex_lock(&gz->lock);
	gz->patient = true;
	pthread_mutex_unlock(&gz->lock);
}

char *viz_gzip__buffer(struct viz_gzip *gz)
{
	return gz->buffers[gz->filling];
}

static int wait_idle(struct viz_gzip *gz)
{
	while (gz->pending)
		pthread_cond_wait(&gz->changed, &gz->lock);
	return gz->error;
}

int viz_gzip__submit(struct viz_gzip *gz, size_t used)
{
	int err;

	pthread_mutex_lock(&gz->lock);
	if (!gz->patient && gz->pending)
		gz->penalty = PENALTY;
	else if (gz->penalty)
		gz->penalty--;
	err = wait_idle(gz);
	if (!err && used) {
		gz->filling = !gz->filling;
		gz->pending = used;
		pthread_cond_broadcast(&gz->changed);
	}
	pthread_mutex_unlock(&gz->lock);
	return err;
}

static int end_with(struct viz_gzip *gz, int how)
{
	int err;

	pthread_mutex_lock(&gz->lock);
	err = wait_idle(gz);
	if (!err)
		err = gz->error = run_deflate(gz, NULL, 0, how);
	pthread_mutex_unlock(&gz->lock);
	return err;
}

int viz_gzip__sync(struct viz_gzip *gz)
{
	return end_with(gz, Z_SYNC_FLUSH);
}

int viz_gzip__finish(struct viz_gzip *gz)
{
	return end_with(gz, Z_FINISH);
}

int viz_gzip__tail(struct viz_gzip *gz, const void *data, size_t size, void **tail,
		   size_t *tail_size)
{
	unsigned long bound = deflateBound(&gz->stream, size) + 64;
	unsigned char *out = malloc(bound);
	z_stream copy;
	int ret;

	if (!out)
		return -ENOMEM;
	/* the stream itself goes on as if this end had not been */
	if (deflateCopy(&copy, &gz->stream) != Z_OK) {
		free(out);
		return -ENOMEM;
	}
	copy.next_in = (unsigned char *)data;
	copy.avail_in = (unsigned int)size;
	copy.next_out = out;
	copy.avail_out = (unsigned int)bound;
	ret = deflate(&copy, Z_FINISH);
	*tail_size = bound - copy.avail_out;
	deflateEnd(&copy);
	if (ret != Z_STREAM_END) {
		free(out);
		return -EIO;
	}
	*tail = out;
	return 0;
}

void viz_gzip__free(struct viz_gzip *gz)
{
	if (!gz)
		return;
	if (gz->started) {
		pthread_mutex_lock(&gz->lock);
		gz->stop = true;
		pthread_cond_broadcast(&gz->changed);
		pthread_mutex_unlock(&gz->lock);
		pthread_join(gz->worker, NULL);
	}
	deflateEnd(&gz->stream);
	pthread_mutex_destroy(&gz->lock);
	pthread_cond_destroy(&gz->changed);
	free(gz->buffers[0]);
	free(gz->buffers[1]);
	free(gz->packed);
	free(gz);
}
