/* with: user/engine/trampoline_drain.c user/engine/trampoline_feed.c user/engine/trampoline_backlog.c user/output/scratch.c user/engine/trampoline_clock.c user/target/remote.c user/base/log.c */
/* libs: */
// SPDX-License-Identifier: Apache-2.0
/* The reader of the recorder's ring: what it makes of records, and of what are none. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/trampoline_private.h"
#include "tap.h"

enum { RING = 64 << 10, MASK = RING / 16 - 1 };

static struct viz_trampoline t;
static struct viz_instance in;
static struct viz_tramp_file file = {.fd = -1};
static struct viz_instance *rings[1] = {&in};
static uint32_t codes, enters, leaves, threads, lost_enters, running, last_tid;
static uint32_t raised;
static char last_name[300], last_exception[300];
static enum viz_verdict verdict;

static int on_code(void *ctx, const struct viz_code *code, uint32_t *func)
{
	(void)ctx;
	if (code->name_size > VIZ_NAME_MAX || code->file_size > VIZ_PATH_MAX)
		return -EOVERFLOW;
	memcpy(last_name, code->name, code->name_size);
	last_name[code->name_size] = 0;
	*func = codes++;
	return 0;
}

static int on_name(void *ctx, const char *name, bool exception, uint32_t *index)
{
	(void)ctx;
	if (exception)
		snprintf(last_exception, sizeof(last_exception), "%s", name);
	*index = exception ? 0 : codes++;
	return 0;
}

static int on_raised(void *ctx, uint32_t tid, uint64_t ts, uint32_t index)
{
	(void)ctx, (void)ts;
	raised += tid == 7 && !index;
	return 0;
}

static enum viz_verdict judge(void *ctx, uint32_t func)
{
	(void)ctx, (void)func;
	return verdict;
}

static int on_edges(void *ctx, uint32_t tid, const struct viz_edge *edges, size_t nr)
{
	(void)ctx;
	threads += tid != last_tid;
	last_tid = tid;
	for (size_t i = 0; i < nr; i++) {
		enters += edges[i].kind == VIZ_EDGE_ENTER;
		leaves += edges[i].kind == VIZ_EDGE_LEAVE;
	}
	return 0;
}

static int on_running(void *ctx, uint32_t tid, uint64_t ts, const struct viz_edge *frames,
		      size_t nr)
{
	(void)ctx, (void)tid, (void)ts;
	running += nr;
	return nr && frames[0].func == UINT32_MAX ? -EINVAL : 0;
}

static void on_lost(void *ctx, uint32_t tid, uint64_t ts, uint64_t e, uint64_t l)
{
	(void)ctx, (void)tid, (void)ts, (void)l;
	lost_enters += e;
}

static const struct viz_trampoline_sink sink = {
	.code = on_code,
	.judge = judge,
	.name = on_name,
	.raised = on_raised,
	.edges = on_edges,
	.running = on_running,
	.lost = on_lost,
};

/* Of the file that the ring is in; this one has nothing else. */
off_t viz_instance__events_at(const struct viz_trampoline *tramp,
			      const struct viz_instance *instance)
{
	(void)tramp, (void)instance;
	return sizeof(struct viz_rec_ring);
}

static void clean(void)
{
	viz_reader__free(&in.reader);
	free(in.reader.funcs);
	if (in.ring)
		munmap(in.ring, sizeof(struct viz_rec_ring) + RING);
	if (file.fd >= 0)
		close(file.fd);
}

static void fresh(void)
{
	clean();
	memset(&in, 0, sizeof(in));
	memset(&t, 0, sizeof(t));
	t.params.ring_size = RING;
	t.clock.counter = false;
	in.state = VIZ_TRAMPOLINE_UP;
	file.fd = memfd_create("ring", MFD_CLOEXEC);
	if (ftruncate(file.fd, sizeof(struct viz_rec_ring) + RING))
		abort();
	in.file = &file;
	in.ring = mmap(NULL, sizeof(struct viz_rec_ring) + RING, PROT_READ | PROT_WRITE, MAP_SHARED,
		       file.fd, 0);
	if (in.ring == MAP_FAILED)
		abort();
	for (int i = 0; i < VIZ_REC_PARTS; i++)
		in.ring->order[i] = (uint8_t)i;
	codes = enters = leaves = threads = lost_enters = running = last_tid = raised = 0;
	verdict = VIZ_VERDICT_RECORD;
}

