// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/eval_sites.c, pop_sites.c and what they stand on: small functions in this program's own code,
 * in the shapes that compilers give the eval function, and in shapes that must be refused.
 * Build: user/target/eval_sites.c user/target/pop_sites.c user/target/control_flow.c
 *	user/target/exit_cut.c
 *	user/target/code_x86.c user/target/code_access_x86.c user/target/elf_image.c
 *	user/target/elf_pointers.c user/target/elf_frames.c user/base/log.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/eval_sites.h"
#include "target/pop_sites.h"

static int tests, failed;
static struct viz_elf *elf;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

#ifdef __x86_64__

#define STORE 0x48

/* A function with a label for each instruction of interest: NAME_in, NAME_out1 ... */
#define FUNCTION(name, text)                                                                       \
	asm(".pushsection .text\n.globl " #name "\n.type " #name ",@function\n" #name              \
	    ":\n.cfi_startproc\n" text "\n.cfi_endproc\n.size " #name ",.-" #name                  \
	    "\n.popsection\n")

/* A loop over a table of handlers: 0 goes on, 1 and 2 are the function's own. */
#define DISPATCH(name)                                                                             \
	"1: movzbl (%rbx),%eax\n add $1,%rbx\n lea " #name                                         \
	"_table(%rip),%rcx\n jmp *(%rcx,%rax,8)\n" #name "_h0: call helper\n jmp 1b\n"
