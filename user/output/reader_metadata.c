// SPDX-License-Identifier: Apache-2.0
/* What a trace says of itself, by json-c: small documents. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "../base/log.h"
#include "reader_json.h"

static const char *get_string(struct viz_reading *r, struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return viz_trace__string(r->trace, json_object_get_string(value));
}

static uint64_t get_u64(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_uint64(value) : 0;
}

static int take_process(struct viz_reading *r, struct json_object *object)
{
	uint32_t index = viz_intake__process(r->intake, (uint32_t)get_u64(object, "pid"));
	struct viz_process *p;
	const char *name;

	if (index == UINT32_MAX)
		return -ENOMEM;
	p = &r->trace->processes[index];
	name = get_string(r, object, "name");
	p->name = name ? name : p->name;
	p->ns_pid = (uint32_t)get_u64(object, "ns_pid");
	p->parent = (uint32_t)get_u64(object, "parent");
	p->cmdline = get_string(r, object, "cmdline");
	p->exe = get_string(r, object, "exe");
	p->python = get_string(r, object, "python");
	p->engine = get_string(r, object, "engine");
	p->engine_why = get_string(r, object, "engine_why");
	p->limits = get_string(r, object, "limits");
	p->container = get_string(r, object, "container");
	p->image = get_string(r, object, "image");
	p->cgroup = get_string(r, object, "cgroup");
	p->calls = get_u64(object, "calls");
	p->lost = get_u64(object, "lost");
	return viz_intake__named_process(r->intake, index);
}

static int take_array(struct viz_reading *r, struct json_object *object, const char *key,
		      int (*take)(struct viz_reading *r, struct json_object *element))
{
	struct json_object *array;
	size_t i;
	int err = 0;

	if (!json_object_object_get_ex(object, key, &array) ||
	    !json_object_is_type(array, json_type_array))
		return 0;
	for (i = 0; i < json_object_array_length(array) && !err; i++)
		err = take(r, json_object_array_get_idx(array, i));
	return err;
}

static int take_loss(struct viz_reading *r, struct json_object *object)
{
	uint32_t track = viz_intake__track(r->intake, (uint32_t)get_u64(object, "pid"),
					   (uint32_t)get_u64(object, "tid"));

	if (track == UINT32_MAX)
		return -ENOMEM;
	r->trace->tracks[track].lost = get_u64(object, "lost");
	return 0;
}

static int take_vizbpf(struct viz_reading *r, struct json_object *object)
{
	struct viz_trace *trace = r->trace;
	int err;

	trace->version = get_string(r, object, "version");
	trace->command = get_string(r, object, "command");
	trace->host = get_string(r, object, "host");
	trace->kernel = get_string(r, object, "kernel");
	trace->monotonic_zero = get_u64(object, "monotonic_zero");
	trace->begin = get_u64(object, "begin");
	trace->end = get_u64(object, "end");
	trace->lost = get_u64(object, "lost");
	err = take_array(r, object, "processes", take_process);
	return err ? err : take_array(r, object, "losses", take_loss);
}

static void take_viztracer(struct viz_reading *r, struct json_object *object)
{
	struct json_object *value;

	if (json_object_object_get_ex(object, "overflow", &value))
		r->trace->overflow = json_object_get_boolean(value);
	if (json_object_object_get_ex(object, "baseTimeNanoseconds", &value))
		r->trace->realtime_offset = json_object_get_int64(value);
}

int viz_reading__metadata(struct viz_reading *r, const char *key, const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(64);
	struct json_object *object;
	int err = 0;

	if (!tokener || len > INT32_MAX) {
		json_tokener_free(tokener);
		return -ENOMEM;
	}
	object = json_tokener_parse_ex(tokener, text, (int)len);
	if (!json_object_is_type(object, json_type_object))
		viz_warn("%s: byte %llu: %s is not understood and left out", r->path,
			 (unsigned long long)viz_input__offset(&r->input), key);
	else if (!strcmp(key, "vizbpf_metadata"))
		err = take_vizbpf(r, object);
	else
		take_viztracer(r, object);
	json_object_put(object);
	json_tokener_free(tokener);
	return err;
}
