/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Records of births, programs and ends have a ring of their own: however many calls there are,
 * they are not crowded out, and a process that is stopped until it is prepared does not wait
 * for the calls before it to be read. User space brings both rings into order by time.
 */
#ifndef VIZ_LIFE_BPF_H
#define VIZ_LIFE_BPF_H

#include "maps.bpf.h"
#include "hold.bpf.h"

VIZ_MAP struct viz_lives {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} lives SEC(".maps");

/* Records that found it full all the same: user space then looks at the maps. */
extern volatile __u64 lives_lost;

/* About the current process. */
static __always_inline struct viz_life *life_new(__u8 kind, __u8 flags, __u32 tgid, __u32 tid)
{
	struct viz_life *rec = bpf_ringbuf_reserve(&lives, sizeof(*rec), 0);

	if (!rec) {
		__sync_fetch_and_add(&lives_lost, 1);
		return NULL;
	}
	fill_head(&rec->head, tid, kind, flags);
	rec->tgid = tgid;
	rec->other = 0;
	rec->lost_enter = 0;
	rec->lost_leave = 0;
	bpf_get_current_comm(rec->comm, sizeof(rec->comm));
	return rec;
}

static __always_inline void life_send(struct viz_life *rec)
{
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

/* The current process waits until user space has prepared it, which this record asks for. */
static __always_inline bool tell_sight(__u32 tgid, __u32 tid)
{
	struct viz_life *rec = life_new(VIZ_SIGHT, 0, tgid, tid);

	if (!rec)
		return false;
	if (hold_current(tgid))
		rec->head.flags = VIZ_LIFE_HELD;
	life_send(rec);
	return true;
}

/* An interpreter runs in a process that nobody prepared: user space is told once. */
static __always_inline void sight(struct viz_process_info *process, __u32 tgid, __u32 tid)
{
	if (process && process->flags & VIZ_PROC_WANTED && tell_sight(tgid, tid))
		process->flags &= ~VIZ_PROC_WANTED;
}

#endif
