/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Programs that switch C stacks (greenlet, and so gevent, eventlet, SQLAlchemy's asyncio bridge).
 * Known by the module that does it, while it is being made and no greenlet exists; others by a
 * stack pointer that leaves the stack of its thread.
 */
#ifndef VIZ_SWITCHES_BPF_H
#define VIZ_SWITCHES_BPF_H

#include "life.bpf.h"

/* @wait: the process waits until user space has read this. */
static __always_inline void tell_module(__u32 tgid, __u32 tid, __u8 flags, bool wait)
{
	struct viz_life *rec = life_new(VIZ_MODULE, flags, tgid, tid);

	if (!rec)
		return;
	if (wait && hold_current(tgid))
		rec->head.flags |= VIZ_LIFE_HELD;
	life_send(rec);
}

static __always_inline void set_switches(struct viz_process_info *process, __u32 tgid, __u32 tid)
{
	process->flags |= VIZ_PROC_SWITCHES;
	tell_module(tgid, tid, 0, false);
}

enum { NAME_UNREAD = -1 };

/*
 * Whether the module of this name switches stacks, or NAME_UNREAD: nobody has touched the page
 * of the library that it is in, and a program that must not sleep cannot have it read.
 */
static __always_inline int name_switches(__u64 name)
{
	char text[16] = {};

	if (bpf_probe_read_user_str(text, sizeof(text), (void *)(unsigned long)name) < 0)
		return NAME_UNREAD;
	return text[0] == 'g' && text[1] == 'r' && text[2] == 'e' && text[3] == 'e' &&
	       text[4] == 'n' && text[5] == 'l' && text[6] == 'e' && text[7] == 't';
}

/* A call begins in a process that has made a module whose name could not be read. Now it can:
 * CPython has made an object of it meanwhile. */
static __always_inline void read_late(struct viz_process_info *process, __u32 tgid, __u32 tid)
{
	if (name_switches(process->module) > 0 && !(process->flags & VIZ_PROC_SWITCHES))
		set_switches(process, tgid, tid);
	process->module = 0;
}

#endif
