// SPDX-License-Identifier: Apache-2.0
/*
 * user/trace/custom.c: what traced programs write, good and hostile.
 * Build: gcc -fsanitize=address,undefined -Iuser tests/unit/custom_test.c user/trace/custom.c
 *	user/base/hash.c user/base/utf8.c user/output/json.c -lm
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/custom.h"

static int passed, failed;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (condition) {                                                                   \
			passed++;                                                                  \
		} else {                                                                           \
			failed++;                                                                  \
			printf("not ok %s:%d: %s\n", __FILE__, __LINE__, #condition);              \
		}                                                                                  \
	} while (0)

/* What was received, one line an event. */
static char seen[8192];
static size_t seen_len;
static unsigned long seen_nr;

static int receive(void *ctx, const struct viz_event *e)
{
	(void)ctx;
	seen_nr++;
	if (seen_len < sizeof(seen) - 1024)
		seen_len += (size_t)snprintf(
			seen + seen_len, 1024, "%d track %u %llu+%llu %s %s %.300s\n", e->type,
			e->track, (unsigned long long)e->ts, (unsigned long long)e->dur, e->name,
			e->cat ? e->cat : "-", e->args ? e->args : "-");
	return 0;
}

static void forget(void)
{
	seen_len = seen_nr = 0;
	seen[0] = '\0';
}

/* As the BPF program lays a record out. Returns its size. */
static size_t make(struct viz_custom *rec, uint64_t ts, int type, const char *name, const char *cat,
		   const char *args)
{
	size_t at = 0;

	memset(rec, 0, sizeof(*rec));
	rec->head.ts = ts;
	rec->head.kind = VIZ_CUSTOM;
	rec->head.flags = (uint8_t)type;
	at += strlen(strcpy(rec->data + at, name)) + 1;
	at += strlen(strcpy(rec->data + at, cat)) + 1;
	at += strlen(strcpy(rec->data + at, args)) + 1;
	rec->size = (uint32_t)at;
	return offsetof(struct viz_custom, data) + at;
}

static void test_slices(void)
{
	struct viz_customs *c = viz_customs__new(receive, NULL);
	struct viz_customs_count count;
	struct viz_custom rec;

	forget();
	viz_customs__add(c, &rec, make(&rec, 10, VIZ_CUSTOM_BEGIN, "a", "x", "{\"n\":1}"), 3);
	viz_customs__add(c, &rec, make(&rec, 20, VIZ_CUSTOM_BEGIN, "b", "", ""), 3);
	viz_customs__add(c, &rec, make(&rec, 21, VIZ_CUSTOM_BEGIN, "b", "", ""), 4);
	viz_customs__add(c, &rec, make(&rec, 30, VIZ_CUSTOM_END, "", "", ""), 3);
	viz_customs__add(c, &rec, make(&rec, 40, VIZ_CUSTOM_END, "a", "", ""), 3);
	viz_customs__add(c, &rec, make(&rec, 45, VIZ_CUSTOM_END, "a", "", ""), 3);
	CHECK(!strcmp(seen, "2 track 3 20+10 b - -\n2 track 3 10+30 a x {\"n\":1}\n"));
	forget();
	CHECK(viz_customs__close(c, 4, 50) == 0);
	CHECK(!strcmp(seen, "2 track 4 21+29 b - -\n"));
	viz_customs__count(c, &count);
	CHECK(count.unmatched == 1 && !count.bad && !count.bad_args);
	/* an outer end closes what was left open inside; time may go back a little */
	forget();
	viz_customs__add(c, &rec, make(&rec, 60, VIZ_CUSTOM_BEGIN, "out", "", ""), 3);
	viz_customs__add(c, &rec, make(&rec, 61, VIZ_CUSTOM_BEGIN, "in", "", ""), 3);
	viz_customs__add(c, &rec, make(&rec, 59, VIZ_CUSTOM_END, "out", "", ""), 3);
	CHECK(!strcmp(seen, "2 track 3 61+0 in - -\n2 track 3 60+0 out - -\n"));
	forget();
	viz_customs__add(c, &rec, make(&rec, 60, VIZ_CUSTOM_BEGIN, "left", "", ""), 9);
	CHECK(viz_customs__close_all(c, 70) == 0 && seen_nr == 1);
	viz_customs__free(c);
}

static void test_depth(void)
{
	struct viz_customs *c = viz_customs__new(receive, NULL);
	struct viz_customs_count count;
	struct viz_custom rec;

	forget();
	for (int i = 0; i < 1000; i++)
		viz_customs__add(c, &rec, make(&rec, i, VIZ_CUSTOM_BEGIN, "d", "", ""), 1);
	for (int i = 0; i < 1000; i++)
		viz_customs__add(c, &rec, make(&rec, 2000 + i, VIZ_CUSTOM_END, "d", "", ""), 1);
	viz_customs__count(c, &count);
	CHECK(seen_nr == 256 && count.too_deep == 744 && !count.unmatched);
	viz_customs__free(c);
}

