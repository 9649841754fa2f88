// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Custom events: the USDT probe vizbpf:event, which the Python extension and every program
 * that includes vizbpf.h carry. Its six arguments are in the registers of the calling
 * convention: type (low 8 bits) and size of the texts (the rest), name, category, args, id,
 * value.
 */
#include "maps.bpf.h"

enum {
	CATEGORY_MAX = 64,
	SMALL_TEXT = 96,
	SMALL_DATA = 3 * SMALL_TEXT,
};

/* As struct viz_custom, for the events whose texts are short: most of them. */
struct small_custom {
	struct viz_head head;
	__u64 id;
	__u64 value;
	__u32 tgid;
	__u32 size;
	char data[SMALL_DATA];
};

struct texts {
	const char *name;
	const char *category;
	const char *args;
};

static __always_inline void lost_custom(struct viz_process_info *process)
{
	__sync_fetch_and_add(&process->lost_other, 1);
}

/* One text behind the others; what cannot be read, or is longer than @max with its NUL, is
 * shown as an empty one when @whole is set, else cut. Returns the bytes used. */
static __always_inline __u64 put_text(char *data, __u32 max, const char *text, bool whole)
{
	long size = bpf_probe_read_user_str(data, max, text);

	if (size <= 0 || size > max || (whole && size == max)) {
		data[0] = 0;
		return 1;
	}
	return size;
}

/* The sizes are constants in both callers, so that the verifier sees every bound; the barriers
 * keep the compiler from leaving out what it knows and an older verifier (6.12) does not. */
#define PUT_TEXTS(record, from, name_max, category_max, data_max)                                  \
	do {                                                                                       \
		__u64 at = put_text(record->data, name_max, from->name, false);                    \
                                                                                                   \
		barrier_var(at);                                                                   \
		if (at > name_max)                                                                 \
			at = name_max;                                                             \
		at += put_text(record->data + at, category_max, from->category, false);            \
		barrier_var(at);                                                                   \
		if (at > name_max + category_max)                                                  \
			at = name_max + category_max;                                              \
		at += put_text(record->data + at, data_max - name_max - category_max, from->args,  \
			       true);                                                              \
		record->size = at;                                                                 \
	} while (0)

static __always_inline void fill(struct viz_head *head, __u32 type)
{
	fill_head(head, (__u32)bpf_get_current_pid_tgid(), VIZ_CUSTOM, type);
}

static __always_inline int send_small(struct viz_process_info *process, void *ring, __u32 type,
				      const struct texts *from, __u64 id, __u64 value)
{
	struct small_custom *record = bpf_ringbuf_reserve(ring, sizeof(*record), 0);

	if (!record) {
		lost_custom(process);
		return 0;
	}
	fill(&record->head, type);
	record->id = id;
	record->value = value;
	record->tgid = bpf_get_current_pid_tgid() >> 32;
	PUT_TEXTS(record, from, SMALL_TEXT, SMALL_TEXT, SMALL_DATA);
	bpf_ringbuf_submit(record, wakeup_flags(ring));
	return 0;
}

static __always_inline int send_large(struct viz_process_info *process, void *ring, __u32 type,
				      const struct texts *from, __u64 id, __u64 value)
{
	struct viz_custom *record = bpf_ringbuf_reserve(ring, sizeof(*record), 0);

	if (!record) {
		lost_custom(process);
		return 0;
	}
	fill(&record->head, type);
	record->id = id;
	record->value = value;
	record->tgid = bpf_get_current_pid_tgid() >> 32;
	PUT_TEXTS(record, from, VIZ_NAME_MAX, CATEGORY_MAX, VIZ_PAYLOAD_MAX);
	bpf_ringbuf_submit(record, wakeup_flags(ring));
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(on_custom, __u64 type_and_size, const char *name, const char *category,
	       const char *args, __u64 id)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct viz_process_info *process = bpf_map_lookup_elem(&processes, &tgid);
	struct texts from = {.name = name, .category = category, .args = args};
	__u32 type = type_and_size & 0xff, size = type_and_size >> 8;
	__u64 value;
	void *ring;

	if (!process || !(process->flags & VIZ_PROC_ACTIVE))
		return 0;
	ring = ring_of(process);
	if (!ring)
		return 0;
#if defined(bpf_target_x86)
	value = ctx->r9;
#else
	value = PT_REGS_PARM6(ctx);
#endif
	/* Whatever the three lengths are, their texts fit the parts of a small record then. The
	 * size is the target's word: a wrong one only cuts its own texts. */
	if (size && size <= SMALL_TEXT)
		return send_small(process, ring, type, &from, id, value);
	return send_large(process, ring, type, &from, id, value);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
