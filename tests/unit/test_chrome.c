/* with: user/output/writer.c user/output/kept.c
 * user/output/chrome.c user/output/chrome_metadata.c user/output/metadata.c user/output/ended.c user/output/perfetto.c
 * user/output/perfetto_packet.c user/output/perfetto_deflate.c user/output/folded.c user/output/svg.c
 * user/output/speedscope.c user/output/html.c user/output/bundle.c user/output/base64.c
 * user/output/spooled.c user/output/spool.c
 * user/output/stacks.c user/output/scratch.c user/output/file.c user/output/create.c user/output/gzip.c
 * user/output/json.c user/output/buffer.c user/output/source_files.c
 * user/output/reader.c user/output/reader_json.c user/output/reader_event.c
 * user/output/reader_metadata.c user/output/reader_perfetto.c user/output/reader_perfetto_event.c
 * user/output/intake.c user/output/names.c
 * user/output/input.c
 * user/trace/model.c user/trace/texts.c user/base/utf8.c user/base/log.c */
/* libs: -ljson-c -lz -ldeflate -lprotobuf-c */
// SPDX-License-Identifier: Apache-2.0
/* Chrome JSON: the exact shapes, and what is written is what is read. */
#include <errno.h>
#include <json-c/json.h>
#include <unistd.h>

#include "tap.h"

#include "round_trip.h"
#include "user/output/perfetto.pb-c.c"

static char path[64];

static char *text_of(const char *name)
{
	FILE *file = fopen(name, "r");
	char *text = calloc(1, 1 << 20);

	if (file) {
		if (!fread(text, 1, (1 << 20) - 1, file))
			text[0] = 0;
		fclose(file);
	}
	return text;
}

static int read_source(void *ctx, uint32_t process, const char *name, char **text, size_t *size)
{
	(void)ctx;
	if (process != 0 || strcmp(name, "/srv/app/x.py"))
		return -ENOENT;
	*text = strdup("def f():\n\tpass # \"\n");
	*size = strlen(*text);
	return 0;
}

static struct viz_writer *open_writer(struct viz_trace *trace)
{
	char why[256];
	struct viz_writer *w =
		viz_writer__new(trace, path, viz_output__open(path, false, why, sizeof(why)));

	w->ops->begin(w);
	return w;
}

static const char shapes[] =
	"{\"traceEvents\":[\n"
	"{\"ph\":\"M\",\"pid\":41,\"tid\":41,\"name\":\"process_name\","
	"\"args\":{\"name\":\"python3 app.py\"}},\n"
	"{\"ph\":\"M\",\"pid\":41,\"tid\":41,\"name\":\"process_labels\","
	"\"args\":{\"labels\":\"container web, pid 7 inside\"}},\n"
	"{\"ph\":\"M\",\"pid\":41,\"tid\":42,\"name\":\"thread_name\","
	"\"args\":{\"name\":\"worker-1\"}},\n"
	"{\"ph\":\"X\",\"pid\":41,\"tid\":42,\"ts\":1739343614.333,\"dur\":3.204,"
	"\"name\":\"Cls.meth (/srv/app/x.py:12)\"},\n"
	"{\"ph\":\"X\",\"pid\":41,\"tid\":42,\"ts\":1739343614.300,\"dur\":0.005,"
	"\"cat\":\"FEE\",\"name\":\"builtins.len\"},\n"
	"{\"ph\":\"X\",\"pid\":41,\"tid\":42,\"ts\":0.000,\"dur\":9.000,"
	"\"name\":\"Cls.meth (/srv/app/x.py:12)\",\"args\":{\"return_value\":\"3\","
	"\"unfinished\":true,\"raised\":true}},\n"
	"{\"ph\":\"i\",\"pid\":41,\"tid\":42,\"ts\":5.000,\"cat\":\"INSTANT\","
	"\"name\":\"lost \\\"3\\\"\",\"s\":\"p\",\"args\":{\"calls\":3}},\n"
	"{\"ph\":\"C\",\"pid\":41,\"tid\":42,\"ts\":6.000,\"name\":\"rss\","
	"\"args\":{\"args\":\"{broken\"}},\n"
	"{\"ph\":\"f\",\"pid\":41,\"tid\":42,\"ts\":7.000,\"cat\":\"flow\",\"name\":\"q\","
	"\"id\":\"0x2a\",\"bp\":\"e\"}\n"
	"],\n\"viztracer_metadata\":{";

