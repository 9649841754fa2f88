// SPDX-License-Identifier: Apache-2.0
/*
 * Reads offsets out of CPython's small exported accessors: "return interp->next" is one or
 * two loads in any compiler's output. The registers are followed symbolically; whatever is
 * not understood makes its result unknown, and an unknown result is no answer.
 */
#include "code.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#define STEPS_MAX 16
#define ACCESSOR_BYTES 96

enum value_kind {
	VALUE_UNKNOWN = 0,
	VALUE_ARG0, /* the first argument + n */
	VALUE_CONST, /* n */
	VALUE_LOADED, /* what is stored at `from` */
};

struct value {
	enum value_kind kind;
	int64_t n;
	struct viz_access from;
};

struct machine {
	const struct viz_elf *elf;
	struct value regs[16];
};

/* General registers only, whatever part of them is named; -1: another one. */
static int register_index(x86_reg reg)
{
	static const x86_reg wide[16] = {
		X86_REG_RAX, X86_REG_RCX, X86_REG_RDX, X86_REG_RBX, X86_REG_RSP, X86_REG_RBP,
		X86_REG_RSI, X86_REG_RDI, X86_REG_R8,  X86_REG_R9,  X86_REG_R10, X86_REG_R11,
		X86_REG_R12, X86_REG_R13, X86_REG_R14, X86_REG_R15,
	};
	static const x86_reg half[16] = {
		X86_REG_EAX,  X86_REG_ECX,  X86_REG_EDX,  X86_REG_EBX,	X86_REG_ESP,  X86_REG_EBP,
		X86_REG_ESI,  X86_REG_EDI,  X86_REG_R8D,  X86_REG_R9D,	X86_REG_R10D, X86_REG_R11D,
		X86_REG_R12D, X86_REG_R13D, X86_REG_R14D, X86_REG_R15D,
	};

	for (int i = 0; i < 16; i++)
		if (reg == wide[i] || reg == half[i])
			return i;
	return -1;
}

/* The address an operand means, as a value; unknown when it has an index. */
static struct value effective_address(const struct machine *m, const cs_insn *in,
				      const x86_op_mem *mem)
{
	struct value v = {0};
	int base;

	if (mem->index != X86_REG_INVALID && mem->index != X86_REG_RIZ)
		return v;
	if (mem->base == X86_REG_RIP) {
		v.kind = VALUE_CONST;
		v.n = (int64_t)(in->address + in->size + (uint64_t)mem->disp);
	} else if (mem->base == X86_REG_INVALID) {
		v.kind = VALUE_CONST;
		v.n = mem->disp;
	} else {
		base = register_index(mem->base);
		if (base < 0)
			return v;
		v = m->regs[base];
		if (v.kind == VALUE_LOADED && v.from.base == VIZ_ACCESS_GLOBAL) {
			/* A slot of the global offset table: constant once relocated. */
			uint64_t target;

			if (!viz_elf__pointer_at(m->elf, (uint64_t)v.from.disp, &target) || !target)
				return (struct value){0};
			v.kind = VALUE_CONST;
			v.n = (int64_t)target;
		}
		if (v.kind == VALUE_LOADED)
			return (struct value){0};
		v.n = (int64_t)((uint64_t)v.n + (uint64_t)mem->disp);
	}
	return v;
}

static struct value load(const struct machine *m, const cs_insn *in, const x86_op_mem *mem)
{
	struct value at, v = {.kind = VALUE_LOADED};

	if (mem->segment == X86_REG_FS) {
		if (mem->base != X86_REG_INVALID || mem->index != X86_REG_INVALID)
			return (struct value){0};
		v.from.base = VIZ_ACCESS_TLS;
		v.from.disp = mem->disp;
		return v;
	}
	at = effective_address(m, in, mem);
	v.from.disp = at.n;
	if (at.kind == VALUE_ARG0)
		v.from.base = VIZ_ACCESS_ARG0;
	else if (at.kind == VALUE_CONST)
		v.from.base = VIZ_ACCESS_GLOBAL;
	else
		v.kind = VALUE_UNKNOWN;
	return v;
}

/* One instruction that neither jumps nor returns. */
static void step(struct machine *m, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;
	const cs_x86_op *src = &x->operands[1];
	struct value v = {0};
	int to;

	if (in->id == X86_INS_TEST || in->id == X86_INS_CMP || in->id == X86_INS_NOP ||
	    in->id == X86_INS_PUSH || !x->op_count || x->operands[0].type != X86_OP_REG)
		return;
	to = register_index(x->operands[0].reg);
	if (to < 0)
		return;
	if (in->id == X86_INS_MOV && x->op_count == 2) {
		if (src->type == X86_OP_MEM && src->size == 8) {
			v = load(m, in, &src->mem);
		} else if (src->type == X86_OP_IMM) {
			v.kind = VALUE_CONST;
			v.n = src->imm;
		} else if (src->type == X86_OP_REG && register_index(src->reg) >= 0 &&
			   src->size == 8) {
			v = m->regs[register_index(src->reg)];
		}
	} else if (in->id == X86_INS_MOVABS && src->type == X86_OP_MEM) {
		v = load(m, in, &src->mem);
	} else if (in->id == X86_INS_LEA && src->type == X86_OP_MEM) {
		v = effective_address(m, in, &src->mem);
	}
	m->regs[to] = v;
}

static int run(struct machine *m, csh handle, cs_insn *in, const uint8_t *bytes, size_t size,
	       uint64_t at, struct viz_access *out)
{
	for (unsigned int steps = 0; steps < STEPS_MAX; steps++) {
		if (!cs_disasm_iter(handle, &bytes, &size, &at, in))
			return -ENOENT;
		if (in->id == X86_INS_RET) {
			if (m->regs[0].kind != VALUE_LOADED)
				return -ENOENT;
			*out = m->regs[0].from;
			return 0;
		}
		/* "if (slot == NULL) return the default": the other way is what is wanted. */
		if (in->id == X86_INS_JE || in->id == X86_INS_CMOVE)
			continue;
		if (in->id == X86_INS_JNE) {
			uint64_t to = (uint64_t)in->detail->x86.operands[0].imm;

			if (to < at || to - at >= size)
				return -ENOENT;
			bytes += to - at;
			size -= to - at;
			at = to;
			continue;
		}
		for (unsigned int i = 0; i < in->detail->groups_count; i++)
			if (in->detail->groups[i] == X86_GRP_JUMP ||
			    in->detail->groups[i] == X86_GRP_CALL)
				return -ENOENT;
		step(m, in);
	}
	return -ENOENT;
}

int viz_insns__accessor(const struct viz_elf *elf, uint64_t vaddr, struct viz_access *out)
{
	struct machine m = {.elf = elf};
	size_t size = ACCESSOR_BYTES;
	const uint8_t *bytes;
	cs_insn *in;
	csh handle;
	int err;

	if (viz_elf__machine(elf) != EM_X86_64)
		return -ENOTSUP;
	/* It may be the last function of the segment. */
	bytes = viz_elf__is_code(elf, vaddr) ? viz_elf__at(elf, vaddr, size) : NULL;
	while (!bytes && size > 1)
		bytes = viz_elf__at(elf, vaddr, --size);
	if (!bytes || !viz_elf__is_code(elf, vaddr))
		return -ENOENT;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
		return -ENOMEM;
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	in = cs_malloc(handle);
	m.regs[register_index(X86_REG_RDI)].kind = VALUE_ARG0;
	err = in ? run(&m, handle, in, bytes, size, vaddr, out) : -ENOMEM;
	if (in)
		cs_free(in, 1);
	cs_close(&handle);
	return err;
}
