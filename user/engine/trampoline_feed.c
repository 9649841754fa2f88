// SPDX-License-Identifier: Apache-2.0
#include "trampoline_feed.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "trampoline_backlog.h"

enum {
	MOVED_AT_ONCE = 16384, /* records: 256 KiB stay in the processor's cache */
	BUSY_NS = 1000000, /* how long the mover sleeps; and when all rings are empty: */
	IDLE_NS = 4000000,
	NICE = -10,
};

struct viz_feed {
	struct viz_feed *next;
	struct viz_rec_ring *ring;
	int fd;
	off_t at;
	uint64_t nr;
	pthread_mutex_t lock; /* of tail: whoever reads the ring */
	uint64_t tail; /* the target can write another into the ring */
	struct viz_backlog backlog;
	bool busy; /* the mover is at it */
	bool full; /* said so */
};

/* One thread for all rings, there while there are rings. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	pthread_t thread;
	struct viz_feed *feeds;
	bool runs;
	struct viz_rec_event *buffer;
} mover = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

/* Records [from, from + nr) of the ring. */
static int copy_out(const struct viz_feed *feed, uint64_t from, struct viz_rec_event *to,
		    uint64_t nr)
{
	while (nr) {
		uint64_t part = feed->nr / VIZ_REC_PARTS, some = part - from % part, place;
		uint8_t *order = &feed->ring->order[from / part % VIZ_REC_PARTS];
		size_t size;
		ssize_t n;

		place = __atomic_load_n(order, __ATOMIC_RELAXED) % VIZ_REC_PARTS * part +
			from % part;
		if (some > nr)
			some = nr;
		size = some * sizeof(*to);
		n = pread(feed->fd, to, size, feed->at + (off_t)(place * sizeof(*to)));
		if (n != (ssize_t)size)
			return n < 0 ? -errno : -EPROTO; /* the target made the file shorter */
		to += some;
		from += some;
		nr -= some;
	}
	return 0;
}

/* How many records are in the ring; -EPROTO if that cannot be. */
static int64_t in_ring(const struct viz_feed *feed, bool over)
{
	uint64_t head = __atomic_load_n(&feed->ring->head, __ATOMIC_ACQUIRE);
	uint64_t tentative = __atomic_load_n(&feed->ring->tentative, __ATOMIC_ACQUIRE);

	if (over && tentative > head && tentative - feed->tail <= feed->nr)
		head = tentative;
	return head - feed->tail <= feed->nr ? (int64_t)(head - feed->tail) : -EPROTO;
}

static void advance(struct viz_feed *feed, uint64_t nr)
{
	__atomic_store_n(&feed->tail, feed->tail + nr, __ATOMIC_RELAXED);
	__atomic_store_n(&feed->ring->tail, feed->tail, __ATOMIC_RELEASE);
}

/* ---- the mover ---- */

static void say_full(struct viz_feed *feed, int64_t err)
{
	if (feed->full)
		return;
	feed->full = true;
	viz_warn("calls are recorded faster than they can be written, and there is no room for a "
		 "backlog in $TMPDIR, /var/tmp or /tmp%s%s: what does not fit into the ring is "
		 "lost, and counted",
		 err < 0 ? ": " : "", err < 0 ? strerror((int)-err) : "");
}

/* Moves a piece of what is in the ring. Returns whether there is more. */
static bool move_some(struct viz_feed *feed)
{
	int64_t nr, moved = 0;

	pthread_mutex_lock(&feed->lock);
	nr = in_ring(feed, false);
	if (nr > MOVED_AT_ONCE)
		nr = MOVED_AT_ONCE;
	if (nr > 0 && !copy_out(feed, feed->tail, mover.buffer, (uint64_t)nr)) {
		moved = viz_backlog__add(&feed->backlog, mover.buffer,
					 (size_t)nr * sizeof(*mover.buffer));
		if (moved > 0)
			advance(feed, (uint64_t)moved / sizeof(*mover.buffer));
		if (moved < nr * (int64_t)sizeof(*mover.buffer))
			say_full(feed, moved);
	}
	pthread_mutex_unlock(&feed->lock);
	return nr == MOVED_AT_ONCE && moved == nr * (int64_t)sizeof(*mover.buffer);
}

