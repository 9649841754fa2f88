/* with: user/trace/timeline.c user/trace/filter.c user/trace/model.c user/trace/texts.c user/base/utf8.c */
// SPDX-License-Identifier: Apache-2.0
/* From edges to calls: nesting, losses, greenlets, escapes, frames that ran before. */
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#include "../bpf/records.h"
#include "trace/filter.h"
#include "trace/timeline.h"

static struct viz_call got[4096];
static size_t nr_got;

static int collect(void *ctx, const struct viz_call *calls, size_t nr)
{
	(void)ctx;
	memcpy(got + nr_got, calls, nr * sizeof(*calls));
	nr_got += nr;
	return 0;
}

struct world {
	struct viz_trace *trace;
	struct viz_timeline *tl;
	struct viz_lane *lane;
	struct viz_filter filter;
	uint32_t f[8];
};

static void open_world(struct world *w)
{
	char name[16];
	uint32_t process;

	w->trace = viz_trace__new();
	process = viz_trace__process(w->trace, 1);
	w->tl = viz_timeline__new(w->trace, &w->filter, collect, NULL);
	w->lane = viz_timeline__lane(w->tl, viz_trace__track(w->trace, process, 1));
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		w->f[i] = viz_trace__func(w->trace, name, i < 4 ? "/srv/app.py" : "/srv/lib.py", 1);
	}
	nr_got = 0;
}

static void close_world(struct world *w)
{
	viz_timeline__free(w->tl);
	viz_trace__free(w->trace);
	viz_filter__free(&w->filter);
	memset(w, 0, sizeof(*w));
}

static void enter(struct world *w, uint64_t ts, int func, uint32_t sp, uint32_t frame,
		  uint32_t caller)
{
	struct viz_edge e = {
		.kind = VIZ_EDGE_ENTER,
		.ts = ts,
		.func = w->f[func],
		.sp = sp,
		.frame = frame,
		.caller = caller,
		.caller_func = UINT32_MAX,
		.flags = VIZ_ENTER_CHAIN,
	};

	viz_lane__edge(w->lane, &e);
}

static void leave(struct world *w, uint64_t ts, uint32_t sp, uint32_t caller)
{
	struct viz_edge e = {
		.kind = VIZ_EDGE_LEAVE,
		.ts = ts,
		.func = UINT32_MAX,
		.sp = sp,
		.caller = caller,
		.flags = VIZ_LEAVE_CALLER,
	};

	viz_lane__edge(w->lane, &e);
}

static const struct viz_call *call_of(const struct world *w, int func)
{
	for (size_t i = 0; i < nr_got; i++)
		if (got[i].func == w->f[func])
			return &got[i];
	return NULL;
}

static void test_nesting(void)
{
	struct world w = {};

	open_world(&w);
	enter(&w, 10, 0, 1000, 1, 0);
	enter(&w, 20, 1, 900, 2, 1);
	leave(&w, 30, 900, 1);
	enter(&w, 40, 1, 900, 2, 1);
	leave(&w, 50, 900, 1);
	leave(&w, 60, 1000, 0);
	viz_timeline__flush(w.tl);
	ok(nr_got == 3, "three calls");
	ok(got[0].begin == 20 && got[0].dur == 10 && got[0].func == w.f[1],
	   "the inner one is done first");
	ok(got[2].begin == 10 && got[2].dur == 50 && !got[2].flags, "the outer one last, whole");
	close_world(&w);
}

static void test_lost_leave(void)
{
	struct world w = {};

	open_world(&w);
	enter(&w, 10, 0, 1000, 1, 0);
	enter(&w, 20, 1, 900, 2, 1);
	enter(&w, 25, 2, 800, 3, 2);
	/* both inner ends are lost */
	enter(&w, 40, 3, 900, 4, 1);
	leave(&w, 50, 900, 1);
	leave(&w, 60, 1000, 0);
	viz_timeline__flush(w.tl);
	ok(nr_got == 4, "no call is lost with its end");
	ok(call_of(&w, 1)->flags == VIZ_CALL_LOST_END && call_of(&w, 1)->begin == 20 &&
		   call_of(&w, 1)->dur == 20,
	   "its end is bounded by the next call of its caller");
	ok(call_of(&w, 3)->dur == 10 && call_of(&w, 0)->dur == 50, "what follows nests as it did");
	close_world(&w);
}

