// SPDX-License-Identifier: Apache-2.0
#include "viewer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "../output/bundle.h"
#include "transcribe.h"

const char viz_viewer_origin[] = "https://ui.perfetto.dev";

static const struct {
	const char *suffix, *type;
} types[] = {
	{".html", "text/html; charset=utf-8"},
	{".js", "text/javascript; charset=utf-8"},
	{".css", "text/css; charset=utf-8"},
	{".svg", "image/svg+xml"},
	{".json", "application/json"},
	{".wasm", "application/wasm"},
	{".woff2", "font/woff2"},
	{".png", "image/png"},
	{".ico", "image/vnd.microsoft.icon"},
	{".txt", "text/plain; charset=utf-8"},
	{".folded", "text/plain; charset=utf-8"},
};

/* For a port that Perfetto's policy does not let it fetch from: this page reads the trace and
 * hands it over by postMessage, which is documented too but needs a click. */
static const char hand_over_page[] =
	"<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>vizbpf view</title>\n"
	"<body style=\"font:16px "
	"system-ui,sans-serif;display:grid;place-items:center;height:90vh\">\n"
	"<div><p>The trace is ready.</p><button id=\"open\" style=\"font:inherit;padding:.6em "
	"1.2em\">"
	"Open it in Perfetto</button><p id=\"state\"></p></div>\n"
	"<script>\n"
	"const origin = \"https://ui.perfetto.dev\", name = \"%s\";\n"
	"const state = text => document.getElementById(\"state\").textContent = text;\n"
	"document.getElementById(\"open\").onclick = async () => {\n"
	"\tconst ui = open(origin + \"/#!/\");\n"
	"\tif (!ui) { state(\"The browser did not allow a new window.\"); return; }\n"
	"\tconst buffer = await (await fetch(name)).arrayBuffer();\n"
	"\tconst timer = setInterval(() => ui.postMessage(\"PING\", origin), 100);\n"
	"\taddEventListener(\"message\", e => {\n"
	"\t\tif (e.origin !== origin || e.data !== \"PONG\") return;\n"
	"\t\tclearInterval(timer);\n"
	"\t\tui.postMessage({perfetto: {buffer, title: name, fileName: name}}, origin);\n"
	"\t\tstate(\"Handed over.\");\n"
	"\t}, {once: true});\n"
	"};\n"
	"</script></body></html>\n";

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcasecmp(text + a - b, end);
}

int viz_viewer__choose(struct viz_viewer *v, const char *path, bool offline, char *why,
		       size_t why_size)
{
	static const char *const traces[] = {".json", ".gz", ".pftrace", ".perfetto-trace"};
	size_t i;

	*v = (struct viz_viewer){.fd = -1};
	if (ends_with(path, ".html") || ends_with(path, ".svg")) {
		v->way = VIZ_VIEW_PAGE;
		return 0;
	}
	if (ends_with(path, ".speedscope.json") || ends_with(path, ".folded")) {
		v->way = VIZ_VIEW_SPEEDSCOPE;
		return 0;
	}
	for (i = 0; i < sizeof(traces) / sizeof(*traces); i++)
		if (ends_with(path, traces[i]))
			break;
	if (i == sizeof(traces) / sizeof(*traces))
		return viz_why(why, why_size, -EINVAL,
			       "cannot view %s: its name ends in none of .json .json.gz .pftrace "
			       ".html .svg .folded .speedscope.json",
			       path);
	v->way = offline ? VIZ_VIEW_SPEEDSCOPE : VIZ_VIEW_PERFETTO;
	v->convert = offline;
	return 0;
}

/* The file's name without what would need escaping in a URL or a script. */
static void plain_name(const char *path, char *out, size_t size)
{
	const char *name = strrchr(path, '/');
	size_t n = 0;

	name = name ? name + 1 : path;
	if (strlen(name) >= size) /* the end has the suffix */
		name += strlen(name) - size + 1;
	for (; *name; name++)
		out[n++] = isalnum((unsigned char)*name) || strchr("._-", *name) ? *name : '_';
	out[n] = 0;
}

int viz_viewer__open(struct viz_viewer *v, const char *path, char *why, size_t why_size)
{
	unsigned char random[16];
	struct stat st;
	size_t i;
	int err;

	v->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (v->fd < 0 || fstat(v->fd, &st)) {
		err = -errno;
		return viz_why(why, why_size, err, "cannot open %s: %s", path, strerror(-err));
	}
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return viz_why(why, why_size, -EINVAL, "cannot view %s: it is %s", path,
			       S_ISREG(st.st_mode) ? "empty" : "not a file");
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return viz_why(why, why_size, -EIO, "cannot get random bytes");
	for (i = 0; i < sizeof(random); i++)
		sprintf(v->token + 2 * i, "%02x", random[i]);
	plain_name(path, v->name, sizeof(v->name));
	return 0;
}

