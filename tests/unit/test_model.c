/* with: user/trace/model.c user/trace/texts.c user/base/utf8.c */
// SPDX-License-Identifier: Apache-2.0
/* The tables of a trace, and UTF-8. */
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#include "base/utf8.h"
#include "trace/model.h"

static void test_funcs(void)
{
	struct viz_trace *trace = viz_trace__new();
	char name[64];
	uint32_t i, index, wrong = 0;

	index = viz_trace__func(trace, "f", "/a.py", 3);
	ok(index == 0, "the first function has index 0");
	ok(viz_trace__func(trace, "f", "/a.py", 3) == 0, "it is found again");
	ok(viz_trace__func(trace, "f", "/a.py", 4) == 1, "another line is another function");
	ok(viz_trace__func(trace, "f", "/b.py", 3) == 2, "another file is another function");
	ok(viz_trace__func(trace, "f/", "a.py", 3) == 3, "names do not run into files");
	ok(viz_trace__func(trace, "f", "", 0) == 4, "no file is fine");
	for (i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		viz_trace__func(trace, name, "/a.py", i);
	}
	for (i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "name%u", i);
		index = viz_trace__func(trace, name, "/a.py", i);
		wrong += index != 5 + i || strcmp(trace->funcs[index].name, name) ||
			 trace->funcs[index].line != i;
	}
	ok(!wrong, "100000 functions are found again (%u are not)", wrong);
	ok(trace->nr_funcs == 100005, "and none is there twice");
	viz_trace__free(trace);
}

static void test_text(void)
{
	struct viz_trace *trace = viz_trace__new();
	char *big = malloc(1 << 20);
	uint32_t index;

	index = viz_trace__func(trace, "a\xff\xc3", "/\xed\xa0\x80.py", 1);
	ok(!strcmp(trace->funcs[index].name, "a\xef\xbf\xbd\xef\xbf\xbd"),
	   "bytes that are not UTF-8 are replaced in a name");
	ok(!strcmp(trace->funcs[index].file, "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.py"),
	   "and half of a surrogate pair in a file");
	memset(big, 'x', (1 << 20) - 1);
	big[(1 << 20) - 1] = 0;
	index = viz_trace__func(trace, big, big, 1);
	ok(strlen(trace->funcs[index].name) == 4096, "an endless name is cut");
	big[4095] = '\xc3';
	big[4096] = '\xa9';
	index = viz_trace__func(trace, big, "", 1);
	ok(strlen(trace->funcs[index].name) == 4095, "but not in the middle of a character");
	ok(viz_trace__string(trace, NULL) == NULL, "no string stays none");
	ok(!strcmp(viz_trace__string(trace, "\x80"), "\xef\xbf\xbd"), "a string is repaired");
	ok(!strcmp(viz_trace__string(trace, big), big), "a long string is kept");
	free(big);
	viz_trace__free(trace);
}

static void test_tables(void)
{
	struct viz_trace *trace = viz_trace__new();
	uint32_t i, bad = 0;

	ok(viz_trace__track(trace, 0, 1) == UINT32_MAX, "a track needs a process");
	for (i = 0; i < 1000; i++)
		bad += viz_trace__process(trace, 100 + i) != i;
	for (i = 0; i < 5000; i++)
		bad += viz_trace__track(trace, i % 1000, i) != i || trace->tracks[i].lost ||
		       trace->tracks[i].pid != 100 + i % 1000;
	ok(!bad, "processes and tracks are counted through");
	ok(viz_trace__args(trace, "\"a\":1") == 1, "args start at 1");
	ok(!strcmp(trace->args[0], "\"a\":1"), "and are kept");
	for (i = 0; i < 100000; i++) {
		bad += viz_trace__args(trace, "\"value\":\"0123456789\"") == 0;
		if (i % 1000 == 999)
			viz_trace__forget_args(trace);
	}
	ok(!bad && trace->nr_args == 0, "args are forgotten");
	viz_trace__free(trace);
	viz_trace__free(NULL);
}

/* What has ended leaves its place to others, and takes its texts with it. */
static void test_ends(void)
{
	struct viz_trace *trace = viz_trace__new();
	uint32_t parent = viz_trace__process(trace, 7), child, track, id, i, bad = 0;
	const char *name;

	viz_trace__set(trace, &trace->processes[parent].name, "python3 app.py");
	trace->processes[parent].limits = "of the program, not of the trace";
	name = trace->processes[parent].name;
	child = viz_trace__process(trace, 8);
	viz_trace__like(trace, child, parent);
	ok(trace->processes[child].name == name && trace->processes[child].pid == 8 &&
		   trace->processes[child].id == 1,
	   "a child is like its parent, but for its number");
	track = viz_trace__track(trace, child, 8);
	trace->tracks[track].calls = 3;
	viz_trace__end_track(trace, track);
	viz_trace__sum_calls(trace);
	ok(trace->processes[child].calls == 3, "the calls of a track that has ended count");
	viz_trace__end_process(trace, child);
	ok(!strcmp(trace->processes[parent].name, "python3 app.py"),
	   "a text stays while somebody has it");
	ok(trace->processes[child].hidden && trace->tracks[track].gone,
	   "what has ended is not to be seen");
	id = trace->processes[child].id;
	for (i = 0; i < 10000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "process %u", i);
		bad += viz_trace__process(trace, 100 + i) != child;
		bad += !viz_trace__set(trace, &trace->processes[child].name, text);
		bad += trace->processes[child].id != 2 + i || trace->processes[child].calls;
		bad += viz_trace__track(trace, child, i) != track || trace->tracks[track].gone;
		bad += !viz_trace__set(trace, &trace->tracks[track].name, text);
		bad += strcmp(trace->tracks[track].name, text) != 0;
		viz_trace__end_track(trace, track);
		viz_trace__end_process(trace, child);
	}
	ok(!bad && trace->nr_processes == 2 && trace->nr_tracks == 1,
	   "10,000 one after another share one place, each with a number of its own (not %u)", id);
	viz_trace__free(trace);
}

static void test_utf8(void)
{
	static const char *const good[] = {"",
					   "abc",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf",
					   "abcdefgh\xc3\xa9ijklmnop"};
	static const char *const bad[] = {
		"\x80",		"\xc0\xaf",	    "\xc1\xbf",		"\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xff",		"abcdefgh\xc3",	    "\xe2\x82"};
	char out[8];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(viz_utf8__valid(good[i], strlen(good[i])), "good UTF-8 %zu", i);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!viz_utf8__valid(bad[i], strlen(bad[i])), "bad UTF-8 %zu", i);
	ok(!viz_utf8__valid("abcdefg\0", 8), "NUL is no character");
	ok(viz_utf8__clean(out, sizeof(out), "12345\xc3\xa9z", 8) == 7, "cleaning fills the room");
	ok(viz_utf8__clean(out, sizeof(out), "123456\xc3\xa9", 8) == 6, "but whole characters");
	ok(viz_utf8__clean(out, 0, "1", 1) == 0, "no room is fine");
}

int main(void)
{
	test_funcs();
	test_text();
	test_tables();
	test_ends();
	test_utf8();
	return tap_done();
}
