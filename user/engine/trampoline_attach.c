// SPDX-License-Identifier: Apache-2.0
/*
 * Puts the recorder into one interpreter. All of it is plain writes to
 * /proc/PID/mem, in an order in which every state in between is a good one:
 * bytes that nothing refers to yet first, read back and compared, the slot
 * last, 8 aligned bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "../base/log.h"
#include "../target/procfs.h"
#include "../target/remote.h"
#include "trampoline_private.h"

enum { NOEXEC_SEAL = 8, ALLOW_SEALING = 2, CLOEXEC = 1 };

/* A vizbpf that gives no sign of life for so long is gone, and its guardian
 * too. */
#define PATIENCE_NS 60000000000ull

uint64_t viz_instance__ring_bytes(const struct viz_trampoline *t)
{
	uint64_t size = sizeof(struct viz_rec_ring) + t->params.ring_size;

	return (size + VIZ_REC_PAGE - 1) & ~(uint64_t)(VIZ_REC_PAGE - 1);
}

int viz_trampoline__swap(int mem, uint64_t addr, uint64_t expect, uint64_t value)
{
	uint64_t is;
	int err = viz_remote__read_u64(mem, addr, &is);

	if (err || is != expect)
		return err;
	err = viz_remote__write(mem, addr, &value, sizeof(value));
	return err ? err : 1;
}

int viz_instance__note(struct viz_trampoline *t, struct viz_instance *in, uint64_t addr,
		       uint64_t expect, uint64_t value)
{
	struct viz_undo undo = {
		.pid = t->pid,
		.start_time = t->start_time,
		.addr = addr,
		.expect = expect,
		.value = value,
		.dev = t->interp->build->dev,
		.ino = t->interp->build->ino,
		.map_start = t->interp->map_start,
	};
	int entry;

	if (!t->params.guardian)
		return 0;
	if (in->nr_undo == VIZ_UNDO_MAX)
		return -ENOSPC;
	entry = viz_guardian__add(t->params.guardian, &undo);
	if (entry < 0)
		return entry;
	in->undo[in->nr_undo++] = entry;
	return 0;
}

void viz_instance__forget_notes(struct viz_trampoline *t, struct viz_instance *in)
{
	while (in->nr_undo)
		viz_guardian__remove(t->params.guardian, in->undo[--in->nr_undo]);
}

int viz_instance__write(int mem, uint64_t addr, const void *bytes, size_t size)
{
	unsigned char back[4096];
	int err = viz_remote__write(mem, addr, bytes, size);

	for (size_t at = 0; !err && at < size; at += sizeof(back)) {
		size_t part = size - at < sizeof(back) ? size - at : sizeof(back);

		err = viz_remote__read(mem, addr + at, back, part);
		if (!err && memcmp(back, (const char *)bytes + at, part))
			err = -EIO;
	}
	return err;
}

static void clear(struct viz_trampoline *t, const struct viz_span *span)
{
	static const char zeros[8192];

	viz_remote__write(t->mem, span->addr, zeros, span->size);
}

void viz_instance__clear_caves(struct viz_trampoline *t, struct viz_instance *in)
{
	bool carried = false;

	while (in->nr_used)
		clear(t, &in->used[--in->nr_used]);
	in->carried = false;
	for (int i = 0; i < VIZ_INSTANCES_MAX; i++)
		carried |= t->instances[i].carried;
	while (t->nr_carrier && !carried)
		clear(t, &t->carrier[--t->nr_carrier]);
}

/* Whether thread @tid waits in a system call that was not made from a cave. */
static bool waits_elsewhere(const struct viz_trampoline *t, const struct viz_instance *in,
			    pid_t tid)
{
	char name[64], text[256];
	const char *last;
	uint64_t pc;

	snprintf(name, sizeof(name), "task/%d/syscall", tid);
	if (viz_procfs__read(t->pid, name, text, sizeof(text)) <= 0)
		return false;
	/* "running", or "-1 SP PC" outside of a call, or "NR ARGUMENTS SP PC" */
	last = strrchr(text, ' ');
	if (!strncmp(text, "-1 ", 3) || !last || sscanf(last, "%lx", &pc) != 1)
		return false;
	for (int i = 0; i < in->nr_used; i++)
		if (pc - in->used[i].addr <= in->used[i].size)
			return false;
	return true;
}

