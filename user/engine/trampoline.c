// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a recorder: from the attach over the ring that appears to the end.
 */
#include "trampoline.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"
#include "../target/procfs.h"
#include "../target/remote.h"
#include "trampoline_private.h"

enum { RING_MIN = 64 << 10 };

static int add_instance(struct viz_trampoline *t, uint64_t interp, char *why, size_t why_size)
{
	struct viz_instance *in = &t->instances[t->nr_instances];
	int err;

	if (t->nr_instances == VIZ_INSTANCES_MAX)
		return viz_why(why, why_size, -ENOSPC, "it has more than %d interpreters",
			       VIZ_INSTANCES_MAX);
	*in = (struct viz_instance){ .memfd = -1 };
	err = viz_instance__attach(t, in, interp, why, why_size);
	if (!err)
		t->nr_instances++;
	return err;
}

static int new_trampoline(struct viz_trampoline **out, const struct viz_interpreter *interp,
			  const struct viz_trampoline_params *params)
{
	struct viz_trampoline *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->pid = interp->pid;
	t->interp = interp;
	t->params = *params;
	if (!t->params.ring_size)
		t->params.ring_size = VIZ_RING_DEFAULT;
	if (t->params.ring_size < RING_MIN)
		t->params.ring_size = RING_MIN;
	t->mode = viz_image__mode(interp->build);
	if (getrandom(&t->nonce, sizeof(t->nonce), 0) != sizeof(t->nonce))
		t->nonce = (uint64_t)getpid() << 32 ^ (uint64_t)time(NULL);
	t->start_time = viz_procfs__start_time(t->pid);
	t->mem = viz_remote__open(t->pid, O_RDWR);
	if (t->mem < 0) {
		err = t->mem;
		free(t);
		return err;
	}
	*out = t;
	return 0;
}

int viz_trampoline__attach(struct viz_trampoline **out, const struct viz_interpreter *interp,
			   const struct viz_trampoline_params *params, char *why, size_t why_size)
{
	uint64_t states[VIZ_INSTANCES_MAX];
	struct viz_trampoline *t = NULL;
	int err = viz_trampoline__check_build(interp->build, why, why_size), nr;

	if (err)
		return err;
	if (params->ring_size & (params->ring_size - 1))
		return viz_why(why, why_size, -EINVAL, "the ring's size is not a power of two");
	err = new_trampoline(&t, interp, params);
	if (err)
		return viz_why(why, why_size, err, "its memory cannot be opened: %s",
			       strerror(-err));
	err = viz_image__symbols(interp->build, &t->symbols, why, why_size);
	if (err)
		goto cleanup;
	viz_tramp_clock__init(&t->clock);
	if (!t->clock.counter)
		t->vdso = viz_tramp_clock__vdso(t->pid, t->mem);
	if (!t->clock.counter && !t->vdso) {
		err = viz_why(why, why_size, -ENOTSUP, "it has no clock that the recorder can use");
		goto cleanup;
	}
	nr = viz_interpreter__states(interp, states, VIZ_INSTANCES_MAX);
	if (nr <= 0) {
		err = nr ? nr : -EAGAIN;
		viz_why(why, why_size, err, "its interpreter is not initialised yet");
		goto cleanup;
	}
	err = add_instance(t, states[0], why, why_size);
	if (err)
		goto cleanup;
	*out = t;
	return 0;
cleanup:
	viz_trampoline__free(t);
	return err;
}

int viz_trampoline__forked(struct viz_trampoline **out, const struct viz_trampoline *parent,
			   const struct viz_interpreter *interp)
{
	struct viz_trampoline *t = NULL;
	int err = new_trampoline(&t, interp, &parent->params);

	if (err)
		return err;
	t->child = true;
	t->nonce = parent->nonce;
	t->clock = parent->clock;
	t->vdso = parent->vdso;
	t->symbols = parent->symbols;
	t->nr_instances = parent->nr_instances;
	for (int i = 0; i < t->nr_instances; i++) {
		const struct viz_instance *from = &parent->instances[i];
		struct stat st;

		t->instances[i] = (struct viz_instance){
			.interp = from->interp, .slot = from->slot, .original = from->original,
			.base = from->base, .boot = from->boot, .at = from->at, .memfd = -1,
		};
		if (from->memfd >= 0 && !fstat(from->memfd, &st))
			t->parent_ino[i] = st.st_ino;
	}
	*out = t;
	return 0;
}

/* ---- while it runs ---- */

