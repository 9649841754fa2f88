// SPDX-License-Identifier: Apache-2.0
#include "bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base64.h"

/* Of a file of the bundle. */
#define FILE_MAX (16 * 1024 * 1024)

static const char page_head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	"script-src 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; font-src data:; "
	"img-src data:\">\n"
	"<meta name=\"referrer\" content=\"no-referrer\">\n"
	"<link rel=\"icon\" href=\"data:,\">\n"
	"<title>vizbpf</title>\n<style>\n";

static const char page_trace[] = "\n</style>\n</head>\n<body>\n"
				 "<script type=\"application/octet-stream\" id=\"trace\">";

/*
 * A page from a file may load a profile only by speedscope's way for its own command line: with
 * localProfilePath it adds a script of that name, which hands the profile over. That script
 * never is, as everything is here.
 */
static const char page_script[] = "</script>\n<script>\n"
				  "location.hash = \"#localProfilePath=vizbpf-trace\";\n"
				  "document.head.appendChild = function (node) {\n"
				  "\tdelete document.head.appendChild;\n"
				  "\tif (!String(node.src).endsWith(\"/vizbpf-trace\"))\n"
				  "\t\treturn document.head.appendChild(node);\n"
				  "\tspeedscope.loadFileFromBase64(\"vizbpf\", "
				  "document.getElementById(\"trace\").textContent);\n"
				  "\treturn node;\n"
				  "};\n</script>\n<script>\n";

DIR *viz_bundle__open(char *where, size_t size)
{
	const char *env = getenv("VIZBPF_VIEWER");
	ssize_t n;
	char *slash;
	DIR *dir;

	if (env) {
		snprintf(where, size, "%s", env);
		return opendir(where);
	}
	n = readlink("/proc/self/exe", where, size - sizeof("/viewer"));
	if (n > 0) {
		where[n] = 0;
		slash = strrchr(where, '/');
		strcpy(slash ? slash : where, "/viewer");
		dir = opendir(where);
		if (dir)
			return dir;
	}
	snprintf(where, size, "%s/share/vizbpf/viewer", VIZ_PREFIX);
	return opendir(where);
}

/* What the file @name of the directory holds, behind what is in @b. */
static int add_file(struct viz_buffer *b, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW), err = 0;
	struct stat st;
	size_t done = 0;
	ssize_t n;
	char *p;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		err = -EINVAL;
	p = err ? NULL : viz_buffer__room(b, (size_t)st.st_size + 1);
	if (!err && !p)
		err = -ENOMEM;
	for (; !err && done < (size_t)st.st_size; done += (size_t)n) {
		n = read(fd, p + done, (size_t)st.st_size - done);
		if (n <= 0)
			err = n ? -errno : -EIO;
	}
	close(fd);
	if (!err)
		b->len += done;
	return err;
}

/* The style sheet with its font in it. */
static int add_style(struct viz_buffer *b, int dir, const char *css, const char *font)
{
	struct viz_buffer text = {0}, bytes = {0};
	const char *at, *end = NULL;
	int err = add_file(&text, dir, css);

	viz_buffer__add(&text, "", 1);
	at = !err && text.data ? strstr(text.data, "url(") : NULL;
	end = at ? strchr(at, ')') : NULL;
	if (end && *font && !add_file(&bytes, dir, font)) {
		viz_buffer__add(b, text.data, (size_t)(at - text.data));
		viz_buffer__text(b, "url(data:font/woff2;base64,");
		viz_base64__add(b, bytes.data, bytes.len);
		viz_buffer__text(b, end);
	} else if (!err && text.data) {
		viz_buffer__text(b, text.data);
	}
	viz_buffer__free(&text);
	viz_buffer__free(&bytes);
	return err;
}

/* The one file of the directory that begins and ends so; its name carries a hash. */
static void find_file(DIR *dir, const char *begin, const char *end, char name[256])
{
	struct dirent *entry;
	size_t len, n = strlen(end);

	name[0] = 0;
	for (rewinddir(dir); (entry = readdir(dir));) {
		len = strlen(entry->d_name);
		if (!strncmp(entry->d_name, begin, strlen(begin)) && len > n &&
		    !strcmp(entry->d_name + len - n, end))
			snprintf(name, 256, "%s", entry->d_name);
	}
}

int viz_bundle__page(struct viz_buffer *head, struct viz_buffer *tail)
{
	char where[4096], js[256], css[256], font[256];
	DIR *dir = viz_bundle__open(where, sizeof(where));
	int err;

	if (!dir)
		return -ENOENT;
	find_file(dir, "speedscope-", ".js", js);
	find_file(dir, "speedscope-", ".css", css);
	find_file(dir, "", ".woff2", font);
	err = *js && *css ? 0 : -ENOENT;
	viz_buffer__text(head, page_head);
	if (!err)
		err = add_style(head, dirfd(dir), css, font);
	viz_buffer__text(head, page_trace);
	viz_buffer__text(tail, page_script);
	if (!err)
		err = add_file(tail, dirfd(dir), js);
	viz_buffer__text(tail, "\n</script>\n</body>\n</html>\n");
	closedir(dir);
	return err ? err : head->failed || tail->failed ? -ENOMEM : 0;
}