static int add_file(struct viz_viewer *v, const char *name, int fd, bool counts)
{
	struct viz_http_file *f = &v->files[v->nr_files];
	struct stat st;
	size_t i;

	if (v->nr_files == VIZ_VIEWER_FILES_MAX || fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    strlen(name) + strlen(v->token) + 2 >= sizeof(f->path))
		return -EINVAL;
	memset(f, 0, sizeof(*f));
	snprintf(f->path, sizeof(f->path), "/%s/%s", v->token, name);
	f->fd = fd;
	f->size = (uint64_t)st.st_size;
	f->counts = counts;
	f->type = "application/octet-stream";
	for (i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (ends_with(name, types[i].suffix))
			f->type = types[i].type;
	f->page = ends_with(name, ".html") || ends_with(name, ".svg");
	v->nr_files++;
	return 0;
}

static bool has_bundle(void)
{
	char where[4096];
	DIR *dir = viz_bundle__open(where, sizeof(where));
	bool there = dir && !faccessat(dirfd(dir), "index.html", R_OK, 0);

	if (dir)
		closedir(dir);
	return there;
}

static int add_bundle(struct viz_viewer *v, char *why, size_t why_size)
{
	char where[4096];
	struct dirent *entry;
	bool index = false;
	DIR *dir;
	int fd;

	dir = viz_bundle__open(where, sizeof(where));
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		fd = openat(dirfd(dir), entry->d_name,
			    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
		if (fd < 0)
			continue;
		if (add_file(v, entry->d_name, fd, false))
			close(fd);
		else if (!strcmp(entry->d_name, "index.html"))
			index = true;
	}
	if (dir)
		closedir(dir);
	if (index)
		return 0;
	return viz_why(why, why_size, -ENOENT,
		       "the bundled viewer is not installed (looked in %s): `make viewer` fetches "
		       "it with npm",
		       where);
}

static int add_hand_over(struct viz_viewer *v, char *why, size_t why_size)
{
	char page[sizeof(hand_over_page) + sizeof(v->name)];
	int n = snprintf(page, sizeof(page), hand_over_page, v->name), err;
	int fd = memfd_create("vizbpf-view", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, page, (size_t)n) == n && !add_file(v, "open.html", fd, false))
		return 0;
	err = errno ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	return viz_why(why, why_size, err, "cannot prepare the page: %s", strerror(-err));
}

int viz_viewer__prepare(struct viz_viewer *v, const char *path, char *why, size_t why_size)
{
	const char *suffix;
	int err, fd;

	if (v->convert) {
		/* without the bundle, vizbpf's own page shows a trace */
		if (!has_bundle())
			v->way = VIZ_VIEW_PAGE;
		suffix = v->way == VIZ_VIEW_PAGE ? ".html" : ".speedscope.json";
		fd = viz_transcribe(path, v->fd, suffix, why, why_size);
		if (fd < 0)
			return fd;
		close(v->fd);
		v->fd = fd;
		snprintf(v->name, sizeof(v->name), "trace%s", suffix);
	}
	err = add_file(v, v->name, v->fd, true);
	if (err)
		return viz_why(why, why_size, err, "cannot serve %s", path);
	if (v->way == VIZ_VIEW_SPEEDSCOPE)
		return add_bundle(v, why, why_size);
	return v->way == VIZ_VIEW_PERFETTO ? add_hand_over(v, why, why_size) : 0;
}

void viz_viewer__url(const struct viz_viewer *v, unsigned int port, char *url, size_t size)
{
	char base[96];

	snprintf(base, sizeof(base), "http://127.0.0.1:%u/%s", port, v->token);
	if (v->way == VIZ_VIEW_SPEEDSCOPE)
		snprintf(url, size, "%s/index.html#profileURL=%s/%s", base, base, v->name);
	else if (v->way == VIZ_VIEW_PAGE)
		snprintf(url, size, "%s/%s", base, v->name);
	else if (port == VIZ_VIEWER_PORT)
		snprintf(url, size, "%s/#!/?url=%s/%s", viz_viewer_origin, base, v->name);
	else
		snprintf(url, size, "%s/open.html", base);
}

void viz_viewer__close(struct viz_viewer *v)
{
	size_t i;

	for (i = 0; i < v->nr_files; i++)
		if (v->files[i].fd != v->fd)
			close(v->files[i].fd);
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	v->nr_files = 0;
}
