// SPDX-License-Identifier: Apache-2.0
/* The x86-64 part of code.h. */
#include "code.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int open_decoder(const struct viz_elf *elf, csh *handle)
{
	if (viz_elf__machine(elf) != EM_X86_64)
		return -ENOTSUP;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, handle) != CS_ERR_OK)
		return -ENOMEM;
	cs_option(*handle, CS_OPT_DETAIL, CS_OPT_ON);
	return 0;
}

/*
 * What branch_setup_xol_ops() and push_setup_xol_ops() in arch/x86/kernel/uprobes.c take,
 * less what they take only with prefixes. Long nops are left out: kernel 6.18 turns a
 * probed 5-byte one into a call, which overwrites the red zone.
 */
static bool is_emulated(const uint8_t *b, unsigned int size)
{
	if (b[0] >= 0x50 && b[0] <= 0x57)
		return size == 1;
	if (b[0] == 0x41 && size == 2)
		return b[1] >= 0x50 && b[1] <= 0x57;
	if (b[0] == 0x90)
		return size == 1;
	if (b[0] == 0xe8 || b[0] == 0xe9)
		return size == 5;
	if (b[0] == 0xeb || (b[0] >= 0x70 && b[0] <= 0x7f))
		return size == 2;
	return b[0] == 0x0f && size == 6 && b[1] >= 0x80 && b[1] <= 0x8f;
}

/* Prefixes that is_prefix_bad() refuses, and encodings that older kernels cannot decode. */
static bool is_refused(const uint8_t *b)
{
	switch (b[0]) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x67:
	case 0xf0:
	case 0x62:
	case 0xc4:
	case 0xc5:
		return true;
	default:
		return false;
	}
}

static bool is_rsp(x86_reg reg)
{
	return reg == X86_REG_RSP || reg == X86_REG_ESP || reg == X86_REG_SP || reg == X86_REG_SPL;
}

static bool is_rbp(x86_reg reg)
{
	return reg == X86_REG_RBP || reg == X86_REG_EBP || reg == X86_REG_BP || reg == X86_REG_BPL;
}

static unsigned int argument_bit(uint16_t reg)
{
	switch (reg) {
	case X86_REG_RDI:
	case X86_REG_EDI:
	case X86_REG_DI:
	case X86_REG_DIL:
		return VIZ_ARG0;
	case X86_REG_RSI:
	case X86_REG_ESI:
	case X86_REG_SI:
	case X86_REG_SIL:
		return VIZ_ARG1;
	case X86_REG_RDX:
	case X86_REG_EDX:
	case X86_REG_DX:
	case X86_REG_DL:
	case X86_REG_DH:
		return VIZ_ARG2;
	default:
		return 0;
	}
}

/* The number of a general register, whatever part of it is meant; VIZ_REG_NONE: another one. */
static uint8_t register_number(uint16_t reg)
{
	static const uint16_t parts[16][5] = {
		{X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH},
		{X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH},
		{X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH},
		{X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH},
		{X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL},
		{X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL},
		{X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL},
		{X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL},
		{X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B},
		{X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B},
		{X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B},
		{X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B},
		{X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B},
		{X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B},
		{X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B},
		{X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B},
	};

	for (uint8_t n = 0; reg != X86_REG_INVALID && n < 16; n++)
		for (unsigned int i = 0; i < 5; i++)
			if (parts[n][i] == reg)
				return n;
	return VIZ_REG_NONE;
}

static void set_move(struct viz_insn *out, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;
	bool store = x->operands[0].type == X86_OP_MEM;
	const cs_x86_op *reg = &x->operands[store], *mem = &x->operands[!store];

	if ((in->id != X86_INS_MOV && in->id != X86_INS_LEA) || x->op_count != 2 ||
	    reg->type != X86_OP_REG || mem->type != X86_OP_MEM || reg->size != 8 ||
	    mem->mem.index != X86_REG_INVALID || mem->mem.segment != X86_REG_INVALID ||
	    mem->mem.disp < INT32_MIN || mem->mem.disp > INT32_MAX)
		return;
	out->move_reg = register_number((uint16_t)reg->reg);
	out->move_base = register_number((uint16_t)mem->mem.base);
	out->move_disp = (int32_t)mem->mem.disp;
	if (out->move_reg == VIZ_REG_NONE || out->move_base == VIZ_REG_NONE)
		return;
	out->move = in->id == X86_INS_LEA ? VIZ_MOVE_ADDRESS
		    : store		  ? VIZ_MOVE_STORE
					  : VIZ_MOVE_LOAD;
}

