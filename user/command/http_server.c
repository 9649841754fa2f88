// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../base/log.h"

enum {
	CONNECTIONS_MAX = 32,
	TICK_MS = 200,
	ASK_S = 10, /* a request takes no longer than this */
	STALL_S = 60, /* nor does a peer that reads stand still for longer */
	LINGER_S = 2,
	ONCE_S = 2, /* after the trace, what a page still wants to load */
};

enum phase { FREE, ASKING, ANSWERING, LINGERING };

struct connection {
	enum phase phase;
	int fd;
	time_t since; /* of the last progress */
	char in[VIZ_HTTP_REQUEST_MAX];
	size_t nr_in;
	char out[1024]; /* the head of the answer and a short text */
	size_t nr_out, sent;
	const struct viz_http_file *file; /* its body; NULL: none */
	uint64_t offset;
};

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int viz_http__listen(struct viz_http_server *server, uint16_t port, char *why, size_t why_size)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int on = 1, err;

	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0) {
		err = -errno;
		return viz_why(why, why_size, err, "cannot make a socket: %s", strerror(-err));
	}
	/* only skips the wait after a server that has just ended */
	setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(server->fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(server->fd, 16) ||
	    getsockname(server->fd, (struct sockaddr *)&addr, &len)) {
		err = -errno;
		close(server->fd);
		server->fd = -1;
		return viz_why(why, why_size, err, "cannot listen on 127.0.0.1:%u: %s%s", port,
			       strerror(-err),
			       err == -EADDRINUSE ? " (another viewer? end it, or give --port)"
						  : "");
	}
	server->port = ntohs(addr.sin_port);
	return 0;
}

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 414:
		return "URI Too Long";
	case 421:
		return "Misdirected Request";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Bad Request";
	}
}

static void answer(const struct viz_http_server *server, struct connection *c, int status,
		   const struct viz_http_file *file, bool head, bool foreign_asks)
{
	char extra[512] = "";
	int n = 0;

	if (status == 405)
		n = snprintf(extra, sizeof(extra), "Allow: GET, HEAD\r\n");
	if (foreign_asks)
		n = snprintf(extra, sizeof(extra), "Access-Control-Allow-Origin: %s\r\n",
			     server->foreign);
	/* a page from a trace or a package stays on this server whatever it contains */
	if (file && file->page)
		snprintf(extra + n, sizeof(extra) - (size_t)n,
			 "Content-Security-Policy: default-src 'self' 'unsafe-inline' "
			 "'wasm-unsafe-eval' data: blob:; form-action 'none'; "
			 "frame-ancestors 'none'\r\n");
	n = snprintf(c->out, sizeof(c->out),
		     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %llu\r\n%s"
		     "Connection: close\r\nCache-Control: no-store\r\nVary: Origin\r\n"
		     "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\r\n",
		     status, reason(status), file ? file->type : "text/plain",
		     file ? (unsigned long long)file->size
			  : (unsigned long long)strlen(reason(status)) + 1,
		     extra);
	if (!file && !head)
		n += snprintf(c->out + n, sizeof(c->out) - (size_t)n, "%s\n", reason(status));
	c->nr_out = (size_t)n;
	c->file = head ? NULL : file;
	c->phase = ANSWERING;
	c->since = now();
}

static void drop(struct connection *c)
{
	close(c->fd);
	c->phase = FREE;
}

static void hear(const struct viz_http_server *server, struct connection *c)
{
	const struct viz_http_file *file = NULL;
	struct viz_http_request request;
	bool foreign_asks = false;
	ssize_t n;
	int status;

	n = read(c->fd, c->in + c->nr_in, sizeof(c->in) - c->nr_in);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(c);
		return;
	}
	c->nr_in += (size_t)n;
	status = viz_http__parse(c->in, c->nr_in, &request);
	if (!status)
		return;
	if (status > 0) {
		status = -viz_http__judge(&request, server->port, server->foreign, &foreign_asks);
		if (status == -200) {
			file = viz_http__find(server->files, server->nr_files, request.path);
			status = file ? -200 : -404;
		}
	}
	answer(server, c, -status, file, request.head, foreign_asks);
}

