// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "output/file.h"
#include "summary.h"
#include "target/process_name.h"
#include "target/procfs.h"

enum {
	POLL_MS = 5,			/* how long records wait in a ring */
	TICK_NS = 100 * 1000 * 1000,	/* housekeeping */
};

uint64_t viz_session__now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static const struct viz_engine *const preference[] = { &viz_engine_eval, &viz_engine_usdt };

/*
 * Before 3.11 both see everything and eval leaves the target as it is: CPython's own code
 * around function__entry sets an exception for names that are no UTF-8 (ceval.c, up to 3.10,
 * dtrace_function_entry: PyUnicode_AsUTF8 without a check). From 3.11 on eval writes the slot,
 * which usdt does not need where it is complete.
 */
static bool before(const struct viz_interpreter *interp, const struct viz_engine *a)
{
	bool inlines = interp->build->info.flags & VIZ_BUILD_INLINES;

	return a == (inlines ? &viz_engine_usdt : &viz_engine_eval);
}

const struct viz_engine *viz_session__choose(const struct viz_interpreter *interp,
					     const struct viz_engine *asked, char *why,
					     size_t why_size)
{
	char reason[2][192] = { "", "" };
	size_t n = sizeof(preference) / sizeof(preference[0]);

	if (asked) {
		if (asked->can(NULL, interp, reason[0], sizeof(reason[0]))) {
			viz_why(why, why_size, 0, "engine %s cannot record pid %d: %s", asked->name,
				interp->pid, reason[0]);
			return NULL;
		}
		viz_why(why, why_size, 0, "asked for");
		return asked;
	}
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < n; i++) {
			if (before(interp, preference[i]) != (pass == 0))
				continue;
			if (preference[i]->can(NULL, interp, reason[pass], sizeof(reason[0])))
				continue;
			if (pass)
				viz_why(why, why_size, 0, "%s", reason[0]);
			else
				viz_why(why, why_size, 0, preference[i] == &viz_engine_usdt ?
					"its own probes are complete" :
					"sees every call, changes nothing in the process");
			return preference[i];
		}
	viz_why(why, why_size, 0, "no engine can record pid %d: %s; %s", interp->pid, reason[0],
		reason[1]);
	return NULL;
}

struct viz_target *viz_session__target(struct viz_session *s, pid_t pid)
{
	uint32_t index;

	return viz_hash__get(&s->by_pid, (uint64_t)pid, &index) ? s->by_index[index] : NULL;
}

/* Everything about a process that a person may want to see, as it is now. */
static void describe(struct viz_session *s, struct viz_target *t)
{
	struct viz_process *p = &s->trace->processes[t->process];
	struct viz_procfs_status status;
	char text[4096], link[64];
	ssize_t n;

	if (!viz_process_name__get(t->pid, text, sizeof(text)))
		p->name = viz_trace__string(s->trace, text);
	if (!viz_process_name__cmdline(t->pid, text, sizeof(text)))
		p->cmdline = viz_trace__string(s->trace, text);
	snprintf(link, sizeof(link), "/proc/%d/exe", t->pid);
	n = readlink(link, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		p->exe = viz_trace__string(s->trace, text);
	}
	if (!viz_procfs__status(t->pid, &status)) {
		p->ns_pid = (uint32_t)status.ns_pid;
		if (!p->parent)
			p->parent = (uint32_t)status.parent;
	}
}

struct viz_target *viz_session__add_target(struct viz_session *s, pid_t pid)
{
	struct viz_target *t = viz_session__target(s, pid), **grown;

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	grown = realloc(s->by_index, (s->nr_index + 1) * sizeof(*grown));
	if (!t || !grown) {
		free(t);
		s->err = -ENOMEM;
		return NULL;
	}
	s->by_index = grown;
	grown[s->nr_index] = t;
	t->pid = pid;
	t->process = UINT32_MAX;
	t->start_time = viz_procfs__start_time(pid);
	t->process = viz_trace__process(s->trace, (uint32_t)pid);
	if (t->process == UINT32_MAX || !viz_hash__set(&s->by_pid, (uint64_t)pid, s->nr_index)) {
		s->err = -ENOMEM;
		free(t);
		return NULL;
	}
	s->nr_index++;
	t->next = s->targets;
	s->targets = t;
	s->nr_active++;
	describe(s, t);
	return t;
}

