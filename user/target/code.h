/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine code of a target, decoded into what the search for probe sites needs to know.
 * The architecture's part is code_x86.c; everything else works on struct viz_insn.
 */
#ifndef VIZ_CODE_H
#define VIZ_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf_image.h"

enum viz_insn_kind {
	VIZ_INSN_PLAIN, /* goes on to the next one */
	VIZ_INSN_CALL, /* likewise; target: of a direct call, else 0 */
	VIZ_INSN_JUMP, /* to target */
	VIZ_INSN_COND, /* to target or to the next one */
	VIZ_INSN_INDIRECT, /* jump to where only the data know */
	VIZ_INSN_RETURN,
	VIZ_INSN_TRAP, /* never goes on */
	VIZ_INSN_INVALID, /* could not be decoded */
};

/* What an instruction does to the stack pointer or to the frame pointer. */
enum viz_insn_stack {
	VIZ_STACK_KEEP,
	VIZ_STACK_ADD, /* sp += arg */
	VIZ_STACK_FROM_FP, /* sp = fp + arg */
	VIZ_STACK_FROM_SP, /* fp = sp + arg */
	VIZ_STACK_UNKNOWN,
};

enum viz_insn_arg { /* argument registers that are overwritten */
		    VIZ_ARG0 = 1,
		    VIZ_ARG1 = 2,
		    VIZ_ARG2 = 4,
};

#define VIZ_REG_SP 4
#define VIZ_REG_NONE 255

enum viz_insn_move {
	VIZ_MOVE_NONE,
	VIZ_MOVE_LOAD, /* reg = *(base + disp) */
	VIZ_MOVE_STORE, /* *(base + disp) = reg */
	VIZ_MOVE_ADDRESS, /* reg = base + disp */
};

struct viz_insn {
	uint64_t addr;
	uint64_t target;
	uint64_t ref; /* an address it computes without using it, 0: none */
	int32_t sp_arg, fp_arg;
	int32_t store_disp; /* of stores: the displacement from a register */
	uint8_t size;
	uint8_t kind; /* enum viz_insn_kind */
	uint8_t sp, fp; /* enum viz_insn_stack */
	uint8_t clobbers; /* enum viz_insn_arg */
	uint8_t move; /* enum viz_insn_move, of whole registers and without an index */
	uint8_t move_reg, move_base; /* numbers as the encoding has them; VIZ_REG_SP */
	int32_t move_disp;
	uint16_t writes; /* general registers, a bit for each number */
	bool emulated; /* uprobes emulate it in the trap, no single step */
	bool probeable; /* uprobes accept it, and it is not one to keep away from */
	bool padding; /* nop, or a fill byte */
	bool store; /* writes memory through a register that is not the stack's */
};

/*
 * Decodes [start, end) of @elf in address order. Bytes that make no instruction become
 * VIZ_INSN_INVALID of size 1. 0 or a negative errno: -ENOTSUP on architectures that are not
 * supported, -EFBIG for more than @max instructions. free() the result.
 */
int viz_insns__decode(const struct viz_elf *elf, uint64_t start, uint64_t end, size_t max,
		      struct viz_insn **insns, size_t *nr);

/* What a small accessor such as PyInterpreterState_Next loads and returns. */
enum viz_access_base {
	VIZ_ACCESS_ARG0, /* *(arg0 + disp) */
	VIZ_ACCESS_GLOBAL, /* *(vaddr disp) */
	VIZ_ACCESS_TLS, /* *(thread pointer + disp) */
};

struct viz_access {
	enum viz_access_base base;
	int64_t disp;
};

/* 0, or -ENOENT when the function at @vaddr is not of that simple kind, or -errno. */
int viz_insns__accessor(const struct viz_elf *elf, uint64_t vaddr, struct viz_access *out);

/* Calls @each with every address that the code in [start, end) mentions, until it returns
 * non-zero, which is returned. */
int viz_insns__each_ref(const struct viz_elf *elf, uint64_t start, uint64_t end,
			int (*each)(uint64_t ref, void *ctx), void *ctx);

#endif