static struct viz_trace *one_thread(void)
{
	struct viz_trace *trace = viz_trace__new();

	viz_trace__func(trace, "Cls.meth", "/srv/app/x.py", 12);
	viz_trace__func(trace, "builtins.len", "", 0);
	viz_trace__process(trace, 41);
	viz_trace__track(trace, 0, 42);
	trace->processes[0].name = "python3 app.py";
	trace->processes[0].container = "web";
	trace->processes[0].ns_pid = 7;
	trace->tracks[0].name = "worker-1";
	trace->tracks[0].lost = 3;
	trace->realtime_offset = 1700000000122456789;
	trace->begin = 1000000;
	trace->end = 9000000;
	return trace;
}

/* What stands behind the events. */
static void check_metadata(const char *text)
{
	struct json_object *doc = json_tokener_parse(text), *o;

	ok(doc && json_object_object_get_ex(doc, "viztracer_metadata", &o) &&
		   !strcmp(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			   "{\"version\":\"test\",\"overflow\":false,"
			   "\"baseTimeNanoseconds\":1700000000123456789}"),
	   "viztracer_metadata");
	ok(doc && json_object_object_get_ex(doc, "file_info", &o) &&
		   !strcmp(json_object_to_json_string_ext(
				   o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			   "{\"files\":{\"/srv/app/x.py\":[\"def f():\\n\\tpass # \\\"\\n\",2]},"
			   "\"functions\":{\"Cls.meth "
			   "(/srv/app/x.py:12)\":[\"/srv/app/x.py\",12]}}"),
	   "file_info");
	ok(doc && json_object_object_get_ex(doc, "vizbpf_metadata", &o) &&
		   strstr(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			  "\"calls\":3,\"events\":3,\"lost\":0") &&
		   strstr(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			  "\"losses\":[{\"pid\":41,\"tid\":42,\"name\":\"worker-1\",\"lost\":3}]"),
	   "vizbpf_metadata counts what was written and what was lost");
	ok(o && strstr(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
		       "\"monotonic_zero\":1000000,\"begin\":0,\"end\":8000000"),
	   "times count from the begin of the recording, which is told");
	json_object_put(doc);
}

static void test_shapes(void)
{
	struct viz_trace *trace = one_thread();
	struct viz_event instant = {.type = VIZ_EVENT_INSTANT,
				    .scope = 'p',
				    .ts = 1005000,
				    .name = "lost \"3\"",
				    .args = "{\"calls\":3}"};
	struct viz_event counter = {
		.type = VIZ_EVENT_COUNTER, .ts = 1006000, .name = "rss", .args = "{broken"};
	struct viz_event flow = {.type = VIZ_EVENT_FLOW_END, .ts = 1007000, .name = "q", .id = 42};
	struct viz_call calls[3] = {
		{.begin = 1739344614333, .dur = 3204},
		{.begin = 1739344614300, .dur = 5, .func = 1, .flags = VIZ_CALL_C},
		/* it began before recording did */
		{.begin = 900000, .dur = 109000, .flags = VIZ_CALL_UNFINISHED | VIZ_CALL_RAISED},
	};
	struct viz_writer *w;
	char *text;
	int i;

	w = open_writer(trace);
	viz_writer__sources(w, read_source, NULL);
	for (i = 0; i < 2; i++) { /* what did not change is not said twice */
		w->ops->process(w, 0);
		w->ops->track(w, 0);
	}
	calls[2].args = viz_trace__args(trace, "\"return_value\":\"3\"");
	ok(!w->ops->calls(w, calls, 3), "calls");
	ok(!w->ops->event(w, &instant) && !w->ops->event(w, &counter) && !w->ops->event(w, &flow),
	   "events");
	ok(!w->ops->flush(w) && !w->ops->end(w), "end");
	viz_writer__free(w);
	text = text_of(path);
	ok(!strncmp(text, shapes, strlen(shapes)),
	   "the shapes are those that VizTracer's readers know");
	if (strncmp(text, shapes, strlen(shapes)))
		printf("%s\n", text);
	check_metadata(text);
	free(text);
	unlink(path);
	viz_trace__free(trace);
}

static void test_odd(void)
{
	struct viz_trace *trace = viz_trace__new();
	struct viz_call call = {.begin = 5, .track = 3};
	struct viz_writer *w;
	struct json_object *doc;
	char *text, *name = malloc(200000);
	int i, bad = 0;

	memset(name, '"', 199999);
	name[199999] = 0;
	viz_trace__process(trace, 1);
	viz_trace__track(trace, 0, 1);
	w = open_writer(trace);
	ok(w->ops->calls(w, &call, 1) == -EINVAL, "a track that is not there is refused");
	call.track = 0;
	ok(w->ops->calls(w, &call, 1) == -EINVAL, "a function that is not there is refused");
	viz_trace__func(trace, name, name, 1);
	for (i = 0; i < 20; i++)
		bad += w->ops->calls(w, &call, 1) != 0;
	call.args = viz_trace__args(trace, "\"x\":1},{\"ph\":\"X\"");
	bad += w->ops->calls(w, &call, 1) != 0;
	ok(!bad, "names of any length");
	w->ops->end(w);
	viz_writer__free(w);
	text = text_of(path);
	doc = json_tokener_parse(text);
	ok(doc && strlen(text) > 300000, "are valid JSON");
	ok(!strstr(text, "{\"ph\":\"X\"}"), "args cannot end the event");
	json_object_put(doc);
	free(text);
	free(name);
	unlink(path);
	viz_trace__free(trace);
}

/* At every flush the file is a whole document. */
static void test_flush(void)
{
	struct viz_trace *trace = viz_trace__new();
	struct viz_call call = {.begin = 5};
	struct json_object *doc;
	struct viz_writer *w;
	char command[128], name[128] = "";
	FILE *ls;
	int i, bad = 0;

	viz_trace__func(trace, "f", "/f.py", 1);
	viz_trace__process(trace, 1);
	viz_trace__track(trace, 0, 1);
	w = open_writer(trace);
	snprintf(command, sizeof(command), "ls %s.*.part", path);
	ls = popen(command, "r");
	if (fgets(name, sizeof(name), ls))
		name[strcspn(name, "\n")] = 0;
	pclose(ls);
	for (i = 0; i < 50; i++) {
		doc = json_object_from_file(name);
		bad += !doc;
		json_object_put(doc);
		w->ops->calls(w, &call, 1);
		w->ops->flush(w);
	}
	ok(!bad, "the file is valid at every flush (%d times it is not)", bad);
	viz_writer__free(w);
	ok(access(name, F_OK) < 0, "a writer that is dropped leaves nothing");
	viz_trace__free(trace);
}

static void test_check(void)
{
	ok(!viz_writer__check("a.json") && !viz_writer__check("x/b.pftrace") &&
		   !viz_writer__check("-") && !viz_writer__check("c.speedscope.json"),
	   "suffixes");
	ok(viz_writer__check("a.txt") && strstr(viz_writer__check("a.txt"), ".txt") &&
		   strstr(viz_writer__check("a.txt"), ".json") && viz_writer__check("/dev/shm/x"),
	   "others are named: %s", viz_writer__check("a.txt"));
	ok(viz_writer__gzip("a.gz") && viz_writer__gzip("a.json.gz") && !viz_writer__gzip("a.json"),
	   "gzip");
}

int main(void)
{
	uint64_t seed;
	size_t wrong = 0;

	snprintf(path, sizeof(path), "/tmp/vizbpf-chrome.%d.json", getpid());
	test_shapes();
	test_odd();
	test_flush();
	test_check();
	for (seed = 1; seed <= 30; seed++)
		wrong += round_trip(path, seed, 20, 400, seed % 3 == 0, seed % 2);
	ok(!wrong, "30 random traces are read as they were written (%zu differences)", wrong);
	strcat(path, ".gz");
	wrong = round_trip(path, 99, 50, 3000, 0, 1);
	ok(!wrong, "a compressed one too");
	return tap_done();
}
