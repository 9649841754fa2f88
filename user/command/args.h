/* SPDX-License-Identifier: Apache-2.0 */
/* The command lines of the commands: a table of options, and files. */
#ifndef VIZ_ARGS_H
#define VIZ_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum viz_arg_kind {
	VIZ_ARG_FLAG, /* bool: becomes true */
	VIZ_ARG_TEXT, /* const char * */
	VIZ_ARG_NUMBER, /* uint64_t, up to @max */
	VIZ_ARG_PERCENT, /* double, 0 to 100 */
	VIZ_ARG_WORD, /* int: the index in @words */
};

struct viz_arg {
	const char *name; /* without the dashes */
	char letter; /* 0: none */
	enum viz_arg_kind kind;
	void *to;
	uint64_t max;
	const char *const *words; /* ends with NULL */
};

struct viz_args {
	const char *command, *usage;
	const struct viz_arg *list;
	size_t nr;
	/* how many files, and what is said when they are not: "give one trace file" */
	int least, most;
	const char *files;
};

/*
 * Takes the options, with hyphens or underscores, and --help and --quiet, which all have; the
 * files are @argv from optind on. Returns -1, or the status to exit with at once: 0 after
 * --help, 2 after a line of what is wrong.
 */
int viz_args__parse(const struct viz_args *args, int argc, char **argv);

/* "--min_duration" becomes "--min-duration", in place: VizTracer's users write both. */
void viz_args__dashes(int argc, char **argv);
/* Says which option getopt_long() (opterr = 0) did not take; returns the exit status 2.
 * @got: '?' or ':'. */
int viz_args__bad(const char *command, int argc, char **argv, int got);
/* A decimal number of at most @max. Returns 0 or -EINVAL after a message that names @option. */
int viz_args__number(const char *option, const char *text, uint64_t max, uint64_t *value);

#endif
