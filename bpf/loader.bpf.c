// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The dynamic loader calls _dl_debug_state() for debuggers, before and after it maps what a
 * program is linked with (glibc elf/dl-debug.c, musl ldso/dynlink.c). After the second call a
 * shared libpython is mapped and has not run: the moment to stop and prepare a build that was
 * never seen before, whose eval function has no probe yet.
 */
#include "maps.bpf.h"
#include "life.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe")
int loader_state(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32;
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid);

	if (process && process->flags & VIZ_PROC_WANTED && runs_python())
		tell_sight(tgid, (__u32)id);
	return 0;
}
