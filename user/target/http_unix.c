// SPDX-License-Identifier: Apache-2.0
#include "http_unix.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384 };

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, long long deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	long long left;
	int n;

	do {
		left = deadline - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)left);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

static int connect_to(const char *path, long long deadline)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: the listener's queue is full, which for a unix socket no poll reports */
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = -errno;
		if (err == -EAGAIN && now_ms() < deadline) {
			poll(NULL, 0, 5);
			continue;
		}
		close(fd);
		return err;
	}
	return fd;
}

static int send_all(int fd, const char *text, size_t len, long long deadline)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		int err;

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
			continue;
		}
		err = wait_for(fd, POLLOUT, deadline);
		if (err)
			return err;
	}
	return 0;
}

/* Reads to the end of the stream. Returns the length or a negative errno. */
static ssize_t receive_all(int fd, char **text, size_t max, long long deadline)
{
	size_t used = 0, room = 0;

	for (;;) {
		ssize_t n;
		int err;

		if (used + 1 >= room) {
			char *grown;

			if (used >= max)
				return -EMSGSIZE;
			room = room ? 2 * room : 16384;
			if (room > max + 1)
				room = max + 1;
			grown = realloc(*text, room);
			if (!grown)
				return -ENOMEM;
			*text = grown;
		}
		n = recv(fd, *text + used, room - 1 - used, 0);
		if (!n)
			break;
		if (n > 0) {
			used += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		err = wait_for(fd, POLLIN, deadline);
		if (err)
			return err;
	}
	(*text)[used] = '\0';
	return (ssize_t)used;
}

/* Joins the chunks of @body in place; -EPROTO when they are not well formed. */
static int join_chunks(char *body, size_t len)
{
	char *to = body, *from = body, *end = body + len;

	for (;;) {
		unsigned long size;
		char *after;

		if (!isxdigit((unsigned char)*from))
			return -EPROTO;
		size = strtoul(from, &after, 16);
		from = memchr(after, '\n', (size_t)(end - after));
		if (!from)
			return -EPROTO;
		from++;
		if (!size)
			break;
		if (size > (size_t)(end - from))
			return -EPROTO;
		memmove(to, from, size);
		to += size;
		from += size;
		if (end - from < 2 || from[0] != '\r' || from[1] != '\n')
			return -EPROTO;
		from += 2;
	}
	*to = '\0';
	return 0;
}

int viz_http_unix__parse(char *answer, size_t len, char **body)
{
	char *line, *end, *head_end;
	bool chunked = false;
	int status;

	*body = NULL;
	if (strncmp(answer, "HTTP/1.", 7) || !isdigit((unsigned char)answer[7]) || answer[8] != ' ')
		return -EPROTO;
	status = (int)strtol(answer + 9, &end, 10);
	head_end = strstr(answer, "\r\n\r\n");
	if (end != answer + 12 || !head_end || status < 100 || status > 599)
		return -EPROTO;
	for (line = strstr(answer, "\r\n"); line && line < head_end;
	     line = strstr(line + 2, "\r\n"))
		if (!strncasecmp(line + 2, "Transfer-Encoding:", 18))
			chunked = true;
	*body = head_end + 4;
	if (chunked && join_chunks(*body, len - (size_t)(*body - answer)))
		return -EPROTO;
	return status;
}

int viz_http_unix__get(const char *path, const char *target, size_t max, int timeout_ms,
		       char **body)
{
	long long deadline = now_ms() + timeout_ms;
	char request[512], *answer = NULL, *text;
	int fd = -1, status, n;
	ssize_t len;

	*body = NULL;
	/* 1.0: the engine closes when it has said all, and need not cut it into chunks */
	n = snprintf(request, sizeof(request),
		     "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n", target);
	if ((size_t)n >= sizeof(request) || strpbrk(target, " \r\n"))
		return -EINVAL;
	fd = connect_to(path, deadline);
	if (fd < 0)
		return fd;
	status = send_all(fd, request, (size_t)n, deadline);
	if (status)
		goto cleanup;
	len = receive_all(fd, &answer, max + HEAD_MAX, deadline);
	status = len < 0 ? (int)len : viz_http_unix__parse(answer, (size_t)len, &text);
	if (status > 0) {
		memmove(answer, text, strlen(text) + 1);
		*body = answer;
		answer = NULL;
	}
cleanup:
	free(answer);
	close(fd);
	return status;
}
