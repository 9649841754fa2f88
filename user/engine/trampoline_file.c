// SPDX-License-Identifier: Apache-2.0
/*
 * The memfd that the recorder opened in the target, found through
 * /proc/PID/map_files and mapped here as well: its regions outlive the
 * processes that wrote them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "../target/remote.h"
#include "trampoline_memfd.h"
#include "trampoline_private.h"

enum { FIRST_AHEAD = 1 << 20 };

static void put_file(struct viz_tramp_file *f)
{
	if (!f || --f->users)
		return;
	for (int i = 0; i < VIZ_REC_REGIONS; i++)
		if (f->leaving[i] >= 0)
			close(f->leaving[i]);
	munmap(f->dir, VIZ_REC_PAGE);
	close(f->fd);
	free(f);
}

/* The whole file, by the name of the ring's mapping. NULL: not there. */
static struct viz_tramp_file *open_file(struct viz_trampoline *t, struct viz_instance *in)
{
	uint64_t size = viz_instance__ring_bytes(t), start = in->base + VIZ_REC_RING_AT;
	struct viz_tramp_file *f;
	uint64_t bytes;
	int fd = viz_memfd__open(t->pid, start, start + size, &bytes);

	if (fd < 0) {
		if (fd != -ENOENT)
			viz_debug(VIZ_LOG_RING, "pid %d: what is there is no ring: %s", t->pid,
				  strerror(-fd));
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (!f || bytes < VIZ_REC_PAGE + size)
		goto no;
	f->users = 1;
	f->fd = fd;
	f->regions = (bytes - VIZ_REC_PAGE) / size;
	f->claimed[0] = 1;
	memset(f->leaving, -1, sizeof(f->leaving));
	f->dir = mmap(NULL, VIZ_REC_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (f->dir != MAP_FAILED)
		return f;
no:
	close(fd);
	free(f);
	return NULL;
}

off_t viz_instance__events_at(const struct viz_trampoline *t, const struct viz_instance *in)
{
	return (off_t)(VIZ_REC_PAGE + in->region * viz_instance__ring_bytes(t) +
		       sizeof(struct viz_rec_ring));
}

/* Without its records, which are read: they would count as memory of vizbpf. */
static struct viz_rec_ring *map_region(const struct viz_trampoline *t,
				       const struct viz_tramp_file *f, unsigned int region)
{
	uint64_t size = viz_instance__ring_bytes(t);
	void *ring = mmap(NULL, sizeof(struct viz_rec_ring), PROT_READ | PROT_WRITE, MAP_SHARED,
			  f->fd, (off_t)(VIZ_REC_PAGE + region * size));

	return ring == MAP_FAILED ? NULL : ring;
}

static bool is_ours(const struct viz_instance *in, const struct viz_rec_ring *ring)
{
	return __atomic_load_n(&ring->magic, __ATOMIC_ACQUIRE) == VIZ_REC_MAGIC &&
	       ring->nonce == in->nonce;
}

static bool is_new(const struct viz_tramp_file *f, unsigned int region)
{
	uint64_t taken = __atomic_load_n(&f->dir->taken[region / 64], __ATOMIC_ACQUIRE);

	return (taken & ~f->claimed[region / 64]) >> region % 64 & 1;
}

static void release(struct viz_tramp_file *f, unsigned int region)
{
	uint64_t bit = 1ull << region % 64;

	f->claimed[region / 64] &= ~bit;
	__atomic_fetch_and(&f->dir->taken[region / 64], ~bit, __ATOMIC_RELEASE);
}

/*
 * Regions of processes that were about to end: told of by sched_process_exit, which comes before
 * the memory goes since Linux 6.16, and a number in /proc outlives it as a zombie. Memory that
 * cannot be read is gone, after an exec too.
 */
static void release_leaving(struct viz_tramp_file *f, uint64_t base)
{
	uint64_t word;

	for (unsigned int i = 1; i < VIZ_REC_REGIONS; i++) {
		if (f->leaving[i] < 0 ||
		    !viz_remote__read_u64(f->leaving[i], base + VIZ_REC_KEEP_AT, &word))
			continue;
		close(f->leaving[i]);
		f->leaving[i] = -1;
		release(f, i);
	}
}

/* Pages count for whoever touches them first: not for the target's memory limit. @records: bytes. */
static void allocate_ahead(const struct viz_trampoline *t, const struct viz_tramp_file *f,
			   unsigned int region, uint64_t records)
{
	uint64_t size = viz_instance__ring_bytes(t), all = sizeof(struct viz_rec_ring) + records;

	if (fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)(VIZ_REC_PAGE + region * size),
		      (off_t)(all < size ? all : size)))
		viz_debug(VIZ_LOG_RING, "pid %d: the ring is not allocated ahead", t->pid);
}

/* A ring is filled from the front as far as records wait in it: more of it is made ready
 * before that is needed. */
static void grow(const struct viz_trampoline *t, struct viz_instance *in)
{
	const struct viz_rec_ring *ring = in->ring;
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
	uint64_t waiting = (head - ring->tail) * sizeof(struct viz_rec_event);

	if (in->ahead >= t->params.ring_size || waiting < in->ahead / 4)
		return;
	in->ahead *= 4;
	allocate_ahead(t, in->file, in->region, in->ahead);
}

