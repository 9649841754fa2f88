// SPDX-License-Identifier: Apache-2.0
/* What stands behind the events in a Chrome JSON file. */
#include <errno.h>
#include <stdlib.h>

#include "chrome.h"
#include "file.h"
#include "metadata.h"
#include "source_files.h"

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
	const char *separator;
};

static int put_source(void *ctx, const char *path, const char *text, size_t size)
{
	struct sources *s = ctx;
	struct viz_buffer *b = &s->c->scratch;

	b->len = 0;
	viz_buffer__text(b, s->separator);
	viz_buffer__quoted(b, path);
	viz_buffer__text(b, ":[\"");
	viz_buffer__escaped(b, text, size);
	viz_buffer__printf(b, "\",%u]", count_lines(text, size));
	s->separator = ",\n";
	return b->failed ? -ENOMEM : viz_output__write(s->c->w.out, b->data, b->len);
}

static int put_functions(struct chrome *c, const uint32_t *places, uint32_t nr)
{
	struct viz_buffer *b = &c->scratch;
	const char *separator = "";
	uint32_t i;
	int err = 0;

	for (i = 0; i < nr && !err; i++) {
		const struct viz_func *func = &c->w.trace->funcs[i];

		if (!places[i] || !func->file[0])
			continue;
		b->len = 0;
		viz_buffer__printf(b, "%s\"", separator);
		viz_buffer__add(b, c->tails[i].text + c->tails[i].name, c->tails[i].name_len);
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
	uint32_t i, nr = c->nr_tails < c->w.trace->nr_funcs ? c->nr_tails : c->w.trace->nr_funcs;
	struct sources s = {.c = c, .separator = ""};
	uint32_t *places;
	int err;

	if (!c->w.read_source)
		return 0;
	places = calloc((size_t)nr + 1, sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		places[i] = c->tails[i].text ? c->tails[i].place + 1 : 0;
	err = viz_output__write(c->w.out, files, sizeof(files) - 1);
	if (!err)
		err = viz_source_files__each(&c->w, places, nr, put_source, &s);
	if (!err)
		err = viz_output__write(c->w.out, functions, sizeof(functions) - 1);
	if (!err)
		err = put_functions(c, places, nr);
	if (!err)
		err = viz_output__write(c->w.out, "}}", 2);
	free(places);
	return err;
}
