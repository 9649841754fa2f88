// SPDX-License-Identifier: Apache-2.0
/* `vizbpf top`: a recording that is drawn instead of written. For the session it is a writer
 * like any other, whose flush, which comes about ten times a second, draws when it is time. */
#include "command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../options.h"
#include "../output/file.h"
#include "../output/writer.h"
#include "../session.h"
#include "args.h"
#include "keys.h"
#include "top.h"

struct top_writer {
	struct viz_writer w;
	struct viz_top *top;
	struct viz_top_view view;
	struct viz_keys keys;
	uint64_t next; /* when to take the next picture, ns */
};

static struct {
	uint64_t interval; /* ns */
	struct viz_top_view view;
	char what[192];
} config;

static const char usage[] =
	"Usage: vizbpf top -p PID[,PID...] | -a | --container NAME  [OPTION...]\n"
	"The functions that take the time right now, as a live table. Ctrl-C ends it.\n"
	"\n"
	"  --interval SECONDS  between pictures (default 1)\n"
	"  --sort WHAT         own (default), total, calls, mean, name; all-own, all-total and\n"
	"                      so on: since the beginning\n"
	"  -d SECONDS          end after that time\n"
	"  -h, --help          this text\n"
	"\n"
	"Every option that chooses processes, engine or functions works as for recording\n"
	"(vizbpf --help). On a terminal, h shows the keys that sort, reverse, pause and quit;\n"
	"elsewhere each picture is a table below the last one.\n";

static int top_begin(struct viz_writer *w)
{
	struct top_writer *t = (struct top_writer *)w;

	t->top = viz_top__new(w->trace, config.what);
	if (!t->top)
		return -ENOMEM;
	viz_keys__open(&t->keys);
	t->view = config.view;
	t->view.keys = t->keys.open;
	viz_top__view(t->top, &t->view);
	return 0;
}

static int top_name(struct viz_writer *w, uint32_t index)
{
	(void)w;
	(void)index;
	return 0;
}

static int top_calls(struct viz_writer *w, const struct viz_call *calls, size_t nr)
{
	return viz_top__calls(((struct top_writer *)w)->top, calls, nr);
}

static int top_event(struct viz_writer *w, const struct viz_event *event)
{
	(void)w;
	(void)event;
	return 0;
}

/* Whether the key changes anything. */
static bool press(struct viz_top_view *v, char key)
{
	static const char orders[] = "otcmn"; /* as in enum viz_top_order */
	const char *order = strchr(orders, key);

	if (v->help) {
		v->help = false;
		return true;
	}
	if (order)
		v->order = (enum viz_top_order)(order - orders);
	else if (key == 'a')
		v->all = !v->all;
	else if (key == 'r')
		v->reverse = !v->reverse;
	else if (key == 'p' || key == ' ')
		v->paused = !v->paused;
	else if (key == 'h' || key == '?')
		v->help = true;
	else
		return false;
	return true;
}

static int top_flush(struct viz_writer *w)
{
	struct top_writer *t = (struct top_writer *)w;
	uint64_t now = viz_session__now();
	bool draw = false;
	char key;
	int err;

	while ((key = viz_keys__next(&t->keys))) {
		if (key == 'q') /* the session minds Ctrl-C, and ends in order */
			kill(getpid(), SIGINT);
		else
			draw |= press(&t->view, key);
	}
	if (now >= t->next && !t->view.paused) {
		t->next = now + config.interval;
		draw = true;
		err = viz_top__take(t->top, now, w->trace->lost);
		if (err)
			return err;
	}
	viz_top__view(t->top, &t->view);
	return draw ? viz_top__draw(t->top, stdout) : 0;
}

static void leave(struct top_writer *t)
{
	viz_keys__close(&t->keys);
	viz_top__leave(t->top, stdout);
}

static int top_end(struct viz_writer *w)
{
	leave((struct top_writer *)w);
	return viz_output__close(w->out);
}

