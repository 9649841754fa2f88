/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control flow of one function, with all its parts wherever the compiler put them, and
 * the stack pointer at each instruction.
 */
#ifndef VIZ_CONTROL_FLOW_H
#define VIZ_CONTROL_FLOW_H

#include "code.h"

#define VIZ_FLOW_PARTS 8
#define VIZ_FLOW_NONE UINT32_MAX

struct viz_flow_node {
	uint32_t next; /* the instruction that follows, VIZ_FLOW_NONE: none */
	uint32_t branch; /* the target of a jump within the function, VIZ_FLOW_NONE: none */
	int32_t sp_delta; /* sp at the function's start minus sp here */
	int32_t fp_delta; /* sp at the function's start minus fp here */
	bool reached;
	bool sp_known, fp_known;
	bool landing; /* an indirect jump may come here */
	bool leaves; /* returns, or jumps out of the function for good (tail call) */
	bool joined; /* some jump comes here */
	bool dispatch; /* an indirect jump within the function */
};

struct viz_flow {
	struct viz_insn *insns; /* sorted by address */
	struct viz_flow_node *nodes; /* one for each instruction */
	size_t nr;
	struct viz_elf_fragment parts[VIZ_FLOW_PARTS];
	unsigned int nr_parts;
	uint32_t entry; /* index of the first instruction */
	size_t unreached; /* instructions, padding excepted, that nothing leads to */
};

/*
 * Analyses the function at @entry; @size is what its symbol says, used when the unwind
 * tables do not know it. 0, or a negative errno with a clause in @why: -ENOTSUP when the
 * flow cannot be established with certainty.
 */
int viz_flow__build(const struct viz_elf *elf, uint64_t entry, uint64_t size, struct viz_flow *flow,
		    char *why, size_t why_size);
void viz_flow__free(struct viz_flow *flow);

#endif