static void set_kind(struct viz_insn *out, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;
	bool direct = x->op_count == 1 && x->operands[0].type == X86_OP_IMM;

	switch (in->id) {
	case X86_INS_JMP:
	case X86_INS_LJMP:
		out->kind = direct ? VIZ_INSN_JUMP : VIZ_INSN_INDIRECT;
		break;
	case X86_INS_CALL:
	case X86_INS_LCALL:
		out->kind = VIZ_INSN_CALL;
		break;
	case X86_INS_RET:
		out->kind = x->op_count ? VIZ_INSN_INVALID : VIZ_INSN_RETURN;
		break;
	case X86_INS_RETF:
	case X86_INS_RETFQ:
	case X86_INS_IRET:
	case X86_INS_IRETD:
	case X86_INS_IRETQ:
		out->kind = VIZ_INSN_INVALID;
		break;
	case X86_INS_UD2:
	case X86_INS_HLT:
	case X86_INS_INT3:
		out->kind = VIZ_INSN_TRAP;
		out->padding = in->id == X86_INS_INT3;
		break;
	case X86_INS_NOP:
		out->padding = true;
		break;
	case X86_INS_LOOP:
	case X86_INS_LOOPE:
	case X86_INS_LOOPNE:
		out->kind = VIZ_INSN_COND;
		break;
	default:
		if (direct &&
		    (in->bytes[0] == 0x0f || in->bytes[0] == 0xe3 || (in->bytes[0] & 0xf0) == 0x70))
			for (unsigned int i = 0; i < in->detail->groups_count; i++)
				if (in->detail->groups[i] == X86_GRP_JUMP)
					out->kind = VIZ_INSN_COND;
	}
	if (direct && (out->kind == VIZ_INSN_JUMP || out->kind == VIZ_INSN_COND ||
		       out->kind == VIZ_INSN_CALL))
		out->target = (uint64_t)x->operands[0].imm;
}

/* Both pointers after an instruction that writes one of them in a way that is understood. */
static bool set_known_stack(struct viz_insn *out, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;
	const cs_x86_op *a = &x->operands[0], *b = &x->operands[1];

	switch (in->id) {
	case X86_INS_PUSH:
	case X86_INS_PUSHFQ:
		out->sp = in->bytes[0] == 0x66 ? VIZ_STACK_UNKNOWN : VIZ_STACK_ADD;
		out->sp_arg = -8;
		return true;
	case X86_INS_POP:
	case X86_INS_POPFQ:
		out->sp = in->bytes[0] == 0x66 ? VIZ_STACK_UNKNOWN : VIZ_STACK_ADD;
		out->sp_arg = 8;
		if (x->op_count && a->type == X86_OP_REG && is_rsp(a->reg))
			out->sp = VIZ_STACK_UNKNOWN;
		if (x->op_count && a->type == X86_OP_REG && is_rbp(a->reg))
			out->fp = VIZ_STACK_UNKNOWN;
		return true;
	case X86_INS_LEAVE:
		out->sp = VIZ_STACK_FROM_FP;
		out->sp_arg = 8;
		out->fp = VIZ_STACK_UNKNOWN;
		return true;
	case X86_INS_CALL:
		return true;
	case X86_INS_RET:
		return true;
	default:
		break;
	}
	if (x->op_count != 2 || a->type != X86_OP_REG)
		return false;
	if ((in->id == X86_INS_ADD || in->id == X86_INS_SUB) && a->reg == X86_REG_RSP &&
	    b->type == X86_OP_IMM && b->imm >= -(1 << 28) && b->imm <= 1 << 28) {
		out->sp = VIZ_STACK_ADD;
		out->sp_arg = (int32_t)(in->id == X86_INS_ADD ? b->imm : -b->imm);
		return true;
	}
	if (in->id == X86_INS_MOV && b->type == X86_OP_REG) {
		if (a->reg == X86_REG_RSP && b->reg == X86_REG_RBP)
			out->sp = VIZ_STACK_FROM_FP;
		else if (a->reg == X86_REG_RBP && b->reg == X86_REG_RSP)
			out->fp = VIZ_STACK_FROM_SP;
		else
			return false;
		return true;
	}
	if (in->id == X86_INS_LEA && b->mem.index == X86_REG_INVALID && b->mem.disp >= INT32_MIN &&
	    b->mem.disp <= INT32_MAX) {
		int32_t disp = (int32_t)b->mem.disp;

		if (a->reg == X86_REG_RSP && b->mem.base == X86_REG_RSP) {
			out->sp = VIZ_STACK_ADD;
			out->sp_arg = disp;
		} else if (a->reg == X86_REG_RSP && b->mem.base == X86_REG_RBP) {
			out->sp = VIZ_STACK_FROM_FP;
			out->sp_arg = disp;
		} else if (a->reg == X86_REG_RBP && b->mem.base == X86_REG_RSP) {
			out->fp = VIZ_STACK_FROM_SP;
			out->fp_arg = disp;
		} else {
			return false;
		}
		return true;
	}
	return false;
}