static int open_mapping(const struct viz_trampoline *t, uint64_t start, uint64_t end, int flags)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", t->pid, start, end);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The ring is there: maps it. 1: done, 0: not yet, or -errno. */
static int find_ring(struct viz_trampoline *t, struct viz_instance *in, int index)
{
	uint64_t size = viz_instance__ring_bytes(t), start = in->base + VIZ_REC_RING_AT;
	int fd = open_mapping(t, start, start + size, O_RDWR);
	struct viz_rec_ring *ring;
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) || (uint64_t)st.st_size < size ||
	    (t->child && st.st_ino == t->parent_ino[index])) {
		close(fd);
		return 0;
	}
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED) {
		close(fd);
		return -errno;
	}
	if (__atomic_load_n(&ring->magic, __ATOMIC_ACQUIRE) != VIZ_REC_MAGIC ||
	    ring->nonce != t->nonce || !__atomic_load_n(&ring->state, __ATOMIC_ACQUIRE)) {
		munmap(ring, size);
		close(fd);
		return 0;
	}
	/* the pages count for whoever touches them first: not for the target's memory limit */
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size))
		viz_debug(VIZ_LOG_RING, "pid %d: the ring is not allocated ahead", t->pid);
	in->memfd = fd;
	in->ring = ring;
	return 1;
}

static const char *step_text(uint32_t step)
{
	switch (step) {
	case VIZ_STEP_NO_MONITORING:
		return "it has no sys.monitoring";
	case VIZ_STEP_NO_TOOL:
		return "sys.monitoring's tool ids 3, 4 and 5 are in use by other tools";
	case VIZ_STEP_CALLBACK:
		return "sys.monitoring did not take the callbacks";
	default:
		return "sys.monitoring did not take the events";
	}
}

static void came_up(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_rec_ring *ring = in->ring;

	viz_instance__clear_caves(t, in);
	if (ring->state == VIZ_REC_REFUSED) {
		in->state = VIZ_TRAMPOLINE_REFUSED;
		snprintf(t->why, sizeof(t->why), "%s", step_text(ring->error));
		return;
	}
	in->state = VIZ_TRAMPOLINE_UP;
	if (t->params.min_duration)
		ring->min_ticks = viz_tramp_clock__ticks(&t->clock, t->params.min_duration);
	ring->chains = t->switches;
	if (t->child) {
		viz_instance__note(t, in, in->base + VIZ_REC_KEEP_AT + offsetof(struct viz_rec_keep, mode),
		     VIZ_REC_ON, VIZ_REC_OFF);
		viz_instance__note(t, in, in->base + VIZ_REC_LIVE_AT + offsetof(struct viz_rec_live, ring),
		     in->base + VIZ_REC_RING_AT, 0);
	}
}

/* The slot is back and there is no ring: the loader ran and something was denied. */
static void check_armed(struct viz_trampoline *t, struct viz_instance *in)
{
	uint64_t now, failed = 0;

	if (t->child || viz_remote__read_u64(t->mem, in->slot, &now) || now == in->boot)
		return;
	/* it is out of the slot: give it the time of one run */
	if (!in->waiting) {
		in->waiting = true;
		return;
	}
	viz_remote__read_u64(t->mem,
			     in->base + VIZ_REC_KEEP_AT + offsetof(struct viz_rec_keep, failed),
			     &failed);
	in->state = VIZ_TRAMPOLINE_REFUSED;
	snprintf(t->why, sizeof(t->why), "it was denied memfd_create() or mmap()%s%s",
		 failed ? ": " : " (seccomp, SELinux or a limit)",
		 failed ? strerror((int)failed) : "");
	viz_instance__clear_caves(t, in);
	viz_instance__forget_notes(t, in);
}

/* Sub-interpreters that were made since: one more at a time, when the one before is up. */
static void look_for_interpreters(struct viz_trampoline *t)
{
	uint64_t states[VIZ_INSTANCES_MAX];
	char why[256];
	int nr;

	if (t->child || t->instances[t->nr_instances - 1].state == VIZ_TRAMPOLINE_ARMED)
		return;
	nr = viz_interpreter__states(t->interp, states, VIZ_INSTANCES_MAX);
	for (int i = 0; i < nr; i++) {
		bool known = false;

		for (int k = 0; k < t->nr_instances; k++)
			known |= t->instances[k].interp == states[i] &&
				 t->instances[k].state != VIZ_TRAMPOLINE_ENDED;
		if (known)
			continue;
		if (add_instance(t, states[i], why, sizeof(why)))
			viz_debug(VIZ_LOG_ENGINE, "pid %d: a sub-interpreter is not recorded: %s",
				  t->pid, why);
		return;
	}
}

