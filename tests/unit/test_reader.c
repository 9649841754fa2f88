/* with: user/output/reader.c user/output/reader_json.c user/output/reader_event.c
 * user/output/reader_metadata.c user/output/reader_perfetto.c user/output/reader_perfetto_event.c
 * user/output/intake.c user/output/names.c
 * user/output/input.c user/output/json.c user/output/buffer.c
 * user/trace/model.c user/trace/texts.c user/base/utf8.c user/base/log.c */
/* libs: -ljson-c -lz */
// SPDX-License-Identifier: Apache-2.0
/* Reading what other tools write, and what is broken. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "tap.h"

#include "base/log.h"
#include "output/reader.h"

static char path[64], why[256];

/* All calls and events as lines of text. */
struct seen {
	struct viz_trace *trace;
	char *text;
	int batches, fail_at;
};

static void add(struct seen *s, const char *line)
{
	size_t len = s->text ? strlen(s->text) : 0;

	s->text = realloc(s->text, len + strlen(line) + 1);
	strcpy(s->text + len, line);
}

static int see_calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct seen *s = ctx;
	char line[512];
	size_t i;

	if (++s->batches == s->fail_at)
		return -EDOM;
	for (i = 0; i < nr; i++) {
		const struct viz_call *c = &calls[i];
		const struct viz_func *f = &s->trace->funcs[c->func];

		snprintf(line, sizeof(line), "%u.%u %llu+%llu %s|%s|%u %u%s%s\n",
			 s->trace->tracks[c->track].pid, s->trace->tracks[c->track].tid,
			 (unsigned long long)c->begin, (unsigned long long)c->dur, f->name, f->file,
			 f->line, c->flags, c->args ? " " : "",
			 c->args ? s->trace->args[c->args - 1] : "");
		add(s, line);
	}
	return 0;
}

static int see_event(void *ctx, const struct viz_event *e)
{
	struct seen *s = ctx;
	char line[512];

	snprintf(line, sizeof(line), "event %d %llu+%llu %s %s %llu %s\n", e->type,
		 (unsigned long long)e->ts, (unsigned long long)e->dur, e->name,
		 e->cat ? e->cat : "-", (unsigned long long)e->id, e->args ? e->args : "-");
	add(s, line);
	return 0;
}

static struct viz_trace *last; /* of the test before */

static int read_bytes(const void *data, size_t size, bool events, char **text, int fail_at)
{
	struct seen s = {.fail_at = fail_at};
	struct viz_reader_sink sink = {.calls = see_calls, .ctx = &s};
	FILE *file = fopen(path, "wb");
	int err;

	fwrite(data, 1, size, file);
	fclose(file);
	viz_trace__free(last);
	s.trace = last = viz_trace__new();
	if (events)
		sink.event = see_event;
	err = viz_reader__read(path, s.trace, &sink, why, sizeof(why));
	*text = s.text ? s.text : strdup("");
	return err;
}

/* @json gives @want, and the error @err with @message in it. */
static void reads(const char *json, const char *want, int err, const char *message)
{
	char *text;
	int got = read_bytes(json, strlen(json), true, &text, 0);

	ok(got == err && !strcmp(text, want) && (!err || strstr(why, message)), "%.60s: %s", json,
	   err ? why : "read");
	if (got != err || strcmp(text, want) || (err && !strstr(why, message)))
		printf("# error %d, want %d, why %s (want %s)\n# got:  %s\n# want: %s\n", got, err,
		       why, message ? message : "", text, want);
	free(text);
}

#define X(ts, dur, name)                                                                           \
	"{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":" ts ",\"dur\":" dur ",\"name\":\"" name "\"}"

