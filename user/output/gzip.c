// SPDX-License-Identifier: Apache-2.0
#include "gzip.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

/*
 * A line of a trace is a few long repetitions with digits between. Bytes a call of gunicorn with
 * Flask, pytest, json and csv at work, recursion, and million calls a second on one core:
 *	level 1                          15.7  15.5  8.5  7.0   1.1 to 1.6
 *	level 6                          12.4  11.7  6.8  5.8   0.6 to 0.9
 *	level 6, filtered, tuned         11.9  11.3  6.2  5.2   0.6 to 0.9
 * Filtered: no matches of under six bytes, which digits beat. Tuned: chains are followed until a
 * match of half a line.
 */
#define DENSE 6
#define FAST 1
#define GOOD_MATCH 120
#define MAX_LAZY 258
#define NICE_MATCH 120
#define MAX_CHAIN 64
/* Buffers that are compressed fast after one that was waited for. */
#define PENALTY 16
/* What comes before a buffer, for matches to reach into; as far as the format lets them. */
#define WINDOW 32768
#define RAW_WINDOW_BITS (-15)
#define MEM_LEVEL 9
#define SLOTS 8
#define MOST_WORKERS 4
/* The other workers leave the processors to the traced programs. */
#define NICE 10

struct slot {
	unsigned char *data; /* WINDOW bytes for the end of the one before, then the caller's */
	unsigned char *packed;
	size_t window, used, packed_size;
	unsigned long crc;
	bool done;
};

struct viz_gzip {
	struct slot slots[SLOTS]; /* buffer n is in slot n % SLOTS */
	size_t size, bound; /* of a buffer, and of what it is compressed to at most */
	viz_gzip_write_fn write_fn;
	void *ctx;

	pthread_t workers[MOST_WORKERS];
	int nr_workers;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t submitted, taken, written; /* buffers; the caller fills number @submitted */
	bool writing; /* a worker does, in the order of the buffers */
	bool stop;
	int error;
	bool patient; /* the caller's */
	int penalty; /* buffers left to be compressed fast */
	bool begun; /* the head is written */
	unsigned long crc; /* of what is written, as is the size */
	uint64_t total;
};

/* Each buffer is a few deflate blocks that end at a byte, whoever compresses it. */
static int pack(const struct viz_gzip *gz, z_stream *z, struct slot *slot, bool dense)
{
	if (!slot->packed)
		slot->packed = malloc(gz->bound);
	if (!slot->packed)
		return -ENOMEM;
	if (deflateReset(z) != Z_OK || deflateParams(z, dense ? DENSE : FAST, Z_FILTERED) != Z_OK)
		return -EIO;
	/* what was tuned is forgotten with each reset */
	if (dense)
		deflateTune(z, GOOD_MATCH, MAX_LAZY, NICE_MATCH, MAX_CHAIN);
	if (slot->window)
		deflateSetDictionary(z, slot->data + WINDOW - slot->window,
				     (unsigned int)slot->window);
	z->next_in = slot->data + WINDOW;
	z->avail_in = (unsigned int)slot->used;
	z->next_out = slot->packed;
	z->avail_out = (unsigned int)gz->bound;
	if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in || !z->avail_out)
		return -EIO;
	slot->packed_size = gz->bound - z->avail_out;
	slot->crc = crc32(0, slot->data + WINDOW, (unsigned int)slot->used);
	return 0;
}

static int put_head(struct viz_gzip *gz)
{
	/* deflate, no flags, no time, made on Unix */
	static const unsigned char head[10] = {0x1f, 0x8b, 8, [9] = 3};
	int err = gz->begun ? 0 : gz->write_fn(gz->ctx, head, sizeof(head));

	gz->begun = true;
	return err;
}

