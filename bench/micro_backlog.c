// SPDX-License-Identifier: Apache-2.0
/*
 * What a ring of engine trampoline and its backlog hold: a thread writes records as a recorder
 * does, at a given rate for a second; nobody reads them meanwhile, which is a reader that is as
 * late as it can be. Then they are read. Prints what was lost, and what moving and reading cost.
 *
 *     micro_backlog [MILLIONS_A_SECOND [RING_BYTES]]    default 20 and 64 MiB
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/trampoline_feed.h"

enum { CHUNK = 4096, TURNS = 1000, TURN_NS = 1000000 };

static struct viz_rec_ring *ring;
static uint64_t nr_ring, rate, lost, longest;

static uint64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* So many records each millisecond. What a busy machine made it miss is caught up with, but not
 * more than 20 ms of it: a program that did not run makes no calls. */
static void *record(void *cpu)
{
	uint64_t begin = now(CLOCK_MONOTONIC), head = 0, tail = 0, written = 0, last = begin;

	for (uint64_t turn = 1; turn <= TURNS;) {
		uint64_t time = now(CLOCK_MONOTONIC);

		if (time - last > longest)
			longest = time - last;
		last = time;
		if (time < begin + turn * TURN_NS)
			continue;
		if (time > begin + (turn + 20) * TURN_NS)
			begin = time - (turn + 20) * TURN_NS;
		for (uint64_t i = 0; i < rate / TURNS; i++) {
			if (head - tail >= nr_ring)
				tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
			if (head - tail >= nr_ring) {
				lost++;
				continue;
			}
			ring->events[head & (nr_ring - 1)] =
				(struct viz_rec_event){.when = turn << 8 | 1, .what = written++};
			__atomic_store_n(&ring->head, ++head, __ATOMIC_RELEASE);
		}
		turn++;
	}
	*(uint64_t *)cpu = now(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

int main(int argc, char **argv)
{
	double millions = argc > 1 ? strtod(argv[1], NULL) : 20;
	uint64_t bytes = argc > 2 ? strtoull(argv[2], NULL, 0) : 64 << 20;
	static struct viz_rec_event events[CHUNK];
	uint64_t cpu_writer = 0, cpu_mover, begin, wall, next = 0, waits, disorder = 0;
	size_t size = sizeof(*ring) + bytes;
	struct viz_feed *feed;
	struct rusage usage;
	pthread_t writer;
	int64_t n;
	int fd = memfd_create("ring", MFD_CLOEXEC);

	rate = (uint64_t)(millions * 1e6);
	nr_ring = bytes / sizeof(struct viz_rec_event);
	if (fd < 0 || nr_ring & (nr_ring - 1) || ftruncate(fd, (off_t)size))
		return 1;
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (ring == MAP_FAILED)
		return 1;
	for (int i = 0; i < VIZ_REC_PARTS; i++) /* nobody reads: one part after the other */
		ring->order[i] = (uint8_t)i;
	feed = viz_feed__new(ring, fd, sizeof(*ring), nr_ring);
	if (!feed)
		return 1;
	cpu_mover = now(CLOCK_PROCESS_CPUTIME_ID);
	if (pthread_create(&writer, NULL, record, &cpu_writer))
		return 1;
	pthread_join(writer, NULL);
	waits = viz_feed__waiting(feed);
	cpu_mover = now(CLOCK_PROCESS_CPUTIME_ID) - cpu_mover - cpu_writer;
	begin = now(CLOCK_THREAD_CPUTIME_ID);
	wall = now(CLOCK_MONOTONIC);
	while ((n = viz_feed__read(feed, true, events, CHUNK)) > 0)
		for (int64_t i = 0; i < n; i++)
			disorder += events[i].what != next++;
	begin = now(CLOCK_THREAD_CPUTIME_ID) - begin;
	wall = now(CLOCK_MONOTONIC) - wall;
	viz_feed__free(feed);
	getrusage(RUSAGE_SELF, &usage);
	printf("%.0f M records/s, ring of %.0f MiB: %lu written, %lu lost, %lu wait, mover %.1f M "
	       "records/s of CPU, reader %.1f M records/s of CPU (%.3f s), longest pause %.1f ms\n",
	       millions, (double)bytes / 1048576, (unsigned long)next, (unsigned long)lost,
	       (unsigned long)waits, (double)waits / (double)(cpu_mover + 1) * 1e3,
	       (double)next / (double)begin * 1e3, (double)wall / 1e9, (double)longest / 1e6);
	return n || disorder;
}