static void test_lost_enter(void)
{
	struct world w = {};

	open_world(&w);
	enter(&w, 10, 0, 1000, 1, 0);
	leave(&w, 30, 900, 1); /* its beginning is lost */
	leave(&w, 60, 1000, 0);
	leave(&w, 70, 1000, 0); /* and nothing at all is open here */
	viz_timeline__flush(w.tl);
	ok(nr_got == 1 && got[0].dur == 50, "an end without a beginning ends nothing else");
	close_world(&w);
}

static void test_close(void)
{
	struct world w = {};

	open_world(&w);
	enter(&w, 10, 0, 1000, 1, 0);
	enter(&w, 20, 1, 900, 2, 1);
	viz_lane__close(w.lane, 100);
	viz_timeline__flush(w.tl);
	ok(nr_got == 2 && got[0].flags == VIZ_CALL_UNFINISHED &&
		   got[1].flags == VIZ_CALL_UNFINISHED,
	   "what is open at the end is closed there and marked");
	ok(got[1].dur == 90, "up to the end");
	ok(viz_lane__depth(w.lane) == 0, "the lane can be used again");
	close_world(&w);
}

static void test_running(void)
{
	struct viz_edge frames[] = {
		{.kind = VIZ_EDGE_ENTER, .frame = 1},
		{.kind = VIZ_EDGE_ENTER, .frame = 2},
	};
	struct world w = {};

	open_world(&w);
	frames[0].func = w.f[0];
	frames[1].func = w.f[1];
	/* recorded since: a call of frame 2 */
	enter(&w, 30, 2, 800, 3, 2);
	viz_lane__running(w.lane, 40, frames, 2);
	leave(&w, 50, 800, 2);
	/* frame 1 calls again: frame 2 has ended meanwhile */
	enter(&w, 60, 3, 900, 4, 1);
	leave(&w, 70, 900, 1);
	viz_lane__close(w.lane, 100);
	viz_timeline__flush(w.tl);
	ok(nr_got == 4, "running frames go below what was recorded since");
	ok(call_of(&w, 1)->flags == (VIZ_CALL_RUNNING | VIZ_CALL_INFERRED) &&
		   call_of(&w, 1)->begin == 30,
	   "one that is seen to be gone ended by then");
	ok(call_of(&w, 0)->flags == (VIZ_CALL_RUNNING | VIZ_CALL_UNFINISHED), "the other runs on");
	close_world(&w);
}

/* The end of what ran at the attach is seen by nobody up to 3.11. */
static void test_running_is_over(void)
{
	struct viz_edge frame = {.kind = VIZ_EDGE_ENTER, .frame = 1};
	struct world w = {};

	open_world(&w);
	viz_filter__add(&w.filter.exclude_functions, "f0");
	w.filter.any = true;
	frame.func = w.f[0];
	viz_lane__running(w.lane, 10, &frame, 1);
	enter(&w, 20, 2, 0, 2, 1);
	leave(&w, 30, 0, 1);
	enter(&w, 40, 1, 0, 3, 0);
	viz_lane__close(w.lane, 60);
	viz_timeline__flush(w.tl);
	ok(nr_got == 1 && call_of(&w, 1)->begin == 40,
	   "an outermost call is not below what ran at the attach");
	close_world(&w);
}

