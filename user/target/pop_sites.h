/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cheaper exits for CPython 3.12 and 3.13. There the eval function puts an entry frame of its
 * own, which lies on the C stack, below the frame it is called with; when that frame is popped
 * and the entry frame is current, nothing but the return follows. The return itself often
 * has no instruction that uprobes emulate, but the places where frames are popped do.
 */
#ifndef VIZ_POP_SITES_H
#define VIZ_POP_SITES_H

#include "../../bpf/records.h"
#include "code.h"
#include "interpreter.h"

struct viz_pop_sites {
	struct viz_site sites[VIZ_LEAVE_SITES];
	unsigned int nr;
	bool needed; /* no instruction of the ordinary way out is emulated */
};

/*
 * Sites of which every frame that the eval function at @entry pops executes exactly one, exactly
 * once, when the frame is popped and before anything else is interpreted. A call ends at the one
 * at which the thread state's current frame lies between the stack pointer and its value at the
 * eval function's first instruction, and every call that returns comes by such a one.
 * 0, or -ENOTSUP when that is not certain, or another negative errno.
 */
int viz_pop_sites__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			const struct viz_offsets *off, struct viz_pop_sites *out);

#endif