#define LOOP(name) #name "_in: push %rbx\n mov %rdi,%rbx\n" DISPATCH(name)
#define TABLE(name)                                                                                \
	asm(".pushsection .data.rel.ro,\"aw\"\n.balign 8\n" #name "_table: .quad " #name           \
	    "_h0, " #name "_h1, " #name "_h2\n.popsection")

FUNCTION(plain, LOOP(plain) "plain_h1: plain_h2: mov %rbx,%rdi\n plain_out1: call helper\n"
			    "pop %rbx\n ret");
TABLE(plain);
FUNCTION(with_endbr,
	 "endbr64\n with_endbr_in: push %rbp\n mov %rsp,%rbp\n sub $0x40,%rsp\n" DISPATCH(
		 with_endbr) "with_endbr_h1: with_endbr_h2: xor %eax,%eax\n"
			     "with_endbr_out1: call helper\n leave\n ret");
TABLE(with_endbr);
FUNCTION(late, "endbr64\n sub $0x28,%rsp\n test %rdi,%rdi\n late_in: je late_h2\n" DISPATCH(
		       late) "late_h1: mov %rdi,%rax\n late_out1: jmp 2f\n"
			     "late_h2: xor %eax,%eax\n late_out2: nop\n 2: add $0x28,%rsp\n ret");
TABLE(late);
FUNCTION(spoiled,
	 "spoiled_in: mov %rdi,%rax\n mov $1,%edi\n push %rbx\n" DISPATCH(
		 spoiled) "spoiled_h1: spoiled_h2: spoiled_out1: call helper\n pop %rbx\n ret");
TABLE(spoiled);
FUNCTION(threaded, LOOP(threaded) "threaded_h1: mov %rbx,0x48(%rdi)\n xor %esi,%esi\n "
				  "threaded_out1: call helper\n"
				  "2: mov %rdx,%rax\n pop %rbx\n ret\n"
				  "threaded_h2: test %rax,%rax\n je 1b\n xor %edx,%edx\n "
				  "threaded_out2: jmp 2b");
TABLE(threaded);
/* A store after the cheap way out: worth a dear one only if it is not much dearer. */
FUNCTION(unsettled, LOOP(unsettled) "unsettled_h1: unsettled_out1: call helper\n"
				    "2: mov %rbx,0x48(%rdi)\n pop %rbx\n ret\n"
				    "unsettled_h2: unsettled_out2: jmp 2b");
TABLE(unsettled);
/* A tail call is a return too. */
FUNCTION(tail, LOOP(tail) "tail_h1: pop %rbx\n tail_out1: jmp helper\n"
			  "tail_h2: xor %eax,%eax\n pop %rbx\n tail_out2: ret");
TABLE(tail);
/* The return may be followed by anything that a table points at. */
FUNCTION(entered, LOOP(entered) "entered_h1: call helper\n mov %rax,%rdx\n"
				"entered_h2: mov %rdx,%rax\n pop %rbx\n entered_out1: ret");
TABLE(entered);
/* The same with distances, as a switch in position-independent code. */
FUNCTION(switched, "switched_in: push %rbx\n mov %rdi,%rbx\n"
		   "1: movzbl (%rbx),%eax\n add $1,%rbx\n lea switched_table(%rip),%rcx\n"
		   "movslq (%rcx,%rax,4),%rax\n add %rcx,%rax\n jmp *%rax\n"
		   "switched_h0: add $2,%rbx\n jmp 1b\n"
		   "switched_h1: mov %rbx,%rax\n pop %rbx\n switched_out1: ret");
asm(".pushsection .rodata\n.balign 4\nswitched_table: .long switched_h0-switched_table\n"
    ".long switched_h1-switched_table\n.long 0x7fffffff\n.popsection");
/* Code after what never returns is not led to; the rest must be certain by itself. */
FUNCTION(dead, LOOP(dead) "dead_h1: call helper\n jmp 3f\n mov %rax,%rax\n"
			  "dead_h2: xor %eax,%eax\n 3: pop %rbx\n dead_out1: ret");
TABLE(dead);
/* The part of it that a profile calls cold lives elsewhere, and holds the only exit. */
FUNCTION(split, LOOP(split) "split_h1: test %rax,%rax\n jne split_cold\n split_h2: jmp 1b");
TABLE(split);
asm(".pushsection .text.unlikely,\"ax\"\n.cfi_startproc\n.cfi_def_cfa_offset 16\n"
    "split_cold: mov %rax,%rdi\n split_out1: call helper\n pop %rbx\n ret\n.cfi_endproc\n"
    ".popsection");
/* The work is done by another function: the way out is behind it. */
FUNCTION(handed, "handed_in: push %rbx\n mov %rdi,%rbx\n call helper\n mov %rax,%rdx\n"
		 "call helper\n pop %rbx\n handed_out1: ret");
/* Refused: the work is done when this function has left its place to another one. */
FUNCTION(gone, "push %rbx\n mov %rdi,%rbx\n call helper\n pop %rbx\n jmp helper");
/* Refused: a return with something left on the stack, and an unknown stack. */
FUNCTION(leaky, "push %rbx\n ret");
FUNCTION(aligned, "push %rbp\n and $-32,%rsp\n pop %rbp\n ret");
FUNCTION(endless, "1: call helper\n jmp 1b");
FUNCTION(undecodable, "push %rbx\n .byte 0x06\n pop %rbx\n ret");
FUNCTION(hidden, "push %rbx\n pop %rbx\n ret\n mov %rax,%rax\n ret");
FUNCTION(helper, "xor %eax,%eax\n ret");
FUNCTION(next_member, "endbr64\n mov 0x1c60(%rdi),%rax\n ret");
FUNCTION(slot, "mov 0x590(%rdi),%rax\n test %rax,%rax\n jne 1f\n lea helper(%rip),%rax\n 1: ret");
FUNCTION(slot_moved, "mov 0x590(%rdi),%rax\n lea helper(%rip),%rdx\n test %rax,%rax\n"
		     "cmove %rdx,%rax\n ret");
FUNCTION(thread_local, "mov %fs:-0x18,%rax\n ret");
FUNCTION(global, "lea helper(%rip),%rax\n mov 0x28(%rax),%rax\n ret");
FUNCTION(unclear, "mov (%rdi),%rdi\n mov 8(%rdi),%rax\n ret");

/*
 * An interpreter that pops frames: two returns that clear the frame, three that do not (the
 * third's store is text of the caller), and the way out. @set stores rbx as the current frame.
 */
#define POPPING(name, begin, set, third)                                                           \
	FUNCTION(name, "push %rbx\n push %r14\n sub $0x18,%rsp\n mov %rdi,%r14\n"                  \
		       "mov %rsi,%rbx\n" begin set "\n"                                            \
		       "1: movzbl (%rbx),%eax\n lea " #name "_table(%rip),%rcx\n"                  \
		       "jmp *(%rcx,%rax,8)\n" #name "_h0: mov 8(%rbx),%rbx\n mov %r14,%rdi\n" set  \
		       "\n call clear\n jmp 1b\n" #name                                            \
		       "_h1: mov 8(%rbx),%rbx\n test %eax,%eax\n je 2f\n add $1,%rax\n 2: " set    \
		       "\n call clear\n movzbl (%rbx),%eax\n jmp *(%rcx,%rax,8)\n" #name           \
		       "_h2: mov 8(%rbx),%rbx\n" set "\n " #name                                   \
		       "_out1: movzbl (%rbx),%eax\n jmp *(%rcx,%rax,8)\n" #name                    \
		       "_h3: mov 8(%rbx),%rbx\n call helper\n" set "\n xor %eax,%eax\n " #name     \
		       "_out2: jmp 1b\n" #name "_h4: " third "\n" #name                            \
		       "_h5: mov 8(%rbx),%rax\n mov %rax,0x48(%r14)\n"                             \
		       "5: add $0x18,%rsp\n pop %r14\n pop %rbx\n ret");                           \
	asm(".pushsection .data.rel.ro,\"aw\"\n.balign 8\n" #name "_table: .quad " #name           \
	    "_h0, " #name "_h1, " #name "_h2, " #name "_h3, " #name "_h4, " #name                  \
	    "_h5\n.popsection")

#define DIRECT "mov %rbx,0x48(%r14)"
#define LOCAL "mov %rbx,0x10(%rsp)"
#define THIRD(name, set) "mov 8(%rbx),%rbx\n" set "\n add $1,%eax\n " #name "_out3: je 1b\n jmp 1b"
POPPING(popping, "", DIRECT, THIRD(popping, DIRECT));
/* 3.12: the current frame is in a local variable, whose address the thread state gets. */
POPPING(local, "lea 0x10(%rsp),%rax\n mov %rax,0x38(%rdi)\n", LOCAL, THIRD(local, LOCAL));
POPPING(nowhere, "", LOCAL, THIRD(nowhere, LOCAL));
POPPING(unpopped, "test %rsi,%rsi\n je 5f\n", DIRECT, THIRD(unpopped, DIRECT));
POPPING(unknown, "", DIRECT, "mov 0x10(%rbx),%rbx\n" DIRECT "\n jmp 1b");
POPPING(shared, "", DIRECT,
	"mov 8(%rbx),%rbx\n" DIRECT
	"\n 3: jmp 1b\n mov %rax,%rdx\n test %rax,%rax\n je 3b\n jmp 1b");
POPPING(another, "", DIRECT, "mov 8(%rbx),%rbx\n" DIRECT "\n call helper\n jmp 1b");
/* The last call is rare on one side of it, and what is to be waited for on the other. */
FUNCTION(clear, "push %rbx\n test %rsi,%rsi\n jne 1f\n call helper\n test %rax,%rax\n"
		"clear_out1: jne 2f\n call helper\n 2: pop %rbx\n ret\n"
		"1: call helper\n pop %rbx\n clear_out2: ret");

static bool at(const char *label, uint64_t offset)
{
	struct viz_elf_symbol symbol;
	uint64_t want;

	return viz_elf__symbol(elf, label, &symbol) &&
	       viz_elf__to_offset(elf, symbol.value, &want) && want == offset;
}

static int find(const char *name, struct viz_eval_sites *sites, char why[128])
{
	struct viz_elf_symbol symbol = {0};

	why[0] = '\0';
	if (!viz_elf__symbol(elf, name, &symbol))
		return -ENOENT;
	return viz_eval_sites__find(elf, symbol.value, symbol.size, STORE, sites, why, 128);
}

/* The sites must be exactly NAME_in and NAME_out1 to NAME_out@outs, in any order. */
static void accepted(const char *name, unsigned int outs, int32_t in_delta, int32_t out_delta,
		     const char *what)
{
	struct viz_eval_sites sites;
	char label[64], why[128];
	int err = find(name, &sites, why), ok;

	snprintf(label, sizeof(label), "%s_in", name);
	ok = !err && at(label, sites.enter.offset) && sites.enter.sp_delta == in_delta &&
	     sites.nr_leave == outs;
	for (unsigned int i = 1; ok && i <= outs; i++) {
		bool there = false;

		snprintf(label, sizeof(label), "%s_out%u", name, i);
		for (unsigned int k = 0; k < sites.nr_leave; k++)
			there |= at(label, sites.leave[k].offset) &&
				 sites.leave[k].sp_delta == out_delta;
		ok = there;
	}
	check(ok, what);
	if (ok)
		return;
	printf("# error %d %s\n", err, why);
	for (unsigned int i = 0; !err && i < sites.nr_leave; i++)
		printf("# out at %#lx, %d\n", (unsigned long)sites.leave[i].offset,
		       sites.leave[i].sp_delta);
	if (!err)
		printf("# in at %#lx, %d\n", (unsigned long)sites.enter.offset,
		       sites.enter.sp_delta);
}

static void refused(const char *name, const char *what)
{
	struct viz_eval_sites sites;
	char why[128];

	check(find(name, &sites, why) < 0 && *why, what);
	printf("# %s\n", why);
}

static void reads(const char *name, enum viz_access_base base, int64_t disp, const char *what)
{
	struct viz_elf_symbol symbol = {0};
	struct viz_access access = {0};
	int err = -ENOENT;

	if (viz_elf__symbol(elf, name, &symbol))
		err = viz_insns__accessor(elf, symbol.value, &access);
	check(!err && access.base == base && access.disp == disp, what);
}

static void test_sites(void)
{
	struct viz_eval_sites sites;
	char why[128];

	accepted("plain", 1, 0, 8, "push on the way in, call on the way out");
	accepted("with_endbr", 1, 0, 72, "past endbr64; a frame pointer");
	accepted("late", 2, 0x28, 0x28, "past endbr64, sub and test to the first jump");
	accepted("spoiled", 1, 0, 8, "not past an argument's loss");
	accepted("threaded", 2, 0, 8, "handlers in a table of addresses");
	accepted("entered", 1, 0, 0, "not before what a table points at");
	accepted("switched", 1, 0, 0, "handlers in a table of distances");
	accepted("tail", 2, 0, 0, "a tail call is a way out");
	accepted("dead", 1, 0, 0, "with code that nothing leads to, only the return itself");
	accepted("split", 1, 0, 8, "the cold part of a function elsewhere");
	accepted("handed", 1, 0, 0, "not before the calls when those do the work");
	refused("gone", "a tail call that does the work");
	check(!find("threaded", &sites, why) && sites.settled, "the store is before the ways out");
	accepted("unsettled", 2, 0, 8, "a store behind the ways out does not make them dear");
	check(!find("unsettled", &sites, why) && !sites.settled, "but it is told");
	refused("leaky", "a return with something left on the stack");
	refused("aligned", "a stack pointer that is not known");
	refused("endless", "no way out");
	refused("undecodable", "bytes that are no instruction");
	refused("hidden", "a return that nothing leads to");
}

static int find_pops(const char *name, bool slot, struct viz_pop_sites *pops)
{
	struct viz_offsets off = {
		.frame_previous = 8,
		.tstate_frame = slot ? 0x38 : STORE,
		.cframe_current = slot ? 0 : VIZ_NONE,
	};
	struct viz_elf_symbol symbol = {0};

	if (!viz_elf__symbol(elf, name, &symbol))
		return -ENOENT;
	return viz_pop_sites__find(elf, symbol.value, symbol.size, &off, pops);
}

/* Each suspending pop has its site behind it, the others theirs in clear(). */
static void pops_at(const char *name, bool slot, const char *what)
{
	static const char *const labels[] = {"out1", "out2", "out3", "clear_out1", "clear_out2"};
	/* sub and two pushes; the same, a return address and a push; without that push */
	static const int32_t deltas[] = {40, 40, 40, 56, 48};
	struct viz_pop_sites pops;
	int err = find_pops(name, slot, &pops), there = 0;

	for (unsigned int i = 0; i < 5; i++) {
		char label[64];

		snprintf(label, sizeof(label), "%s%s%s", i < 3 ? name : "", i < 3 ? "_" : "",
			 labels[i]);
		for (unsigned int k = 0; !err && k < pops.nr; k++)
			there += at(label, pops.sites[k].offset) &&
				 pops.sites[k].sp_delta == deltas[i] &&
				 pops.sites[k].emulated == (i && i < 4);
	}
	check(!err && pops.nr == 5 && there == 5 && pops.needed, what);
	for (unsigned int k = 0; !err && k < pops.nr && there != 5; k++)
		printf("# at %#lx, %d\n", (unsigned long)pops.sites[k].offset,
		       pops.sites[k].sp_delta);
}

static void test_pops(void)
{
	struct viz_pop_sites pops;

	pops_at("popping", false, "pops of the thread state's own member");
	pops_at("local", true, "pops of a local variable");
	check(find_pops("nowhere", true, &pops) == -ENOTSUP, "a local variable nobody knows of");
	check(find_pops("unpopped", false, &pops) == -ENOTSUP, "a return without a pop");
	check(find_pops("unknown", false, &pops) == -ENOTSUP, "a pop that is not understood");
	check(find_pops("shared", false, &pops) == -ENOTSUP, "a pop with no place of its own");
	check(find_pops("another", false, &pops) == -ENOTSUP, "a pop with another call behind it");
	check(find_pops("plain", false, &pops) == -ENOTSUP, "no pops at all");
}

static void test_accessors(void)
{
	struct viz_elf_symbol helper;
	struct viz_access access;

	if (!viz_elf__symbol(elf, "helper", &helper))
		abort();
	reads("next_member", VIZ_ACCESS_ARG0, 0x1c60, "a member");
	reads("slot", VIZ_ACCESS_ARG0, 0x590, "a member with a default, by a jump");
	reads("slot_moved", VIZ_ACCESS_ARG0, 0x590, "a member with a default, by a move");
	reads("thread_local", VIZ_ACCESS_TLS, -0x18, "a thread-local variable");
	reads("global", VIZ_ACCESS_GLOBAL, (int64_t)helper.value + 0x28, "a member of a global");
	check(viz_elf__symbol(elf, "unclear", &helper) &&
		      viz_insns__accessor(elf, helper.value, &access) == -ENOENT,
	      "two loads from an argument are no answer");
}

/* Every function of this program, of libc and of the loader must be analysed without harm. */
static void test_others(void)
{
	struct viz_eval_sites sites;
	unsigned int found = 0, no = 0;
	char why[128];

	for (uint64_t offset = 0x1000; offset < 0x40000; offset++) {
		struct viz_elf_fragment fragment;
		uint64_t vaddr;

		if (!viz_elf__to_vaddr(elf, offset, &vaddr) ||
		    !viz_elf__fragment(elf, vaddr, &fragment) || fragment.start != vaddr)
			continue;
		if (viz_eval_sites__find(elf, vaddr, 0, 0, &sites, why, sizeof(why)))
			no++;
		else
			found++;
		offset += fragment.end - fragment.start - 1;
	}
	printf("# %u functions have sites, %u do not\n", found, no);
	check(found > 20, "functions of this program");
}
#endif

int main(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || viz_elf__open(fd, &elf)) {
		printf("Bail out! this program cannot be read\n");
		return 1;
	}
#ifdef __x86_64__
	test_sites();
	test_pops();
	test_accessors();
	test_others();
#else
	check(1, "eval sites # SKIP not supported on this architecture yet");
#endif
	viz_elf__close(elf);
	close(fd);
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