int viz_instance__leave_caves(struct viz_trampoline *t, struct viz_instance *in)
{
	struct viz_procfs_task tasks[256];
	int nr = viz_procfs__tasks(t->pid, tasks, 256);

	if (nr <= 0 || nr == 256)
		return 0;
	for (int i = 0; i < nr; i++)
		if (!waits_elsewhere(t, in, tasks[i].tid))
			return 0;
	viz_instance__clear_caves(t, in);
	return 1;
}

int viz_instance__put(struct viz_trampoline *t, struct viz_span *span, uint64_t addr,
		      const void *bytes, size_t size)
{
	*span = (struct viz_span){.addr = addr, .size = size};
	return viz_instance__write(t->mem, addr, bytes, size);
}

/*
 * The address of last_holder of the interpreter's GIL; 0: not known. 3.13+ say where it is in
 * _Py_DebugOffsets (Include/internal/pycore_debug_offsets.h); in 3.12 it is where all its
 * micro versions have it (pycore_interp.h). The recorder compares it with the thread state it
 * is called with before it relies on it.
 */
static uint64_t find_holder(const struct viz_trampoline *t, uint64_t interp)
{
	const struct viz_build *b = t->interp->build;
	uint64_t head[3], off[14], gil, holder = 8, locked = 16, at = 384;
	unsigned int first = b->minor == 13 ? 8 : 9; /* 3.14 has threads_main before */
	uint32_t is_locked;

	if (b->minor >= 13) {
		if (!b->runtime ||
		    viz_remote__read(t->mem, b->runtime + t->interp->bias, head, sizeof(head)) ||
		    memcmp(head, "xdebugpy", 8) || (uint8_t)(head[1] >> 16) != b->minor ||
		    viz_remote__read(t->mem, b->runtime + t->interp->bias + 48, off, sizeof(off)))
			return 0;
		at = off[first];
		locked = off[first + 3] - off[first + 1];
		holder = off[first + 4] - off[first + 1];
	}
	if (at > 1 << 20 || holder > 64 || locked > 64 || holder % 8 ||
	    viz_remote__read_u64(t->mem, interp + at, &gil) || gil % 8 ||
	    viz_remote__read_u32(t->mem, gil + locked, &is_locked) || is_locked > 1)
		return 0;
	return gil + holder;
}

uint64_t viz_instance__eval(const struct viz_trampoline *t, const struct viz_instance *in)
{
	return in->original ?: t->interp->build->eval_frame_default + t->interp->bias;
}

void viz_instance__fill_consts(const struct viz_trampoline *t, const struct viz_instance *in,
			       struct viz_rec_consts *k)
{
	size_t size;
	struct viz_image_entries at;

	viz_image__consts(k, t->interp, &t->symbols);
	viz_image__code(t->mode, viz_trampoline__more(t), &size, &at);
	k->bytes = size;
	k->clock = t->clock.counter ? 0 : t->vdso;
	k->mask = t->params.ring_size / sizeof(struct viz_rec_event) - 1;
	k->eval = viz_instance__eval(t, in);
	k->slot = in->slot;
	k->slot_original = in->original;
	k->slot_boot = in->boot;
	k->ring_bytes = viz_instance__ring_bytes(t);
	k->regions = t->regions;
	k->threads = in->interp + t->interp->build->info.off.interp_threads;
	k->nonce = in->nonce;
	if (t->mode == VIZ_REC_MONITOR)
		k->holder = find_holder(t, in->interp);
	viz_debug(VIZ_LOG_ENGINE, "pid %d: the GIL's holder is at %#lx", t->pid, k->holder);
	/* a little less: how fast the counter goes is known better later on */
	k->min_ticks = viz_tramp_clock__ticks(&t->clock, t->params.min_duration -
								 t->params.min_duration / 256);
	if (t->params.max_depth <= VIZ_REC_DEPTH)
		k->max_depth = t->params.max_depth;
	k->filter = k->max_depth || t->params.judges ? VIZ_REC_FILTER_ALL : VIZ_REC_FILTER_NONE;
	if (k->filter && t->switches)
		k->filter = VIZ_REC_FILTER_OPEN;
	/* WRAP: the ends of calls that began before are not seen, who calls tells that they are over */
	k->chains = t->mode == VIZ_REC_WRAP || t->switches;
	k->judged = t->params.judges ? 0 : VIZ_REC_JUDGED;
	k->patience = viz_tramp_clock__ticks(&t->clock, PATIENCE_NS);
	k->c_functions = t->params.c_functions;
	k->exceptions = t->params.exceptions;
	k->follow = t->params.follow;
	k->pid = (uint32_t)t->ns_pid;
	k->memfd_flags = CLOEXEC | ALLOW_SEALING | /* viz_memfd__open() */
			 (access("/proc/sys/vm/memfd_noexec", F_OK) ? 0 : NOEXEC_SEAL);
}

