// SPDX-License-Identifier: Apache-2.0
/*
 * Text that strangers choose: command lines, cgroup files, the answers of container engines.
 * The first byte picks the parser.
 * Build: clang -g -fsanitize=fuzzer,address,undefined -Iuser tests/fuzz/names_fuzz.c
 *	user/target/process_name.c user/target/container.c user/target/container_engine.c
 *	user/target/cgroup.c user/target/http_unix.c user/target/procfs.c user/base/log.c -ljson-c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "target/cgroup.h"
#include "target/container.h"
#include "target/container_engine.h"
#include "target/http_unix.h"
#include "target/process_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void clean_line(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			abort();
}

static void fuzz_name(char *text, size_t len)
{
	size_t room = len % 97 + 1;
	char *buf = malloc(room);

	viz_process_name__from(text, len, "comm", buf, room);
	if (strlen(buf) >= room)
		abort();
	clean_line(buf);
	free(buf);
}

static void fuzz_cgroups(char *text)
{
	char path[VIZ_CGROUP_PATH_MAX];
	const char *cursor = text;
	struct viz_container c;
	uint32_t hierarchy;
	size_t offset;

	while (viz_cgroup__next(&cursor, &hierarchy, path)) {
		offset = 0;
		while (viz_container__from_path(path, &offset, &c))
			if (!c.id[0] || !viz_cgroup__below(c.cgroup, path))
				abort();
	}
}

static void fuzz_documents(char *text)
{
	struct json_object *doc = json_tokener_parse(text);
	struct viz_container c;
	int i;

	for (i = 0; doc && i < 3; i++) {
		memset(&c, 0, sizeof(c));
		memset(c.id, 'a', 64);
		if (i == 0)
			viz_engine__from_inspect(doc, &c);
		else if (i == 1)
			viz_engine__from_oci_config(doc, &c);
		else
			viz_engine__from_storage(doc, &c);
		clean_line(c.name);
		clean_line(c.image);
		clean_line(c.pod);
	}
	json_object_put(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text, *body;
	size_t len = size ? size - 1 : 0;

	if (!size)
		return 0;
	text = malloc(len + 1);
	memcpy(text, data + 1, len);
	text[len] = '\0';
	switch (data[0] % 4) {
	case 0:
		fuzz_name(text, len);
		break;
	case 1:
		fuzz_cgroups(text);
		break;
	case 2:
		fuzz_documents(text);
		break;
	default:
		viz_http_unix__parse(text, len, &body);
	}
	free(text);
	return 0;
}
