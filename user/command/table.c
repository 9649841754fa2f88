// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../base/text.h"

enum { ANY_WIDTH = 100000, LEAST_WIDTH = 24, LEAST_PATH = 12 };

void viz_table__head(FILE *out, const struct viz_column *columns, size_t nr, const char *last)
{
	size_t i;

	for (i = 0; i < nr; i++)
		fprintf(out, "%*s ", columns[i].width, columns[i].title);
	fprintf(out, "%s\n", last);
}

size_t viz_table__rest(const struct viz_column *columns, size_t nr)
{
	struct winsize size;
	size_t used = 0, i;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return ANY_WIDTH;
	for (i = 0; i < nr; i++)
		used += (size_t)columns[i].width + 1;
	return used + LEAST_WIDTH < size.ws_col ? size.ws_col - used : LEAST_WIDTH;
}

void viz_table__count(FILE *out, int width, uint64_t count)
{
	char text[32];

	fprintf(out, "%*s ", width, viz_text__count(text, sizeof(text), count));
}

void viz_table__time(FILE *out, int width, uint64_t ns)
{
	char text[32];

	fprintf(out, "%*s ", width, viz_text__duration(text, sizeof(text), ns));
}

/* "/usr/lib/python3.11/json/decoder.py" says no more than "json/decoder.py". */
static const char *short_path(const char *file)
{
	static const char *const packages[] = {"/site-packages/", "/dist-packages/"};
	const char *at, *slash;
	size_t i;

	for (i = 0; i < sizeof(packages) / sizeof(*packages); i++) {
		at = strstr(file, packages[i]);
		if (at)
			return at + strlen(packages[i]);
	}
	at = strstr(file, "/lib/python");
	slash = at ? strchr(at + strlen("/lib/python"), '/') : NULL;
	return slash && slash[1] ? slash + 1 : file;
}

void viz_table__func(FILE *out, const struct viz_func *func, size_t columns)
{
	char name[2048], path[2048], line[16] = "";
	const char *file = func->file ? short_path(func->file) : "";
	size_t used;

	viz_text__fit(name, sizeof(name), func->name ? func->name : "?", columns, false, false);
	used = viz_text__columns(name);
	fputs(name, out);
	if (!*file)
		return;
	if (func->line)
		snprintf(line, sizeof(line), ":%u", func->line);
	used += 2 + strlen(line);
	if (used + LEAST_PATH > columns)
		return;
	viz_text__fit(path, sizeof(path), file, columns - used, true, false);
	fprintf(out, "  %s%s", path, line);
}
