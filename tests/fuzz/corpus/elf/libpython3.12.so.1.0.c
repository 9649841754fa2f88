// SPDX-License-Identifier: Apache-2.0
/* As little as passes for CPython 3.12, so that the fuzzer starts behind the first checks. */
const unsigned long Py_Version = 0x030c01f0;
char _PyRuntime[512] __attribute__((section(".PyRuntime"))) = "x";

asm(".globl _PyEval_EvalFrameDefault\n.type _PyEval_EvalFrameDefault,@function\n"
    "_PyEval_EvalFrameDefault:\n.cfi_startproc\n"
    "push %rbx\n.cfi_def_cfa_offset 16\nmov %rsi,%rbx\n"
    "1: movzbl (%rbx),%eax\nlea table(%rip),%rcx\njmp *(%rcx,%rax,8)\n"
    "2: inc %rbx\njmp 1b\n"
    "3: mov %rbx,0x38(%rdi)\nmov %rbx,%rax\npop %rbx\nret\n"
    ".cfi_endproc\n.size _PyEval_EvalFrameDefault,.-_PyEval_EvalFrameDefault\n"
    ".pushsection .data.rel.ro,\"aw\"\n.balign 8\ntable: .quad 2b\n.quad 3b\n.popsection\n"
    ".pushsection .note.stapsdt,\"\",@note\n.balign 4\n.long 8,4f-3f,3\n.asciz \"stapsdt\"\n"
    "3: .quad 1b\n.quad 0\n.quad 0\n.asciz \"python\"\n.asciz \"gc__start\"\n.asciz \"-4@%edi\"\n"
    "4: .balign 4\n.popsection\n");

#define ACCESSOR(name, type, offset)                                                               \
	type *name(char *object);                                                                  \
	type *name(char *object)                                                                   \
	{                                                                                          \
		return *(type **)(object + (offset));                                              \
	}
ACCESSOR(PyInterpreterState_Next, void, 0)
ACCESSOR(PyInterpreterState_ThreadHead, void, 72)
ACCESSOR(PyThreadState_Next, void, 8)
void *_PyInterpreterState_GetEvalFrameFunc(char *object);
void *_PyInterpreterState_GetEvalFrameFunc(char *object)
{
	void *function = *(void **)(object + 1744);

	return function ? function : _PyRuntime;
}
void *PyInterpreterState_Head(void);
void *PyInterpreterState_Head(void)
{
	return *(void **)(_PyRuntime + 40);
}