static void put(unsigned int kind, uint64_t clock, uint64_t what)
{
	in.ring->events[in.ring->head++ & MASK] =
		(struct viz_rec_event){.when = clock << 8 | kind, .what = what};
}

static void put_named(uint32_t id, uint32_t place, const char *name, enum viz_rec_named what)
{
	struct viz_rec_code c = {
		.name_size = (uint16_t)strlen(name), .name_kind = 1, .name_ascii = 1};
	uint8_t bytes[512] = {0};
	uint64_t slots = (sizeof(c) + c.name_size + 15) / 16;

	memcpy(bytes, &c, sizeof(c));
	memcpy(bytes + sizeof(c), name, c.name_size);
	put((unsigned int)what << 4 | VIZ_RECORD_CODE, slots, (uint64_t)place << 32 | id);
	for (uint64_t i = 0; i < slots; i++)
		memcpy(&in.ring->events[in.ring->head++ & MASK], bytes + 16 * i, 16);
}

static void put_code(uint32_t id, uint32_t place, const char *name)
{
	put_named(id, place, name, VIZ_CODE_PYTHON);
}

static void test_good(void)
{
	int nr;

	fresh();
	/* over the end of the ring */
	for (int i = 0; i < MASK - 3; i++)
		put(VIZ_RECORD_LEAVE, 1, 0);
	viz_reader__drain(&t, rings, 1, &sink);
	put(VIZ_RECORD_THREAD, 100, 7);
	put_code(1, 9, "a_function_with_a_long_name");
	put(VIZ_RECORD_RUNNING, 105, 5ull << 32 | 1);
	put(VIZ_RECORD_ENTER, 110, 6ull << 32 | 1);
	put(VIZ_RECORD_LEAVE, 120, 6ull << 32 | 1);
	put(VIZ_RECORD_THREAD, 130, 8);
	put(VIZ_RECORD_LOST, 131, 4ull << 32 | 3);
	put(VIZ_RECORD_ENTER, 140, 6ull << 32 | 2);
	nr = viz_reader__drain(&t, rings, 1, &sink);
	ok(nr == 12, "all records are read: %d", nr);
	ok(codes == 1 && !strcmp(last_name, "a_function_with_a_long_name"),
	   "the name arrives whole");
	ok(running == 1, "a call that was open");
	ok(enters == 1 && leaves == 1, "one call; an unknown function is left out");
	ok(lost_enters == 3, "losses");
	ok(in.ring->tail == in.ring->head, "the room is given back");
	ok(viz_reader__drain(&t, rings, 1, &sink) == 0, "nothing more");
}

static void test_reject(void)
{
	fresh();
	verdict = VIZ_VERDICT_DROP_SELF;
	in.ring->codes[9].id = 1;
	in.ring->codes[10].id = 5;
	put(VIZ_RECORD_THREAD, 100, 7);
	put_code(1, 9, "f");
	put_code(2, 10, "g");
	put(VIZ_RECORD_ENTER, 110, 1);
	viz_reader__drain(&t, rings, 1, &sink);
	ok(in.ring->codes[9].id == (1 | VIZ_REC_REJECT), "the verdict is at the recorder");
	put_code(3, UINT32_MAX, "h"); /* no such place: far beyond the ring */
	viz_reader__drain(&t, rings, 1, &sink);
	ok(in.ring->codes[10].id == 5, "a place that is another's by now is left alone");
	ok(!enters, "and no edge comes through");
	fresh();
	verdict = VIZ_VERDICT_DROP_TREE;
	in.ring->codes[9].id = 1;
	put(VIZ_RECORD_THREAD, 100, 7);
	put_code(1, 9, "f");
	put(VIZ_RECORD_ENTER, 110, 1);
	viz_reader__drain(&t, rings, 1, &sink);
	ok(in.ring->codes[9].id == (1 | VIZ_REC_TREE), "with all it calls");
	ok(enters == 1, "whose edges are needed");
	fresh();
	verdict = VIZ_VERDICT_UNKNOWN;
	in.ring->codes[9].id = 1;
	put_code(1, 9, "f");
	viz_reader__drain(&t, rings, 1, &sink);
	ok(in.ring->codes[9].id == 1, "no verdict so far");
	verdict = VIZ_VERDICT_RECORD;
	viz_reader__judge_again(&in, &sink);
	ok(in.ring->codes[9].id == (1 | VIZ_REC_JUDGED), "but later");
}

