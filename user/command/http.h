/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The little of HTTP/1.1 that `vizbpf view` speaks: GET and HEAD of a fixed list of files, one
 * request for each connection. A library (libmicrohttpd) would bring a TLS library into every
 * run of a program that runs as root.
 *
 * http.c judges requests and touches no socket; http_server.c moves the bytes.
 */
#ifndef VIZ_HTTP_H
#define VIZ_HTTP_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VIZ_HTTP_REQUEST_MAX = 8192 }; /* bytes of a request with its headers */

struct viz_http_request {
	bool head; /* HEAD, else GET */
	char path[256]; /* without the query */
	char host[128]; /* "" if there is none */
	char origin[128];
};

/*
 * Reads the head of a request from @data. Returns its size, 0 when more is needed, or the
 * negative of the status to answer with (-400, -405, -414, -431, -505).
 */
int viz_http__parse(const char *data, size_t size, struct viz_http_request *request);

/*
 * Whether a page that a browser shows may ask: the Host must be this server by its address
 * (else another site's name was made to point here, DNS rebinding), and the Origin, if there is
 * one, this server or @foreign. 200, or the status to refuse with; *@foreign_asks: the answer
 * needs Access-Control-Allow-Origin.
 */
int viz_http__judge(const struct viz_http_request *request, uint16_t port, const char *foreign,
		    bool *foreign_asks);

/* A file that is served. Strings are not owned, @fd is not either. */
struct viz_http_file {
	char path[256]; /* "/TOKEN/name" */
	int fd;
	uint64_t size;
	const char *type;
	bool counts; /* the trace: --once ends when it was sent whole */
	bool page; /* HTML: gets a policy that keeps it on this server */
};

/* The file at @path, or NULL; takes the same time wherever the paths begin to differ. */
const struct viz_http_file *viz_http__find(const struct viz_http_file *files, size_t nr,
					   const char *path);

struct viz_http_server {
	int fd; /* listening */
	uint16_t port;
	const char *foreign; /* the one origin beside our own that may read, or NULL */
	const struct viz_http_file *files;
	size_t nr_files;
	bool once;
	unsigned int served; /* times the trace was sent whole */
};

/* Listens on 127.0.0.1:@port (0: any; see server->port). 0 or -errno with a line in @why. */
int viz_http__listen(struct viz_http_server *server, uint16_t port, char *why, size_t why_size);
/* Serves until *@stop, or with once until the trace has been sent. 0 or -errno. */
int viz_http__serve(struct viz_http_server *server, volatile sig_atomic_t *stop);

#endif
