// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"
#include "chrome.h"
#include "file.h"

/* Sources are for reading beside the timeline; generated ones can be enormous. */
#define SOURCE_MAX (1024 * 1024)
#define SOURCES_MAX (32 * 1024 * 1024)

static void add_string(struct json_object *object, const char *key, const char *value)
{
	if (value)
		json_object_object_add(object, key, json_object_new_string(value));
}

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static struct json_object *process_object(const struct viz_process *p)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "pid", p->pid);
	if (p->ns_pid)
		add_number(object, "ns_pid", p->ns_pid);
	if (p->parent)
		add_number(object, "parent", p->parent);
	add_string(object, "name", p->name);
	add_string(object, "cmdline", p->cmdline);
	add_string(object, "exe", p->exe);
	add_string(object, "python", p->python);
	add_string(object, "engine", p->engine);
	add_string(object, "engine_why", p->engine_why);
	add_string(object, "limits", p->limits);
	add_string(object, "container", p->container);
	add_string(object, "image", p->image);
	add_string(object, "cgroup", p->cgroup);
	add_number(object, "calls", p->calls);
	add_number(object, "lost", p->lost);
	return object;
}

static struct json_object *losses_array(const struct viz_trace *trace)
{
	struct json_object *array = json_object_new_array(), *object;
	uint32_t i;

	for (i = 0; i < trace->nr_tracks; i++) {
		const struct viz_track *t = &trace->tracks[i];

		if (!t->lost)
			continue;
		object = json_object_new_object();
		add_number(object, "pid", t->pid);
		add_number(object, "tid", t->tid);
		add_string(object, "name", t->name);
		add_number(object, "lost", t->lost);
		json_object_array_add(array, object);
	}
	return array;
}

static struct json_object *vizbpf_object(const struct chrome *c)
{
	const struct viz_trace *trace = c->w.trace;
	struct json_object *object = json_object_new_object(), *processes;
	uint32_t i;

	add_string(object, "version", trace->version);
	add_string(object, "command", trace->command);
	add_string(object, "host", trace->host);
	add_string(object, "kernel", trace->kernel);
	add_number(object, "begin", trace->begin);
	add_number(object, "end", trace->end);
	add_number(object, "calls", c->calls);
	add_number(object, "events", c->events);
	add_number(object, "lost", trace->lost);
	processes = json_object_new_array();
	for (i = 0; i < trace->nr_processes; i++)
		json_object_array_add(processes, process_object(&trace->processes[i]));
	json_object_object_add(object, "processes", processes);
	json_object_object_add(object, "losses", losses_array(trace));
	return object;
}

static void put_object(struct viz_buffer *b, const char *key, struct json_object *object)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	viz_buffer__printf(b, ",\n\"%s\":", key);
	viz_buffer__add(b, text ? text : "{}", text ? len : 2);
	json_object_put(object);
}

void chrome__metadata(const struct chrome *c, struct viz_buffer *b)
{
	const struct viz_trace *trace = c->w.trace;
	struct json_object *object = json_object_new_object();

	add_string(object, "version", trace->version ? trace->version : VIZ_VERSION);
	json_object_object_add(object, "overflow", json_object_new_boolean(trace->overflow));
	json_object_object_add(object, "baseTimeNanoseconds",
			       json_object_new_int64(trace->realtime_offset));
	put_object(b, "viztracer_metadata", object);
	put_object(b, "vizbpf_metadata", vizbpf_object(c));
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
	if (c->w.read_source(c->w.source_ctx, c->tails[func].process, path, &text, &size))
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
