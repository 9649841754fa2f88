/* SPDX-License-Identifier: Apache-2.0 */
/* The least of HTTP that asking a container engine on this machine takes: one GET over a unix
 * socket, an answer of bounded size within a bounded time. */
#ifndef VIZ_HTTP_UNIX_H
#define VIZ_HTTP_UNIX_H

#include <stddef.h>

/*
 * GETs @target ("/containers/json") from the socket at @path. On success @body is the answer's
 * body, NUL terminated, at most @max bytes and owned by the caller, and the HTTP status is
 * returned. Else a negative errno: -ETIMEDOUT after @timeout_ms in all, -EMSGSIZE for an
 * answer that is too long, -EPROTO for one that is no HTTP.
 */
int viz_http_unix__get(const char *path, const char *target, size_t max, int timeout_ms,
		       char **body);

/* Splits a complete answer in place (exposed for the fuzzer): returns its status and lets
 * @body point at the body with chunks joined, or -EPROTO. @answer[@len] is NUL. */
int viz_http_unix__parse(char *answer, size_t len, char **body);

#endif
