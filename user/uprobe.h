/* SPDX-License-Identifier: Apache-2.0 */
/* One BPF program at one place of one file. */
#ifndef VIZ_UPROBE_H
#define VIZ_UPROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bpf_link;
struct bpf_object;
struct bpf_program;

struct viz_uprobe {
	struct bpf_link *perf; /* NULL: a link of the kind "uprobe_multi" */
	int fd; /* of the link; owned by @perf, if there is one */
};

/*
 * Whether the kernel's links for uprobes (uprobe_multi) can be used, and by pid. They do without
 * perf events, whose making and closing is done one at a time, some ten milliseconds each. The
 * answer goes to all functions here; it has to be the same for the whole of an object.
 */
bool viz_uprobe__has_links(void);
/* Before the object is loaded: for links the kernel wants to know. */
void viz_uprobe__prepare(struct bpf_object *object, bool links);
/* @pid: only there; -1: in every process that maps @file. @semaphore: file offset, 0: none.
 * 0 or -errno. */
int viz_uprobe__attach(struct viz_uprobe *uprobe, const struct bpf_program *prog, bool links,
		       pid_t pid, int file, uint64_t offset, uint64_t semaphore);
/* Returns when no processor can be in it any more: takes some ten milliseconds. */
void viz_uprobe__close(struct viz_uprobe *uprobe);

#endif
