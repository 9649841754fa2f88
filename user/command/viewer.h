/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `vizbpf view` serves: the trace as a browser can read it, and the pages around it. Every
 * file is open before the first request; nothing is looked up by a name that a request gives.
 */
#ifndef VIZ_VIEWER_H
#define VIZ_VIEWER_H

#include <stdbool.h>
#include <stddef.h>

#include "http.h"

enum { VIZ_VIEWER_FILES_MAX = 96 };

enum viz_viewer_way {
	VIZ_VIEW_PERFETTO, /* ui.perfetto.dev reads the file itself */
	VIZ_VIEW_SPEEDSCOPE, /* the bundled viewer does */
	VIZ_VIEW_PAGE, /* the file is a page */
};

struct viz_viewer {
	enum viz_viewer_way way;
	bool convert; /* to what the bundled viewer reads */
	char token[33]; /* the unguessable first part of every path */
	char name[128]; /* of the trace, as it appears in URLs */
	int fd; /* of the trace */
	struct viz_http_file files[VIZ_VIEWER_FILES_MAX];
	size_t nr_files;
};

/* How @path is to be shown (@offline: without the internet). 0 or -EINVAL with a line in @why. */
int viz_viewer__choose(struct viz_viewer *v, const char *path, bool offline, char *why,
		       size_t why_size);
/* Opens @path; done with all privileges, everything that follows without. */
int viz_viewer__open(struct viz_viewer *v, const char *path, char *why, size_t why_size);
/* Converts if need be and fills v->files. 0 or -errno with a line in @why. */
int viz_viewer__prepare(struct viz_viewer *v, const char *path, char *why, size_t why_size);
/* The URL for a person or a browser, when the server listens on @port. */
void viz_viewer__url(const struct viz_viewer *v, unsigned int port, char *url, size_t size);
void viz_viewer__close(struct viz_viewer *v);

extern const char viz_viewer_origin[]; /* of the Perfetto UI */
enum { VIZ_VIEWER_PORT = 9001 }; /* the one that its content security policy allows */

#endif
