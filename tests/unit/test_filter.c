/* with: user/trace/filter.c user/flight.c user/trace/model.c user/trace/texts.c user/base/utf8.c user/base/hash.c
 *       user/trace/code_names.c */
// SPDX-License-Identifier: Apache-2.0
/* Which calls are recorded, what makes a snapshot, and two small helpers of the hot path. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#include "base/hash.h"
#include "flight.h"
#include "trace/code_names.h"
#include "trace/filter.h"

static enum viz_verdict verdict(const struct viz_filter *f, const char *name, const char *file)
{
	struct viz_func func = {.name = name, .file = file};

	return viz_filter__verdict(f, &func);
}

static void test_durations(void)
{
	uint64_t ns = 0;

	ok(!viz_filter__parse_duration("3", &ns) && ns == 3000, "a bare number is microseconds");
	ok(!viz_filter__parse_duration("1.5ms", &ns) && ns == 1500000, "1.5ms");
	ok(!viz_filter__parse_duration("100 ns", &ns) && ns == 100, "100 ns");
	ok(!viz_filter__parse_duration("2s", &ns) && ns == 2000000000, "2s");
	ok(viz_filter__parse_duration("", &ns) == -EINVAL &&
		   viz_filter__parse_duration("-1", &ns) == -EINVAL &&
		   viz_filter__parse_duration("5m", &ns) == -EINVAL &&
		   viz_filter__parse_duration("nan", &ns) == -EINVAL &&
		   viz_filter__parse_duration("1e300s", &ns) == -EINVAL,
	   "what is no time is refused");
}

static void test_verdicts(void)
{
	struct viz_filter f = {.any = true, .stdlib = -1};

	viz_filter__add(&f.exclude_files, "/srv/app");
	ok(verdict(&f, "f", "/srv/app/x.py") == VIZ_VERDICT_DROP_TREE, "a path prefix");
	ok(verdict(&f, "f", "/srv/apple.py") == VIZ_VERDICT_RECORD, "ends at a component");
	f.keep_callees = true;
	ok(verdict(&f, "f", "/srv/app/x.py") == VIZ_VERDICT_DROP_SELF, "--keep-callees");
	viz_filter__free(&f);

	f = (struct viz_filter){.any = true, .stdlib = 0};
	ok(verdict(&f, "dumps", "/usr/lib/python3.11/json/__init__.py") == VIZ_VERDICT_DROP_SELF,
	   "the standard library");
	ok(verdict(&f, "get", "/usr/lib/python3/dist-packages/requests/api.py") ==
			   VIZ_VERDICT_RECORD &&
		   verdict(&f, "get", "/v/lib/python3.12/site-packages/requests/api.py") ==
			   VIZ_VERDICT_RECORD,
	   "is not what is installed beside it");
	ok(verdict(&f, "f", "<frozen os>") == VIZ_VERDICT_DROP_SELF, "frozen modules are of it");

	f = (struct viz_filter){.any = true, .stdlib = -1};
	viz_filter__add(&f.packages, "shop");
	ok(verdict(&f, "f", "/a/shop/x.py") == VIZ_VERDICT_RECORD &&
		   verdict(&f, "f", "/a/shop.py") == VIZ_VERDICT_RECORD,
	   "--only-package keeps its files");
	ok(verdict(&f, "f", "/a/workshop/x.py") == VIZ_VERDICT_DROP_SELF, "and no others");
	viz_filter__free(&f);

	f = (struct viz_filter){.any = true, .stdlib = -1};
	viz_filter__add(&f.include_functions, "Basket.*");
	ok(verdict(&f, "Basket.add", "/x.py") == VIZ_VERDICT_RECORD &&
		   verdict(&f, "add", "/x.py") == VIZ_VERDICT_DROP_SELF,
	   "--include-functions");
	viz_filter__free(&f);

	f = (struct viz_filter){.any = true, .stdlib = 1};
	viz_filter__add(&f.include_files, "/srv/app");
	viz_filter__add(&f.packages, "shop");
	ok(verdict(&f, "list.append", "") == VIZ_VERDICT_RECORD, "a C function has no file");
	viz_filter__add(&f.exclude_functions, "list.*");
	ok(verdict(&f, "list.append", "") == VIZ_VERDICT_DROP_TREE, "but a name");
	viz_filter__free(&f);
}

static void test_triggers(void)
{
	struct viz_func func = {.name = "f.<locals>.<lambda>", .file = "/x.py"};
	struct viz_call call = {.dur = 60000000};
	struct viz_trigger t;

	ok(!viz_trigger__parse("f.<locals>.<lambda>>50ms", &t) && t.longer == 50000000 &&
		   !strcmp(t.pattern, "f.<locals>.<lambda>"),
	   "a name with '>' of its own");
	ok(viz_trigger__fires(&t, &call, &func), "fires when it took longer");
	call.dur = 1;
	ok(!viz_trigger__fires(&t, &call, &func), "and not else");
	free(t.pattern);
	ok(!viz_trigger__parse("* raises", &t) && t.raises, "raises");
	ok(!viz_trigger__fires(&t, &call, &func), "not when it returned");
	call.flags = VIZ_CALL_RAISED;
	ok(viz_trigger__fires(&t, &call, &func), "when it raised");
	free(t.pattern);
	ok(viz_trigger__parse("name", &t) && viz_trigger__parse(">5ms", &t) &&
		   viz_trigger__parse("<lambda>", &t) && viz_trigger__parse(" raises", &t),
	   "anything else is refused");
}

static void test_hash(void)
{
	struct viz_hash h = {};
	uint32_t value, good = 0;

	for (uint32_t i = 0; i < 5000; i++)
		viz_hash__set(&h, (uint64_t)i * 4096, i);
	for (uint32_t i = 0; i < 5000; i += 2)
		viz_hash__remove(&h, (uint64_t)i * 4096);
	for (uint32_t i = 0; i < 5000; i++)
		good += viz_hash__get(&h, (uint64_t)i * 4096, &value) == (i % 2 == 1) &&
			(i % 2 == 0 || value == i);
	ok(good == 5000 && h.nr == 2500, "a hash table after many removals");
	viz_hash__clear(&h);
	ok(!viz_hash__get(&h, 4096, &value), "is empty after clear");
}

static void test_decode(void)
{
	static const uint8_t latin1[] = {'a', 0xe9}, ucs2[] = {0xac, 0x20, 0x00, 0xd8};
	static const uint8_t ucs4[] = {0x00, 0xf6, 0x01, 0x00, 0xff, 0xff, 0xff, 0xff};
	uint8_t lots[600];
	char out[64];

	viz_code__decode(latin1, 2, 1, out, sizeof(out));
	ok(!strcmp(out, "a\xc3\xa9"), "Latin-1");
	viz_code__decode(ucs2, 4, 2, out, sizeof(out));
	ok(!strcmp(out, "\xe2\x82\xac\xef\xbf\xbd"), "UCS-2, a surrogate becomes U+FFFD");
	viz_code__decode(ucs4, 8, 4, out, sizeof(out));
	ok(!strcmp(out, "\xf0\x9f\x98\x80\xef\xbf\xbd"),
	   "UCS-4, a number that is no character too");
	ok(viz_code__decode(latin1, 2, 3, out, sizeof(out)) == 1 && !strcmp(out, "?"),
	   "unknown kinds");
	memset(lots, 0xe9, sizeof(lots));
	ok(viz_code__decode(lots, sizeof(lots), 1, out, sizeof(out)) < sizeof(out) &&
		   strlen(out) % 2 == 0,
	   "cut at a whole character");
}

int main(void)
{
	test_durations();
	test_verdicts();
	test_triggers();
	test_hash();
	test_decode();
	return tap_done();
}
