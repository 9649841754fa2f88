// SPDX-License-Identifier: Apache-2.0
#include "filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int viz_filter__add(char ***list, const char *pattern)
{
	size_t nr = 0;
	char **grown;

	while (*list && (*list)[nr])
		nr++;
	grown = realloc(*list, (nr + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[nr] = strdup(pattern);
	grown[nr + 1] = NULL;
	return grown[nr] ? 0 : -ENOMEM;
}

int viz_filter__add_path(char ***list, const char *pattern)
{
	char *real, *path = NULL;
	int err = viz_filter__add(list, pattern);

	/* "*" covers the beginning of any path; "<" begins what is no file */
	if (err || strchr("/*<", pattern[0]))
		return err;
	real = realpath(pattern, NULL);
	if (!real) {
		char *cwd = getcwd(NULL, 0);

		if (!cwd || asprintf(&path, "%s/%s", cwd, pattern) < 0)
			path = NULL;
		free(cwd);
	}
	if (real || path)
		err = viz_filter__add(list, real ? real : path);
	free(real);
	free(path);
	return err;
}

const char *viz_filter__bad(const char *pattern)
{
	const char *open = strchr(pattern, '[');

	if (!*pattern)
		return "it is empty and matches nothing";
	/* fnmatch() takes a bracket that nothing closes for itself, silently */
	if (open && !strchr(open + 1 + (open[1] == ']'), ']'))
		return "a '[' without its ']' (write [[] for the character)";
	return NULL;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

void viz_filter__free(struct viz_filter *filter)
{
	free_list(filter->include_files);
	free_list(filter->exclude_files);
	free_list(filter->include_functions);
	free_list(filter->exclude_functions);
	free_list(filter->packages);
	memset(filter, 0, sizeof(*filter));
}

static bool is_glob(const char *pattern)
{
	return strpbrk(pattern, "*?[") != NULL;
}

/* A path prefix ends at a component: "/srv/app" holds "/srv/app/x.py", not "/srv/apple.py". */
static bool file_matches(const char *pattern, const char *file)
{
	size_t len = strlen(pattern);

	if (is_glob(pattern))
		return fnmatch(pattern, file, 0) == 0;
	if (strncmp(pattern, file, len))
		return false;
	return !file[len] || file[len] == '/' || (len && pattern[len - 1] == '/');
}

static bool any_file(char **list, const char *file)
{
	for (; list && *list; list++)
		if (file_matches(*list, file))
			return true;
	return false;
}

static bool any_name(char **list, const char *name)
{
	for (; list && *list; list++)
		if (fnmatch(*list, name, 0) == 0)
			return true;
	return false;
}

/*
 * The standard library is what lies in .../lib/pythonX.Y/ outside site-packages and
 * dist-packages, and the frozen modules.
 */
static bool is_stdlib(const char *file)
{
	const char *p = strstr(file, "/lib/python");

	if (!strncmp(file, "<frozen ", 8))
		return true;
	if (!p || strstr(p, "/site-packages/") || strstr(p, "/dist-packages/"))
		return false;
	p += strlen("/lib/python");
	return *p >= '2' && *p <= '9' && strchr(p, '/');
}

/* "requests" is any path with a component requests or requests.py. */
static bool in_package(const char *package, const char *file)
{
	size_t len = strlen(package);
	const char *p = file;

	while ((p = strstr(p, package))) {
		bool begins = p == file || p[-1] == '/';

		if (begins && (p[len] == '/' || !strcmp(p + len, ".py")))
			return true;
		p++;
	}
	return false;
}

static bool any_package(char **list, const char *file)
{
	for (; *list; list++)
		if (in_package(*list, file))
			return true;
	return false;
}

enum viz_verdict viz_filter__verdict(const struct viz_filter *filter, const struct viz_func *func)
{
	enum viz_verdict drop =
		filter->keep_callees ? VIZ_VERDICT_DROP_SELF : VIZ_VERDICT_DROP_TREE;

	if (!filter->any)
		return VIZ_VERDICT_RECORD;
	/* A C function has no file: it comes with what calls it. */
	if (!func->file[0]) {
		if (any_name(filter->exclude_functions, func->name))
			return drop;
		return filter->include_functions && !any_name(filter->include_functions, func->name)
			       ? VIZ_VERDICT_DROP_SELF
			       : VIZ_VERDICT_RECORD;
	}
	if (any_file(filter->exclude_files, func->file) ||
	    (filter->include_files && !any_file(filter->include_files, func->file)))
		return drop;
	if (any_name(filter->exclude_functions, func->name))
		return drop;
	/* These choose single functions: what lies between two chosen ones is only hidden. */
	if (filter->include_functions && !any_name(filter->include_functions, func->name))
		return VIZ_VERDICT_DROP_SELF;
	if (filter->ignore_frozen && !strncmp(func->file, "<frozen ", 8))
		return VIZ_VERDICT_DROP_SELF;
	if (filter->stdlib >= 0 && is_stdlib(func->file) != (filter->stdlib == 1))
		return VIZ_VERDICT_DROP_SELF;
	if (filter->packages && !any_package(filter->packages, func->file))
		return VIZ_VERDICT_DROP_SELF;
	return VIZ_VERDICT_RECORD;
}

int viz_filter__parse_duration(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		double scale;
	} units[] = {{"", 1e3}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"ns", 1}};
	char *end;
	double value;

	if (!text[0] || !strchr("0123456789.", text[0]))
		return -EINVAL;
	errno = 0;
	value = strtod(text, &end);
	if (errno || end == text || !isfinite(value) || value < 0)
		return -EINVAL;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit))
			continue;
		value *= units[i].scale;
		if (value > 9e18)
			return -EINVAL;
		*ns = (uint64_t)(value + 0.5);
		return 0;
	}
	return -EINVAL;
}
