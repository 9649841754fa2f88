/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which calls are recorded. The verdict on a function depends on its name and file alone
 * and is computed once; duration and depth are judged call by call.
 */
#ifndef VIZ_FILTER_H
#define VIZ_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"

enum viz_verdict {
	VIZ_VERDICT_UNKNOWN = 0,
	VIZ_VERDICT_RECORD = 1,
	VIZ_VERDICT_DROP_TREE = 2, /* the call and everything below it */
	VIZ_VERDICT_DROP_SELF = 3, /* only the call */
};

struct viz_filter {
	uint64_t min_duration; /* ns; 0: all */
	uint32_t max_depth; /* 0: no limit */
	bool keep_callees; /* what an excluded function calls is kept */
	bool ignore_frozen; /* "<frozen ...>" */
	int stdlib; /* -1: all; 0: without the standard library; 1: only it */
	char **include_files, **exclude_files; /* path prefixes or globs, NULL-terminated */
	char **include_functions, **exclude_functions; /* globs on the qualified name */
	char **packages; /* --only-package */
	bool any; /* some rule on functions is set */
};

/* Adds @pattern to a NULL-terminated list; 0 or -ENOMEM. */
int viz_filter__add(char ***list, const char *pattern);
/* The same for a path prefix or a glob on paths. One that is relative counts as it is, for code
 * whose file is ("python3 x.py" before 3.9), and from the working directory on. */
int viz_filter__add_path(char ***list, const char *pattern);
/* Why @pattern cannot be meant, or NULL. */
const char *viz_filter__bad(const char *pattern);
void viz_filter__free(struct viz_filter *filter);
enum viz_verdict viz_filter__verdict(const struct viz_filter *filter, const struct viz_func *func);
/* "3", "3us", "1.5ms", "2s", "100ns" (a bare number is microseconds) into ns; -EINVAL. */
int viz_filter__parse_duration(const char *text, uint64_t *ns);

#endif
