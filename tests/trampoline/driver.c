// SPDX-License-Identifier: Apache-2.0
/*
 * Engine trampoline without the rest of vizbpf: attaches, reads, prints what it
 * saw.
 *
 *   driver PID [-d SECONDS] [-r RING_BYTES] [-m MIN_NS] [-R NAME] [-T NAME]
 *          [-D DEPTH] [-c] [-x] [-f] [-s PAUSE_MS]
 *
 * SIGINT or SIGTERM ends it. Prints "up" when the recorder
 * runs in the target. At the end one line for each function:
 *   call NAME FILE:LINE ENTERS LEAVES OPEN WRONG
 * WRONG: leaves that do not belong to the innermost open call of their thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../user/base/log.h"
#include "../../user/engine/trampoline.h"

enum { FUNCS = 1 << 16, THREADS = 4096, DEPTH = 1 << 17, TRAMPS = 64 };

struct func {
	char name[260], file[520];
	uint32_t line;
	uint64_t enters, leaves, wrong, ran, raised;
};

struct stack {
	uint64_t id;
	uint32_t nr;
	uint32_t *func, *frame;
	bool *running; /* had begun before: where the eval function is wrapped its end
                    is not seen */
	uint64_t last;
};

static struct func *funcs;
static uint32_t nr_funcs;
static struct stack stacks[THREADS];
static const char *reject_name, *tree_name;
static uint64_t backwards, lost_told, records, gaps, running_frames, reordered;
static unsigned int current;
static int greenlets, pause_ms = 1;

static void text(char *out, size_t size, const uint8_t *data, uint32_t bytes, uint8_t kind)
{
	size_t n = 0;

	for (uint32_t i = 0; kind && i + kind <= bytes && n + 1 < size; i += kind) {
		uint32_t c = 0;

		memcpy(&c, data + i, kind);
		out[n++] = c > 32 && c < 127 ? (char)c : '?';
	}
	out[n] = 0;
}

static int on_code(void *ctx, const struct viz_code *code, uint32_t *func)
{
	struct func f = {.line = code->line};

	(void)ctx;
	text(f.name, sizeof(f.name), code->name, code->name_size, code->name_kind);
	text(f.file, sizeof(f.file), code->file, code->file_size, code->file_kind);
	if (nr_funcs == FUNCS)
		return -ENOSPC;
	*func = nr_funcs;
	funcs[nr_funcs++] = f;
	return 0;
}

static int on_name(void *ctx, const char *name, bool exception, uint32_t *index)
{
	(void)ctx, (void)exception;
	if (nr_funcs == FUNCS)
		return -ENOSPC;
	snprintf(funcs[nr_funcs].name, sizeof(funcs[0].name), "%s", name);
	*index = nr_funcs++;
	return 0;
}

static int on_raised(void *ctx, uint32_t tid, uint64_t ts, uint32_t index)
{
	(void)ctx, (void)tid, (void)ts;
	funcs[index].raised++;
	return 0;
}

static enum viz_verdict judge(void *ctx, uint32_t func)
{
	(void)ctx;
	if (reject_name && !strcmp(funcs[func].name, reject_name))
		return VIZ_VERDICT_DROP_SELF;
	return tree_name && !strcmp(funcs[func].name, tree_name) ? VIZ_VERDICT_DROP_TREE
								 : VIZ_VERDICT_RECORD;
}

static struct stack *stack_of(uint32_t tid)
{
	uint64_t id = (uint64_t)current << 32 | tid;

	for (int i = 0; i < THREADS; i++) {
		struct stack *s = &stacks[i];

		if (s->id == id)
			return s;
		if (!s->id) {
			s->id = id;
			s->func = calloc(DEPTH, sizeof(uint32_t));
			s->frame = calloc(DEPTH, sizeof(uint32_t));
			s->running = calloc(DEPTH, sizeof(bool));
			return s;
		}
	}
	exit(2);
}