static void test_forms(void)
{
	reads("[]", "", 0, NULL);
	reads("{}", "", -EBADMSG, "byte 2: this is no trace: no \"traceEvents\" in it");
	reads("{\"nodes\":[1,2]}", "", -EBADMSG, "byte 15: this is no trace");
	reads(" \n { \"traceEvents\" : [ ] , \"x\" : [1,{\"a\":\"]}\"}] } ", "", 0, NULL);
	reads("[" X("1", "2", "f (/a.py:3)") "]", "1.2 1000+2000 f|/a.py|3 0\n", 0, NULL);
	reads("[" X("1", "2", "f") ",\n]", "1.2 1000+2000 f||0 0\n", 0, NULL);
	reads("[" X("1", "2", "f") ",\n", "1.2 1000+2000 f||0 0\n", 0, NULL);
	reads("{\"other\":{\"deep\":[[[\"\\\"]\"]]]},\"traceEvents\":[" X("1.5", "0.001",
									  "a.b") "]}",
	      "1.2 1500+1 a.b||0 0\n", 0, NULL);
	/* members in any order, and unknown ones */
	reads("[{\"name\":\"f\",\"x\":{\"y\":[1,\"}\"]},\"dur\":1,\"ts\":2,\"tid\":3,\"pid\":4,"
	      "\"ph\":\"X\"}]",
	      "4.3 2000+1000 f||0 0\n", 0, NULL);
	reads("[{\"ph\":\"X\",\"pid\":\"1\",\"tid\":\"2\",\"ts\":\"1\",\"dur\":1,\"name\":\"f\"}]",
	      "1.2 1000+1000 f||0 0\n", 0, NULL);
}

static void test_times(void)
{
	reads("[" X("1739344614.333", "3.204", "f") "]", "1.2 1739344614333+3204 f||0 0\n", 0,
	      NULL);
	reads("[" X("1.0004999", "1.0005", "f") "]", "1.2 1000+1001 f||0 0\n", 0, NULL);
	reads("[" X("1e3", "2.5E-1", "f") "]", "1.2 1000000+250 f||0 0\n", 0, NULL);
	reads("[" X("6285683.5070000002", "1", "f") "]", "1.2 6285683507+1000 f||0 0\n", 0, NULL);
	reads("[" X("-5", "1", "f") "]", "", 0, NULL);
	reads("[" X("null", "1", "f") "]", "", 0, NULL);
	reads("[" X("99999999999999999999999999", "1", "f") "]", "", 0, NULL);
}

static void test_names(void)
{
	reads("[" X("1", "1", "a \\\"b\\\" (/c (d)/e:f.py:12)") "]",
	      "1.2 1000+1000 a \"b\"|/c (d)/e:f.py|12 0\n", 0, NULL);
	reads("[" X("1", "1", "f (x)") "]", "1.2 1000+1000 f (x)||0 0\n", 0, NULL);
	reads("[" X("1", "1", "f (:3)") "]", "1.2 1000+1000 f (:3)||0 0\n", 0, NULL);
	reads("[" X("1", "1", "f (/a:99999999999)") "]", "1.2 1000+1000 f (/a:99999999999)||0 0\n",
	      0, NULL);
	reads("[" X("1", "1", "\\u00e9\\ud83d\\ude00\\ud83d") "]",
	      "1.2 1000+1000 \xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd||0 0\n", 0, NULL);
}

static void test_order(void)
{
	/* by completion, as VizTracer and we write */
	reads("[" X("2", "1", "c") "," X("4", "1", "d") "," X("1", "9", "p") "]",
	      "1.2 2000+1000 c||0 0\n1.2 4000+1000 d||0 0\n1.2 1000+9000 p||0 0\n", 0, NULL);
	/* by beginning */
	reads("[" X("1", "9", "p") "," X("2", "1", "c") "," X("4", "1", "d") "]",
	      "1.2 2000+1000 c||0 0\n1.2 4000+1000 d||0 0\n1.2 1000+9000 p||0 0\n", 0, NULL);
	/* begins and ends; the last is still open when the trace ends */
	reads("[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":1,\"name\":\"p\",\"args\":{\"a\":1}},"
	      "{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"c\"},"
	      "{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":3},"
	      "{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":4,\"args\":{\"b\":2}},"
	      "{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":5},"
	      "{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":6,\"name\":\"o\"},"
	      "{\"ph\":\"i\",\"pid\":1,\"tid\":2,\"ts\":8,\"name\":\"now\",\"s\":\"t\"}]",
	      "event 0 8000+0 now - 14695981039346656037 -\n"
	      "1.2 2000+1000 c||0 0\n1.2 1000+3000 p||0 0 \"a\":1,\"b\":2\n1.2 6000+2000 o||0 1\n",
	      0, NULL);
}

