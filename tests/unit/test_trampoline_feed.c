/* with: user/engine/trampoline_feed.c user/engine/trampoline_backlog.c user/output/scratch.c user/base/log.c */
/* libs: */
// SPDX-License-Identifier: Apache-2.0
/* Records between the ring and a reader that is late: their order, and none is lost but those
 * that the recorder counts. The recorder here is a thread that numbers its records. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "engine/trampoline_feed.h"
#include "tap.h"

enum { NR = 4096, MANY = 400000, CHUNK = 1000, PATIENCE = 50000 };

static struct viz_rec_ring *ring;
static int fd = -1;

struct writer {
	pthread_t thread;
	uint64_t nr; /* to be written */
	int patience; /* naps without room until it gives up */
	uint64_t written;
	bool stuck; /* it gave up */
};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

static bool has_room(uint64_t head)
{
	return head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) < NR;
}

static void *write_records(void *arg)
{
	struct writer *w = arg;
	uint64_t head = ring->head;

	for (uint64_t i = 0; i < w->nr; i++) {
		int naps = 0;

		while (!has_room(head) && naps++ < w->patience)
			nap();
		w->stuck = !has_room(head);
		if (w->stuck)
			break;
		ring->events[head & (NR - 1)] = (struct viz_rec_event){.when = head, .what = ~head};
		__atomic_store_n(&ring->head, ++head, __ATOMIC_RELEASE);
		w->written++;
	}
	return NULL;
}

static struct viz_feed *fresh(void)
{
	size_t size = sizeof(*ring) + NR * sizeof(struct viz_rec_event);

	if (ring)
		munmap(ring, size);
	if (fd >= 0)
		close(fd);
	fd = memfd_create("ring", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size))
		abort();
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		abort();
	for (int i = 0; i < VIZ_REC_PARTS; i++)
		ring->order[i] = (uint8_t)i;
	return viz_feed__new(ring, fd, sizeof(*ring), NR);
}

/* Reads until there is nothing more; *@next is the number that is expected. */
static bool read_all(struct viz_feed *feed, uint64_t *next)
{
	struct viz_rec_event events[CHUNK];
	int64_t n;

	while ((n = viz_feed__read(feed, false, events, 1 + (uint64_t)random() % CHUNK)) > 0)
		for (int64_t i = 0; i < n; i++, ++*next)
			if (events[i].when != *next || events[i].what != ~*next)
				return false;
	return n == 0;
}

static void start(struct writer *w)
{
	if (pthread_create(&w->thread, NULL, write_records, w))
		abort();
}

static void test_late_reader(void)
{
	struct viz_feed *feed = fresh();
	struct writer w = {.nr = MANY, .patience = PATIENCE};
	uint64_t next = 0;

	start(&w);
	pthread_join(w.thread, NULL);
	ok(!w.stuck, "the writer finds room while nobody reads");
	ok(viz_feed__waiting(feed) == MANY, "all of it waits: %lu",
	   (unsigned long)viz_feed__waiting(feed));
	ok(read_all(feed, &next) && next == MANY, "and is read in order: %lu", (unsigned long)next);
	ok(ring->tail == ring->head && !viz_feed__waiting(feed), "nothing is left");
	viz_feed__free(feed);
}

static void test_together(void)
{
	struct viz_feed *feed = fresh(), *other = viz_feed__new(ring, fd, sizeof(*ring), NR);
	struct writer w = {.nr = 3 * MANY, .patience = PATIENCE};
	uint64_t next = 0;
	bool good = true;

	/* of the same ring, which it does not touch when it is gone */
	viz_feed__free(other);
	start(&w);
	while (good && next < w.nr) {
		good = read_all(feed, &next);
		if (!(random() & 3))
			for (int i = (int)random() % 64; i; i--)
				nap();
	}
	pthread_join(w.thread, NULL);
	ok(good && next == w.nr, "a reader that is late now and then reads all in order: %lu",
	   (unsigned long)next);
	viz_feed__free(feed);
}

/* A file system with room for 917,504 of its 1 MiB. */
static bool small_disk(char *dir)
{
	return mkdtemp(dir) && !unshare(CLONE_NEWNS) &&
	       !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("tmpfs", dir, "tmpfs", 0, "size=1m") && !setenv("TMPDIR", dir, 1);
}

static void test_full_disk(void)
{
	char dir[] = "/tmp/vizbpf-feed-XXXXXX";
	struct writer w = {.nr = MANY, .patience = 1000},
		      again = {.nr = MANY, .patience = PATIENCE};
	uint64_t next = 0, most = 7 * (1 << 20) / 8 / 16 + NR;
	struct viz_feed *feed;
	bool good = true;

	if (!small_disk(dir)) {
		ok(true, "a full disk # SKIP tmpfs cannot be mounted: %s", strerror(errno));
		rmdir(dir);
		return;
	}
	feed = fresh();
	start(&w);
	pthread_join(w.thread, NULL);
	ok(w.stuck && viz_feed__waiting(feed) == w.written, "the disk is full, then the ring");
	ok(w.written <= most && w.written > most / 2, "an eighth of the disk stays free: %lu wait",
	   (unsigned long)w.written);
	ok(read_all(feed, &next) && next == w.written, "what was written is read in order: %lu",
	   (unsigned long)next);
	start(&again);
	while (good && next < w.written + again.nr) {
		good = read_all(feed, &next);
		nap();
	}
	pthread_join(again.thread, NULL);
	ok(good && !again.stuck, "its room is used again, %lu times",
	   (unsigned long)(again.written / w.written));
	viz_feed__free(feed);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

static void test_hostile(void)
{
	struct viz_feed *feed = fresh();
	struct viz_rec_event events[CHUNK];

	__atomic_store_n(&ring->head, NR + 1, __ATOMIC_RELEASE);
	ok(viz_feed__read(feed, false, events, CHUNK) == -EPROTO, "more than the ring can hold");
	if (ftruncate(fd, sizeof(*ring)))
		abort();
	/* enough for the mover to come and look */
	__atomic_store_n(&ring->head, NR / 2 + 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 50; i++)
		nap();
	ok(viz_feed__read(feed, false, events, CHUNK) == -EPROTO, "a file that was made shorter");
	ok(!ring->tail, "nothing was taken");
	viz_feed__free(feed);
}

static void test_tentative(void)
{
	struct viz_feed *feed = fresh();
	struct viz_rec_event events[CHUNK];

	ring->events[0] = (struct viz_rec_event){.when = 0, .what = ~0ull};
	__atomic_store_n(&ring->tentative, 1, __ATOMIC_RELEASE);
	ok(!viz_feed__read(feed, false, events, CHUNK), "what may be taken back is not read");
	ok(viz_feed__read(feed, true, events, CHUNK) == 1, "unless it is over");
	viz_feed__free(feed);
}

int main(void)
{
	srandom(1);
	test_late_reader();
	test_together();
	test_tentative();
	test_hostile();
	test_full_disk();
	return tap_done();
}