/* Locked. Writes what is done and comes next, unless another worker is at it: that one goes on. */
static void write_done(struct viz_gzip *gz)
{
	struct slot *slot;
	int err;

	if (gz->writing)
		return;
	gz->writing = true;
	while (!gz->error && gz->written < gz->taken && gz->slots[gz->written % SLOTS].done) {
		slot = &gz->slots[gz->written % SLOTS];
		pthread_mutex_unlock(&gz->lock);
		err = put_head(gz);
		if (!err)
			err = gz->write_fn(gz->ctx, slot->packed, slot->packed_size);
		pthread_mutex_lock(&gz->lock);
		gz->crc = crc32_combine(gz->crc, slot->crc, (z_off_t)slot->used);
		gz->total += slot->used;
		slot->done = false;
		gz->error = err;
		gz->written++;
		pthread_cond_broadcast(&gz->changed);
	}
	gz->writing = false;
}

static void *worker(void *arg)
{
	struct viz_gzip *gz = arg;
	z_stream z = {0};
	struct slot *slot;
	bool dense, ready;
	int err;

	ready = deflateInit2(&z, DENSE, Z_DEFLATED, RAW_WINDOW_BITS, MEM_LEVEL, Z_FILTERED) == Z_OK;
	pthread_mutex_lock(&gz->lock);
	if (!pthread_equal(pthread_self(), gz->workers[0]))
		setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	for (;;) {
		while (gz->taken == gz->submitted && !gz->stop)
			pthread_cond_wait(&gz->changed, &gz->lock);
		if (gz->taken == gz->submitted)
			break;
		slot = &gz->slots[gz->taken++ % SLOTS];
		dense = gz->patient || !gz->penalty;
		pthread_mutex_unlock(&gz->lock);
		err = ready ? pack(gz, &z, slot, dense) : -ENOMEM;
		pthread_mutex_lock(&gz->lock);
		if (err)
			gz->error = err;
		slot->done = !err;
		write_done(gz);
		pthread_cond_broadcast(&gz->changed);
	}
	pthread_mutex_unlock(&gz->lock);
	deflateEnd(&z);
	return NULL;
}