void viz_instance__tidy(const struct viz_trampoline *t, struct viz_instance *in)
{
	if (!in->file)
		return;
	if (!in->inherited)
		release_leaving(in->file, in->base);
	if (in->ring)
		grow(t, in);
}

uint64_t viz_trampoline__child_bytes(void)
{
	return sizeof(struct viz_rec_ring) + FIRST_AHEAD;
}

/* What a region begins with. */
struct region_head {
	uint64_t magic;
	uint32_t state, error, pid, tool;
	uint64_t mask, nonce;
};
_Static_assert(offsetof(struct region_head, nonce) == offsetof(struct viz_rec_ring, nonce) &&
		       offsetof(struct region_head, pid) == offsetof(struct viz_rec_ring, pid),
	       "layout");

static int read_head(const struct viz_trampoline *t, const struct viz_tramp_file *f,
		     unsigned int region, struct region_head *head)
{
	off_t at = (off_t)(VIZ_REC_PAGE + region * viz_instance__ring_bytes(t));

	if (pread(f->fd, head, sizeof(*head), at) != sizeof(*head))
		return -EIO;
	return head->magic == VIZ_REC_MAGIC ? 0 : -EAGAIN;
}

/* The next region from @from on that a child has taken and nobody reads; 0: none. */
static unsigned int next_unread(const struct viz_tramp_file *f, unsigned int from)
{
	for (unsigned int i = from; i < VIZ_REC_REGIONS && i < f->regions; i++)
		if (is_new(f, i))
			return i;
	return 0;
}

pid_t viz_trampoline__newborn(const struct viz_trampoline *t)
{
	const struct viz_tramp_file *f = t->instances[0].file;
	struct region_head head;

	for (unsigned int i = 0; f && (i = next_unread(f, i + 1));)
		if (!read_head(t, f, i, &head) && head.pid)
			return (pid_t)head.pid;
	return 0;
}

/* The region that a forked child took: the one with its pid, else the first
 * without a reader. */
static int find_child_ring(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_tramp_file *f = in->file;
	struct region_head head;

	for (unsigned int i = 0; (i = next_unread(f, i + 1));) {
		if (read_head(t, f, i, &head) || head.nonce != in->nonce || !head.state ||
		    (t->ns_pid && head.pid != (uint32_t)t->ns_pid))
			continue;
		in->ring = map_region(t, f, i);
		if (!in->ring)
			return -errno;
		f->claimed[i / 64] |= 1ull << i % 64;
		in->region = i;
		in->ahead = FIRST_AHEAD;
		allocate_ahead(t, f, i, in->ahead);
		return 1;
	}
	return 0;
}

/* The parent's file was not there yet when the child was forked. */
static void adopt_file(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_tramp_file *f = NULL;

	if (t->parent && t->parent->instances[in - t->instances].base == in->base)
		f = t->parent->instances[in - t->instances].file;
	if (!f)
		return;
	f->users++;
	in->file = f;
}

int viz_instance__find_ring(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_tramp_file *f;
	struct viz_rec_ring *ring;
	int found;

	if (in->inherited && !in->file)
		adopt_file(t, in);
	found = in->inherited && in->file ? find_child_ring(t, in) : 0;
	if (found)
		return found;
	f = open_file(t, in);
	if (!f)
		return 0;
	ring = map_region(t, f, 0);
	/* a child that was forked before its parent's loader ran has run its own: a file apart */
	in->coming = ring && is_ours(in, ring) &&
		     (!in->inherited || (t->ns_pid && ring->pid == (uint32_t)t->ns_pid));
	if (!in->coming || !__atomic_load_n(&ring->state, __ATOMIC_ACQUIRE)) {
		if (ring)
			munmap(ring, sizeof(*ring));
		put_file(f);
		return 0;
	}
	/* there can be hundreds of the others, and of children */
	in->ahead = in == &t->instances[0] ? t->params.ring_size : FIRST_AHEAD;
	allocate_ahead(t, f, 0, in->ahead);
	put_file(in->file);
	in->file = f;
	in->ring = ring;
	return 1;
}

void viz_instance__drop_ring(struct viz_trampoline *t, struct viz_instance *in, bool gone)
{
	uint64_t size = viz_instance__ring_bytes(t);
	struct viz_tramp_file *f = in->file;

	viz_reader__free(&in->reader);
	if (in->ring) {
		munmap(in->ring, sizeof(*in->ring));
		/* an idle target still has it mapped: its pages go now, not the file's
		 * size, which would be answered with SIGBUS */
		fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)(VIZ_REC_PAGE + in->region * size), (off_t)size);
	}
	if (in->ring && in->region && gone)
		release(f, in->region);
	else if (in->ring && in->region && t->mem >= 0)
		f->leaving[in->region] = fcntl(t->mem, F_DUPFD_CLOEXEC, 0);
	if (f)
		release_leaving(f, in->base);
	in->ring = NULL;
	put_file(f);
	in->file = NULL;
}
