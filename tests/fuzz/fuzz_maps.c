// SPDX-License-Identifier: Apache-2.0
/*
 * Lines of /proc/PID/maps: the paths in them are chosen by the target.
 * Build: user/target/process_maps.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "target/process_maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct viz_map map;

	memcpy(line, data, size);
	line[size] = '\0';
	if (!viz_maps__parse(line, &map)) {
		if (map.start >= map.end)
			abort();
		/* The path must lie within the line. */
		if (*map.path && (map.path < line || map.path + strlen(map.path) > line + size))
			abort();
	}
	free(line);
	return 0;
}