static void set_registers(csh handle, struct viz_insn *out, const cs_insn *in)
{
	cs_regs reads, writes;
	uint8_t nr_reads, nr_writes, i;
	bool known = set_known_stack(out, in);

	if (cs_regs_access(handle, in, reads, &nr_reads, writes, &nr_writes) != CS_ERR_OK) {
		out->kind = VIZ_INSN_INVALID;
		return;
	}
	for (i = 0; i < nr_writes; i++) {
		uint8_t number = register_number(writes[i]);

		out->clobbers |= (uint8_t)argument_bit(writes[i]);
		if (number != VIZ_REG_NONE)
			out->writes |= (uint16_t)(1u << number);
		if (!known && is_rsp(writes[i]))
			out->sp = VIZ_STACK_UNKNOWN;
		if (!known && is_rbp(writes[i]))
			out->fp = VIZ_STACK_UNKNOWN;
	}
	if (out->kind == VIZ_INSN_CALL)
		out->clobbers = VIZ_ARG0 | VIZ_ARG1 | VIZ_ARG2;
}

static void set_memory(struct viz_insn *out, const cs_insn *in)
{
	const cs_x86 *x = &in->detail->x86;

	for (unsigned int i = 0; i < x->op_count; i++) {
		const cs_x86_op *op = &x->operands[i];

		if (op->type == X86_OP_IMM && in->id == X86_INS_MOV && op->imm > 0)
			out->ref = (uint64_t)op->imm;
		if (op->type != X86_OP_MEM)
			continue;
		if (op->mem.base == X86_REG_RIP && in->id == X86_INS_LEA)
			out->ref = in->address + in->size + (uint64_t)op->mem.disp;
		/* Every first operand in memory counts: the library's access flags are
		 * incomplete, and a comparison taken for a store does no harm here. */
		if (i == 0 && in->id != X86_INS_CMP && in->id != X86_INS_TEST &&
		    op->mem.base != X86_REG_INVALID && op->mem.base != X86_REG_RIP &&
		    !is_rsp(op->mem.base) && op->mem.disp >= INT32_MIN &&
		    op->mem.disp <= INT32_MAX) {
			out->store = true;
			out->store_disp = (int32_t)op->mem.disp;
		}
	}
}

static void convert(csh handle, struct viz_insn *out, const cs_insn *in)
{
	memset(out, 0, sizeof(*out));
	out->addr = in->address;
	out->size = (uint8_t)in->size;
	set_kind(out, in);
	set_registers(handle, out, in);
	set_memory(out, in);
	set_move(out, in);
	out->emulated = is_emulated(in->bytes, in->size);
	out->probeable =
		out->emulated || (!is_refused(in->bytes) && !out->padding &&
				  (out->kind == VIZ_INSN_PLAIN || out->kind == VIZ_INSN_RETURN));
	for (unsigned int i = 0; i < in->detail->groups_count; i++)
		if (in->detail->groups[i] == X86_GRP_INT ||
		    in->detail->groups[i] == X86_GRP_PRIVILEGE)
			out->probeable = out->emulated = false;
}

int viz_insns__decode(const struct viz_elf *elf, uint64_t start, uint64_t end, size_t max,
		      struct viz_insn **insns, size_t *nr)
{
	struct viz_insn *list = NULL;
	size_t size, capacity = 0, n = 0;
	const uint8_t *bytes;
	cs_insn *in = NULL;
	csh handle;
	int err;

	if (end <= start || end - start > max * 15)
		return -EFBIG;
	bytes = viz_elf__at(elf, start, end - start);
	if (!bytes || !viz_elf__is_code(elf, start))
		return -EFAULT;
	err = open_decoder(elf, &handle);
	if (err)
		return err;
	in = cs_malloc(handle);
	err = in ? 0 : -ENOMEM;
	size = end - start;
	while (!err && size) {
		if (n == max) {
			err = -EFBIG;
			break;
		}
		if (n == capacity) {
			struct viz_insn *grown;

			capacity = capacity ? 2 * capacity : 256;
			grown = realloc(list, capacity * sizeof(*list));
			if (!grown) {
				err = -ENOMEM;
				break;
			}
			list = grown;
		}
		if (cs_disasm_iter(handle, &bytes, &size, &start, in)) {
			convert(handle, &list[n++], in);
			continue;
		}
		memset(&list[n], 0, sizeof(*list));
		list[n].addr = start++;
		list[n].size = 1;
		list[n++].kind = VIZ_INSN_INVALID;
		bytes++;
		size--;
	}
	if (in)
		cs_free(in, 1);
	cs_close(&handle);
	if (err) {
		free(list);
		return err;
	}
	*insns = list;
	*nr = n;
	return 0;
}

int viz_insns__each_ref(const struct viz_elf *elf, uint64_t start, uint64_t end,
			int (*each)(uint64_t ref, void *ctx), void *ctx)
{
	struct viz_insn *insns;
	size_t nr, i;
	int err;

	err = viz_insns__decode(elf, start, end, 4096, &insns, &nr);
	if (err)
		return err;
	for (i = 0; !err && i < nr; i++)
		if (insns[i].ref)
			err = each(insns[i].ref, ctx);
	free(insns);
	return err;
}
