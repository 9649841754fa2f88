// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Copies @size bytes of a token or a field value. Returns 0, or -1 when it does not fit or
 * holds what no header may. */
static int take(char *out, size_t room, const char *from, size_t size)
{
	size_t i;

	if (size >= room)
		return -1;
	for (i = 0; i < size; i++)
		if ((unsigned char)from[i] < 0x20 || (unsigned char)from[i] >= 0x7f)
			return -1;
	memcpy(out, from, size);
	out[size] = 0;
	return 0;
}

static int parse_line(const char *line, size_t size, struct viz_http_request *r)
{
	const char *target, *version, *end = line + size, *query;

	target = memchr(line, ' ', size);
	if (!target)
		return -400;
	target++;
	version = memchr(target, ' ', (size_t)(end - target));
	if (!version)
		return -400;
	if (end - version != 9 || strncmp(version, " HTTP/", 6))
		return -400;
	if (strncmp(version, " HTTP/1.1", 9) && strncmp(version, " HTTP/1.0", 9))
		return -505;
	if (!strncmp(line, "HEAD ", 5))
		r->head = true;
	else if (strncmp(line, "GET ", 4))
		return -405;
	/* the form with a whole URL is for proxies */
	if (*target != '/')
		return -400;
	query = memchr(target, '?', (size_t)(version - target));
	if (!query)
		query = version;
	if ((size_t)(query - target) >= sizeof(r->path))
		return -414;
	return take(r->path, sizeof(r->path), target, (size_t)(query - target)) ? -400 : 0;
}

static bool is_field(const char *line, size_t name, const char *want)
{
	return strlen(want) == name && !strncasecmp(line, want, name);
}

static int parse_field(const char *line, size_t size, struct viz_http_request *r)
{
	const char *colon = memchr(line, ':', size), *value, *end = line + size;
	size_t name;
	char *out;

	/* a field that goes on in the next line begins with a blank: not allowed any more */
	if (!colon || colon == line || *line == ' ' || *line == '\t')
		return -400;
	name = (size_t)(colon - line);
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	/* no request of ours has a body; one that says it has would be read as the next one */
	if (is_field(line, name, "transfer-encoding"))
		return -400;
	if (is_field(line, name, "content-length"))
		return end - value == 1 && *value == '0' ? 0 : -400;
	if (is_field(line, name, "host"))
		out = r->host;
	else if (is_field(line, name, "origin"))
		out = r->origin;
	else
		return 0;
	if (*out || value == end)
		return -400;
	return take(out, sizeof(r->host), value, (size_t)(end - value)) ? -400 : 0;
}

int viz_http__parse(const char *data, size_t size, struct viz_http_request *request)
{
	const char *at = data, *end, *all;
	bool first = true;
	int err;

	memset(request, 0, sizeof(*request));
	end = memmem(data, size, "\r\n\r\n", 4);
	if (!end || end + 4 - data > VIZ_HTTP_REQUEST_MAX)
		return end || size >= VIZ_HTTP_REQUEST_MAX ? -431 : 0;
	all = end + 2;
	if (memchr(data, 0, (size_t)(all - data)))
		return -400;
	for (; at < all; at = end + 2, first = false) {
		end = memmem(at, (size_t)(all - at), "\r\n", 2);
		if (memchr(at, '\n', (size_t)(end - at)) || memchr(at, '\r', (size_t)(end - at)))
			return -400;
		err = first ? parse_line(at, (size_t)(end - at), request)
			    : parse_field(at, (size_t)(end - at), request);
		if (err)
			return err;
	}
	return (int)(all + 2 - data);
}

int viz_http__judge(const struct viz_http_request *request, uint16_t port, const char *foreign,
		    bool *foreign_asks)
{
	char ours[2][40];
	int i;

	*foreign_asks = false;
	snprintf(ours[0], sizeof(ours[0]), "http://127.0.0.1:%u", port);
	snprintf(ours[1], sizeof(ours[1]), "http://localhost:%u", port);
	for (i = 0; i < 2; i++)
		if (!strcasecmp(request->host, ours[i] + strlen("http://")))
			break;
	if (i == 2)
		return 421;
	if (!*request->origin)
		return 200;
	for (i = 0; i < 2; i++)
		if (!strcmp(request->origin, ours[i]))
			return 200;
	if (!foreign || strcmp(request->origin, foreign))
		return 403;
	*foreign_asks = true;
	return 200;
}

const struct viz_http_file *viz_http__find(const struct viz_http_file *files, size_t nr,
					   const char *path)
{
	const struct viz_http_file *found = NULL;
	char padded[sizeof(files->path)] = "";
	size_t i, j;

	if (strlen(path) >= sizeof(padded))
		return NULL;
	strcpy(padded, path);
	for (i = 0; i < nr; i++) {
		unsigned char differ = 0;

		for (j = 0; j < sizeof(padded); j++)
			differ |= (unsigned char)(padded[j] ^ files[i].path[j]);
		if (!differ)
			found = &files[i];
	}
	return found;
}
