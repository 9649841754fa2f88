/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which CPython runs in a process, and everything that has to be known to observe it.
 *
 * A build is what one file on disk (libpython or the python executable) tells; it is
 * analysed once per (device, inode, mtime, size) and shared. An interpreter is a build
 * mapped into a process. Both refuse, with a reason, what they are not certain about.
 */
#ifndef VIZ_INTERPRETER_H
#define VIZ_INTERPRETER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../bpf/records.h"

struct viz_site {
	uint64_t offset; /* in the file, as uprobes want it; 0: none */
	int32_t sp_delta; /* add to the stack pointer there: its value at the first instruction */
	bool emulated; /* false: the kernel single-steps it (about ten times dearer) */
};

/* One USDT location. Several can have one name. */
struct viz_usdt {
	uint64_t offset; /* of the nop, in the file */
	uint64_t semaphore; /* of the counter, in the file (ref_ctr_offset); 0: none */
	char args[128]; /* the argument string of the note */
};

enum viz_usdt_probe {
	VIZ_USDT_ENTRY,
	VIZ_USDT_RETURN,
	VIZ_USDT_GC_START,
	VIZ_USDT_GC_DONE,
	VIZ_USDT_IMPORT_START,
	VIZ_USDT_IMPORT_DONE,
	VIZ_USDT_AUDIT,
	VIZ_USDT_PROBES,
};

struct viz_build {
	dev_t dev;
	ino_t ino;
	char path[512]; /* as the first process showed it: for people only */
	int fd; /* the open file, for attaching through /proc/self/fd/N */
	uint8_t major, minor;
	uint8_t micro; /* 255: unknown */
	bool shared; /* libpython.so, else an executable */
	bool stripped; /* no .symtab */
	bool debug, free_threaded, jit;
	bool usdt_complete; /* function__entry and __return give every call (3.6-3.10, 3.15) */
	struct viz_build_info info; /* what the BPF programs get */

	struct viz_site enter;
	struct viz_site leave[VIZ_LEAVE_SITES];
	unsigned int nr_leave;
	/* VIZ_BUILD_POPS: the exact exits that those stand for; for tests */
	struct viz_site exact[VIZ_LEAVE_SITES];
	unsigned int nr_exact;
	struct viz_usdt *usdt[VIZ_USDT_PROBES];
	unsigned int nr_usdt[VIZ_USDT_PROBES];

	/* ELF virtual addresses (add the load bias), 0: not found */
	uint64_t eval_frame_default; /* _PyEval_EvalFrameDefault */
	uint64_t eval_size; /* its st_size */
	uint64_t runtime; /* _PyRuntime */
	uint64_t interp_head; /* address of the pointer to the first PyInterpreterState */
	uint64_t code_type; /* PyCode_Type: tp_dealloc at +48 gives code_dealloc */
	/* file offsets for uprobes, 0: not found */
	uint64_t code_dealloc; /* as the file tells it: viz_interpreter__code_dealloc() */
	uint64_t module_create2; /* PyModule_Create2 */
	uint64_t set_eval_frame; /* _PyInterpreterState_SetEvalFrameFunc, 3.9+ */
	uint64_t
		interp_new[4]; /* the ways to a new interpreter: Py_NewInterpreter and newer ones */
	uint64_t interp_end; /* Py_EndInterpreter */

	/* refusals: empty when the engine can observe this build */
	char no_eval[192];
	char no_usdt[192];
};

/* A build in a process. */
struct viz_interpreter {
	const struct viz_build *build; /* owned by the cache, lives until viz_builds__free() */
	pid_t pid;
	uint64_t bias; /* run-time address minus ELF virtual address */
	uint64_t map_start; /* where the file's first mapping begins */
	bool unreachable; /* by uprobes; viz_interpreter__probed() says why */
};

struct viz_builds; /* the cache */

struct viz_builds *viz_builds__new(void);
void viz_builds__free(struct viz_builds *builds);
size_t viz_builds__count(const struct viz_builds *builds);
/* The place of a build in the cache: stable, also its index in the BPF map `builds`. */
unsigned int viz_builds__index(const struct viz_builds *builds, const struct viz_build *build);
const struct viz_build *viz_builds__at(const struct viz_builds *builds, unsigned int index);

/*
 * Finds the interpreter of process @pid.
 * Returns 0, or a negative errno with one clear line in @why:
 *   -ESRCH   no such process (or it ended meanwhile; a zombie)
 *   -ENOEXEC not a Python process (nothing mapped has an eval function)
 *   -EACCES  not allowed to look (the line names the capability)
 *   -ENOTSUP a CPython that is not supported (unknown version, debug, free-threaded, two
 *            different libpythons in one process ...)
 * Nothing is ever executed or stopped in the target. Files are opened through
 * /proc/PID/map_files (else /proc/PID/exe), never by a path the target controls.
 */
int viz_interpreter__find(struct viz_builds *builds, pid_t pid, struct viz_interpreter *out,
			  char *why, size_t why_size);

/* 0: uprobes in its file are seen by the process; else -ENOTSUP and one clause in @why. */
int viz_interpreter__probed(const struct viz_interpreter *interp, char *why, size_t why_size);

/*
 * Walks the target's PyInterpreterState list through its memory, at most @max of them.
 * Returns their number (0: not initialised yet) or a negative errno.
 */
int viz_interpreter__states(const struct viz_interpreter *interp, uint64_t *states, int max);

/* The address of code_dealloc in the file (uprobe offset), read from PyCode_Type in the
 * target; 0 when it cannot be known with certainty. */
uint64_t viz_interpreter__code_dealloc(const struct viz_interpreter *interp);

#endif