static void top_free(struct viz_writer *w)
{
	struct top_writer *t = (struct top_writer *)w;

	leave(t);
	viz_top__free(t->top);
	t->top = NULL;
}

static const struct viz_writer_ops top_ops = {
	.suffix = "",
	.what = "a live table",
	.begin = top_begin,
	.process = top_name,
	.track = top_name,
	.calls = top_calls,
	.event = top_event,
	.flush = top_flush,
	.end = top_end,
	.free = top_free,
	.calls_only = true,
	.size = sizeof(struct top_writer),
};

static struct viz_writer *make_writer(struct viz_trace *trace, struct viz_output *out)
{
	struct top_writer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->w.ops = &top_ops;
	t->w.trace = trace;
	t->w.out = out;
	return &t->w;
}

static int parse_sort(const char *text)
{
	/* as in enum viz_top_order */
	static const char *const names[] = {"own", "total", "calls", "mean", "name"};
	bool all = !strncmp(text, "all-", 4);
	int i;

	for (i = 0; i < 5; i++) {
		if (!strcmp(text + (all ? 4 : 0), names[i])) {
			config.view.order = (enum viz_top_order)i;
			config.view.all = all;
			return 0;
		}
	}
	viz_error("--sort: '%s' is none of own, total, calls, mean, name, also with all- before",
		  text);
	return -EINVAL;
}

static int parse_interval(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.1 && seconds <= 3600)) {
		viz_error("--interval: '%s' is not a number of seconds from 0.1 to 3600", text);
		return -EINVAL;
	}
	config.interval = (uint64_t)(seconds * 1e9);
	return 0;
}

/* Takes the options that only top has out of @argv; the rest stays. -1: wrong, 1: help. */
static int take_own(int *argc, char **argv)
{
	static const struct {
		const char *name;
		int (*parse)(const char *text);
	} own[] = {{"--interval", parse_interval}, {"--sort", parse_sort}};
	int from, to = 1;
	size_t i, len;

	for (from = 1; from < *argc; from++) {
		const char *value = NULL;

		if (!strcmp(argv[from], "-h") || !strcmp(argv[from], "--help"))
			return 1;
		for (i = 0; i < 2; i++) {
			len = strlen(own[i].name);
			if (strncmp(argv[from], own[i].name, len))
				continue;
			if (argv[from][len] == '=')
				value = argv[from] + len + 1;
			else if (!argv[from][len] && from + 1 < *argc)
				value = argv[++from];
			else
				continue;
			break;
		}
		if (!value)
			argv[to++] = argv[from];
		else if (own[i].parse(value))
			return -1;
	}
	argv[to] = NULL;
	*argc = to;
	return 0;
}

/* What is watched, as it was asked for. */
static void describe(int argc, char **argv)
{
	size_t n = (size_t)snprintf(config.what, sizeof(config.what), "vizbpf top");
	int i;

	for (i = 1; i < argc && n < sizeof(config.what); i++)
		n += (size_t)snprintf(config.what + n, sizeof(config.what) - n, " %s", argv[i]);
}

int viz_command__top(int argc, char **argv)
{
	struct viz_options opt;
	int got, status = 2;

	config.interval = 1000000000;
	got = take_own(&argc, argv);
	if (got > 0)
		fputs(usage, stdout);
	if (got)
		return got > 0 ? 0 : 2;
	describe(argc, argv);
	switch (viz_options__parse(&opt, argc, argv)) {
	case VIZ_OPTIONS_RUN:
		break;
	case VIZ_OPTIONS_DONE:
		status = 0;
		goto cleanup;
	default:
		goto cleanup;
	}
	if (opt.launches) {
		viz_error("top: choose running processes with -p, -a or --container; a program "
			  "that is started here would write over the table");
		goto cleanup;
	}
	free(opt.path);
	opt.path = strdup("/dev/null");
	opt.make_writer = make_writer;
	viz_log_quiet = 1;
	status = opt.path ? viz_session__run(&opt) : 1;
cleanup:
	viz_options__free(&opt);
	return status;
}