pid_t viz_session__scope(const struct viz_session *s, const struct viz_target *t)
{
	return s->opt->select.follow || viz_select__open(&s->opt->select) ? -1 : t->pid;
}

static const char *known_gaps(const struct viz_target *t)
{
	uint32_t version = t->interp.build->info.version >> 16;

	if (t->engine != &viz_engine_eval || !(t->interp.build->info.flags & VIZ_BUILD_ESCAPES))
		return "";
	if (version == 0x030b)
		return "specialised __getitem__ calls are not seen (CPython 3.11.0 to 3.11.3)";
	return "specialised simple __init__ calls are seen only when they call something (CPython 3.13)";
}

int viz_session__prepare(struct viz_session *s, struct viz_target *t, char *why, size_t why_size)
{
	struct viz_process *p = &s->trace->processes[t->process];
	const struct viz_build *b;
	char reason[384], version[32];
	int err;

	err = viz_interpreter__find(s->builds, t->pid, &t->interp, why, why_size);
	if (err)
		return err;
	err = viz_guardian__hold(s->guardian, t->pid, why, why_size);
	if (err)
		return err;
	t->engine = viz_session__choose(&t->interp, s->opt->engine, reason, sizeof(reason));
	if (!t->engine) {
		viz_guardian__release(s->guardian, t->pid);
		return viz_why(why, why_size, -ENOTSUP, "%s", reason);
	}
	describe(s, t);
	b = t->interp.build;
	snprintf(version, sizeof(version), b->micro == 255 ? "%u.%u" : "%u.%u.%u", b->major, b->minor,
		 b->micro);
	p = &s->trace->processes[t->process];
	p->python = viz_trace__string(s->trace, version);
	p->engine = t->engine->name;
	p->engine_why = viz_trace__string(s->trace, reason);
	p->limits = known_gaps(t);
	t->state = VIZ_TARGET_ACTIVE;
	err = t->engine->attach(s, t, why, why_size);
	if (err) {
		t->engine->detach(s, t);
		t->state = VIZ_TARGET_WANTED;
		viz_guardian__release(s->guardian, t->pid);
		return err;
	}
	if (s->writer->ops->process)
		s->writer->ops->process(s->writer, t->process);
	viz_debug(VIZ_LOG_LIFE, "pid %d: CPython %s, engine %s: %s", t->pid, version, t->engine->name,
		  reason);
	return 0;
}

void viz_session__instant(struct viz_session *s, uint32_t track, uint64_t ts, const char *name,
			  const char *args)
{
	struct viz_event event = {
		.type = VIZ_EVENT_INSTANT,
		.scope = 't',
		.track = track,
		.ts = ts,
		.name = name,
		.cat = "vizbpf",
		.args = args,
	};

	if (s->writer->ops->event && !s->err)
		s->err = s->writer->ops->event(s->writer, &event);
	s->trace->events++;
}

static void name_thread(struct viz_session *s, struct viz_target *t, struct viz_thread_lane *lane)
{
	char name[64];

	if (viz_thread_name__get(t->pid, lane->tid, name, sizeof(name)))
		return;
	s->trace->tracks[lane->track].name = viz_trace__string(s->trace, name);
	if (s->writer->ops->track && !s->err)
		s->err = s->writer->ops->track(s->writer, lane->track);
}

struct viz_thread_lane *viz_session__lane(struct viz_session *s, struct viz_target *t, pid_t tid)
{
	struct viz_thread_lane *lane;
	uint32_t index;