/* Returns whether the ring is worth a look soon. */
static bool relieve(struct viz_feed *feed)
{
	int64_t nr;

	pthread_mutex_lock(&feed->lock);
	nr = in_ring(feed, false);
	pthread_mutex_unlock(&feed->lock);
	if (nr > (int64_t)feed->nr / 4)
		while (move_some(feed))
			;
	return nr > (int64_t)feed->nr / 16;
}

static void *move(void *unused)
{
	bool busy = false;

	(void)unused;
	/* the less it waits for a processor the less is lost, and it takes little of one */
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	pthread_mutex_lock(&mover.lock);
	while (mover.feeds) {
		struct timespec until;

		for (struct viz_feed *feed = mover.feeds; feed; feed = feed->next) {
			feed->busy = true;
			pthread_mutex_unlock(&mover.lock);
			busy |= relieve(feed);
			pthread_mutex_lock(&mover.lock);
			feed->busy = false;
			pthread_cond_broadcast(&mover.change);
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += busy ? BUSY_NS : IDLE_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		busy = false;
		if (mover.feeds)
			pthread_cond_clockwait(&mover.change, &mover.lock, CLOCK_MONOTONIC, &until);
	}
	pthread_mutex_unlock(&mover.lock);
	return NULL;
}

static void start_mover(void)
{
	mover.buffer = malloc(MOVED_AT_ONCE * sizeof(*mover.buffer));
	mover.runs = mover.buffer && !pthread_create(&mover.thread, NULL, move, NULL);
	if (mover.runs)
		return;
	free(mover.buffer);
	mover.buffer = NULL;
	viz_debug(VIZ_LOG_RING, "no thread for a backlog: %s", strerror(errno));
}

/* ---- for the reader ---- */

struct viz_feed *viz_feed__new(struct viz_rec_ring *ring, int fd, off_t at, uint64_t nr)
{
	struct viz_feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return NULL;
	feed->ring = ring;
	feed->fd = fd;
	feed->at = at;
	feed->nr = nr;
	pthread_mutex_init(&feed->lock, NULL);
	viz_backlog__init(&feed->backlog);
	pthread_mutex_lock(&mover.lock);
	feed->next = mover.feeds;
	mover.feeds = feed;
	if (!mover.runs)
		start_mover();
	pthread_mutex_unlock(&mover.lock);
	return feed;
}

void viz_feed__free(struct viz_feed *feed)
{
	struct viz_feed **at;
	bool last;

	if (!feed)
		return;
	pthread_mutex_lock(&mover.lock);
	while (feed->busy)
		pthread_cond_wait(&mover.change, &mover.lock);
	for (at = &mover.feeds; *at != feed; at = &(*at)->next)
		;
	*at = feed->next;
	last = !mover.feeds && mover.runs;
	pthread_cond_broadcast(&mover.change);
	pthread_mutex_unlock(&mover.lock);
	if (last) {
		pthread_join(mover.thread, NULL);
		free(mover.buffer);
		mover.buffer = NULL;
		mover.runs = false;
	}
	viz_backlog__free(&feed->backlog);
	pthread_mutex_destroy(&feed->lock);
	free(feed);
}

int64_t viz_feed__read(struct viz_feed *feed, bool over, struct viz_rec_event *to, uint64_t nr)
{
	int64_t n = viz_backlog__take(&feed->backlog, to, nr * sizeof(*to)), err;

	if (n)
		return n < 0 ? n : n / (int64_t)sizeof(*to);
	pthread_mutex_lock(&feed->lock);
	/* it may have been moved just now */
	if (viz_backlog__size(&feed->backlog)) {
		pthread_mutex_unlock(&feed->lock);
		return viz_feed__read(feed, over, to, nr);
	}
	n = in_ring(feed, over);
	if (n > (int64_t)nr)
		n = (int64_t)nr;
	err = n > 0 ? copy_out(feed, feed->tail, to, (uint64_t)n) : 0;
	if (!err && n > 0)
		advance(feed, (uint64_t)n);
	pthread_mutex_unlock(&feed->lock);
	return err ? err : n;
}

uint64_t viz_feed__waiting(const struct viz_feed *feed)
{
	uint64_t tail = __atomic_load_n(&feed->tail, __ATOMIC_RELAXED);
	uint64_t head = __atomic_load_n(&feed->ring->head, __ATOMIC_RELAXED);
	uint64_t nr = viz_backlog__size(&feed->backlog) / sizeof(struct viz_rec_event);

	return nr + (head - tail <= feed->nr ? head - tail : 0);
}
