/* with: user/base/text.c */
/* libs: */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static int tests, failed;

static void same(const char *got, const char *want, const char *what)
{
	int ok = !strcmp(got, want);

	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	if (!ok)
		printf("# got '%s', want '%s'\n", got, want);
	failed += !ok;
}

static void check(int ok, const char *what)
{
	same(ok ? "yes" : "no", "yes", what);
}

static void test_safe(void)
{
	char out[64];

	viz_text__safe(out, sizeof(out), "plain äöü 日本");
	same(out, "plain äöü 日本", "harmless text stays");
	viz_text__safe(out, sizeof(out), "a\033[31mb\a\n");
	same(out, "a\\x1b[31mb\\x07\\x0a", "escape sequences are shown");
	viz_text__safe(out, sizeof(out),
		       "\xc2\x9b"
		       "31m");
	same(out, "\\x9b31m", "the C1 control CSI is shown");
	viz_text__safe(out, sizeof(out), "\x9b\xff\xc3");
	same(out, "\\x9b\\xff\\xc3", "bytes that are not UTF-8 are shown");
	viz_text__safe(out, sizeof(out), "\xed\xa0\x80\xc0\xaf");
	same(out, "\\xed\\xa0\\x80\\xc0\\xaf", "surrogates and overlong forms are not UTF-8");
	viz_text__safe(out, sizeof(out), "a\u202eb\u200bc");
	same(out, "a\\u{202e}b\\u{200b}c", "bidirectional and zero-width characters are shown");
	viz_text__safe(out, 5, "abäöü");
	same(out, "abä", "cut at a whole character");
	viz_text__safe(out, 4, "ab\n");
	same(out, "ab", "an escape is not cut in two");
	check(viz_text__safe(out, 0, "x") == 0, "no room at all");
}

/* Whatever comes in, nothing that a terminal acts on comes out. */
static void test_safe_random(void)
{
	int round, bad = 0;

	srand(7);
	for (round = 0; round < 20000; round++) {
		char in[40], out[200], fit[80];
		size_t i, len = (size_t)rand() % (sizeof(in) - 1);

		for (i = 0; i < len; i++)
			in[i] = (char)(1 + rand() % 255);
		in[len] = 0;
		viz_text__safe(out, sizeof(out), in);
		for (i = 0; out[i]; i++)
			if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f ||
			    ((unsigned char)out[i] == 0xc2 && (unsigned char)out[i + 1] < 0xa0))
				bad++;
		viz_text__fit(fit, sizeof(fit), in, 10, rand() & 1, true);
		if (viz_text__columns(fit) != 10)
			bad++;
	}
	check(!bad, "20000 random strings come out safe, and fitted ones have their width");
}

static void test_fit(void)
{
	char out[64];

	viz_text__fit(out, sizeof(out), "short", 8, false, true);
	same(out, "short   ", "padded");
	viz_text__fit(out, sizeof(out), "a long name", 8, false, false);
	same(out, "a long ~", "the beginning is kept");
	viz_text__fit(out, sizeof(out), "/srv/app/module.py", 10, true, false);
	same(out, "~module.py", "the end is kept");
	viz_text__fit(out, sizeof(out), "日本語日本語", 7, false, true);
	same(out, "日本語~", "wide characters count twice");
	viz_text__fit(out, sizeof(out), "exact", 5, false, false);
	same(out, "exact", "what just fits is not cut");
	viz_text__fit(out, sizeof(out), "x", 0, true, true);
	same(out, "", "no columns");
}

static void test_figures(void)
{
	static const struct {
		unsigned long long ns;
		const char *text;
	} durations[] = {
		{0, "0 ns"},	       {999, "999 ns"},	       {1000, "1.00 us"},
		{12345, "12.3 us"},    {999499, "999 us"},     {999600, "1.00 ms"},
		{45600000, "45.6 ms"}, {1234000000, "1.23 s"}, {3600000000000ull, "3600 s"},
	};
	static const struct {
		unsigned long long n;
		const char *text;
	} counts[] = {{0, "0"},
		      {999, "999"},
		      {1000, "1,000"},
		      {1234567, "1,234,567"},
		      {18446744073709551615ull, "18,446,744,073,709,551,615"}};
	char out[64];
	size_t i;

	for (i = 0; i < sizeof(durations) / sizeof(*durations); i++)
		same(viz_text__duration(out, sizeof(out), durations[i].ns), durations[i].text,
		     "duration");
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		same(viz_text__count(out, sizeof(out), counts[i].n), counts[i].text, "count");
}

static void test_json(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	viz_text__json(f, "a\"b\\c\n\033\x7f\xc2\x9b\xff\u202eä\U000e0041");
	fclose(f);
	same(text, "\"a\\\"b\\\\c\\u000a\\u001b\\u007f\\u009b\\ufffd\\u202eä\\udb40\\udc41\"",
	     "a JSON string");
	free(text);
}

int main(void)
{
	test_safe();
	test_safe_random();
	test_fit();
	test_figures();
	test_json();
	printf("1..%d\n", tests);
	return failed != 0;
}
