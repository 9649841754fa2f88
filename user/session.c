// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <errno.h>
#include <malloc.h>
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
#include "base/privilege.h"
#include "custom_events.h"
#include "hold.h"
#include "flight.h"
#include "live_names.h"
#include "lives.h"
#include "loader_watch.h"
#include "output/ended.h"
#include "output/file.h"
#include "snapshot.h"
#include "sources.h"
#include "summary.h"
#include "sweep.h"
#include "target/mmap_watch.h"
#include "target/procfs.h"

enum {
	POLL_MS = 5, /* how long records wait in a ring */
	IDLE_MS = 20, /* the same, when there were none for a while: */
	IDLE_TURNS = 20,
	TICK_NS = 100 * 1000 * 1000, /* housekeeping */
	HURRY_NS = 5 * 1000 * 1000, /* the same, where the target pays for what is waited for */
	RING_BYTES = 32 << 20,
	DRAIN_NS = 20 * 1000 * 1000, /* how long calls are taken in before something else */
	FLUSH_SHARE = 50, /* of the time at most goes into ends of the file: 2 % */
	GONE_NS = 2000 * 1000 * 1000, /* until a process without VIZ_EXIT is given up */
};

uint64_t viz_session__now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static int on_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct viz_session *s = ctx;

	s->trace->calls += nr;
	if (!s->flight)
		return s->writer->ops->calls(s->writer, calls, nr);
	if (s->opt->nr_triggers)
		viz_snapshot__watch(s, calls, nr);
	return viz_flight__calls(s->flight, calls, nr);
}

/* The file is valid after each flush: its end names every process there was. With thousands of
 * them that takes a while, and is done less often. */
static int flush(struct viz_session *s)
{
	uint64_t began = viz_session__now();
	int err = viz_timeline__flush(s->timeline);

	if (err || !s->writer->ops->flush || began < s->next_flush)
		return err;
	viz_trace__sum_calls(s->trace);
	err = s->writer->ops->flush(s->writer);
	s->next_flush = began + FLUSH_SHARE * (viz_session__now() - began);
	return err;
}