	if (viz_hash__get(&s->by_tid, (uint64_t)tid, &index) && s->lanes[index].target == t)
		return &s->lanes[index];
	if (s->nr_lanes == s->cap_lanes) {
		uint32_t cap = s->cap_lanes ? s->cap_lanes * 2 : 64;

		lane = realloc(s->lanes, cap * sizeof(*lane));
		if (!lane)
			return NULL;
		s->lanes = lane;
		s->cap_lanes = cap;
	}
	lane = &s->lanes[s->nr_lanes];
	*lane = (struct viz_thread_lane){ .target = t, .tid = tid };
	lane->track = viz_trace__track(s->trace, t->process, (uint32_t)tid);
	if (lane->track == UINT32_MAX)
		return NULL;
	lane->lane = viz_timeline__lane(s->timeline, lane->track);
	if (!lane->lane || !viz_hash__set(&s->by_tid, (uint64_t)tid, s->nr_lanes))
		return NULL;
	s->nr_lanes++;
	if (t->switches)
		viz_lane__switches(lane->lane);
	name_thread(s, t, lane);
	return lane;
}

static void close_lanes(struct viz_session *s, struct viz_target *t, uint64_t ts)
{
	for (uint32_t i = 0; i < s->nr_lanes; i++) {
		struct viz_thread_lane *lane = &s->lanes[i];

		if (lane->target != t || lane->ended)
			continue;
		viz_lane__close(lane->lane, ts);
		lane->ended = true;
		viz_hash__remove(&s->by_tid, (uint64_t)lane->tid);
	}
}

/* Losses that came since the last look: counted, and shown where they happened. */
static void take_losses(struct viz_session *s, struct viz_target *t)
{
	struct viz_process_info info;
	char args[64];
	uint64_t more;

	if (viz_probes__get_process(s->probes, t->pid, &info) || info.lost_enter <= t->lost)
		return;
	more = info.lost_enter - t->lost;
	t->lost = info.lost_enter;
	s->trace->processes[t->process].lost += more;
	s->trace->lost += more;
	s->trace->overflow = true;
	snprintf(args, sizeof(args), "{\"calls\":%llu}", (unsigned long long)more);
	for (uint32_t i = 0; i < s->nr_lanes; i++)
		if (s->lanes[i].target == t && !s->lanes[i].ended) {
			viz_session__instant(s, s->lanes[i].track, viz_session__now(),
					     "vizbpf: calls lost", args);
			break;
		}
}

void viz_session__end_target(struct viz_session *s, struct viz_target *t, uint64_t ts, bool gone)
{
	if (t->state == VIZ_TARGET_ENDED)
		return;
	if (t->state == VIZ_TARGET_ACTIVE) {
		take_losses(s, t);
		if (t->engine->drain)
			while (t->engine->drain(s, t) > 0)
				;
		t->engine->detach(s, t);
		viz_guardian__release(s->guardian, t->pid);
		close_lanes(s, t, ts);
		viz_hash__clear(&t->codes);
		t->lost = 0;
	}
	t->state = gone ? VIZ_TARGET_ENDED : VIZ_TARGET_WANTED;
	t->nr_slots = 0;
	t->stepped_back = 0;
	if (!gone)
		return;
	viz_probes__drop_process(s->probes, t->pid);
	viz_hash__remove(&s->by_pid, (uint64_t)t->pid);
	s->nr_active--;
}

static int on_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct viz_session *s = ctx;

	s->trace->calls += nr;
	viz_summary__calls(calls, nr);
	return s->writer->ops->calls(s->writer, calls, nr);
}

