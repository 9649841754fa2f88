/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `vizbpf` itself (subcommands parse their own). */
#ifndef VIZ_OPTIONS_H
#define VIZ_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "flight.h"
#include "launch.h"
#include "target/select.h"
#include "trace/filter.h"

struct viz_output;
struct viz_trace;
struct viz_writer;

struct viz_options {
	struct viz_select select;
	struct viz_launch launch;
	bool launches;
	const char *output; /* result.json */
	const char *output_dir;
	bool unique_output, pid_suffix;
	uint64_t duration; /* ns; 0: until told or all targets have ended */
	const struct viz_engine *engine; /* NULL: auto */
	int ready_fd; /* -1: none */
	size_t ring_size; /* bytes; 0: as the engine likes */
	struct viz_filter filter;
	bool include_startup;
	bool c_functions, log_exception; /* engine trampoline */
	bool inside; /* asks for what only the program itself can record */
	bool sources;
	bool only_stdlib, no_stdlib; /* as given; filter.stdlib is what comes of them */
	bool open_viewer;
	bool start_paused;
	uint64_t entries; /* --tracer-entries: flight recorder; 0: stream */
	uint64_t before, after; /* ns, for snapshots */
	struct viz_trigger *triggers;
	size_t nr_triggers;
	char **threads; /* --threads: names or tids */
	char *path; /* output with directory and suffixes applied; owned */
	/* makes the writer, @out is taken over; NULL: by the suffix of path */
	struct viz_writer *(*make_writer)(struct viz_trace *trace, struct viz_output *out);
	char *command_line; /* owned */
};

extern const char viz_options_help[]; /* what --help prints */

enum viz_options_result { VIZ_OPTIONS_RUN, VIZ_OPTIONS_DONE, VIZ_OPTIONS_BAD };

/* Parses; prints help, version and errors itself. */
enum viz_options_result viz_options__parse(struct viz_options *opt, int argc, char **argv);
void viz_options__free(struct viz_options *opt);

#endif
