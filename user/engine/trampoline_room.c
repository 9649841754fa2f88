// SPDX-License-Identifier: Apache-2.0
/*
 * Where the caves do not hold the recorder: only the smaller loader goes into one. It maps memory
 * when the interpreter comes by, and the recorder is written there.
 *
 * Whatever a hostile target has put there instead, a write to /proc/PID/mem changes nothing that the
 * target could not change itself: of a shared mapping only what it has mapped writable (mm/gup.c,
 * check_vma_flags(), FOLL_FORCE).
 */
#include <errno.h>
#include <string.h>

#include "../base/log.h"
#include "../target/remote.h"
#include "trampoline_private.h"

int viz_instance__make_room(struct viz_trampoline *t, struct viz_instance *in,
			    struct viz_places *places)
{
	unsigned char loader[512];
	struct viz_room_consts r;
	uint32_t entry;
	size_t size, bytes;
	const unsigned char *code = viz_image__room(&size, &entry);
	uint64_t at = viz_places__take(places, size);

	if (!at || !places->hole || size > sizeof(loader))
		return -ENOSPC;
	viz_image__code(t->mode, viz_trampoline__more(t), &bytes, &in->at);
	in->base = places->hole;
	in->boot = at + entry;
	in->awaited = true;
	r = (struct viz_room_consts){
		.slot = in->slot,
		.slot_original = in->original,
		.eval = viz_instance__eval(t, in),
		.base = in->base,
		.bytes = bytes,
	};
	memcpy(loader, code, size);
	memcpy(loader, &r, sizeof(r));
	return viz_instance__put(t, &in->used[in->nr_used++], at, loader, size);
}

static int deliver(struct viz_trampoline *t, struct viz_instance *in)
{
	unsigned char image[VIZ_REC_IMAGE_MAX];
	struct viz_image_entries at;
	struct viz_rec_consts k;
	uint64_t loader = in->boot;
	size_t size;
	const unsigned char *code = viz_image__code(t->mode, viz_trampoline__more(t), &size, &at);
	int err;

	in->boot = in->base + at.start;
	viz_instance__fill_consts(t, in, &k);
	memcpy(image, code, size);
	memcpy(image, &k, sizeof(k));
	err = viz_instance__write(t->mem, in->base, image, size);
	if (!err)
		err = viz_instance__note(t, in, in->slot, in->boot, in->original);
	if (!err)
		err = viz_trampoline__swap(t->mem, in->slot, loader, in->boot);
	if (!err) {
		viz_debug(VIZ_LOG_ENGINE, "pid %d: delivered, the slot was empty already", t->pid);
		err = viz_trampoline__swap(t->mem, in->slot, in->original, in->boot);
	}
	if (err < 0)
		viz_trampoline__swap(t->mem, in->slot, loader, in->original);
	return err < 0 ? err : 1;
}

int viz_instance__look_for_room(struct viz_trampoline *t, struct viz_instance *in)
{
	uint64_t word;
	int err;

	if (viz_remote__read_u64(t->mem, in->base, &word))
		return 0;
	err = deliver(t, in);
	in->awaited = false;
	in->written = err > 0;
	viz_debug(VIZ_LOG_ENGINE, "pid %d: interpreter %#lx, recorder %#lx delivered: %d", t->pid,
		  in->interp, in->base, err);
	return err;
}