/* About ten times a second: losses, names, slots, processes that went without a word. */
static void tick(struct viz_session *s)
{
	struct viz_target *t;
	pid_t stopped[16];
	int nr;

	viz_guardian__beat(s->guardian);
	for (t = s->targets; t; t = t->next) {
		if (t->state == VIZ_TARGET_ENDED)
			continue;
		if (viz_procfs__start_time(t->pid) != t->start_time) {
			viz_session__end_target(s, t, viz_session__now(), true);
			continue;
		}
		if (t->state != VIZ_TARGET_ACTIVE)
			continue;
		take_losses(s, t);
		if (t->engine->tick)
			t->engine->tick(s, t);
	}
	nr = viz_stack_guard__stopped(&s->stack_guard, stopped, 16);
	for (int i = 0; i < nr; i++) {
		struct viz_guard rec = {
			.head = { .ts = viz_session__now(), .kind = VIZ_STACK_LOW,
				  .tid = (uint32_t)stopped[i] },
			.tgid = (uint32_t)stopped[i],
			.stopped = 1,
		};

		viz_records__handle(s, &rec, sizeof(rec));
	}
	if (!s->err)
		s->err = viz_timeline__flush(s->timeline);
	if (!s->err && s->writer->ops->flush)
		s->err = s->writer->ops->flush(s->writer);
	viz_summary__status(s);
}

/* -p: every one must be attached, or nothing is. */
static int attach_existing(struct viz_session *s)
{
	char why[512];
	pid_t *pids;
	int nr = viz_select__list(&s->opt->select, &pids), err = 0;

	if (nr < 0)
		return nr;
	for (int i = 0; i < nr; i++) {
		struct viz_target *t = viz_session__add_target(s, pids[i]);

		if (!t) {
			err = -ENOMEM;
			break;
		}
		for (size_t k = 0; k < s->opt->select.nr_pids; k++)
			t->explicit_ |= s->opt->select.pids[k] == pids[i];
		err = viz_session__prepare(s, t, why, sizeof(why));
		if (err && t->explicit_) {
			viz_error("%s", why);
			break;
		}
		if (err) {
			if (err != -ENOEXEC && err != -ESRCH)
				viz_warn("%s", why);
			viz_session__end_target(s, t, viz_session__now(), true);
			err = 0;
		}
	}
	free(pids);
	return err;
}

static int open_trace(struct viz_session *s, struct viz_options *opt)
{
	static struct utsname uts;
	struct viz_output *out;
	struct timespec real;
	const char *bad;
	char why[512];

	bad = viz_writer__check(opt->path);
	if (bad) {
		viz_error("%s", bad);
		return -EINVAL;
	}
	s->trace = viz_trace__new();
	if (!s->trace)
		return -ENOMEM;
	uname(&uts);
	clock_gettime(CLOCK_REALTIME, &real);
	s->trace->version = VIZ_VERSION;
	s->trace->command = opt->command_line;
	s->trace->host = uts.nodename;
	s->trace->kernel = uts.release;
	s->trace->begin = viz_session__now();
	s->trace->realtime_offset = (int64_t)real.tv_sec * 1000000000 + real.tv_nsec -
				    (int64_t)s->trace->begin;
	out = viz_output__open(opt->path, viz_writer__gzip(opt->path), why, sizeof(why));
	if (!out) {
		viz_error("%s", why);
		return -EACCES;
	}
	s->writer = viz_writer__new(s->trace, opt->path, out);
	if (!s->writer)
		return -ENOMEM;
	s->timeline = viz_timeline__new(s->trace, &opt->filter, on_calls, s);
	if (!s->timeline)
		return -ENOMEM;
	return s->writer->ops->begin(s->writer);
}

static int open_probes(struct viz_session *s, struct viz_options *opt)
{
	char why[512];

	s->guardian = viz_guardian__start(why, sizeof(why));
	if (!s->guardian) {
		viz_error("%s", why);
		return -EPERM;
	}
	s->builds = viz_builds__new();
	s->probes = viz_probes__load(opt->ring_size, viz_records__handle, s, why, sizeof(why));
	if (!s->builds || !s->probes) {
		viz_error("%s", s->builds ? why : strerror(ENOMEM));
		return -EPERM;
	}
	s->stack_guard.guardian = s->guardian;
	s->stack_guard.guards = viz_probes__guards_fd(s->probes);
	return viz_guardian__watch(s->guardian, s->stack_guard.guards);
}

static void say_ready(struct viz_options *opt)
{
	if (opt->ready_fd < 0)
		return;
	if (write(opt->ready_fd, "1", 1) != 1)
		viz_warn("nobody reads the ready descriptor");
	close(opt->ready_fd);
	opt->ready_fd = -1;
}