bool viz_trampoline__more(const struct viz_trampoline *t)
{
	return t->params.c_functions || t->params.exceptions;
}

/* Linux 6.12 and newer can refuse writes to pages that are not writable:
 * CONFIG_PROC_MEM_FORCE_PTRACE, as Debian has it in 7.2. */
static int not_written(int err, char *why, size_t why_size)
{
	return viz_why(why, why_size, err, "the recorder could not be written into it: %s",
		       err == -EIO ? "this kernel lets only a debugger write code "
				     "(proc_mem.force_override)"
				   : strerror(-err));
}

/* The code of the recorder into caves, in pieces. */
static int place_carrier(struct viz_trampoline *t, struct viz_places *places,
			 const unsigned char *code, size_t size)
{
	size_t done = 0;
	int err = 0;

	while (!err && done < size) {
		uint64_t part, from = viz_places__take_some(places, size - done, &part);

		if (!from || t->nr_carrier == VIZ_REC_PIECES - 1)
			return -ENOSPC;
		err = viz_instance__put(t, &t->carrier[t->nr_carrier++], from, code + done, part);
		done += part;
	}
	return err;
}

/* A recorder that runs in another interpreter of the process: its code is there to be read. */
static const struct viz_instance *another(const struct viz_trampoline *t)
{
	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].state == VIZ_TRAMPOLINE_UP && !t->instances[i].gone)
			return &t->instances[i];
	return NULL;
}

/* Where the loader finds the code, after the constants. */
static int find_code(struct viz_trampoline *t, struct viz_instance *in, struct viz_places *places,
		     const unsigned char *code, size_t size, struct viz_load_consts *l)
{
	const struct viz_instance *up = another(t);
	int err = 0;

	if (up) {
		l->pieces[1].from = up->base + VIZ_REC_CONSTS_SIZE;
		l->pieces[1].size = size;
		return 0;
	}
	in->carried = true;
	if (!t->nr_carrier)
		err = place_carrier(t, places, code, size);
	for (int i = 0; i < t->nr_carrier; i++) {
		l->pieces[1 + i].from = t->carrier[i].addr;
		l->pieces[1 + i].size = t->carrier[i].size;
	}
	return err;
}

/* The recorder and the loader into caves. -ENOSPC: it does not fit, or not as a whole. */
static int place_image(struct viz_trampoline *t, struct viz_instance *in, struct viz_places *places)
{
	struct viz_load_consts l = {.slot = in->slot, .slot_original = in->original};
	unsigned char consts[VIZ_REC_CONSTS_SIZE] = {0}, loader[1024];
	struct viz_rec_consts k;
	size_t size, loader_size;
	uint32_t entry;
	const unsigned char *code =
		viz_image__code(t->mode, viz_trampoline__more(t), &size, &in->at);
	const unsigned char *load = viz_image__loader(&loader_size, &entry);
	uint64_t at = viz_places__take(places, loader_size);
	uint64_t consts_at = viz_places__take(places, sizeof(consts));
	int err;

	if (!at || !consts_at || !places->hole || loader_size > sizeof(loader))
		return -ENOSPC;
	in->base = places->hole;
	in->boot = at + entry;
	err = find_code(t, in, places, code + sizeof(consts), size - sizeof(consts), &l);
	if (err)
		return err;
	viz_instance__fill_consts(t, in, &k);
	memcpy(consts, &k, sizeof(k));
	l.pieces[0].from = consts_at;
	l.pieces[0].size = sizeof(consts);
	l.eval = k.eval;
	l.base = in->base;
	l.bytes = size;
	l.start = in->base + in->at.start;
	l.memfd_flags = k.memfd_flags;
	memcpy(loader, load, loader_size);
	memcpy(loader, &l, sizeof(l));
	err = viz_instance__put(t, &in->used[in->nr_used++], consts_at, consts, sizeof(consts));
	if (!err)
		err = viz_instance__put(t, &in->used[in->nr_used++], at, loader, loader_size);
	return err;
}

/* Whether no interpreter is there that the recorder with these constants could serve. One of ours
 * whose end has not been noticed yet would be taken for it, and stopped. */
