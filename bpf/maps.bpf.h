/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The maps that all programs share. calls.bpf.c defines them (VIZ_DEFINE_MAPS), the other
 * files declare them; `bpftool gen object` joins both.
 */
#ifndef VIZ_MAPS_BPF_H
#define VIZ_MAPS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "records.h"

#ifdef VIZ_DEFINE_MAPS
#define VIZ_MAP
#else
#define VIZ_MAP extern
#endif

struct viz_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 25); /* --ring-size */
};

/* One ring per group of processes, made by user space: a process keeps to its ring. */
VIZ_MAP struct viz_rings {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct viz_ring);
} rings SEC(".maps");

/* Every process that is recorded, or wanted. Key: tgid. */
VIZ_MAP struct viz_processes {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct viz_process_info);
} processes SEC(".maps");

VIZ_MAP struct viz_builds_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VIZ_BUILDS_MAX);
	__type(key, __u32);
	__type(value, struct viz_build_info);
} builds SEC(".maps");

VIZ_MAP struct viz_threads {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct viz_thread);
} threads SEC(".maps");

/* Code objects that user space has been told of. */
struct viz_code_state {
	__u64 announced; /* head.ts of its VIZ_CODE */
	__u32 code_flags; /* co_flags */
	__u32 verdict; /* enum viz_verdict_code */
};

VIZ_MAP struct viz_codes {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct viz_code_key);
	__type(value, struct viz_code_state);
} codes SEC(".maps");

/* How far a process is on its way to a clear slot. Key: tgid; struct viz_guard_state. */
VIZ_MAP struct viz_guards {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct viz_guard_state);
} guards SEC(".maps");

/* Half of a ring: past it every record wakes the reader. Set by user space. */
extern volatile __u64 ring_wakeup_bytes;

static __always_inline void *ring_of(const struct viz_process_info *p)
{
	__u32 index = p ? p->ring : 0;

	return bpf_map_lookup_elem(&rings, &index);
}

/* The reader looks every few milliseconds: it is woken only when much has piled up. */
static __always_inline __u64 wakeup_flags(void *ring)
{
	return bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > ring_wakeup_bytes ? BPF_RB_FORCE_WAKEUP
									      : BPF_RB_NO_WAKEUP;
}

static __always_inline void fill_head(struct viz_head *head, __u32 tid, __u8 kind, __u8 flags)
{
	head->ts = bpf_ktime_get_ns();
	head->tid = tid;
	head->kind = kind;
	head->flags = flags;
	head->cpu = (__u16)bpf_get_smp_processor_id();
}

static __always_inline __u64 read_user_u64(__u64 addr)
{
	__u64 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (void *)(unsigned long)addr);
	return value;
}

static __always_inline __u32 read_user_u32(__u64 addr)
{
	__u32 value = 0;

	bpf_probe_read_user(&value, sizeof(value), (void *)(unsigned long)addr);
	return value;
}

#endif