static void test_more(void)
{
	fresh();
	put(VIZ_RECORD_THREAD, 100, 7);
	put_code(1, 9, "f");
	put_named(2, 10, "builtins.len", VIZ_CODE_C);
	put(VIZ_RECORD_ENTER, 110, 1);
	put(VIZ_RECORD_ENTER, 111, 2);
	put(VIZ_RECORD_LEAVE, 112, 2);
	put_named(3, 11, "ValueError", VIZ_CODE_EXCEPTION);
	put(VIZ_RECORD_RAISE, 113, 3);
	viz_reader__drain(&t, rings, 1, &sink);
	ok(enters == 2 && leaves == 1, "a C function's call");
	ok(raised == 1 && !strcmp(last_exception, "ValueError"), "an exception's name");
	verdict = VIZ_VERDICT_DROP_SELF;
	put_code(4, 12, "g");
	put(VIZ_RECORD_INSIDE, 114, 1);
	put(VIZ_RECORD_ENTER, 115, 2);
	viz_reader__drain(&t, rings, 1, &sink);
	ok(enters == 3, "inside of a function that is recorded");
	put(VIZ_RECORD_INSIDE, 116, 4);
	put(VIZ_RECORD_ENTER, 117, 2);
	put(VIZ_RECORD_INSIDE, 118, 4);
	put(VIZ_RECORD_RAISE, 119, 3);
	put(VIZ_RECORD_ENTER, 120, 2);
	viz_reader__drain(&t, rings, 1, &sink);
	ok(enters == 4 && raised == 1, "inside of one that is not, and after it");
}

static void test_hostile(void)
{
	int bad = 0;

	srandom(1);
	for (int round = 0; round < 300; round++) {
		uint32_t *words;
		int nr;

		fresh();
		words = (uint32_t *)in.ring->events;
		for (size_t i = 0; i < RING / 4; i++)
			words[i] = (uint32_t)random() << (random() & 1);
		for (size_t i = 0; i < RING / 16; i++) { /* mostly kinds that mean something */
			in.ring->events[i].when &= ~15ull;
			in.ring->events[i].when |= (uint64_t)random() % 10;
			if (!(random() & 3))
				in.ring->events[i].when &= 0x3fff;
		}
		in.ring->head = (uint64_t)random() % (MASK + 2);
		in.ring->tentative = (uint64_t)random() << 20;
		nr = viz_reader__drain(&t, rings, 1, &sink);
		bad += nr < 0 || in.ring->tail != in.ring->head;
	}
	ok(!bad, "noise does no harm");
	fresh();
	in.ring->head = MASK + 2;
	ok(viz_reader__drain(&t, rings, 1, &sink) == -EPROTO, "an end beyond the ring is refused");
	fresh();
	in.ring->head = 5;
	viz_reader__drain(&t, rings, 1, &sink);
	in.ring->head = 3;
	ok(viz_reader__drain(&t, rings, 1, &sink) == -EPROTO, "an end before the begin is refused");
}

int main(void)
{
	test_good();
	test_reject();
	test_more();
	test_hostile();
	clean();
	return tap_done();
}