static void test_greenlets(void)
{
	struct world w = {};

	open_world(&w);
	viz_lane__switches(w.lane);
	enter(&w, 10, 0, 1000, 1, 0); /* the hub */
	enter(&w, 20, 1, 900, 10, 0); /* a greenlet begins: no frame before */
	enter(&w, 30, 2, 900, 20, 0); /* another one, on the same stack */
	enter(&w, 40, 3, 800, 11, 10); /* the first goes on */
	leave(&w, 50, 800, 10);
	leave(&w, 60, 900, 0);
	leave(&w, 70, 900, 0);
	leave(&w, 80, 1000, 0);
	viz_timeline__flush(w.tl);
	ok(nr_got == 4, "every call of every greenlet");
	ok(call_of(&w, 0)->dur == 70, "the hub ends last");
	ok(call_of(&w, 3)->dur == 10 && call_of(&w, 3)->track == call_of(&w, 1)->track,
	   "a call is on the track of its greenlet");
	ok(call_of(&w, 1)->track != call_of(&w, 2)->track &&
		   call_of(&w, 1)->track != call_of(&w, 0)->track,
	   "greenlets have tracks of their own");
	close_world(&w);
}

static void test_greenlet_after_ended_one(void)
{
	struct world w = {};

	open_world(&w);
	viz_lane__switches(w.lane);
	enter(&w, 10, 0, 1000, 1, 0); /* the hub */
	enter(&w, 20, 1, 900, 10, 0);
	enter(&w, 30, 1, 900, 20, 0);
	leave(&w, 40, 900, 0); /* the one that was seen last is over */
	enter(&w, 50, 2, 800, 11, 10); /* and the other goes on */
	leave(&w, 60, 800, 10);
	leave(&w, 70, 900, 0);
	viz_timeline__flush(w.tl);
	ok(nr_got == 3 && got[1].func == w.f[2] && got[1].track == got[2].track &&
		   got[1].track != got[0].track,
	   "a call is in its own greenlet when another one has just ended");
	close_world(&w);
}

static void test_escape(void)
{
	struct world w = {};
	struct viz_edge e = {
		.kind = VIZ_EDGE_ENTER,
		.ts = 20,
		.sp = 900,
		.frame = 3,
		.caller = 2,
		.flags = VIZ_ENTER_CHAIN | VIZ_ENTER_FROM,
	};

	open_world(&w);
	e.func = w.f[2];
	e.caller_func = w.f[1];
	enter(&w, 10, 0, 1000, 1, 0);
	viz_lane__edge(w.lane, &e);
	leave(&w, 30, 900, 2);
	leave(&w, 40, 1000, 0);
	viz_timeline__flush(w.tl);
	ok(nr_got == 3 && call_of(&w, 1)->flags == VIZ_CALL_INFERRED,
	   "a frame that escaped is seen through what it calls");
	ok(call_of(&w, 1)->begin == 20 && call_of(&w, 1)->dur == 20, "within its caller");
	close_world(&w);
}

static void test_filters(void)
{
	struct world w = {};

	viz_filter__add(&w.filter.exclude_functions, "f1");
	w.filter.any = true;
	w.filter.stdlib = -1;
	open_world(&w);
	enter(&w, 10, 0, 1000, 1, 0);
	enter(&w, 20, 1, 900, 2, 1);
	enter(&w, 25, 2, 800, 3, 2);
	leave(&w, 26, 800, 2);
	leave(&w, 30, 900, 1);
	leave(&w, 40, 1000, 0);
	viz_timeline__flush(w.tl);
	ok(nr_got == 1 && got[0].func == w.f[0], "an excluded call takes what it calls with it");
	close_world(&w);

	w.filter.stdlib = -1;
	w.filter.max_depth = 2;
	w.filter.min_duration = 5;
	open_world(&w);
	enter(&w, 10, 0, 1000, 1, 0);
	enter(&w, 20, 1, 900, 2, 1);
	enter(&w, 21, 2, 800, 3, 2);
	leave(&w, 29, 800, 2);
	leave(&w, 30, 900, 1);
	enter(&w, 31, 3, 900, 4, 1);
	leave(&w, 35, 900, 1);
	leave(&w, 40, 1000, 0);
	viz_timeline__flush(w.tl);
	ok(nr_got == 2 && !call_of(&w, 2), "depth");
	ok(!call_of(&w, 3), "duration");
	close_world(&w);
}

int main(void)
{
	test_nesting();
	test_lost_leave();
	test_lost_enter();
	test_close();
	test_running();
	test_running_is_over();
	test_greenlets();
	test_greenlet_after_ended_one();
	test_escape();
	test_filters();
	return tap_done();
}
