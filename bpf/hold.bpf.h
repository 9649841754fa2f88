/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A new process is stopped at the first call of its interpreter, until user space has prepared
 * it: on a busy machine it would have done its work before. What is stopped stands in the map
 * `guards`, where the session's tick and the guardian find it when the record is lost or vizbpf
 * is killed.
 */
#ifndef VIZ_HOLD_BPF_H
#define VIZ_HOLD_BPF_H

#include "maps.bpf.h"

#ifndef SIGSTOP
#define SIGSTOP 19
#endif

/* Defined in select.bpf.c. User space clears it when the recording ends. */
extern volatile __u32 hold_enabled;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pid___hold;
struct tty_struct___hold;

struct signal_struct___hold {
	struct tty_struct___hold *tty;
	struct pid___hold *pids[4]; /* enum pid_type: PID, TGID, PGID, SID */
};

struct qstr___hold {
	const unsigned char *name;
};

struct dentry___hold {
	struct qstr___hold d_name;
};

struct path___hold {
	struct dentry___hold *dentry;
};

struct file___hold {
	struct path___hold f_path;
};

struct mm_struct___hold {
	struct file___hold *exe_file;
};

struct task_struct___hold {
	struct mm_struct___hold *mm;
	struct task_struct___hold *real_parent;
	struct signal_struct___hold *signal;
};

#pragma clang attribute pop

/*
 * An interactive shell waits for jobs that stop, too: it would take the terminal back and leave
 * the program in the background. Such a job is a process group that its parent is not in.
 */
static __always_inline bool is_shell_job(void)
{
	struct task_struct___hold *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, signal, tty) &&
	       BPF_CORE_READ(task, signal, pids[2]) == BPF_CORE_READ(task, signal, pids[1]) &&
	       BPF_CORE_READ(task, signal, pids[2]) !=
		       BPF_CORE_READ(task, real_parent, signal, pids[2]);
}

/* Whether the file that the current process runs has "python" in its name. */
static __always_inline bool runs_python(void)
{
	struct task_struct___hold *task = (void *)bpf_get_current_task();
	const unsigned char *name = BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name);
	char text[24] = {};
	int i;

	bpf_probe_read_kernel_str(text, sizeof(text), name);
	for (i = 0; i < 18; i++)
		if (text[i] == 'p' && text[i + 1] == 'y' && text[i + 2] == 't' &&
		    text[i + 3] == 'h' && text[i + 4] == 'o' && text[i + 5] == 'n')
			return true;
	return false;
}

/* True when the current process stops before it goes on in user mode. */
static __always_inline bool hold_current(__u32 tgid)
{
	struct viz_guard_state fresh = {}, *guard;

	if (!hold_enabled || is_shell_job())
		return false;
	bpf_map_update_elem(&guards, &tgid, &fresh, BPF_NOEXIST);
	guard = bpf_map_lookup_elem(&guards, &tgid);
	if (!guard || guard->stopped || guard->cleared)
		return false;
	guard->held = (__u32)(bpf_ktime_get_ns() >> 30) | 1;
	guard->stopped = 1;
	if (bpf_send_signal(SIGSTOP)) {
		guard->held = 0;
		guard->stopped = 0;
		return false;
	}
	guard->stopped = 2; /* now a SIGCONT cannot come too early */
	return true;
}

#endif
