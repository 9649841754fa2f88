// SPDX-License-Identifier: Apache-2.0
#include "writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "kept.h"

/* The longest suffix that fits wins: ".speedscope.json" before ".json". */
static const struct {
	const char *suffix;
	const struct viz_writer_ops *ops;
	bool gzip;
} formats[] = {
	{".json", &viz_writer_chrome, false},
	{".json.gz", &viz_writer_chrome, true},
	{".gz", &viz_writer_chrome, true},
	{".pftrace", &viz_writer_perfetto, false},
	{".pftrace.gz", &viz_writer_perfetto, true},
	{".perfetto-trace", &viz_writer_perfetto, false},
	{".speedscope.json", &viz_writer_speedscope, false},
	{".speedscope.json.gz", &viz_writer_speedscope, true},
	{".folded", &viz_writer_folded, false},
	{".svg", &viz_writer_svg, false},
	{".html", &viz_writer_html, false},
};

/* Standard output, pipes and devices have no suffix to go by. */
static bool is_unnamed(const char *path)
{
	return !strcmp(path, "-") || !strcmp(path, "/dev/null") || !strcmp(path, "/dev/stdout") ||
	       !strcmp(path, "/dev/stderr") || !strncmp(path, "/dev/fd/", 8) ||
	       !strncmp(path, "/proc/self/fd/", 14);
}

static int find(const char *path)
{
	size_t len, i, n, best_len = 0;
	int best = -1;

	if (is_unnamed(path))
		path = ".json";
	len = strlen(path);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		n = strlen(formats[i].suffix);
		if (len >= n && n > best_len && !strcmp(path + len - n, formats[i].suffix)) {
			best = (int)i;
			best_len = n;
		}
	}
	return best;
}

struct viz_writer *viz_writer__new(struct viz_trace *trace, const char *path,
				   struct viz_output *out)
{
	int at = find(path);
	struct viz_writer *w;

	if (at < 0) {
		errno = EINVAL;
		return NULL;
	}
	w = calloc(1, formats[at].ops->size);
	if (!w)
		return NULL;
	w->ops = formats[at].ops;
	w->trace = trace;
	w->out = out;
	return w;
}

void viz_writer__free(struct viz_writer *w)
{
	if (!w)
		return;
	w->ops->free(w);
	viz_output__free(w->out);
	viz_kept__free(w->kept);
	free(w);
}

bool viz_writer__gzip(const char *path)
{
	int at = find(path);

	return at >= 0 && formats[at].gzip;
}

const char *viz_writer__check(const char *path)
{
	static char text[512];
	const char *base, *dot;
	size_t i, n;

	if (find(path) >= 0)
		return NULL;
	base = strrchr(path, '/');
	base = base ? base + 1 : path;
	dot = strrchr(base, '.');
	n = dot ? (size_t)snprintf(text, sizeof(text), "unknown suffix %.32s: one of", dot)
		: (size_t)snprintf(text, sizeof(text), "no suffix to tell the format: one of");
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]) && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", formats[i].suffix);
	return text;
}

void viz_writer__sources(struct viz_writer *w, viz_source_fn read_source, void *ctx)
{
	w->read_source = read_source;
	w->source_ctx = ctx;
}

int viz_writer__keep_source(struct viz_writer *w, const char *path, const char *text, size_t size)
{
	if (!w->kept) {
		w->kept = viz_kept__new();
		if (!w->kept)
			return -errno;
		viz_writer__sources(w, viz_kept__read, w->kept);
	}
	return viz_kept__add(w->kept, path, text, size);
}
