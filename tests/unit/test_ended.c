/* with: user/output/metadata.c user/output/ended.c user/output/scratch.c user/output/buffer.c
 * user/output/json.c user/trace/model.c user/trace/texts.c user/base/utf8.c */
/* libs: -ljson-c */
// SPDX-License-Identifier: Apache-2.0
/* What the metadata says of processes that have ended. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "../../user/output/ended.h"
#include "../../user/output/metadata.h"
#include "tap.h"

static struct json_object *metadata(const struct viz_trace *trace)
{
	struct viz_buffer b = {0};
	struct json_object *object;

	viz_metadata__vizbpf(&b, trace, 0, 0, 0);
	viz_buffer__add(&b, "", 1);
	object = json_tokener_parse(b.data);
	viz_buffer__free(&b);
	return object;
}

static size_t length(struct json_object *object, const char *key)
{
	return json_object_array_length(json_object_object_get(object, key));
}

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(json_object_object_get(object, key));
}

static bool end_one(struct viz_trace *trace, uint32_t pid)
{
	bool good;

	uint32_t process = viz_trace__process(trace, pid);
	uint32_t track = viz_trace__track(trace, process, pid);

	viz_trace__set(trace, &trace->processes[process].name, "python3 \"x\".py");
	trace->tracks[track].lost = pid % 2;
	trace->tracks[track].calls = pid;
	good = !viz_ended__track(trace->ended, &trace->tracks[track]);
	viz_trace__end_track(trace, track);
	trace->processes[process].calls = trace->processes[process].ended_calls;
	good &= !viz_ended__process(trace->ended, &trace->processes[process]);
	viz_trace__end_process(trace, process);
	return good;
}

int main(void)
{
	struct viz_trace *trace = viz_trace__new();
	struct json_object *object, *first;
	bool good = true;

	trace->ended = viz_ended__new();
	viz_trace__process(trace, 1);
	object = metadata(trace);
	ok(length(object, "processes") == 1 && length(object, "losses") == 0, "nobody has ended");
	json_object_put(object);
	for (uint32_t pid = 10; pid < 15; pid++)
		good &= end_one(trace, pid);
	object = metadata(trace);
	ok(length(object, "processes") == 6, "five have ended, one is there");
	ok(length(object, "losses") == 2, "two have lost calls");
	first = json_object_array_get_idx(json_object_object_get(object, "processes"), 1);
	ok(number(first, "pid") == 10 && number(first, "calls") == 10 &&
		   !strcmp(json_object_get_string(json_object_object_get(first, "name")),
			   "python3 \"x\".py"),
	   "an entry says what it said");
	json_object_put(object);
	for (uint32_t pid = 100; pid < 3100; pid++)
		good &= end_one(trace, pid);
	object = metadata(trace);
	ok(length(object, "processes") == 1 && number(object, "processes_left_out") == 3005,
	   "what is written with every flush does not grow without end");
	json_object_put(object);
	viz_ended__complete(trace->ended);
	object = metadata(trace);
	ok(length(object, "processes") == 3006 && length(object, "losses") == 1502 &&
		   !json_object_object_get(object, "processes_left_out"),
	   "in the end all are there");
	json_object_put(object);
	ok(good, "all were written down");
	viz_ended__free(trace->ended);
	viz_ended__free(NULL);
	viz_trace__free(trace);
	return tap_done();
}