static bool is_spare(const struct viz_trampoline *t, const struct viz_rec_consts *k, uint64_t base)
{
	uint64_t states[VIZ_LIST_MAX];
	int nr = viz_interpreters__list(t, states);

	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].base == base && !t->instances[i].gone)
			return false;
	for (int i = 0; i < nr; i++)
		if (states[i] + t->interp->build->info.off.interp_eval_frame == k->slot)
			return false;
	return nr > 0 && nr < VIZ_LIST_MAX;
}

/* Nothing that the recorder kept for an interpreter that is gone may be used for another. */
static int forget_past(const struct viz_trampoline *t, uint64_t base)
{
	const uint64_t zero[2] = {0};
	uint64_t keep = base + VIZ_REC_KEEP_AT, live = base + VIZ_REC_LIVE_AT;
	int err = viz_remote__write(t->mem, keep + offsetof(struct viz_rec_keep, registered), zero,
				    sizeof(zero)); /* and disable */

	return err
		       ?: viz_remote__write(t->mem, live + offsetof(struct viz_rec_live, stopping),
					    zero, sizeof(zero[0]));
}

_Static_assert(offsetof(struct viz_rec_keep, disable) ==
		       offsetof(struct viz_rec_keep, registered) + 8,
	       "forget_past() writes both");

/* A recorder that was left in the process, the same to the byte: this interpreter's own of an
 * earlier attach, or one whose interpreter is gone. */
static bool reuse_image(struct viz_trampoline *t, struct viz_instance *in,
			const struct viz_places *places)
{
	unsigned char bytes[VIZ_REC_IMAGE_MAX];
	struct viz_rec_consts old, k;
	size_t size;
	const unsigned char *code =
		viz_image__code(t->mode, viz_trampoline__more(t), &size, &in->at);

	for (int i = 0; i < places->nr_images; i++) {
		uint64_t base = places->images[i];

		if (viz_remote__read(t->mem, base, bytes, size))
			continue;
		memcpy(&old, bytes, sizeof(old));
		if (old.magic != VIZ_REC_MAGIC || old.ring_bytes != viz_instance__ring_bytes(t) ||
		    memcmp(bytes + VIZ_REC_CONSTS_SIZE, code + VIZ_REC_CONSTS_SIZE,
			   size - VIZ_REC_CONSTS_SIZE))
			continue;
		if (old.slot != in->slot && (!is_spare(t, &old, base) || forget_past(t, base)))
			continue;
		in->base = base;
		in->again = true;
		in->boot = base + in->at.start_again;
		viz_instance__fill_consts(t, in, &k);
		return !viz_instance__write(t->mem, base, &k, sizeof(k));
	}
	return false;
}

/* What was in the slot before any vizbpf: a stop() that never got its run may
 * be there now. */
static int read_original(struct viz_trampoline *t, struct viz_instance *in,
			 const struct viz_places *places, uint64_t *now, char *why, size_t why_size)
{
	uint64_t fallback = t->interp->build->eval_frame_default + t->interp->bias;
	uint32_t off = t->interp->build->info.off.interp_perf_profiling, perf = 0;
	struct viz_rec_consts old;
	int err = viz_remote__read_u64(t->mem, in->slot, now);

	if (err)
		return viz_why(why, why_size, err, "its PEP 523 slot cannot be read");
	/* Python/perf_trampoline.c: a slot that is set before it is a fatal error */
	if (off != VIZ_NONE && !viz_remote__read_u32(t->mem, in->interp + off, &perf) && perf)
		return viz_why(why, why_size, -ENOTSUP,
			       "it runs with perf profiling (-X perf), which owns the frame "
			       "evaluation slot");
	/* up to 3.10 it is never empty but while the interpreter is being made */
	if (!*now && !(t->interp->build->info.flags & VIZ_BUILD_INLINES))
		return viz_why(why, why_size, -EAGAIN, "it is being made");
	in->original = *now;
	for (int i = 0; i < places->nr_images; i++)
		if (*now - places->images[i] < VIZ_REC_PAGE &&
		    !viz_remote__read(t->mem, places->images[i], &old, sizeof(old)) &&
		    old.magic == VIZ_REC_MAGIC)
			in->original = old.slot_original;
	if (in->original && in->original != fallback)
		return viz_why(
			why, why_size, -EBUSY,
			"another tool holds its PEP 523 slot (PyTorch's Dynamo, a debugger)");
	return 0;
}

