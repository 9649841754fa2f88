// SPDX-License-Identifier: Apache-2.0
/*
 * Names and arguments of a traced program in the JSON that we write: whatever they are, the
 * file is JSON and says them. json-c in its strict mode is the judge.
 * Build: user/output/chrome.c user/output/chrome_metadata.c user/output/metadata.c
 * user/output/ended.c user/output/source_files.c user/output/json.c user/output/buffer.c
 * user/output/file.c user/output/create.c user/output/gzip.c user/output/scratch.c
 * user/trace/model.c user/trace/texts.c user/base/utf8.c user/base/log.c
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "output/buffer.h"
#include "output/file.h"
#include "output/json.h"
#include "output/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int add(void *ctx, const void *data, size_t size)
{
	viz_buffer__add(ctx, data, size);
	return 0;
}

static struct json_object *parse(const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(200);
	struct json_object *object;

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, text, (int)len);
	json_tokener_free(tokener);
	return object;
}

static const char *name_of(struct json_object *doc, size_t index)
{
	struct json_object *events, *name;

	if (!json_object_object_get_ex(doc, "traceEvents", &events) ||
	    !json_object_object_get_ex(json_object_array_get_idx(events, index), "name", &name))
		abort();
	return json_object_get_string(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct viz_trace *trace = viz_trace__new();
	struct viz_writer *w = calloc(1, viz_writer_chrome.size);
	struct viz_call call = {.begin = 1, .dur = 1};
	struct viz_event event = {.type = VIZ_EVENT_INSTANT, .scope = 't'};
	struct viz_buffer text = {0};
	struct json_object *doc;
	char *copy = malloc(size + 1);

	memcpy(copy, data, size);
	copy[size] = '\0';
	viz_trace__process(trace, 1);
	viz_trace__track(trace, 0, 1);
	trace->processes[0].name = trace->processes[0].container = viz_trace__string(trace, copy);
	viz_trace__func(trace, copy, "", 0);
	call.args = viz_trace__args(trace, copy);
	event.name = event.args = trace->processes[0].name;
	w->ops = &viz_writer_chrome;
	w->trace = trace;
	w->out = viz_output__scratch(false);
	if (!w->out || w->ops->begin(w) || w->ops->calls(w, &call, 1) || w->ops->event(w, &event) ||
	    w->ops->process(w, 0) || w->ops->end(w) || viz_output__copy(w->out, add, &text))
		abort();
	doc = parse(text.data, text.len);
	if (!doc || strcmp(name_of(doc, 0), trace->funcs[0].name) ||
	    strcmp(name_of(doc, 1), event.name))
		abort();
	json_object_put(doc);
	/* what passes for JSON is JSON */
	if (viz_json__is_object(event.name, strlen(event.name))) {
		doc = parse(event.name, strlen(event.name));
		if (!doc)
			abort();
		json_object_put(doc);
	}
	w->ops->free(w);
	viz_output__free(w->out);
	free(w);
	free(copy);
	viz_buffer__free(&text);
	viz_trace__free(trace);
	return 0;
}
