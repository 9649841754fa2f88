// SPDX-License-Identifier: Apache-2.0
#include "metadata.h"

#include <json-c/json.h>

#include "ended.h"

static void add_string(struct json_object *object, const char *key, const char *value)
{
	if (value)
		json_object_object_add(object, key, json_object_new_string(value));
}

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

struct json_object *viz_metadata__process(const struct viz_process *p)
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

struct json_object *viz_metadata__loss(const struct viz_track *t)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "pid", t->pid);
	add_number(object, "tid", t->tid);
	add_string(object, "name", t->name);
	add_number(object, "lost", t->lost);
	return object;
}

/* Who is there, and who has ended. */
static void add_lists(struct json_object *object, const struct viz_trace *trace)
{
	struct json_object *processes = json_object_new_array(), *losses = json_object_new_array();
	uint64_t missing;
	uint32_t i;

	for (i = 0; i < trace->nr_processes; i++)
		if (!trace->processes[i].hidden)
			json_object_array_add(processes,
					      viz_metadata__process(&trace->processes[i]));
	for (i = 0; i < trace->nr_tracks; i++)
		if (trace->tracks[i].lost)
			json_object_array_add(losses, viz_metadata__loss(&trace->tracks[i]));
	missing = viz_ended__list_processes(trace->ended, processes);
	if (missing)
		add_number(object, "processes_left_out", missing);
	missing = viz_ended__list_losses(trace->ended, losses);
	if (missing)
		add_number(object, "losses_left_out", missing);
	json_object_object_add(object, "processes", processes);
	json_object_object_add(object, "losses", losses);
}

void viz_metadata__object(struct viz_buffer *b, struct json_object *object)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	viz_buffer__add(b, text ? text : "{}", text ? len : 2);
	json_object_put(object);
}

void viz_metadata__vizbpf(struct viz_buffer *b, const struct viz_trace *trace, uint64_t zero,
			  uint64_t calls, uint64_t events)
{
	struct json_object *object = json_object_new_object();

	add_string(object, "version", trace->version);
	add_string(object, "command", trace->command);
	add_string(object, "host", trace->host);
	add_string(object, "kernel", trace->kernel);
	if (trace->monotonic_zero + zero)
		add_number(object, "monotonic_zero", trace->monotonic_zero + zero);
	add_number(object, "begin", trace->begin > zero ? trace->begin - zero : 0);
	add_number(object, "end", trace->end > zero ? trace->end - zero : 0);
	add_number(object, "calls", calls);
	add_number(object, "events", events);
	add_number(object, "lost", trace->lost);
	add_lists(object, trace);
	viz_metadata__object(b, object);
}

void viz_metadata__viztracer(struct viz_buffer *b, const struct viz_trace *trace, uint64_t zero)
{
	struct json_object *object = json_object_new_object();

	add_string(object, "version", trace->version ? trace->version : VIZ_VERSION);
	json_object_object_add(object, "overflow", json_object_new_boolean(trace->overflow));
	json_object_object_add(object, "baseTimeNanoseconds",
			       json_object_new_int64(trace->realtime_offset + (int64_t)zero));
	viz_metadata__object(b, object);
}
