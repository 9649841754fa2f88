// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to `vizbpf view`: any page in the browser can send them.
 * Build: user/command/http.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "command/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct viz_http_file files[] = {{.path = "/token/a.json"}, {.path = "/b"}};
	struct viz_http_request request;
	bool foreign_asks = false;
	char *text = malloc(size ? size : 1); /* not terminated, as it comes from the socket */
	int n;

	memcpy(text, data, size);
	n = viz_http__parse(text, size, &request);
	free(text);
	if (n > 0) {
		const struct viz_http_file *file;

		if ((size_t)n > size ||
		    strnlen(request.path, sizeof(request.path)) == sizeof(request.path) ||
		    strnlen(request.host, sizeof(request.host)) == sizeof(request.host) ||
		    strnlen(request.origin, sizeof(request.origin)) == sizeof(request.origin))
			abort();
		file = viz_http__find(files, 2, request.path);
		if (file && strcmp(file->path, request.path))
			abort();
		/* nobody but this server, or who may ask, is let in */
		if (viz_http__judge(&request, 8080, "https://ui.perfetto.dev", &foreign_asks) ==
			    200 &&
		    (!strstr(request.host, "8080") ||
		     (request.origin[0] && strcmp(request.origin, "https://ui.perfetto.dev") &&
		      !strstr(request.origin, "8080"))))
			abort();
	} else if (n && n != -400 && n != -405 && n != -414 && n != -431 && n != -505) {
		abort();
	}
	return 0;
}
