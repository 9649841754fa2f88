// SPDX-License-Identifier: Apache-2.0
/* `vizbpf doctor`: what this kernel and this user can do, and what is missing. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/privilege.h"
#include "../probes.h"
#include "command.h"

static int missing;

/* One line of the checklist; @needed: without it vizbpf cannot work. */
static void line(bool ok, bool needed, const char *what, const char *note)
{
	printf("[%s] %s%s%s\n",
	       ok	? "ok"
	       : needed ? "NO"
			: "--",
	       what, note && note[0] ? ": " : "", note && note[0] ? note : "");
	if (!ok && needed)
		missing++;
}

static void check_user(void)
{
	struct viz_privilege all[VIZ_PRIVILEGES];

	viz_privilege__get(all);
	for (int i = 0; i < VIZ_PRIVILEGES; i++)
		line(all[i].have, true, all[i].name, all[i].why);
}

static int nothing(void *ctx, const void *record, size_t size)
{
	(void)ctx;
	(void)record;
	(void)size;
	return 0;
}

/*
 * BPF_TRACE_UPROBE_MULTI is 48 (kernel 6.6, commit 89ae89f53d20; newer than this system's headers).
 * A link of that type to a directory is refused by EBADF where it is known, else by EINVAL.
 */
static bool has_uprobe_multi(void)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};
	const unsigned long offset = 0;
	struct {
		uint32_t prog_fd, target_fd, attach_type, flags;
		uint64_t path, offsets, semaphores, cookies;
		uint32_t nr, multi_flags, pid, pad;
	} attr = {.attach_type = 48, .nr = 1};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = (enum bpf_attach_type)48);
	int fd, link, err;

	fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, NULL, "GPL", insns, 2, &opts);
	if (fd < 0)
		return false;
	attr.prog_fd = (uint32_t)fd;
	attr.path = (uint64_t)(unsigned long)"/";
	attr.offsets = (uint64_t)(unsigned long)&offset;
	link = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	err = errno;
	if (link >= 0)
		close(link);
	close(fd);
	return link < 0 && err == EBADF;
}

static void check_kernel(void)
{
	struct viz_probes *probes;
	struct utsname uts;
	char why[512] = "", text[300];
	int fd;

	uname(&uts);
	snprintf(text, sizeof(text), "Linux %s, %s", uts.release, uts.machine);
	line(!strcmp(uts.machine, "x86_64"), true, "architecture", text);
	line(!access("/sys/kernel/btf/vmlinux", R_OK), true, "kernel type information (BTF)",
	     "/sys/kernel/btf/vmlinux");
	line(libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) == 1, true, "BPF ring buffer",
	     "since 5.8");
	line(libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_find_vma, NULL) == 1, false,
	     "stack bounds in BPF (bpf_find_vma)",
	     "since 5.17; without it stacks are taken as small");
	line(has_uprobe_multi(), false, "many probes at once (uprobe_multi)", "since 6.6");
	fd = open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY | O_CLOEXEC);
	line(fd >= 0, true, "uprobes", "CONFIG_UPROBE_EVENTS");
	if (fd >= 0)
		close(fd);
	probes = viz_probes__load(1 << 20, nothing, NULL, why, sizeof(why));
	line(probes != NULL, true, "the programs of vizbpf load", why);
	viz_probes__free(probes);
}

static void check_rest(void)
{
	char text[128] = "";
	int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	if (n > 0)
		text[strcspn(text, "\n")] = '\0';
	line(!strstr(text, "[confidentiality]"), true, "kernel lockdown allows reading memory",
	     n > 0 ? text : "none");
	line(!access("/proc/self/map_files", X_OK), true, "files that processes have mapped",
	     "/proc/PID/map_files");
	line(!access("/run", W_OK), true, "a place for the guardian's journal", "/run/vizbpf");
}

static void print_program(void *ctx, const char *name, unsigned int verified)
{
	(void)ctx;
	printf("%-24s %8u\n", name, verified);
}

/* For those who change the programs: what they cost the verifier. */
static int print_verifier(void)
{
	char why[512] = "";
	struct viz_probes *probes = viz_probes__load(1 << 20, nothing, NULL, why, sizeof(why));

	if (!probes) {
		viz_error("%s", why);
		return 1;
	}
	viz_probes__each_program(probes, print_program, NULL);
	viz_probes__free(probes);
	return 0;
}

int viz_command__doctor(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--verifier"))
		return print_verifier();
	if (argc > 1) {
		printf("usage: vizbpf doctor [--verifier]\n\nPrints what this kernel and this user "
		       "can "
		       "do, and what is missing.\nWith --verifier: each BPF program and how many "
		       "instructions the kernel's verifier\nwent through for it.\n");
		return strcmp(argv[1], "--help") && strcmp(argv[1], "-h") ? 2 : 0;
	}
	check_user();
	check_kernel();
	check_rest();
	if (missing)
		printf("\nvizbpf cannot work here: %d missing (NO). As root? sudo vizbpf doctor\n",
		       missing);
	else
		printf("\nvizbpf works here.\n");
	return missing ? 1 : 0;
}
