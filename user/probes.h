/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BPF side: loading the programs, attaching them to builds, the maps they share with
 * user space, and the rings their records come through.
 */
#ifndef VIZ_PROBES_H
#define VIZ_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../bpf/records.h"
#include "guardian.h"
#include "target/interpreter.h"
#include "target/select.h"

/* Which programs an engine needs. */
enum viz_probe_set {
	VIZ_PROBES_EVAL,
	VIZ_PROBES_USDT,
	VIZ_PROBES_INSIDE, /* none for calls: interpreters that come and go, greenlets */
};

struct viz_probes;
struct viz_attachment; /* the probes of one build, for one process or for all */

/* Called with each record; a negative return stops the reading and is passed on. */
typedef int (*viz_record_fn)(void *ctx, const void *record, size_t size);

/* Loads the programs. @ring_size: bytes of each ring, a power of two, at least a page.
 * NULL with one line in @why that names what is missing (capability, kernel feature). */
struct viz_probes *viz_probes__load(size_t ring_size, viz_record_fn fn, void *ctx, char *why,
				    size_t why_size);
/* Who holds the links that guard the C stack when this process is killed. Not owned. */
void viz_probes__set_guardian(struct viz_probes *probes, struct viz_guardian *guardian);
void viz_probes__free(struct viz_probes *probes);
/* An fd that polls readable when a ring is half full or something urgent is in it. */
int viz_probes__fd(const struct viz_probes *probes);
/* Reads everything that is there now. Returns the number of records or a negative errno. */
int viz_probes__consume(struct viz_probes *probes);
/* Bytes that wait in the ring, and its whole size. */
void viz_probes__fill(const struct viz_probes *probes, size_t *used, size_t *size);
/* The ring of births, programs and ends: open it before anything is attached; the descriptor
 * above polls for it too. 0 or -errno. */
int viz_probes__open_lives(struct viz_probes *probes, viz_record_fn fn);
int viz_probes__consume_lives(struct viz_probes *probes);
/* How many records found it full. */
uint64_t viz_probes__lives_lost(const struct viz_probes *probes);

/*
 * Attaches the programs of one engine to @build. @pid: only there;
 * -1: in every process that maps the file, now and later. @code_dealloc: file offset, 0: none.
 * The same (build, engine, pid) is attached once and counted. NULL with a line in @why.
 */
struct viz_attachment *viz_probes__attach(struct viz_probes *probes, const struct viz_build *build,
					  unsigned int index, enum viz_probe_set set, pid_t pid,
					  uint64_t code_dealloc, char *why, size_t why_size);
void viz_probes__detach(struct viz_probes *probes, struct viz_attachment *attachment);
/* Attaches one program by name ("custom_event") to a file offset of an open file. */
struct viz_attachment *viz_probes__attach_one(struct viz_probes *probes, const char *program,
					      int fd, uint64_t offset, uint64_t semaphore,
					      pid_t pid, char *why, size_t why_size);

/* The program interp_first, at the eval function of one process. */
struct viz_attachment *viz_probes__attach_first(struct viz_probes *probes,
						const struct viz_build *build, pid_t pid, char *why,
						size_t why_size);

/* The map `known_interpreters`: @known, or not any more. */
void viz_probes__know_interpreter(struct viz_probes *probes, pid_t pid, uint64_t interp,
				  bool known);
/* What the next call of an interpreter does: VIZ_INTERP_ONCE_MORE, VIZ_INTERP_AWAITED or 0, nothing
 * (bpf/records.h). A call that waits goes on; one that is to stop stays so. */
void viz_probes__await_interpreter(struct viz_probes *probes, pid_t pid, uint64_t interp,
				   uint64_t how);

/* The map `processes`. All return 0 or a negative errno. */
int viz_probes__set_process(struct viz_probes *probes, pid_t pid, struct viz_process_info *info);
int viz_probes__get_process(struct viz_probes *probes, pid_t pid, struct viz_process_info *info);
/* All of the map, at most @max; returns how many. */
struct viz_known_process {
	pid_t pid;
	struct viz_process_info info;
};
int viz_probes__processes(struct viz_probes *probes, struct viz_known_process *list, int max);
/* Whether new processes are stopped until they are prepared (bpf/hold.bpf.h). */
void viz_probes__hold(struct viz_probes *probes, bool on);
/* Probes on a file for everybody stay until the end, once attached: to take them away with the
 * last process and put them back for the next takes longer than a short process lives. */
void viz_probes__keep(struct viz_probes *probes);
/* Ends the recording of what it runs; forget ends the watch for another program too. */
int viz_probes__drop_process(struct viz_probes *probes, pid_t pid);
/* What the BPF programs know of @nr code objects of a process, which has ended or become another
 * program. */
void viz_probes__forget_codes(struct viz_probes *probes, pid_t pid, const uint64_t *codes,
			      size_t nr);
int viz_probes__forget_process(struct viz_probes *probes, pid_t pid);
/* The map `guards`: @cleared, or not: the slot is (not) clear. */
int viz_probes__guard(struct viz_probes *probes, pid_t pid, bool cleared);
/* What the programs leave out; call it before anything is attached. */
void viz_probes__set_filter(struct viz_probes *probes, const struct viz_filter_config *config);
/* What they do with the calls of a code object: enum viz_verdict_code. */
void viz_probes__verdict(struct viz_probes *probes, const struct viz_code *code, uint32_t verdict);
/* The calls of @tid that are held back, outermost first: false if there are none; taking them
 * away, or not. */
bool viz_probes__look_held(struct viz_probes *probes, pid_t tid, struct viz_held *held);
bool viz_probes__take_held(struct viz_probes *probes, pid_t tid, struct viz_held *held);
/* Calls @fn for each thread of @pid that has lost calls: how many, since it was first seen. */
void viz_probes__thread_losses(struct viz_probes *probes, pid_t pid,
			       void (*fn)(void *ctx, pid_t tid, uint64_t lost), void *ctx);
/* Calls @fn for each loaded program: how many instructions the verifier went through, 0 where
 * the kernel does not say (before 5.16). */
void viz_probes__each_program(struct viz_probes *probes,
			      void (*fn)(void *ctx, const char *name, unsigned int verified),
			      void *ctx);
/* The fd of the map `guards`. */
int viz_probes__guards_fd(const struct viz_probes *probes);
/* Tells the programs which processes are wanted beyond those in `processes`. */
int viz_probes__select(struct viz_probes *probes, const struct viz_select *sel);

#endif