static int start_workers(struct viz_gzip *gz)
{
	long wanted = sysconf(_SC_NPROCESSORS_ONLN);
	sigset_t all, before;
	int err = 0;

	/* a signal that whoever writes the file waits for must not end the process here */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* they look at the list when they have the lock */
	pthread_mutex_lock(&gz->lock);
	do {
		err = pthread_create(&gz->workers[gz->nr_workers], NULL, worker, gz);
		gz->nr_workers += !err;
	} while (!err && gz->nr_workers < MOST_WORKERS && gz->nr_workers < wanted);
	pthread_mutex_unlock(&gz->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return gz->nr_workers ? 0 : err;
}

struct viz_gzip *viz_gzip__new(size_t size, viz_gzip_write_fn write_fn, void *ctx)
{
	struct viz_gzip *gz = calloc(1, sizeof(*gz));
	int err = ENOMEM, i;

	if (!gz)
		return NULL;
	gz->size = size;
	gz->bound = deflateBound(NULL, size) + 16; /* the empty block that ends it */
	gz->write_fn = write_fn;
	gz->ctx = ctx;
	gz->patient = true;
	pthread_mutex_init(&gz->lock, NULL);
	pthread_cond_init(&gz->changed, NULL);
	for (i = 0; i < SLOTS; i++) {
		gz->slots[i].data = malloc(WINDOW + size);
		if (!gz->slots[i].data)
			goto cleanup;
	}
	err = start_workers(gz);
	if (err)
		goto cleanup;
	return gz;
cleanup:
	viz_gzip__free(gz);
	errno = err;
	return NULL;
}

void viz_gzip__patient(struct viz_gzip *gz, bool patient)
{
	pthread_mutex_lock(&gz->lock);
	gz->patient = patient;
	pthread_mutex_unlock(&gz->lock);
}

char *viz_gzip__buffer(struct viz_gzip *gz)
{
	return (char *)gz->slots[gz->submitted % SLOTS].data + WINDOW;
}

/* The last WINDOW bytes of one buffer's window and data, as the next one's window. */
static void hand_window_on(const struct slot *from, struct slot *to)
{
	size_t all = from->window + from->used;

	to->window = all < WINDOW ? all : WINDOW;
	memcpy(to->data + WINDOW - to->window, from->data + WINDOW + from->used - to->window,
	       to->window);
}

int viz_gzip__submit(struct viz_gzip *gz, size_t used)
{
	struct slot *slot = &gz->slots[gz->submitted % SLOTS];
	bool waited = false;
	int err;

	pthread_mutex_lock(&gz->lock);
	if (used && !gz->error) {
		slot->used = used;
		gz->submitted++;
		pthread_cond_broadcast(&gz->changed);
		while (gz->submitted - gz->written == SLOTS && !gz->error) {
			waited = true;
			if (!gz->patient)
				gz->penalty = PENALTY;
			pthread_cond_wait(&gz->changed, &gz->lock);
		}
		if (gz->penalty && !waited)
			gz->penalty--;
	}
	err = gz->error;
	pthread_mutex_unlock(&gz->lock);
	if (used && !err)
		hand_window_on(slot, &gz->slots[gz->submitted % SLOTS]);
	return err;
}

int viz_gzip__sync(struct viz_gzip *gz)
{
	int err;

	pthread_mutex_lock(&gz->lock);
	while (gz->written < gz->submitted && !gz->error)
		pthread_cond_wait(&gz->changed, &gz->lock);
	err = gz->error;
	if (!err)
		err = gz->error = put_head(gz);
	pthread_mutex_unlock(&gz->lock);
	return err;
}

/* What ends a member: the checksum and the size of what is in it, little-endian. */
static size_t put_end(unsigned char *p, unsigned long crc, uint64_t total)
{
	int i;

	for (i = 0; i < 4; i++) {
		p[i] = (unsigned char)(crc >> 8 * i);
		p[4 + i] = (unsigned char)(total >> 8 * i);
	}
	return 8;
}

int viz_gzip__finish(struct viz_gzip *gz)
{
	unsigned char end[10] = {3, 0}; /* an empty last block */
	int err = viz_gzip__sync(gz);

	put_end(end + 2, gz->crc, gz->total);
	return err ? err : gz->write_fn(gz->ctx, end, sizeof(end));
}

int viz_gzip__tail(struct viz_gzip *gz, const void *data, size_t size, void **tail,
		   size_t *tail_size)
{
	unsigned long bound = deflateBound(NULL, size) + 16;
	unsigned char *out = malloc(bound);
	z_stream z = {0};
	int ret;

	if (!out ||
	    deflateInit2(&z, FAST, Z_DEFLATED, RAW_WINDOW_BITS, MEM_LEVEL, Z_FILTERED) != Z_OK) {
		free(out);
		return -ENOMEM;
	}
	z.next_in = (unsigned char *)data;
	z.avail_in = (unsigned int)size;
	z.next_out = out;
	z.avail_out = (unsigned int)(bound - 8);
	ret = deflate(&z, Z_FINISH);
	*tail_size = bound - 8 - z.avail_out;
	deflateEnd(&z);
	if (ret != Z_STREAM_END) {
		free(out);
		return -EIO;
	}
	*tail_size +=
		put_end(out + *tail_size,
			crc32_combine(gz->crc, crc32(0, data, (unsigned int)size), (z_off_t)size),
			gz->total + size);
	*tail = out;
	return 0;
}

void viz_gzip__free(struct viz_gzip *gz)
{
	int i;

	if (!gz)
		return;
	pthread_mutex_lock(&gz->lock);
	gz->stop = true;
	pthread_cond_broadcast(&gz->changed);
	pthread_mutex_unlock(&gz->lock);
	for (i = 0; i < gz->nr_workers; i++)
		pthread_join(gz->workers[i], NULL);
	pthread_mutex_destroy(&gz->lock);
	pthread_cond_destroy(&gz->changed);
	for (i = 0; i < SLOTS; i++) {
		free(gz->slots[i].data);
		free(gz->slots[i].packed);
	}
	free(gz);
}