static void finish(struct viz_http_server *server, struct connection *c)
{
	if (c->file && c->file->counts)
		server->served++;
	/* closing at once could reset the connection under what the peer has not read yet */
	shutdown(c->fd, SHUT_WR);
	c->phase = LINGERING;
	c->since = now();
}

static void tell(struct viz_http_server *server, struct connection *c)
{
	ssize_t n;

	if (c->sent < c->nr_out) {
		n = send(c->fd, c->out + c->sent, c->nr_out - c->sent,
			 MSG_NOSIGNAL | (c->file ? MSG_MORE : 0));
		if (n > 0)
			c->sent += (size_t)n;
	} else if (c->file && c->offset < c->file->size) {
		off_t offset = (off_t)c->offset;

		n = sendfile(c->fd, c->file->fd, &offset, c->file->size - c->offset);
		if (!n) { /* the file became shorter: the promised size cannot be kept */
			drop(c);
			return;
		}
		c->offset = (uint64_t)offset;
	} else {
		finish(server, c);
		return;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		drop(c);
	else if (n > 0)
		c->since = now();
}

static void linger(struct connection *c)
{
	char rest[4096];
	ssize_t n = read(c->fd, rest, sizeof(rest));

	if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
		drop(c);
}

static void welcome(const struct viz_http_server *server, struct connection *connections)
{
	size_t i;
	int fd;

	for (i = 0; i < CONNECTIONS_MAX; i++) {
		if (connections[i].phase != FREE)
			continue;
		fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		connections[i] = (struct connection){.phase = ASKING, .fd = fd, .since = now()};
	}
}

static void time_out(const struct viz_http_server *server, struct connection *c)
{
	time_t idle = now() - c->since;

	if (c->phase == ASKING && idle >= ASK_S)
		answer(server, c, 408, NULL, false, false);
	else if ((c->phase == ANSWERING && idle >= STALL_S) ||
		 (c->phase == LINGERING && idle >= LINGER_S))
		drop(c);
}

/* One round of waiting and moving bytes; the number of connections that want something. */
static int turn(struct viz_http_server *server, struct connection *connections)
{
	struct pollfd polls[CONNECTIONS_MAX + 1];
	int busy = 0, i, free_slots = 0;

	for (i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *c = &connections[i];

		polls[i].fd = c->phase == FREE ? -1 : c->fd;
		polls[i].events = c->phase == ANSWERING ? POLLOUT : POLLIN;
		polls[i].revents = 0;
		free_slots += c->phase == FREE;
	}
	polls[i] = (struct pollfd){.fd = free_slots ? server->fd : -1, .events = POLLIN};
	if (poll(polls, CONNECTIONS_MAX + 1, TICK_MS) < 0)
		return errno == EINTR ? 0 : -errno;
	for (i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *c = &connections[i];

		if (polls[i].revents && c->phase == ASKING)
			hear(server, c);
		else if (polls[i].revents && c->phase == ANSWERING)
			tell(server, c);
		else if (polls[i].revents && c->phase == LINGERING)
			linger(c);
		if (c->phase != FREE)
			time_out(server, c);
		/* browsers open connections in advance and may never use them */
		busy += (c->phase == ASKING && c->nr_in) || c->phase == ANSWERING;
	}
	if (polls[CONNECTIONS_MAX].revents) {
		welcome(server, connections);
		busy++;
	}
	return busy;
}

int viz_http__serve(struct viz_http_server *server, volatile sig_atomic_t *stop)
{
	static struct connection connections[CONNECTIONS_MAX];
	time_t done = 0;
	int busy = 0, i;

	while (!*stop) {
		busy = turn(server, connections);
		if (busy < 0)
			break;
		if (busy || !server->once || !server->served) {
			done = now();
			continue;
		}
		if (now() - done >= ONCE_S)
			break;
	}
	for (i = 0; i < CONNECTIONS_MAX; i++)
		if (connections[i].phase != FREE)
			drop(&connections[i]);
	return busy < 0 ? busy : 0;
}
