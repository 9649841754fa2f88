// SPDX-License-Identifier: Apache-2.0
/* What stands behind the events in a Chrome JSON file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"
#include "chrome.h"
#include "file.h"
#include "metadata.h"

/* Sources are for reading beside the timeline; generated ones can be enormous. */
#define SOURCE_MAX (1024 * 1024)
#define SOURCES_MAX (32 * 1024 * 1024)

void chrome__metadata(const struct chrome *c, struct viz_buffer *b)
{
	viz_buffer__text(b, ",\n\"viztracer_metadata\":");
	viz_metadata__viztracer(b, c->w.trace, c->zero);
	viz_buffer__text(b, ",\n\"vizbpf_metadata\":");
	viz_metadata__vizbpf(b, c->w.trace, c->zero, c->calls, c->events);
}

/* Lines as Python counts them. */
static uint32_t count_lines(const char *text, size_t size)
{
	uint32_t lines = 0;
	size_t i;

	for (i = 0; i < size; i++)
		lines += text[i] == '\n';
	return lines + (size && text[size - 1] != '\n');
}

struct sources {
	struct chrome *c;
	uint32_t *funcs; /* called ones that have a file, by file */
	uint32_t nr;
	size_t total;
};

static int by_file(const void *a, const void *b, void *trace)
{
	const struct viz_func *funcs = ((const struct viz_trace *)trace)->funcs;

	return strcmp(funcs[*(const uint32_t *)a].file, funcs[*(const uint32_t *)b].file);
}

static int sources__collect(struct sources *s)
{
	const struct viz_trace *trace = s->c->w.trace;
	uint32_t i, nr = s->c->nr_tails < trace->nr_funcs ? s->c->nr_tails : trace->nr_funcs;

	s->funcs = malloc((nr + 1) * sizeof(*s->funcs));
	if (!s->funcs)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		if (s->c->tails[i].text && trace->funcs[i].file[0])
			s->funcs[s->nr++] = i;
	qsort_r(s->funcs, s->nr, sizeof(*s->funcs), by_file, (void *)trace);
	return 0;
}

/* One file's entry, if it can be read and is text. */
static int put_source(struct sources *s, uint32_t func, const char **separator)
{
	struct chrome *c = s->c;
	struct viz_buffer *b = &c->scratch;
	const char *path = c->w.trace->funcs[func].file;
	char *text = NULL;
	size_t size = 0;
	int err = 0;

	/* "<string>" and "<frozen os>" are no files; a relative one cannot be found */
	if (path[0] != '/' || s->total >= SOURCES_MAX)
		return 0;
	if (c->w.read_source(c->w.source_ctx, c->tails[func].place, path, &text, &size))
		return 0;
	if (size <= SOURCE_MAX && viz_utf8__valid(text, size)) {
		s->total += size;
		b->len = 0;
		viz_buffer__text(b, *separator);
		viz_buffer__quoted(b, path);
		viz_buffer__text(b, ":[\"");
		viz_buffer__escaped(b, text, size);
		viz_buffer__printf(b, "\",%u]", count_lines(text, size));
		err = b->failed ? -ENOMEM : viz_output__write(c->w.out, b->data, b->len);
		*separator = ",\n";
	}
	free(text);
	return err;
}

static int put_functions(struct sources *s)
{
	struct chrome *c = s->c;
	struct viz_buffer *b = &c->scratch;
	const char *separator = "";
	uint32_t i;
	int err = 0;

	for (i = 0; i < s->nr && !err; i++) {
		const struct chrome_tail *tail = &c->tails[s->funcs[i]];
		const struct viz_func *func = &c->w.trace->funcs[s->funcs[i]];

		b->len = 0;
		viz_buffer__printf(b, "%s\"", separator);
		viz_buffer__add(b, tail->text + tail->name, tail->name_len);
		viz_buffer__text(b, "\":[");
		viz_buffer__quoted(b, func->file);
		viz_buffer__printf(b, ",%u]", func->line);
		err = b->failed ? -ENOMEM : viz_output__write(c->w.out, b->data, b->len);
		separator = ",\n";
	}
	return err;
}

int chrome__file_info(struct chrome *c)
{
	static const char files[] = ",\n\"file_info\":{\"files\":{",
			  functions[] = "},\"functions\":{";
	struct sources s = {.c = c};
	const char *separator = "", *file = NULL;
	uint32_t i;
	int err;

	if (!c->w.read_source)
		return 0;
	err = sources__collect(&s);
	if (!err)
		err = viz_output__write(c->w.out, files, sizeof(files) - 1);
	for (i = 0; i < s.nr && !err; i++) {
		const char *path = c->w.trace->funcs[s.funcs[i]].file;

		if (!file || strcmp(file, path))
			err = put_source(&s, s.funcs[i], &separator);
		file = path;
	}
	if (!err)
		err = viz_output__write(c->w.out, functions, sizeof(functions) - 1);
	if (!err)
		err = put_functions(&s);
	if (!err)
		err = viz_output__write(c->w.out, "}}", 2);
	free(s.funcs);
	return err;
}
