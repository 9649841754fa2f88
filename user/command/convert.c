// SPDX-License-Identifier: Apache-2.0
/* vizbpf convert IN OUT: the same trace in another format. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "../base/log.h"
#include "../output/file.h"
#include "../output/join.h"
#include "args.h"
#include "command.h"

static const char usage[] =
	"Usage: vizbpf convert IN OUT\n"
	"\n"
	"Writes the trace IN in the format that OUT's suffix names.\n"
	"IN is Chrome Trace JSON (of vizbpf, VizTracer or other tools) or vizbpf's .pftrace,\n"
	"plain or gzip; \"-\" is standard input.\n"
	"OUT ends in .json, .json.gz, .pftrace, .folded, .svg, .speedscope.json or .html;\n"
	"\"-\" is JSON on standard output.\n"
	"\n"
	"  --no-sources   leave out the source files that the trace carries\n"
	"  -q, --quiet    say nothing but errors\n"
	"  -h, --help     this text\n";

static int convert(const char *from, const char *to, bool sources)
{
	struct viz_trace *trace = viz_trace__new();
	struct viz_reader_sink sink;
	struct viz_writer *w = NULL;
	char why[512];
	int err = -ENOMEM, ended;

	if (!trace) {
		viz_error("out of memory");
		goto cleanup;
	}
	w = viz_join__open(trace, to);
	if (!w) {
		err = -errno;
		goto cleanup;
	}
	sink = viz_join__sink(w);
	sink.source = sources ? sink.source : NULL;
	err = viz_reader__read(from, trace, &sink, why, sizeof(why));
	/* an error without a reason is the writer's, and named below */
	if (err && why[0])
		viz_error("%s%s", why,
			  err == -EBADMSG && trace->nr_funcs ? "; what comes before it is converted"
							     : "");
	if (err && (!trace->nr_funcs && !trace->nr_tracks))
		goto cleanup; /* nothing was read: whatever is at OUT stays */
	ended = viz_join__end(w, to);
	err = err ? err : ended;
	if (!err)
		viz_info("%s: %u functions, %u threads, %llu bytes", to, trace->nr_funcs,
			 trace->nr_tracks, (unsigned long long)viz_output__size(w->out));
cleanup:
	viz_writer__free(w);
	viz_trace__free(trace);
	return err;
}

int viz_command__convert(int argc, char **argv)
{
	bool no_sources = false;
	const struct viz_arg list[] = {{"no-sources", 0, VIZ_ARG_FLAG, .to = &no_sources}};
	const struct viz_args args = {
		"convert", usage, list, 1, 2, 2, "give two names, the trace and the file to write",
	};
	int status = viz_args__parse(&args, argc, argv);

	if (status >= 0)
		return status;
	return convert(argv[optind], argv[optind + 1], !no_sources) ? 1 : 0;
}