/* SIGINT and SIGTERM end the recording; a second one is not needed. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void drain_engines(struct viz_session *s)
{
	for (struct viz_target *t = s->targets; t; t = t->next)
		if (t->state == VIZ_TARGET_ACTIVE && t->engine->drain)
			t->engine->drain(s, t);
}

static void loop(struct viz_session *s, int signals)
{
	uint64_t deadline = s->opt->duration ? viz_session__now() + s->opt->duration : UINT64_MAX;
	uint64_t next_tick = 0, now;
	struct pollfd fds[] = {
		{ .fd = viz_probes__fd(s->probes), .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	struct signalfd_siginfo info;

	while (!s->stop && !s->err) {
		poll(fds, 2, POLL_MS);
		viz_probes__consume(s->probes);
		drain_engines(s);
		now = viz_session__now();
		if (now >= next_tick) {
			next_tick = now + TICK_NS;
			tick(s);
		}
		if (read(signals, &info, sizeof(info)) == sizeof(info) || now >= deadline)
			s->stop = true;
		if (!s->nr_active && !viz_select__open(&s->opt->select))
			s->stop = true;
	}
}

/* Recording ends now: targets first, then what is still on its way, then the file. */
static int finish(struct viz_session *s)
{
	struct viz_target *t;
	int err;

	s->end_ts = viz_session__now();
	s->trace->end = s->end_ts;
	viz_probes__consume(s->probes);
	for (t = s->targets; t; t = t->next)
		if (t->state == VIZ_TARGET_ACTIVE)
			take_losses(s, t);
	for (t = s->targets; t; t = t->next)
		if (t->state == VIZ_TARGET_ACTIVE && t->engine->drain)
			while (t->engine->drain(s, t) > 0)
				;
	viz_probes__consume(s->probes);
	for (t = s->targets; t; t = t->next)
		viz_session__end_target(s, t, s->end_ts, true);
	err = viz_timeline__flush(s->timeline);
	for (uint32_t i = 0; i < s->trace->nr_processes && !err && s->writer->ops->process; i++)
		err = s->writer->ops->process(s->writer, i);
	for (uint32_t i = 0; i < s->trace->nr_tracks && !err && s->writer->ops->track; i++)
		err = s->writer->ops->track(s->writer, i);
	return err ?: s->err;
}

int viz_session__run(struct viz_options *opt)
{
	struct viz_session session = { .opt = opt }, *s = &session;
	int signals = -1, err, end_err;

	err = open_trace(s, opt);
	if (!err)
		err = open_probes(s, opt);
	if (err)
		goto cleanup;
	signals = open_signals();
	err = viz_probes__select(s->probes, &opt->select);
	if (!err)
		err = attach_existing(s);
	if (!err) {
		say_ready(opt);
		viz_summary__begin(s);
		loop(s, signals);
	}
	end_err = finish(s);
	if (err)
		goto cleanup;
	err = end_err;
	if (s->writer->ops->end(s->writer) && !err)
		err = -EIO;
	end_err = viz_output__close(s->writer->out);
	if (!err)
		err = end_err;
	if (err)
		viz_error("%s: %s (what was written is kept and valid)", opt->path, strerror(-err));
	viz_summary__end(s, err);
cleanup:
	if (s->guardian)
		viz_guardian__finish(s->guardian);
	viz_probes__free(s->probes);
	viz_timeline__free(s->timeline);
	viz_writer__free(s->writer);
	viz_trace__free(s->trace);
	viz_builds__free(s->builds);
	for (struct viz_target *t = s->targets, *next; t; t = next) {
		next = t->next;
		viz_hash__clear(&t->codes);
		free(t);
	}
	free(s->by_index);
	free(s->lanes);
	viz_hash__clear(&s->by_pid);
	viz_hash__clear(&s->by_tid);
	if (signals >= 0)
		close(signals);
	return err ? 1 : 0;
}
