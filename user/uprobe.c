// SPDX-License-Identifier: Apache-2.0
#include "uprobe.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* include/uapi/linux/bpf.h of 6.6 (commit 89ae89f53d20): newer than libbpf 1.1 */
enum { ATTACH_UPROBE_MULTI = 48 };

struct create_link {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, unused;
};

/* Before 6.10 (commit 46ba0e49b642) a link by pid saw the first thread only, and nothing but a
 * trial with a second thread would tell. */
bool viz_uprobe__has_links(void)
{
	struct utsname uts;
	unsigned int major, minor;

	return !uname(&uts) && sscanf(uts.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 10));
}

void viz_uprobe__prepare(struct bpf_object *object, bool links)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, object) if (links && bpf_program__type(prog) ==
									BPF_PROG_TYPE_KPROBE)
		bpf_program__set_expected_attach_type(prog,
						      (enum bpf_attach_type)ATTACH_UPROBE_MULTI);
}

static int make_link(int prog, pid_t pid, const char *path, uint64_t offset, uint64_t semaphore)
{
	struct create_link attr = {
		.prog_fd = (uint32_t)prog,
		.attach_type = ATTACH_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)&offset,
		.ref_ctr_offsets = semaphore ? (uintptr_t)&semaphore : 0,
		.count = 1,
		.pid = pid > 0 ? (uint32_t)pid : 0,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

int viz_uprobe__attach(struct viz_uprobe *uprobe, const struct bpf_program *prog, bool links,
		       pid_t pid, int file, uint64_t offset, uint64_t semaphore)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = semaphore);
	char path[64];

	uprobe->perf = NULL;
	/* Our own descriptor names the file: no path of the target is followed. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (links) {
		uprobe->fd = make_link(bpf_program__fd(prog), pid, path, offset, semaphore);
		return uprobe->fd < 0 ? uprobe->fd : 0;
	}
	uprobe->perf = bpf_program__attach_uprobe_opts(prog, pid, path, offset, &opts);
	if (!uprobe->perf)
		return -errno;
	uprobe->fd = bpf_link__fd(uprobe->perf);
	return 0;
}

void viz_uprobe__close(struct viz_uprobe *uprobe)
{
	if (uprobe->perf)
		bpf_link__destroy(uprobe->perf);
	else
		close(uprobe->fd);
}
