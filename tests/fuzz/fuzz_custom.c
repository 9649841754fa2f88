// SPDX-License-Identifier: Apache-2.0
/*
 * Records that hold what a traced program wrote: custom events, and code objects with their names.
 * Build: user/trace/custom.c user/trace/code_names.c user/trace/model.c user/trace/texts.c
 * user/output/json.c user/base/utf8.c user/base/text.c user/base/hash.c user/base/log.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"
#include "trace/code_names.h"
#include "trace/custom.h"

enum { TRACKS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text)
{
	if (text && !viz_utf8__valid(text, strlen(text)))
		abort();
}

static int take(void *ctx, const struct viz_event *event)
{
	(void)ctx;
	if (event->track >= TRACKS || !event->name)
		abort();
	check(event->name);
	check(event->cat);
	check(event->args);
	return 0;
}

/* The first byte says what it is and how long; the record follows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct viz_customs *customs = viz_customs__new(take, NULL);
	struct viz_trace *trace = viz_trace__new();
	uint64_t ts = 0;

	viz_log_quiet = 1;
	while (customs && trace && size > 2) {
		size_t n = data[1] * 8u, room = sizeof(struct viz_custom);
		uint8_t kind = data[0], *record;

		if (n > size - 2)
			n = size - 2;
		if (kind & 1) {
			struct viz_code code = {.name_size = VIZ_NAME_MAX};

			memcpy(&code, data + 2, n < sizeof(code) ? n : sizeof(code));
			/* the kernel's part writes no more than there is room for */
			code.name_size %= VIZ_NAME_MAX + 1;
			code.file_size %= VIZ_PATH_MAX + 1;
			if (viz_code__func(trace, &code) < trace->nr_funcs) {
				check(trace->funcs[trace->nr_funcs - 1].name);
				check(trace->funcs[trace->nr_funcs - 1].file);
			}
		} else {
			/* exactly as much memory as the ring has for it */
			record = malloc(n ? n : 1);
			memcpy(record, data + 2, n < room ? n : room);
			viz_customs__add(customs, record, n < room ? n : room, kind / 2 % TRACKS);
			free(record);
			if (kind & 64)
				viz_customs__close(customs, kind / 2 % TRACKS, ++ts);
		}
		data += 2 + n;
		size -= 2 + n;
	}
	if (customs)
		viz_customs__close_all(customs, UINT64_MAX);
	viz_customs__free(customs);
	viz_trace__free(trace);
	return 0;
}