static void leave(struct stack *s, const struct viz_edge *e)
{
	struct func *f = &funcs[e->func];
	uint32_t at = s->nr;

	f->leaves++;
	while (at && (s->func[at - 1] != e->func || s->frame[at - 1] != e->frame))
		at--;
	if (!at) { /* began before the attach */
		f->ran++;
		return;
	}
	while (s->nr > at && s->running[s->nr - 1])
		s->nr--;
	if (at != s->nr && !greenlets)
		f->wrong++;
	if (at != s->nr)
		reordered++;
	memmove(&s->func[at - 1], &s->func[at], (s->nr - at) * sizeof(uint32_t));
	memmove(&s->frame[at - 1], &s->frame[at], (s->nr - at) * sizeof(uint32_t));
	memmove(&s->running[at - 1], &s->running[at], (s->nr - at) * sizeof(bool));
	s->nr--;
}

static int on_edges(void *ctx, uint32_t tid, const struct viz_edge *edges, size_t nr)
{
	struct stack *s = stack_of(tid);

	(void)ctx;
	for (size_t i = 0; i < nr; i++) {
		const struct viz_edge *e = &edges[i];

		if (e->ts < s->last)
			backwards++;
		s->last = e->ts;
		if (e->kind == VIZ_EDGE_LEAVE) {
			leave(s, e);
			continue;
		}
		funcs[e->func].enters++;
		if (s->nr < DEPTH) {
			s->func[s->nr] = e->func;
			s->running[s->nr] = false;
			s->frame[s->nr++] = e->frame;
		}
	}
	return 0;
}

static int on_running(void *ctx, uint32_t tid, uint64_t ts, const struct viz_edge *frames,
		      size_t nr)
{
	struct stack *s = stack_of(tid);

	(void)ctx, (void)ts;
	for (size_t i = 0; i < nr; i++) {
		running_frames++;
		s->func[s->nr] = frames[i].func;
		s->running[s->nr] = true;
		s->frame[s->nr++] = frames[i].frame;
	}
	return 0;
}

static void on_lost(void *ctx, uint32_t tid, uint64_t ts, uint64_t enters, uint64_t leaves)
{
	(void)ctx, (void)tid, (void)ts, (void)enters, (void)leaves;
	lost_told++;
}

static void on_gap(void *ctx, uint32_t tid, uint64_t ts, bool begins)
{
	(void)ctx, (void)tid, (void)ts;
	gaps += begins;
}

static double clock_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static const struct viz_trampoline_sink sink;
static struct viz_trampoline *tramps[TRAMPS];
static struct viz_interpreter interps[TRAMPS];
static unsigned int nr_tramps, serials[TRAMPS], processes;

static const struct viz_trampoline_sink sink = {.code = on_code,
						.judge = judge,
						.edges = on_edges,
						.running = on_running,
						.lost = on_lost,
						.name = on_name,
						.raised = on_raised,
						.gap = on_gap};

/* A session is told of forks by the kernel, here the rings tell. */
static void look_for_children(void)
{
	pid_t pid;

	while (nr_tramps < TRAMPS && (pid = viz_trampoline__newborn(tramps[0]))) {
		unsigned int i = 1;

		while (i < nr_tramps && tramps[i])
			i++;
		interps[i] = interps[0];
		interps[i].pid = pid;
		if (viz_trampoline__forked(&tramps[i], tramps[0], &interps[i]))
			return;
		if (i == nr_tramps)
			nr_tramps++;
		serials[i] = ++processes;
		current = serials[i];
		if (viz_trampoline__drain(tramps[i], &sink) > 0)
			records++;
	}
}

static int drain_all(void)
{
	int total = 0;

	for (unsigned int i = 0; i < nr_tramps; i++) {
		bool dead = i && kill(interps[i].pid, 0);
		int nr;

		if (!tramps[i])
			continue;
		current = serials[i];
		nr = viz_trampoline__drain(tramps[i], &sink);
		if (nr < 0)
			fprintf(stderr, "drain: %s\n", strerror(-nr));
		else
			total += nr;
		if (dead && nr <= 0) {
			viz_trampoline__free(tramps[i]);
			tramps[i] = NULL;
		}
	}
	records += total;
	return total;
}