static void test_kinds(void)
{
	char *text;

	reads("[{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":1,\"dur\":1,\"cat\":\"fee\",\"name\":"
	      "\"list.append\","
	      "\"args\":{\"unfinished\":true,\"raised\":true,\"running\":false,\"x\":[1,{\"y\":\"}"
	      "\"}],\"z\":2}}]",
	      "1.2 1000+1000 list.append||0 69 \"running\":false,\"x\":[1,{\"y\":\"}\"}],\"z\":2\n",
	      0, NULL);
	reads("[{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":1,\"dur\":1,\"cat\":\"gpu\",\"name\":"
	      "\"k\",\"args\":{\"a\":1}},"
	      "{\"ph\":\"C\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"n\",\"args\":{\"v\":3}},"
	      "{\"ph\":\"s\",\"pid\":1,\"tid\":2,\"ts\":3,\"name\":\"q\",\"id\":\"0x2a\",\"cat\":"
	      "\"c\"},"
	      "{\"ph\":\"b\",\"pid\":1,\"tid\":2,\"ts\":4,\"name\":\"r\",\"id\":7},"
	      "{\"ph\":\"?\",\"pid\":1,\"tid\":2,\"ts\":4,\"name\":\"r\",\"id\":7},{\"no\":1}]",
	      "event 2 1000+1000 k gpu 14695981039346656037 {\"a\":1}\n"
	      "event 1 2000+0 n - 14695981039346656037 {\"v\":3}\n"
	      "event 5 3000+0 q c 42 -\nevent 3 4000+0 r - 7 -\n",
	      0, NULL);
	ok(!read_bytes("[{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":1,\"dur\":1,\"cat\":\"gpu\","
		       "\"name\":\"k\"}]",
		       66, false, &text, 0) &&
		   !strcmp(text, "1.2 1000+1000 k||0 0\n"),
	   "where only calls are wanted, all slices are calls");
	free(text);
	ok(read_bytes("[" X("1", "1", "f") "]", strlen("[" X("1", "1", "f") "]"), false, &text,
		      1) == -EDOM,
	   "what the sink returns is returned");
	free(text);
}

static void test_facts(void)
{
	char *text;
	static const char json[] =
		"{\"traceEvents\":[{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"process_name\","
		"\"args\":{\"name\":\"app \\\"x\\\"\"}},{\"ph\":\"M\",\"pid\":1,\"tid\":2,"
		"\"name\":\"thread_name\",\"args\":{\"name\":\"w\"}}],"
		"\"viztracer_metadata\":{\"version\":\"1.1.1\",\"overflow\":true,"
		"\"baseTimeNanoseconds\":1700000000123456789},"
		"\"file_info\":{\"files\":{\"/a\":[\"]}\\\\\\\"\",3]}},"
		"\"vizbpf_metadata\":{\"begin\":5,\"end\":9,\"lost\":4,\"kernel\":\"6.1\","
		"\"processes\":[{\"pid\":1,\"python\":\"3.11.2\",\"engine\":\"eval\",\"lost\":4},7]"
		","
		"\"losses\":[{\"pid\":1,\"tid\":2,\"lost\":4}]}}";

	ok(!read_bytes(json, strlen(json), true, &text, 0), "a document with metadata (%s)", why);
	free(text);
	ok(last->nr_processes >= 1 && !strcmp(last->processes[0].name, "app \"x\"") &&
		   !strcmp(last->processes[0].python, "3.11.2") &&
		   !strcmp(last->processes[0].engine, "eval") && last->processes[0].lost == 4,
	   "names and facts of processes");
	ok(last->nr_tracks == 1 && !strcmp(last->tracks[0].name, "w") && last->tracks[0].lost == 4,
	   "and of threads");
	ok(last->overflow && last->realtime_offset == 1700000000123456789 && last->begin == 5 &&
		   last->end == 9 && last->lost == 4 && !strcmp(last->kernel, "6.1"),
	   "and of the trace");
}