/* The recorders of several interpreters can be on their way at the same time. */
static int find_places(const struct viz_trampoline *t, struct viz_places *places,
		       uint64_t hole_size)
{
	struct viz_span taken[VIZ_INSTANCES_MAX];
	int nr = 0, err;

	for (int i = 0; i < t->nr_instances; i++)
		if (t->instances[i].base)
			taken[nr++] = (struct viz_span){t->instances[i].base, hole_size};
	err = viz_places__find(places, t->pid, t->mem, hole_size, taken, nr);
	for (int i = 0; i < t->nr_instances && !err; i++)
		for (int k = 0; k < t->instances[i].nr_used; k++)
			viz_places__reserve(places, t->instances[i].used[k].addr,
					    t->instances[i].used[k].size);
	for (int i = 0; i < t->nr_carrier && !err; i++)
		viz_places__reserve(places, t->carrier[i].addr, t->carrier[i].size);
	return err;
}

/* Other interpreters' loaders take up room that will be there in a moment. */
static bool is_crowded(const struct viz_trampoline *t, const struct viz_instance *in)
{
	for (int i = 0; i < t->nr_instances; i++)
		if (&t->instances[i] != in && t->instances[i].nr_used)
			return true;
	return false;
}

/* Whole, where the caves hold it; else the smaller loader alone. */
static int place(struct viz_trampoline *t, struct viz_instance *in, struct viz_places *places,
		 uint64_t hole_size, char *why, size_t why_size)
{
	int err = place_image(t, in, places);

	if (err == -ENOSPC) {
		viz_instance__clear_caves(t, in);
		err = find_places(t, places, hole_size);
		if (!err)
			err = viz_instance__make_room(t, in, places);
	}
	if (err == -ENOSPC)
		return viz_why(why, why_size, is_crowded(t, in) ? -ENOBUFS : -ENOTSUP,
			       "there is no room for a loader behind its code");
	return err ? not_written(err, why, why_size) : 0;
}

/* The four words that can be taken back, each only where it is found. */
static int note_all(struct viz_trampoline *t, struct viz_instance *in)
{
	uint64_t keep = in->base + VIZ_REC_KEEP_AT, live = in->base + VIZ_REC_LIVE_AT;
	int err = viz_instance__note(t, in, in->slot, in->boot, in->original);

	if (!err)
		err = viz_instance__note(t, in, keep + offsetof(struct viz_rec_keep, mode),
					 VIZ_REC_ON, VIZ_REC_OFF);
	if (!err)
		err = viz_instance__note(t, in, live + offsetof(struct viz_rec_live, ring),
					 in->base + VIZ_REC_RING_AT, 0);
	if (!err && t->mode == VIZ_REC_WRAP)
		err = viz_instance__note(t, in, in->slot, in->base + in->at.wrap,
					 in->base + in->at.stop);
	return err;
}

int viz_instance__attach(struct viz_trampoline *t, struct viz_instance *in, uint64_t interp,
			 char *why, size_t why_size)
{
	uint64_t hole_size = VIZ_REC_RING_AT + viz_instance__ring_bytes(t), now;
	struct viz_places places;
	int err;

	in->interp = interp;
	if (getrandom(&in->nonce, sizeof(in->nonce), 0) != sizeof(in->nonce))
		in->nonce = (uint64_t)getpid() << 32 ^ viz_tramp_clock__now(&t->clock);
	in->slot = interp + t->interp->build->info.off.interp_eval_frame;
	err = viz_trampoline__check_process(t->pid, viz_instance__ring_bytes(t), t->params.follow,
					    &t->regions, why, why_size);
	if (err)
		return err;
	err = find_places(t, &places, hole_size);
	if (err)
		return viz_why(why, why_size, err, "its mappings cannot be read: %s",
			       strerror(-err));
	err = read_original(t, in, &places, &now, why, why_size);
	if (!err && !reuse_image(t, in, &places))
		err = place(t, in, &places, hole_size, why, why_size);
	if (err)
		goto cleanup;
	err = note_all(t, in);
	if (err) {
		viz_why(why, why_size, err, "the guardian's journal does not take it");
		goto cleanup;
	}
	viz_debug(VIZ_LOG_ENGINE,
		  "pid %d: interpreter %#lx, slot %#lx (%#lx), loader %#lx, recorder "
		  "%#lx%s",
		  t->pid, interp, in->slot, now, in->boot, in->base, in->again ? " (again)" : "");
	err = viz_trampoline__swap(t->mem, in->slot, now, in->boot);
	if (err == 1)
		return 0;
	err = err ? err : -EAGAIN;
	viz_why(why, why_size, err, "its PEP 523 slot changed meanwhile");
cleanup:
	viz_instance__forget_notes(t, in);
	viz_instance__clear_caves(t, in);
	return err;
}