/* About ten times a second: losses, names, slots, processes that went without a word. */
static void tick(struct viz_session *s)
{
	struct viz_target *t, *next;
	size_t used, room;
	pid_t stopped[16];
	uint64_t start;
	int nr;

	/* engine trampoline's records wait on disk, those of the others in the kernel's ring */
	viz_probes__fill(s->probes, &used, &room);
	viz_output__patient(s->writer->out, used < room / 4);
	viz_guardian__beat(s->guardian);
	viz_lives__tick(s);
	for (t = s->targets; t; t = next) {
		next = t->next;
		if (t->state == VIZ_TARGET_ENDED)
			continue;
		start = viz_procfs__start_time(t->pid);
		if (!start || start != t->start_time) {
			/* its last calls, and VIZ_EXIT, can be in the ring still */
			if (!t->gone || t->behind)
				t->gone = viz_session__now();
			else if (viz_session__now() - t->gone > GONE_NS)
				viz_session__end_target(s, t, t->gone, true);
			continue;
		}
		if (t->state != VIZ_TARGET_ACTIVE)
			continue;
		viz_session__losses(s, t);
		viz_live_names__tick(s->names, s, t);
		if (t->engine->tick)
			t->engine->tick(s, t);
	}
	viz_hold__rescue(s, false);
	nr = viz_stack_guard__stopped(&s->stack_guard, stopped, 16);
	for (int i = 0; i < nr; i++) {
		struct viz_guard rec = {
			.head = {.ts = viz_session__now(),
				 .kind = VIZ_STACK_LOW,
				 .tid = (uint32_t)stopped[i]},
			.tgid = (uint32_t)stopped[i],
			.stopped = 1,
		};

		viz_records__handle(s, &rec, sizeof(rec));
	}
	viz_sweep(s);
	if (!s->err)
		s->err = flush(s);
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
	/* all of them first: to each, the others are no bystanders */
	for (int i = 0; i < nr && !err; i++)
		err = viz_session__add_target(s, pids[i]) ? 0 : -ENOMEM;
	for (int i = 0; i < nr && !err; i++) {
		struct viz_target *t = viz_session__target(s, pids[i]);

		for (size_t k = 0; k < s->opt->select.nr_pids; k++)
			t->explicit_ |= s->opt->select.pids[k] == pids[i];
		err = viz_session__prepare(s, t, why, sizeof(why));
		if (err && t->explicit_) {
			viz_error("%s", why);
		} else if (err) {
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
	s->trace->ended = viz_ended__new();
	if (!s->trace->ended)
		return -ENOMEM;
	uname(&uts);
	clock_gettime(CLOCK_REALTIME, &real);
	s->trace->version = VIZ_VERSION;
	s->trace->command = opt->command_line;
	s->trace->host = uts.nodename;
	s->trace->kernel = uts.release;
	s->trace->begin = viz_session__now();
	s->trace->realtime_offset =
		(int64_t)real.tv_sec * 1000000000 + real.tv_nsec - (int64_t)s->trace->begin;
	out = viz_output__open(opt->path, viz_writer__gzip(opt->path), why, sizeof(why));
	if (!out) {
		viz_error("%s", why);
		return -EACCES;
	}
	s->writer = opt->make_writer ? opt->make_writer(s->trace, out)
				     : viz_writer__new(s->trace, opt->path, out);
	if (!s->writer)
		return -ENOMEM;
	if (opt->sources) {
		s->sources = viz_sources__new();
		if (!s->sources)
			return -ENOMEM;
		viz_writer__sources(s->writer, viz_sources__read, s->sources);
	}
	s->paused = opt->start_paused;
	if (opt->entries) {
		s->flight = viz_flight__new(s->trace, opt->entries);
		if (!s->flight)
			return -ENOMEM;
	}
	s->timeline = viz_timeline__new(s->trace, &opt->filter, on_calls, s);
	if (!s->timeline)
		return -ENOMEM;
	return s->writer->ops->begin(s->writer);
}

/*
 * The part of the filters that the BPF programs can apply alone and exactly: the rules on
 * functions; or, without those, the depth; or, without both, the duration. The rest, and
 * all of it once more, the timeline does.
 */
static void set_filter(struct viz_session *s, const struct viz_filter *filter)
{
	struct viz_filter_config config = {};

	if (filter->any)
		config.flags = VIZ_FILTER_ON | VIZ_FILTER_CODES;
	else if (filter->max_depth)
		config = (struct viz_filter_config){VIZ_FILTER_ON, filter->max_depth, 0};
	else if (filter->min_duration)
		config = (struct viz_filter_config){VIZ_FILTER_ON, 0, filter->min_duration};
	viz_probes__set_filter(s->probes, &config);
}

static int open_probes(struct viz_session *s, struct viz_options *opt)
{
	/* with engine trampoline the size is that of the rings in the processes */
	bool own = opt->ring_size && opt->engine != &viz_engine_trampoline;
	size_t ring_size = own ? opt->ring_size : RING_BYTES;
	char why[512];

	s->guardian = viz_guardian__start(why, sizeof(why));
	if (!s->guardian) {
		viz_error("%s", why);
		return -EPERM;
	}
	s->builds = viz_builds__new();
	s->names = viz_live_names__new();
	s->loaders = viz_loader_watch__new();
	s->probes = viz_probes__load(ring_size, viz_records__handle, s, why, sizeof(why));
	if (!s->builds || !s->probes) {
		viz_error("%s", s->builds ? why : strerror(ENOMEM));
		return -EPERM;
	}
	s->lives = viz_lives__new(s);
	if (!s->lives) {
		viz_error("cannot read what the BPF programs tell: %s", strerror(errno));
		return -EPERM;
	}
	set_filter(s, &opt->filter);
	s->stack_guard.guardian = s->guardian;
	s->stack_guard.guards = viz_probes__guards_fd(s->probes);
	viz_probes__set_guardian(s->probes, s->guardian);
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
static int open_signals(struct viz_session *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

/* Returns the time up to which everything has been taken in; 0: all that was there. Not for
 * long: other things wait, too. */
static uint64_t drain_engines(struct viz_session *s)
{
	uint64_t enough = viz_session__now() + DRAIN_NS, behind;
	struct viz_target *t, *next;

	do {
		behind = 0;
		for (t = s->targets; t; t = next) {
			next = t->next;
			if (t->state != VIZ_TARGET_ACTIVE || !t->engine->drain)
				continue;
			t->engine->drain(s, t);
			if (t->behind && (!behind || t->behind < behind))
				behind = t->behind;
			if (t->exits)
				viz_lives__late_exits(s, t);
		}
	} while (behind && !s->err && viz_session__now() < enough);
	return behind;
}

/* A wanted process has mapped an interpreter: it is prepared before it runs Python. One that is
 * recorded may have mapped a library with probes. */
static void on_mapped(void *ctx, pid_t pid, uint64_t addr, const char *name)
{
	struct viz_session *s = ctx;
	struct viz_target *t = viz_session__target(s, pid);

	if (!t)
		return;
	if (t->state == VIZ_TARGET_ACTIVE)
		viz_custom_events__look(s->custom, pid, t->scope, addr);
	else if (strstr(name, "python"))
		viz_session__prepare_new(s, t);
}

static void take_signal(struct viz_session *s, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1) {
		if (s->flight)
			viz_snapshot__want(s, viz_session__now(), "asked for by SIGUSR1");
		else
			viz_warn("SIGUSR1 writes a snapshot only with --tracer-entries or "
				 "--trigger");
	} else if (info.ssi_signo == SIGUSR2) {
		s->paused = !s->paused;
		viz_info(s->paused ? "recording is paused" : "recording goes on");
	} else if (s->opt->launches)
		viz_launch__signal(&s->opt->launch, (int)info.ssi_signo, info.ssi_code);
	else
		s->stop = true;
}

static void loop(struct viz_session *s)
{
	uint64_t deadline = s->opt->duration ? viz_session__now() + s->opt->duration : UINT64_MAX;
	uint64_t next_tick = 0, now, behind = 0, before;
	unsigned int idle = 0;
	struct pollfd fds[] = {
		{.fd = viz_probes__fd(s->probes), .events = POLLIN},
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->watch ? viz_mmap_watch__fd(s->watch) : -1, .events = POLLIN},
	};

	while (!s->stop && !s->err) {
		poll(fds, 3, behind ? 0 : idle < IDLE_TURNS ? POLL_MS : IDLE_MS);
		before = s->records + s->trace->calls;
		viz_lives__consume(s);
		if (s->watch && fds[2].revents)
			viz_mmap_watch__read(s->watch, on_mapped, s);
		behind = drain_engines(s);
		viz_live_names__soon(s->names, s);
		idle = s->records + s->trace->calls == before ? idle + 1 : 0;
		now = viz_session__now();
		if (now >= next_tick || (s->hurry && now + HURRY_NS < next_tick)) {
			next_tick = now + (s->hurry ? HURRY_NS : TICK_NS);
			s->hurry -= s->hurry > 0;
			tick(s);
		}
		take_signal(s, s->signals);
		viz_snapshot__write(s, behind ?: now);
		if (now >= deadline || (!s->nr_active && !viz_select__open(&s->opt->select)))
			s->stop = true;
	}
}

/* Recording ends now: targets first, then what is still on its way, then the file. */
static int finish(struct viz_session *s)
{
	struct viz_target *t, *next;
	int err;

	s->end_ts = viz_session__now();
	s->trace->end = s->end_ts;
	viz_probes__hold(s->probes, false);
	viz_lives__consume(s);
	viz_lives__tick(s);
	for (t = s->targets; t; t = t->next)
		if (t->state == VIZ_TARGET_ACTIVE)
			viz_session__losses(s, t);
	/* what is behind takes a while, and the targets need not carry a recorder meanwhile */
	for (t = s->targets; t; t = t->next)
		if (t->state == VIZ_TARGET_ACTIVE && t->engine->stop)
			t->engine->stop(s, t);
	while (drain_engines(s) && !s->err)
		viz_summary__catching_up(s);
	viz_lives__consume(s);
	for (t = s->targets; t; t = next) {
		next = t->next;
		viz_session__end_target(s, t, s->end_ts, true);
	}
	err = viz_timeline__flush(s->timeline);
	if (!err)
		err = viz_custom_events__end(s->custom, s->end_ts);
	if (s->flight) {
		viz_snapshot__write(s, UINT64_MAX);
		if (!err)
			err = viz_flight__write(s->flight, s->writer, 0, UINT64_MAX);
		s->trace->overflow |= viz_flight__evicted(s->flight) > 0;
	}
	for (uint32_t i = 0; i < s->trace->nr_processes && !err && s->writer->ops->process; i++)
		if (!s->trace->processes[i].hidden)
			err = s->writer->ops->process(s->writer, i);
	for (uint32_t i = 0; i < s->trace->nr_tracks && !err && s->writer->ops->track; i++)
		if (!s->trace->tracks[i].gone)
			err = s->writer->ops->track(s->writer, i);
	viz_ended__complete(s->trace->ended);
	viz_hold__rescue(s, true);
	return err ?: s->err;
}

/* The program to start: held until everything is in place. */
static int attach_launched(struct viz_session *s)
{
	struct viz_process_info info = {.flags = VIZ_PROC_WANTED | VIZ_PROC_FOLLOW};
	struct viz_target *t = viz_session__add_target(s, s->opt->launch.pid);
	char why[512];
	int err;

	if (!t)
		return -ENOMEM;
	t->explicit_ = true;
	t->in_startup = !s->opt->include_startup;
	if (!s->opt->select.follow)
		info.flags &= ~VIZ_PROC_FOLLOW;
	err = viz_probes__set_process(s->probes, t->pid, &info);
	if (err)
		return err;
	say_ready(s->opt);
	err = viz_launch__go(&s->opt->launch, why, sizeof(why));
	if (err)
		viz_error("%s", why);
	return err;
}

/* Everything that has to be there before the first process is touched. */
static int prepare(struct viz_session *s, struct viz_options *opt)
{
	char why[512], missing[128];
	int err;

	if (!viz_privilege__complete(missing, sizeof(missing))) {
		viz_error("not permitted: %s missing (run it with sudo; vizbpf doctor says more)",
			  missing);
		return -EPERM;
	}
	err = open_trace(s, opt);

	if (!err && opt->launches) {
		err = viz_launch__start(&opt->launch, why, sizeof(why));
		if (err)
			viz_error("%s", why);
	}
	if (!err)
		err = open_signals(s);
	if (!err)
		err = open_probes(s, opt);
	if (!err)
		err = viz_probes__select(s->probes, &opt->select);
	if (err)
		return err;
	if (opt->select.follow)
		viz_probes__keep(s->probes);
	s->watch = viz_mmap_watch__new();
	if (!s->watch)
		viz_warn("new programs are recorded late: perf events are refused (%s)",
			 strerror(errno));
	s->custom = viz_custom_events__new(s);
	if (!s->custom)
		return -ENOMEM;
	return 0;
}

int viz_session__run(struct viz_options *opt)
{
	struct viz_session session = {.opt = opt, .signals = -1}, *s = &session;
	int err, end_err;

	/* Symbol tables and the kernel's types are read once: what they took goes back. By itself
	 * glibc would raise this limit with the first of them and keep the rest. */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	err = prepare(s, opt);
	if (err)
		goto cleanup;
	err = opt->launches ? attach_launched(s) : attach_existing(s);
	if (!err) {
		s->ready = viz_session__now();
		say_ready(opt);
		viz_summary__begin(s);
		loop(s);
	}
	end_err = finish(s);
	if (err)
		goto cleanup;
	err = end_err;
	viz_trace__sum_calls(s->trace);
	end_err = s->writer->ops->end(s->writer);
	if (!err)
		err = end_err;
	if (err)
		viz_error("%s: %s (what was written is kept and valid)", opt->path, strerror(-err));
	viz_summary__end(s, err);
cleanup:
	if (s->guardian)
		viz_guardian__settle(s->guardian);
	viz_custom_events__free(s->custom);
	viz_probes__free(s->probes);
	viz_lives__free(s->lives);
	viz_guardian__finish(s->guardian);
	viz_timeline__free(s->timeline);
	viz_writer__free(s->writer);
	if (s->trace)
		viz_ended__free(s->trace->ended);
	viz_trace__free(s->trace);
	viz_live_names__free(s->names);
	viz_loader_watch__free(s->loaders);
	viz_builds__free(s->builds);
	viz_session__free_targets(s);
	viz_mmap_watch__free(s->watch);
	viz_sources__free(s->sources);
	viz_flight__free(s->flight);
	if (s->signals >= 0)
		close(s->signals);
	if (opt->launches) {
		int status = viz_launch__ended(&opt->launch, !err)
				     ? viz_launch__status(&opt->launch)
				     : 1;

		viz_launch__free(&opt->launch);
		/* one that could not be executed has the status a shell would give: 126 or 127 */
		return err && !status ? 1 : status;
	}
	return err ? 1 : 0;
}