static void test_broken(void)
{
	char big[70000], *text;
	unsigned char packed[512];
	z_stream z = {0};
	size_t nr;

	reads("", "", -EBADMSG, "empty");
	reads("   ", "", -EBADMSG, "empty");
	reads("hello", "", -EBADMSG, "byte 0: ");
	reads("[1]", "", -EBADMSG, "byte 1: expected an event");
	reads("{\"traceEvents\":7}", "", -EBADMSG, "byte 15: expected '['");
	reads("{\"a\" 7}", "", -EBADMSG, "byte 5: expected ':'");
	reads("{7}", "", -EBADMSG, "byte 1: expected '\"'");
	reads("{\"a\":1", "", -EBADMSG, "ends in the middle");
	reads("[" X("1", "1", "f") " " X("2", "1", "g") "]", "1.2 1000+1000 f||0 0\n", -EBADMSG,
	      "byte 54: expected ',' or ']'");
	reads("[" X("1", "1", "f") ",{\"ph\" 1}]", "1.2 1000+1000 f||0 0\n", -EBADMSG,
	      "byte 60: broken");
	reads("[" X("1", "1", "f") ",{\"ph\":\"X\",\"pid", "1.2 1000+1000 f||0 0\n", -EBADMSG,
	      "byte 68: the file ends in the middle");
	reads("{\"traceEvents\":[" X("1", "1", "f") "]", "1.2 1000+1000 f||0 0\n", -EBADMSG,
	      "ends in the middle");
	reads("{\"traceEvents\":[{\"ph\":}]}", "", -EBADMSG, "byte 22: broken event");
	memset(big, '[', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	reads(big, "", -EBADMSG, "byte 1: expected an event");
	/* compressed, and cut short */
	deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	for (nr = 0; nr < 1000; nr++)
		snprintf(big + nr * 64, 66, "%c%-63s", nr ? ',' : '[', X("1", "1", "f"));
	z.next_in = (unsigned char *)big;
	z.avail_in = 64000;
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	deflate(&z, Z_SYNC_FLUSH);
	nr = sizeof(packed) - z.avail_out;
	deflateEnd(&z);
	ok(read_bytes(packed, nr, true, &text, 0) < 0 && strstr(why, "byte") &&
		   !strncmp(text, "1.2 1000+1000 f", 15),
	   "compressed and cut short: %s", why);
	free(text);
	ok(viz_reader__read("/nonexistent", last, &(struct viz_reader_sink){0}, why, sizeof(why)) ==
			   -ENOENT &&
		   strstr(why, "/nonexistent"),
	   "no such file: %s", why);
}

/* Larger than any window: events of all sizes, across its borders. */
static void test_long(void)
{
	struct seen s = {0};
	struct viz_reader_sink sink = {.calls = see_calls, .ctx = &s};
	FILE *file = fopen(path, "w");
	size_t lines = 0, i;
	char *p;

	fputs("[", file);
	for (i = 0; i < 20000; i++)
		fprintf(file,
			"%s{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":%zu,\"dur\":1,\"name\":\"f\","
			"\"x\":\"%*s\"}",
			i ? "," : "", i * 2, (int)(i * i % 3001), "");
	fprintf(file, ",{\"x\":\"%*s\"}]", 3000000, "");
	fclose(file);
	viz_trace__free(last);
	s.trace = last = viz_trace__new();
	ok(!viz_reader__read(path, s.trace, &sink, why, sizeof(why)), "30 MB of events (%s)", why);
	for (p = s.text; p && (p = strchr(p, '\n')); p++)
		lines++;
	ok(lines == 20000, "all of them are seen");
	free(s.text);
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/vizbpf-reader.%d.json", getpid());
	viz_log_quiet = 1;
	test_forms();
	test_times();
	test_names();
	test_order();
	test_kinds();
	test_facts();
	test_broken();
	test_long();
	viz_trace__free(last);
	unlink(path);
	return tap_done();
}