static void test_others(void)
{
	struct viz_customs *c = viz_customs__new(receive, NULL);
	double number = 2.5;
	struct viz_custom rec;
	size_t size;

	forget();
	size = make(&rec, 1, VIZ_CUSTOM_COUNTER, "q", "", "");
	memcpy(&rec.value, &number, 8);
	viz_customs__add(c, &rec, size, 0);
	viz_customs__add(c, &rec, make(&rec, 2, VIZ_CUSTOM_COUNTER, "m", "", "{\"a\":1}"), 0);
	viz_customs__add(c, &rec, make(&rec, 3, VIZ_CUSTOM_INSTANT, "i", "", ""), 0);
	viz_customs__add(c, &rec, make(&rec, 4, VIZ_CUSTOM_OBJECT_DELETE, "o", "", ""), 0);
	viz_customs__add(c, &rec, make(&rec, 5, VIZ_CUSTOM_OBJECT_SNAPSHOT, "o", "", "{\"s\":1}"),
			 0);
	CHECK(!strcmp(seen, "1 track 0 1+0 q - {\"value\":2.5}\n1 track 0 2+0 m - {\"a\":1}\n"
			    "0 track 0 3+0 i - -\n10 track 0 4+0 o - -\n"
			    "9 track 0 5+0 o - {\"snapshot\":{\"s\":1}}\n"));
	viz_customs__free(c);
}

static void test_hostile(void)
{
	struct viz_customs *c = viz_customs__new(receive, NULL);
	struct viz_customs_count count;
	struct viz_custom rec;
	size_t size;

	forget();
	size = make(&rec, 1, VIZ_CUSTOM_INSTANT, "n", "", "");
	CHECK(viz_customs__add(c, &rec, 10, 0) == -EINVAL);
	CHECK(viz_customs__add(c, &rec, size - 1, 0) == -EINVAL);
	rec.size = 0xffffffff;
	CHECK(viz_customs__add(c, &rec, sizeof(rec), 0) == -EINVAL);
	memset(rec.data, 'x', sizeof(rec.data)); /* no NUL at all */
	rec.size = sizeof(rec.data);
	CHECK(viz_customs__add(c, &rec, sizeof(rec), 0) == -EINVAL);
	size = make(&rec, 1, 99, "n", "", "");
	CHECK(viz_customs__add(c, &rec, size, 0) == -EINVAL);
	CHECK(!seen_nr);
	viz_customs__add(c, &rec, make(&rec, 5, VIZ_CUSTOM_INSTANT, "\xff\n", "", "{\"a\":1}}"), 0);
	viz_customs__add(c, &rec,
			 make(&rec, 6, VIZ_CUSTOM_INSTANT, "n", "", "{\"a\":\"\xc0\x80\"}"), 0);
	CHECK(!strcmp(seen, "0 track 0 5+0 \xef\xbf\xbd\n - {\"args\":\"(not a JSON object)\"}\n"
			    "0 track 0 6+0 n - {\"args\":\"(not a JSON object)\"}\n"));
	viz_customs__count(c, &count);
	CHECK(count.bad == 5 && count.bad_args == 2);
	viz_customs__free(c);
}

/* Random bytes, sizes and types: nothing is promised of the result but that it is sound. */
static void test_random(void)
{
	struct viz_customs *c = viz_customs__new(receive, NULL);
	static const char alphabet[] = "{}[]\":,\\u0019ab \xc3\xa9\xff\0";
	unsigned char *copy;
	struct viz_custom rec;
	int refused = 0;

	srandom(7);
	for (int i = 0; i < 200000; i++) {
		size_t room = (size_t)random() % 64;

		memset(&rec, 0, offsetof(struct viz_custom, data));
		rec.head.ts = (uint64_t)random();
		rec.head.flags = (uint8_t)(random() % 14);
		rec.value = (uint64_t)random() << 33 ^ (uint64_t)random();
		rec.size = (uint32_t)(random() % 70);
		for (size_t j = 0; j < room; j++)
			rec.data[j] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
		/* an allocation of exactly that size: the sanitizer sees every byte beyond */
		copy = malloc(offsetof(struct viz_custom, data) + room);
		memcpy(copy, &rec, offsetof(struct viz_custom, data) + room);
		refused += viz_customs__add(c, copy, offsetof(struct viz_custom, data) + room,
					    (uint32_t)(random() % 5)) == -EINVAL;
		free(copy);
	}
	CHECK(refused > 1000 && refused < 199000);
	viz_customs__free(c);
}

int main(void)
{
	test_slices();
	test_depth();
	test_others();
	test_hostile();
	test_random();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
