/* with: user/command/http.c */
/* libs: */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/http.h"

static int tests, failed;
static struct viz_http_request request;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

/* In memory of exactly that size, so that reading past it is seen. */
static int parse(const char *text, size_t size)
{
	char *copy = malloc(size ? size : 1);
	int result;

	memcpy(copy, text, size);
	result = viz_http__parse(copy, size, &request);
	free(copy);
	return result;
}

static void status(const char *text, int want, const char *what)
{
	int got = parse(text, strlen(text));

	check(got == want, what);
	if (got != want)
		printf("# got %d, want %d\n", got, want);
}

static void test_good(void)
{
	const char *get = "GET /abc/trace.json?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n"
			  "Origin:  https://ui.perfetto.dev \r\nAccept: */*\r\n\r\n";
	size_t i, bad = 0;

	check(parse(get, strlen(get)) == (int)strlen(get), "a request is read");
	check(!request.head && !strcmp(request.path, "/abc/trace.json"), "the query is left out");
	check(!strcmp(request.host, "127.0.0.1:9001"), "host");
	check(!strcmp(request.origin, "https://ui.perfetto.dev"),
	      "blanks around values are left out");
	for (i = 0; i < strlen(get); i++)
		bad += parse(get, i) != 0;
	check(!bad, "every beginning of it asks for more");
	check(parse("HEAD / HTTP/1.0\r\n\r\n", 19) == 19 && request.head, "HEAD");
	check(parse("GET / HTTP/1.1\r\n\r\nGET /", 23) == 18, "what follows is not looked at");
}

static void test_bad(void)
{
	char large[VIZ_HTTP_REQUEST_MAX + 100];

	status("POST / HTTP/1.1\r\n\r\n", -405, "POST");
	status("OPTIONS / HTTP/1.1\r\n\r\n", -405, "OPTIONS");
	status("GETX / HTTP/1.1\r\n\r\n", -405, "an unknown method");
	status("GET / HTTP/2.0\r\n\r\n", -505, "another version");
	status("GET /\r\n\r\n", -400, "no version");
	status("GET\r\n\r\n", -400, "no path");
	status("\r\n\r\n", -400, "nothing");
	status("GET http://evil/ HTTP/1.1\r\n\r\n", -400, "a proxy's form");
	status("GET /a b HTTP/1.1\r\n\r\n", -400, "a blank in the path");
	status("GET /a\x01 HTTP/1.1\r\n\r\n", -400, "a control character in the path");
	status("GET / HTTP/1.1\nHost: a\n\r\n\r\n", -400, "bare newlines");
	status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", -400, "two hosts");
	status("GET / HTTP/1.1\r\nHost:\r\n\r\n", -400, "an empty host");
	status("GET / HTTP/1.1\r\n folded: x\r\n\r\n", -400, "a folded field");
	status("GET / HTTP/1.1\r\nnonsense\r\n\r\n", -400, "a field without a colon");
	status("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", -400, "a body");
	status("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", -400, "a chunked body");
	check(parse("GET /\0 HTTP/1.1\r\n\r\n", 20) == -400, "a NUL");
	memset(large, 'a', sizeof(large));
	check(parse(large, sizeof(large)) == -431, "a request that never ends");
	memcpy(large, "GET /", 5);
	memcpy(large + 300, " HTTP/1.1\r\n\r\n", 13);
	check(parse(large, 313) == -414, "a path that is too long");
	memcpy(large, "GET / HTTP/1.1\r\nHost: ", 22);
	memcpy(large + 300, "\r\n\r\n", 4);
	check(parse(large, 304) == -400, "a host that is too long");
}

static int judge(const char *host, const char *origin, bool *foreign)
{
	memset(&request, 0, sizeof(request));
	strcpy(request.host, host);
	strcpy(request.origin, origin);
	return viz_http__judge(&request, 9001, "https://ui.perfetto.dev", foreign);
}

static void test_judge(void)
{
	bool foreign;

	check(judge("127.0.0.1:9001", "", &foreign) == 200 && !foreign, "a plain visit");
	check(judge("LocalHost:9001", "", &foreign) == 200, "by the name localhost");
	check(judge("127.0.0.1:9001", "https://ui.perfetto.dev", &foreign) == 200 && foreign,
	      "the Perfetto UI may ask");
	check(judge("127.0.0.1:9001", "http://127.0.0.1:9001", &foreign) == 200 && !foreign,
	      "our own pages may ask");
	check(judge("127.0.0.1:9001", "https://evil.example", &foreign) == 403, "others may not");
	check(judge("127.0.0.1:9001", "null", &foreign) == 403, "nor may sandboxed pages");
	check(judge("127.0.0.1:9001", "http://ui.perfetto.dev", &foreign) == 403,
	      "nor its name without TLS");
	check(judge("127.0.0.1:9001", "https://ui.perfetto.dev.evil.example", &foreign) == 403,
	      "nor a longer name");
	check(judge("evil.example:9001", "", &foreign) == 421, "a rebound name is refused");
	check(judge("127.0.0.1", "", &foreign) == 421, "another port is refused");
	check(judge("127.0.0.1:9002", "", &foreign) == 421, "so is this one");
	check(judge("", "", &foreign) == 421, "no host is refused");
	check(viz_http__judge(&request, 9001, NULL, &foreign) == 421, "no foreign origin at all");
	strcpy(request.host, "127.0.0.1:9001");
	strcpy(request.origin, "https://ui.perfetto.dev");
	check(viz_http__judge(&request, 9001, NULL, &foreign) == 403,
	      "offline, Perfetto may not ask");
}

static void test_find(void)
{
	static struct viz_http_file files[2] = {{.path = "/0123/a.json"}, {.path = "/0123/b.html"}};
	char longer[300];

	check(viz_http__find(files, 2, "/0123/b.html") == &files[1], "a file is found");
	check(!viz_http__find(files, 2, "/0123/b.htm"), "not by its beginning");
	check(!viz_http__find(files, 2, "/0124/b.html"), "not with another token");
	check(!viz_http__find(files, 2, "/0123/../0123/b.html"), "paths are not normalised");
	check(!viz_http__find(files, 2, ""), "an empty path");
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	check(!viz_http__find(files, 2, longer), "a path that is too long");
}

static void test_random(void)
{
	static const char *const parts[] = {
		"GET ", "HEAD ",   "/",	   "a",	    " HTTP/1.1",	 " HTTP/1.0",
		"\r\n", "\r",	   "\n",   "Host:", "Origin: ",		 " ",
		"\t",	":",	   "\xff", "%00",   "Content-Length: 0", "127.0.0.1:9001",
		"?",	"\r\n\r\n"};
	int round, bad = 0;

	srand(5);
	for (round = 0; round < 200000; round++) {
		char text[512] = "";
		int i, nr = rand() % 20, got;

		for (i = 0; i < nr; i++)
			strcat(text, parts[(size_t)rand() % (sizeof(parts) / sizeof(*parts))]);
		got = parse(text, strlen(text));
		if (got > (int)strlen(text) || (got < 0 && got > -400) || got < -599 ||
		    (got > 0 && *request.path != '/'))
			bad++;
	}
	check(!bad, "200000 random requests give a size or a status");
}

int main(void)
{
	test_good();
	test_bad();
	test_judge();
	test_find();
	test_random();
	printf("1..%d\n", tests);
	return failed != 0;
}