int viz_trampoline__drain(struct viz_trampoline *t, const struct viz_trampoline_sink *sink)
{
	int total = 0;

	for (int i = 0; i < t->nr_instances; i++) {
		struct viz_instance *in = &t->instances[i];
		int nr;

		if (in->state == VIZ_TRAMPOLINE_ARMED) {
			nr = find_ring(t, in, i);
			if (nr == 1)
				came_up(t, in);
			else if (!nr)
				check_armed(t, in);
		}
		if (!in->ring || in->state == VIZ_TRAMPOLINE_REFUSED)
			continue;
		nr = viz_reader__drain(t, in, sink);
		if (nr < 0)
			return nr;
		total = total > INT32_MAX - nr ? INT32_MAX : total + nr;
	}
	if (!t->over && !(++t->drains & 15))
		look_for_interpreters(t);
	return total;
}

void viz_trampoline__switches(struct viz_trampoline *t)
{
	t->switches = true;
	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].ring)
			__atomic_store_n(&t->instances[i].ring->chains, 1, __ATOMIC_RELAXED);
}

enum viz_trampoline_state viz_trampoline__state(const struct viz_trampoline *t)
{
	return t->instances[0].state;
}

const char *viz_trampoline__why(const struct viz_trampoline *t)
{
	return t->why;
}

void viz_trampoline__losses(const struct viz_trampoline *t, uint64_t *enters, uint64_t *leaves)
{
	*enters = *leaves = 0;
	for (int i = 0; i < t->nr_instances; i++) {
		const struct viz_rec_ring *ring = t->instances[i].ring;

		for (int k = 0; ring && k < VIZ_REC_THREADS; k++) {
			*enters += ring->threads[k].lost_enter;
			*leaves += ring->threads[k].lost_leave;
		}
	}
}

/* ---- the end ---- */

static void nap(void)
{
	struct timespec ts = { .tv_nsec = 200000 };

	nanosleep(&ts, NULL);
}

/* Takes the loader out of the slot. If it was just running, waits for it to come up. */
static void disarm(struct viz_trampoline *t, struct viz_instance *in, int index)
{
	int got = t->child ? 0 : viz_trampoline__swap(t->mem, in->slot, in->boot, in->original);

	for (int i = 0; !got && i < 100 && in->state == VIZ_TRAMPOLINE_ARMED; i++) {
		if (find_ring(t, in, index) == 1)
			came_up(t, in);
		else if (t->child)
			break;
		else
			nap();
	}
	if (in->state == VIZ_TRAMPOLINE_ARMED && !t->child)
		viz_instance__clear_caves(t, in);
}

static void take_back(struct viz_trampoline *t, struct viz_instance *in)
{
	uint64_t stop = in->base + in->at.stop;

	viz_trampoline__swap(t->mem,
			     in->base + VIZ_REC_KEEP_AT + offsetof(struct viz_rec_keep, mode),
			     VIZ_REC_ON, VIZ_REC_OFF);
	viz_trampoline__swap(t->mem,
			     in->base + VIZ_REC_LIVE_AT + offsetof(struct viz_rec_live, ring),
			     in->base + VIZ_REC_RING_AT, 0);
	/* stop() is mapped wherever a ring was: only there may the slot point to it. Stepping
	 * back for the stack changes the slot from inside, so a second look is needed. */
	for (int i = 0; i < 2; i++) {
		viz_trampoline__swap(t->mem, in->slot, in->base + in->at.wrap, stop);
		viz_trampoline__swap(t->mem, in->slot, in->original, stop);
	}
}

void viz_trampoline__detach(struct viz_trampoline *t)
{
	t->over = true;
	for (int i = 0; i < t->nr_instances; i++) {
		struct viz_instance *in = &t->instances[i];

		if (in->state == VIZ_TRAMPOLINE_ARMED)
			disarm(t, in, i);
		if (in->state == VIZ_TRAMPOLINE_UP)
			take_back(t, in);
		if (in->state != VIZ_TRAMPOLINE_REFUSED)
			in->state = VIZ_TRAMPOLINE_ENDED;
		viz_instance__forget_notes(t, in);
	}
}

void viz_trampoline__free(struct viz_trampoline *t)
{
	if (!t)
		return;
	viz_trampoline__detach(t);
	for (int i = 0; i < t->nr_instances; i++) {
		struct viz_instance *in = &t->instances[i];
		uint64_t size = viz_instance__ring_bytes(t);

		if (in->ring)
			munmap(in->ring, size);
		/* an idle target still has it mapped: its pages go now, not the file's size,
		 * which would be answered with SIGBUS */
		if (in->memfd >= 0) {
			fallocate(in->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size);
			close(in->memfd);
		}
		free(in->reader.funcs);
	}
	if (t->mem >= 0)
		close(t->mem);
	free(t);
}