static void report(void)
{
	uint64_t enters, leaves, open = 0;

	for (uint32_t i = 0; i < nr_funcs; i++) {
		uint64_t here = 0;

		for (int s = 0; s < THREADS && stacks[s].id; s++)
			for (uint32_t k = 0; k < stacks[s].nr; k++)
				here += stacks[s].func[k] == i;
		open += here;
		if (funcs[i].raised)
			printf("raised %s %lu\n", funcs[i].name, funcs[i].raised);
		printf("call %s %s:%u %lu %lu %lu %lu\n", funcs[i].name, funcs[i].file,
		       funcs[i].line, funcs[i].enters, funcs[i].leaves, here, funcs[i].wrong);
	}
	viz_trampoline__losses(tramps[0], &enters, &leaves);
	printf("sum records=%lu open=%lu lost_enters=%lu lost_leaves=%lu lost_told=%lu "
	       "backwards=%lu gaps=%lu running=%lu reordered=%lu processes=%u\n",
	       records, open, enters, leaves, lost_told, backwards, gaps, running_frames, reordered,
	       processes + 1);
}

static volatile sig_atomic_t ended;

static void on_signal(int nr)
{
	(void)nr;
	ended = 1;
}

static int run(double seconds, int follow)
{
	double begin = clock_s();
	bool up = false;

	while (!ended && clock_s() - begin < seconds) {
		enum viz_trampoline_state state;

		if (follow)
			look_for_children();
		drain_all();
		state = viz_trampoline__state(tramps[0]);
		if (!up && state == VIZ_TRAMPOLINE_UP) {
			up = true;
			printf("up %.1f ms\n", 1000 * (clock_s() - begin));
			fflush(stdout);
		}
		if (state == VIZ_TRAMPOLINE_REFUSED) {
			printf("refused: %s\n", viz_trampoline__why(tramps[0]));
			return 3;
		}
		poll(NULL, 0, pause_ms);
		if (kill(interps[0].pid, 0))
			break;
	}
	return 0;
}

static void take_options(int argc, char **argv, struct viz_trampoline_params *params,
			 double *seconds)
{
	int opt;

	while ((opt = getopt(argc, argv, "d:r:m:R:T:D:s:cxfgv")) > 0) {
		switch (opt) {
		case 'd':
			*seconds = atof(optarg);
			break;
		case 'r':
			params->ring_size = strtoul(optarg, NULL, 0);
			break;
		case 'm':
			params->min_duration = strtoul(optarg, NULL, 0);
			break;
		case 'R':
			reject_name = optarg;
			params->judges = true;
			break;
		case 'T':
			tree_name = optarg;
			params->judges = true;
			break;
		case 'D':
			params->max_depth = (uint32_t)atoi(optarg);
			break;
		case 's':
			pause_ms = atoi(optarg);
			break;
		case 'c':
			params->c_functions = true;
			break;
		case 'x':
			params->exceptions = true;
			break;
		case 'f':
			params->follow = true;
			break;
		case 'g':
			greenlets = 1;
			break;
		default:
			viz_log__enable_all();
		}
	}
}

int main(int argc, char **argv)
{
	struct viz_trampoline_params params = {0};
	struct viz_builds *builds = viz_builds__new();
	char why[512] = "";
	double seconds = 2, begin;
	int err, status;

	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	funcs = calloc(FUNCS, sizeof(*funcs));
	take_options(argc, argv, &params, &seconds);
	err = viz_interpreter__find(builds, atoi(argv[optind]), &interps[0], why, sizeof(why));
	if (err) {
		printf("refused: %s\n", why);
		return 3;
	}
	err = viz_trampoline__can(&interps[0], why, sizeof(why));
	begin = clock_s();
	if (!err)
		err = viz_trampoline__attach(&tramps[0], &interps[0], &params, why, sizeof(why));
	if (err) {
		printf("refused: %s\n", why);
		return 3;
	}
	nr_tramps = 1;
	printf("armed %.1f ms\n", 1000 * (clock_s() - begin));
	fflush(stdout);
	status = run(seconds, params.follow);
	if (params.follow)
		look_for_children();
	for (unsigned int i = 0; i < nr_tramps; i++)
		if (tramps[i])
			viz_trampoline__detach(tramps[i]);
	while (drain_all() > 0)
		;
	report();
	for (unsigned int i = 0; i < nr_tramps; i++)
		viz_trampoline__free(tramps[i]);
	viz_builds__free(builds);
	return status;
}
