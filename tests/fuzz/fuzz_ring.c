// SPDX-License-Identifier: Apache-2.0
/*
 * The ring of engine trampoline: memory of the target, which can write anything there at any time.
 * The input is, in turns, the numbers at the head of the ring and what stands in its events; it is
 * read after each turn.
 * Build: user/engine/trampoline_drain.c user/engine/trampoline_feed.c
 * user/engine/trampoline_backlog.c user/engine/trampoline_clock.c user/output/scratch.c
 * user/target/remote.c user/base/log.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/trampoline_private.h"

enum { RING = 64 << 10, SIZE = sizeof(struct viz_rec_ring) + RING, TURN_MAX = 8192 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t known; /* functions */
static uint64_t seen;

static int on_code(void *ctx, const struct viz_code *code, uint32_t *func)
{
	(void)ctx;
	if (code->name_size > VIZ_NAME_MAX || code->file_size > VIZ_PATH_MAX)
		abort();
	for (size_t i = 0; i < code->name_size; i++)
		seen += code->name[i];
	for (size_t i = 0; i < code->file_size; i++)
		seen += code->file[i];
	*func = known++;
	return 0;
}

static int on_name(void *ctx, const char *name, bool exception, uint32_t *index)
{
	(void)ctx, (void)exception;
	if (strlen(name) > VIZ_NAME_MAX)
		abort();
	*index = known++;
	return 0;
}

static enum viz_verdict judge(void *ctx, uint32_t func)
{
	(void)ctx;
	return func % 4; /* each of enum viz_verdict */
}

static void check_edges(uint32_t tid, const struct viz_edge *edges, size_t nr)
{
	if (!tid)
		abort();
	for (size_t i = 0; i < nr; i++)
		if (edges[i].func >= known)
			abort();
}

static int on_edges(void *ctx, uint32_t tid, const struct viz_edge *edges, size_t nr)
{
	(void)ctx;
	check_edges(tid, edges, nr);
	return 0;
}

static int on_running(void *ctx, uint32_t tid, uint64_t ts, const struct viz_edge *frames,
		      size_t nr)
{
	(void)ctx, (void)ts;
	check_edges(tid, frames, nr);
	return 0;
}

static int on_raised(void *ctx, uint32_t tid, uint64_t ts, uint32_t index)
{
	(void)ctx, (void)ts;
	if (!tid || index >= known)
		abort();
	return 0;
}

static void on_lost(void *ctx, uint32_t tid, uint64_t ts, uint64_t enters, uint64_t leaves)
{
	(void)ctx, (void)tid, (void)ts;
	seen += enters + leaves;
}

static void on_gap(void *ctx, uint32_t tid, uint64_t ts, bool begins)
{
	(void)ctx, (void)tid;
	seen += ts + begins;
}

/* Of the file that the ring is in; this one has nothing else. */
off_t viz_instance__events_at(const struct viz_trampoline *tramp,
			      const struct viz_instance *instance)
{
	(void)tramp, (void)instance;
	return sizeof(struct viz_rec_ring);
}

/* One turn of the target: where and how much, then the bytes. Returns how many were used. */
static size_t write_some(struct viz_rec_ring *ring, const uint8_t *data, size_t size)
{
	uint16_t where = (uint16_t)(data[0] | data[1] << 8);
	size_t n = data[2] | (data[3] & 31) << 8, head = offsetof(struct viz_rec_ring, codes);
	char *to = (char *)ring;

	if (n > size - 4)
		n = size - 4;
	/* a quarter of all turns in what is not records */
	to += where & 3 ? sizeof(*ring) + where % (RING - TURN_MAX) / 16 * 16
			: (where >> 2) % (head - TURN_MAX) / 8 * 8;
	memcpy(to, data + 4, n);
	ring->head = ring->head % (4 * RING / 16);
	return n + 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct viz_rec_ring *ring;
	static struct viz_tramp_file file = {.fd = -1};
	static const struct viz_trampoline_sink sink = {
		.code = on_code,
		.judge = judge,
		.name = on_name,
		.raised = on_raised,
		.edges = on_edges,
		.running = on_running,
		.lost = on_lost,
		.gap = on_gap,
	};
	struct viz_trampoline t = {.params.ring_size = RING, .nr_instances = 1};
	struct viz_instance *in = &t.instances[0];
	struct viz_feed *other;

	viz_log_quiet = 1;
	if (file.fd < 0) {
		file.fd = memfd_create("ring", MFD_CLOEXEC);
		if (ftruncate(file.fd, SIZE))
			abort();
		ring = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
		if (ring == MAP_FAILED)
			abort();
		/* so that the thread that serves all rings is not made for each input */
		other = viz_feed__new(calloc(1, sizeof(*ring)), -1, 0, RING / 16);
		if (!other)
			abort();
	}
	memset(ring, 0, offsetof(struct viz_rec_ring, codes));
	memset(ring->events, 0, RING);
	*in = (struct viz_instance){.state = VIZ_TRAMPOLINE_UP, .file = &file, .ring = ring};
	known = 0;
	while (size > 4) {
		size_t used = write_some(ring, data, size);
		struct viz_instance *rings[1] = {in};

		data += used;
		size -= used;
		if (size % 7 == 1)
			in->state = VIZ_TRAMPOLINE_ENDED; /* the tentative records count, too */
		viz_reader__drain(&t, rings, 1, &sink);
	}
	if (known % 16 == 15) /* it looks at every place */
		viz_reader__judge_again(in, &sink);
	viz_trampoline__tell_losses(&t, &sink);
	viz_reader__free(&in->reader);
	free(in->reader.funcs);
	return 0;
}
