/* with: user/output/json.c user/output/buffer.c user/output/names.c user/trace/model.c user/trace/texts.c
 * user/base/utf8.c */
// SPDX-License-Identifier: Apache-2.0
/* Escaping, numbers, and the check of JSON that comes from traced programs. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#include "output/buffer.h"
#include "output/intake.h"
#include "output/json.h"
#include "random_trace.h"

static void test_escape(void)
{
	struct viz_buffer b = {0}, back = {0};
	char text[200], all[300];
	int i, wrong = 0;
	size_t n;

	viz_buffer__quoted(&b, "a\"b\\c\n\t\r\x01\x1f\x7f/\xc3\xa9</script>");
	viz_buffer__add(&b, "", 1);
	ok(!strcmp(b.data, "\"a\\\"b\\\\c\\n\\t\\r\\u0001\\u001f\\u007f/\xc3\xa9</script>\""),
	   "everything that JSON needs is escaped");
	for (i = 1; i < 0x80; i++)
		all[i - 1] = (char)i;
	all[0x7f] = 0;
	for (i = 0; i < 1000; i++) {
		struct json_object *object;
		size_t len = random_below(100);

		for (n = 0; n < len; n++)
			text[n] = (char)(1 + random_below(127));
		text[n] = 0;
		b.len = 0;
		viz_buffer__quoted(&b, i ? text : all);
		viz_buffer__add(&b, "", 1);
		object = json_tokener_parse(b.data);
		wrong += !object || strcmp(json_object_get_string(object), i ? text : all);
		json_object_put(object);
		back.len = 0;
		viz_json__unescape(&back, b.data + 1, strlen(b.data) - 2);
		viz_buffer__add(&back, "", 1);
		wrong += strcmp(back.data, i ? text : all) != 0;
	}
	ok(!wrong, "json-c and our own reader give back what was escaped (%d do not)", wrong);
	viz_buffer__free(&b);
	viz_buffer__free(&back);
}

static void test_unescape(void)
{
	static const char *const cases[][2] = {
		{"\\u00e9", "\xc3\xa9"},
		{"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
		{"\\ud83d", "\xef\xbf\xbd"},
		{"\\ude00x", "\xef\xbf\xbdx"},
		{"\\ud83d\\u0041", "\xef\xbf\xbd"
				   "A"},
		{"\\u0000", "\xef\xbf\xbd"},
		{"\\uFFFF", "\xef\xbf\xbf"},
		{"\\u12", "\xef\xbf\xbd"
			  "12"},
		{"\\/\\b\\f\\q", "/\b\fq"},
		{"end\\", "end"},
	};
	struct viz_buffer b = {0};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b.len = 0;
		viz_json__unescape(&b, cases[i][0], strlen(cases[i][0]));
		viz_buffer__add(&b, "", 1);
		ok(!strcmp(b.data, cases[i][1]), "unescape %s", cases[i][0]);
	}
	viz_buffer__free(&b);
}

static void test_numbers(void)
{
	static const uint64_t edges[] = {0,
					 9,
					 10,
					 99,
					 100,
					 999,
					 1000,
					 9999,
					 10000,
					 99999999,
					 100000000,
					 9999999999999999ULL,
					 10000000000000000ULL,
					 UINT64_MAX};
	char got[VIZ_JSON_NUMBER], want[40];
	int wrong = 0, i;
	uint64_t v;

	for (i = 0; i < 200000; i++) {
		if (i < 14)
			v = edges[i];
		else
			v = ((uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX)) >>
			    random_below(64);
		*viz_json__u64(got, v) = 0;
		snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
		wrong += strcmp(got, want) != 0;
		*viz_json__us(got, v) = 0;
		snprintf(want, sizeof(want), "%llu.%03llu", (unsigned long long)(v / 1000),
			 (unsigned long long)(v % 1000));
		wrong += strcmp(got, want) != 0;
	}
	ok(!wrong, "numbers are printed as printf() does (%d are not)", wrong);
}

static void test_check(void)
{
	static const char *const good[] = {
		"{}",
		" { } ",
		"{\"a\":1}",
		"{\"a\":[1,-2.5e+3,true,false,null,\"x\",{}],\"b\":{\"c\":[]}}",
		"{\"\\u00e9\":\"\\\"\"}",
		"{\"a\":0.5}",
		"{\"a\":-0}",
	};
	static const char *const bad[] = {
		"",
		"1",
		"[]",
		"{",
		"}",
		"{}x",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\":01}",
		"{\"a\":1.}",
		"{\"a\":tru}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":[1,]}",
		"{\"a\":[}",
		"{\"a\":1}}",
		"{\"a\":[1}]",
		"{\"a\":1}],\"b\":[",
		"{\"a\":NaN}",
		"{\"a\":- 1}",
	};
	static const char *const bad_members[] = {"",	      "1",	  "{}",
						  "\"a\"",    "\"a\":1}", "\"a\":1},{\"b\":2",
						  "\"a\":1,", ",\"a\":1", "\"a\":[1,2"};
	char deep[400];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(viz_json__is_object(good[i], strlen(good[i])), "an object: %s", good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!viz_json__is_object(bad[i], strlen(bad[i])), "not an object: %s", bad[i]);
	ok(viz_json__is_members("\"a\":1,\"b\":{\"c\":[2]}", 19), "members");
	for (i = 0; i < sizeof(bad_members) / sizeof(bad_members[0]); i++)
		ok(!viz_json__is_members(bad_members[i], strlen(bad_members[i])), "not members: %s",
		   bad_members[i]);
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	ok(!viz_json__is_object(deep, sizeof(deep)), "nesting without end is refused");
}

/* Texts made of JSON's own pieces: what we take, json-c takes in its strict mode. */
static void test_check_property(void)
{
	static const char *const pieces[] = {"{", "}",	    "[",    "]",    ",", ":",	    "\"a\"",
					     "1", "-2.5e3", "true", "null", " ", "\"\\n\"", "0"};
	struct json_tokener *tokener = json_tokener_new_ex(128);
	int wrong = 0, i, j, taken = 0;
	char text[256];

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	for (i = 0; i < 300000; i++) {
		struct json_object *object;
		int nr = 1 + (int)random_below(8);

		strcpy(text, "{\"a\":");
		for (j = 0; j < nr; j++)
			strcat(text, pieces[random_below(14)]);
		strcat(text, "}");
		if (!viz_json__is_object(text, strlen(text)))
			continue;
		taken++;
		json_tokener_reset(tokener);
		object = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
		if (!object) {
			printf("# taken, but no JSON: %s\n", text);
			wrong++;
		}
		json_object_put(object);
	}
	json_tokener_free(tokener);
	ok(taken > 1000 && !wrong, "what is taken for an object is one (%d of %d are not)", wrong,
	   taken);
}

int main(void)
{
	random_seed(7);
	test_escape();
	test_unescape();
	test_numbers();
	test_check();
	test_check_property();
	return tap_done();
}
