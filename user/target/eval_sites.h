/* SPDX-License-Identifier: Apache-2.0 */
/* Where to put uprobes in a function so that each call is seen once going in and once out. */
#ifndef VIZ_EVAL_SITES_H
#define VIZ_EVAL_SITES_H

#include "../../bpf/records.h"
#include "code.h"
#include "interpreter.h"

struct viz_eval_sites {
	struct viz_site enter;
	struct viz_site leave[VIZ_LEAVE_SITES];
	unsigned int nr_leave;
	/* no store to [register + the given displacement] follows any leave site */
	bool settled;
};

/*
 * @size: what the symbol of the function at @entry says, bytes. @store_disp: see `settled`.
 * 0, or a negative errno with a clause in @why; -ENOTSUP when certainty is impossible.
 */
int viz_eval_sites__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			 int32_t store_disp, struct viz_eval_sites *out, char *why,
			 size_t why_size);

/*
 * The cheapest instruction that every call of the function at @entry (of @size bytes by its
 * symbol, 0: unknown) executes once, with the argument registers in @args (enum viz_insn_arg)
 * untouched. 0 or a negative errno.
 */
int viz_enter_site__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			 unsigned int args, struct viz_site *out);

/*
 * Where every call of the ordinary function at @entry can be seen exactly once when all that it
 * calls has returned: at most VIZ_LEAVE_SITES of them to @sites. 0 or a negative errno.
 */
int viz_end_sites__find(const struct viz_elf *elf, uint64_t entry, uint64_t size,
			struct viz_site *sites, unsigned int *nr);

#endif
