// SPDX-License-Identifier: Apache-2.0
/* `vizbpf view FILE`: a trace in the browser, served on 127.0.0.1 to one site only. */
#include "command.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "../identity.h"
#include "args.h"
#include "browser.h"
#include "viewer.h"

struct view_options {
	const char *file;
	uint64_t port;
	bool once, no_browser, offline;
};

static volatile sig_atomic_t stop;

static const char usage[] =
	"Usage: vizbpf view FILE [OPTION...]\n"
	"Opens a trace in the browser: .json, .json.gz and .pftrace in ui.perfetto.dev, which "
	"reads\n"
	"it from this machine (nothing is uploaded); .html and .svg as they are; .folded and\n"
	".speedscope.json in the bundled viewer.\n"
	"\n"
	"  --offline        the bundled viewer (speedscope, or a page of vizbpf's own where it is\n"
	"                   not installed) for every format: needs no internet\n"
	"  --port N         listen on 127.0.0.1:N (default 9001, the only one that Perfetto may\n"
	"                   fetch from by itself; with another, a page asks for a click)\n"
	"  --once           end when the browser has the trace\n"
	"  --no-browser     print the URL, open nothing (also --server-only)\n"
	"  -h, --help       this text\n"
	"\n"
	"On a remote machine: ssh -L 9001:127.0.0.1:9001 HOST, and --no-browser.\n";

static int parse(int argc, char **argv, struct view_options *o)
{
	const struct viz_arg list[] = {
		{"offline", 0, VIZ_ARG_FLAG, .to = &o->offline},
		{"port", 'p', VIZ_ARG_NUMBER, .to = &o->port, .max = 65535},
		{"once", 0, VIZ_ARG_FLAG, .to = &o->once},
		{"no-browser", 0, VIZ_ARG_FLAG, .to = &o->no_browser},
		{"server-only", 0, VIZ_ARG_FLAG, .to = &o->no_browser},
	};
	const struct viz_args args = {
		"view", usage, list, sizeof(list) / sizeof(*list), 1, 1, "give one trace file",
	};
	int status = viz_args__parse(&args, argc, argv);

	o->file = argv[optind];
	return status;
}

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static void handle_signals(void)
{
	struct sigaction act = {.sa_handler = on_signal};

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	act.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &act, NULL); /* sendfile() has no MSG_NOSIGNAL */
	sigaction(SIGCHLD, &act, NULL); /* the browser is nobody's to wait for */
}

/* Nothing from here on needs root: the reader parses a file, the server talks to browsers. */
static int give_up_root(char *why, size_t why_size)
{
	struct viz_identity id;
	int err;

	err = viz_identity__choose(NULL, false, &id, why, why_size);
	if (err)
		return err;
	if (id.change) {
		err = viz_identity__become(&id);
		if (err)
			viz_why(why, why_size, err, "cannot become user %s: %s", id.name,
				strerror(-err));
	}
	viz_identity__free(&id);
	return err;
}

static void tell_url(const struct view_options *o, const struct viz_viewer *v, unsigned int port)
{
	char url[1024], why[256];

	viz_viewer__url(v, port, url, sizeof(url));
	if (v->way == VIZ_VIEW_PERFETTO && port != VIZ_VIEWER_PORT)
		viz_info("ui.perfetto.dev fetches from port %d only: the page asks for a click",
			 VIZ_VIEWER_PORT);
	printf("%s\n", url);
	fflush(stdout);
	/* Chromium from 142 on; who said no once is not asked again */
	if (v->way == VIZ_VIEW_PERFETTO && port == VIZ_VIEWER_PORT)
		viz_info("If the browser asks whether the page may reach this device, allow it; it "
			 "reads the trace from here.\nIf it stays empty: "
			 "http://127.0.0.1:%u/%s/open.html",
			 port, v->token);
	viz_info("%s", o->once ? "Serving until the browser has the trace; Ctrl-C ends it."
			       : "Serving until Ctrl-C.");
	if (!o->no_browser && viz_browser__open(url, why, sizeof(why)))
		viz_warn("%s; open the URL yourself", why);
}

int viz_command__view(int argc, char **argv)
{
	struct view_options o = {.port = VIZ_VIEWER_PORT};
	struct viz_http_server server = {.fd = -1};
	struct viz_viewer *v;
	char why[512] = "";
	int err, status;

	status = parse(argc, argv, &o);
	if (status >= 0)
		return status;
	status = 1;
	v = calloc(1, sizeof(*v));
	if (!v) {
		viz_error("out of memory");
		return 1;
	}
	if (viz_viewer__choose(v, o.file, o.offline, why, sizeof(why)) ||
	    viz_viewer__open(v, o.file, why, sizeof(why)) || give_up_root(why, sizeof(why)) ||
	    viz_http__listen(&server, (uint16_t)o.port, why, sizeof(why)) ||
	    viz_viewer__prepare(v, o.file, why, sizeof(why))) {
		viz_error("%s", why);
		goto cleanup;
	}
	server.foreign = v->way == VIZ_VIEW_PERFETTO ? viz_viewer_origin : NULL;
	server.files = v->files;
	server.nr_files = v->nr_files;
	server.once = o.once;
	handle_signals();
	tell_url(&o, v, server.port);
	err = viz_http__serve(&server, &stop);
	if (err)
		viz_error("cannot go on serving: %s", strerror(-err));
	else
		status = 0;
cleanup:
	viz_viewer__close(v);
	free(v);
	if (server.fd >= 0)
		close(server.fd);
	return status;
}
