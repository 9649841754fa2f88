// SPDX-License-Identifier: Apache-2.0
#include "source_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"

/* Sources are for reading beside the timeline; generated ones can be enormous. */
#define SOURCE_MAX (1024 * 1024)
#define SOURCES_MAX (32 * 1024 * 1024)

static int by_file(const void *a, const void *b, void *trace)
{
	const struct viz_func *funcs = ((const struct viz_trace *)trace)->funcs;

	return strcmp(funcs[*(const uint32_t *)a].file, funcs[*(const uint32_t *)b].file);
}

/* Called functions of real files, by file; their number in @nr_out. */
static uint32_t *collect(const struct viz_trace *trace, const uint32_t *places, uint32_t nr,
			 uint32_t *nr_out)
{
	uint32_t *funcs = malloc(((size_t)nr + 1) * sizeof(*funcs)), i, n = 0;

	if (!funcs)
		return NULL;
	/* "<string>" and "<frozen os>" are no files; a relative one cannot be found */
	for (i = 0; i < nr; i++)
		if (places[i] && trace->funcs[i].file[0] == '/')
			funcs[n++] = i;
	qsort_r(funcs, n, sizeof(*funcs), by_file, (void *)trace);
	*nr_out = n;
	return funcs;
}

int viz_source_files__each(const struct viz_writer *w, const uint32_t *places, uint32_t nr,
			   int (*put)(void *ctx, const char *path, const char *text, size_t size),
			   void *ctx)
{
	const char *path, *before = "";
	uint32_t i, nr_funcs, *funcs;
	size_t size, total = 0;
	char *text;
	int err = 0;

	if (!w->read_source)
		return 0;
	funcs = collect(w->trace, places, nr < w->trace->nr_funcs ? nr : w->trace->nr_funcs,
			&nr_funcs);
	if (!funcs)
		return -ENOMEM;
	for (i = 0; i < nr_funcs && !err && total < SOURCES_MAX; i++, before = path) {
		path = w->trace->funcs[funcs[i]].file;
		text = NULL;
		if (!strcmp(path, before) ||
		    w->read_source(w->source_ctx, places[funcs[i]] - 1, path, &text, &size))
			continue;
		if (size <= SOURCE_MAX && viz_utf8__valid(text, size)) {
			total += size;
			err = put(ctx, path, text, size);
		}
		free(text);
	}
	free(funcs);
	return err;
}
