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
#define SIGNAL_UNKILLABLE 0x40 /* include/linux/sched/signal.h */

/* Defined in select.bpf.c. User space clears it when the recording ends. */
extern volatile __u32 hold_enabled;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pid___hold;
struct tty_struct___hold;

struct signal_struct___hold {
	struct tty_struct___hold *tty;
	unsigned int flags;
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
	unsigned int ptrace;
};

#pragma clang attribute pop

struct viz_exe_name {
	char text[24];
};

/* The name of the file that a process runs; empty for the kernel's own. */
static __always_inline void read_exe_name(struct task_struct___hold *task, struct viz_exe_name *to)
{
	const unsigned char *name = BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name);

	__builtin_memset(to, 0, sizeof(*to));
	bpf_probe_read_kernel_str(to->text, sizeof(to->text), name);
}

static __always_inline bool has_at(const struct viz_exe_name *name, int at, const char *word,
				   int size)
{
	int i;

	for (i = 0; i < size; i++)
		if (name->text[at + i] != word[i])
			return false;
	return true;
}

/* Whether the file that the current process runs has "python" in its name. */
static __always_inline bool runs_python(void)
{
	struct viz_exe_name name;
	int i;

	read_exe_name((void *)bpf_get_current_task(), &name);
	for (i = 0; i < 18; i++)
		if (has_at(&name, i, "python", 6))
			return true;
	return false;
}

/*
 * An interactive shell waits for jobs that stop, too: it would take the terminal back and leave
 * the program in the background. Such a job is a process group that its parent is not in.
 */
static __always_inline bool is_shell_job(struct task_struct___hold *task)
{
	return BPF_CORE_READ(task, signal, tty) &&
	       BPF_CORE_READ(task, signal, pids[2]) == BPF_CORE_READ(task, signal, pids[1]) &&
	       BPF_CORE_READ(task, signal, pids[2]) !=
		       BPF_CORE_READ(task, real_parent, signal, pids[2]);
}

#define BEGINS(name, word) has_at(&(name), 0, word, sizeof(word) - 1)
#define IS(name, word) has_at(&(name), 0, word, sizeof(word))

/*
 * Whether nobody acts on it when the current process stops for a moment. su, runuser and sudo
 * stop themselves as their child does, and nobody lets them go on (util-linux login-utils/su-common.c,
 * create_watching_parent()); a debugger reports it. So only where the parent is known to wait
 * for the end alone.
 */
static __always_inline bool stops_unseen(void)
{
	struct task_struct___hold *task = (void *)bpf_get_current_task();
	struct viz_exe_name name;

	if (BPF_CORE_READ(task, ptrace) || is_shell_job(task))
		return false;
	/* an orphan, or about to be one: its parent is ending, or is the first process of a pid
	 * namespace, which nothing stops */
	if (!BPF_CORE_READ(task, real_parent, mm) ||
	    BPF_CORE_READ(task, real_parent, signal, flags) & SIGNAL_UNKILLABLE)
		return true;
	read_exe_name(BPF_CORE_READ(task, real_parent), &name);
	return BEGINS(name, "python") || BEGINS(name, "vizbpf") || IS(name, "sh") ||
	       IS(name, "dash") || IS(name, "bash") || IS(name, "busybox") || IS(name, "systemd") ||
	       IS(name, "init") || IS(name, "tini") || IS(name, "docker-init") ||
	       IS(name, "dumb-init") || IS(name, "conmon") || BEGINS(name, "containerd-shim") ||
	       IS(name, "runc") || IS(name, "crun") || IS(name, "timeout") || IS(name, "make") ||
	       IS(name, "unshare") || IS(name, "setsid") || IS(name, "xargs") || IS(name, "find") ||
	       IS(name, "cron") || IS(name, "node") || IS(name, "java");
}

/* True when the current process stops before it goes on in user mode. */
static __always_inline bool hold_current(__u32 tgid)
{
	struct viz_guard_state fresh = {}, *guard;

	if (!hold_enabled || !stops_unseen())
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
