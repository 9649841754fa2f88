// SPDX-License-Identifier: Apache-2.0
#include "transcribe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "../base/log.h"
#include "../output/join.h"

/* A file in @dir that nobody else can open, with the contents of @fd: for a trace that root
 * opened before giving up its rights. Its name goes into @copy. */
static int copy_file(int fd, const char *dir, char *copy, size_t size)
{
	off_t offset = 0;
	ssize_t n = 0;
	int to;

	snprintf(copy, size, "%s/input", dir);
	to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	while ((n = sendfile(to, fd, &offset, 1 << 30)) > 0)
		;
	if (n < 0)
		n = -errno;
	close(to);
	return (int)n;
}

static int transcribe(const char *from, const char *to, char *why, size_t why_size)
{
	struct viz_trace *trace = viz_trace__new();
	struct viz_writer *w = NULL;
	struct viz_reader_sink sink;
	int err;

	if (!trace)
		return viz_why(why, why_size, -ENOMEM, "out of memory");
	w = viz_join__open(trace, to);
	if (!w) {
		err = viz_why(why, why_size, errno ? -errno : -EIO, "cannot convert the trace");
		goto cleanup;
	}
	sink = viz_join__sink(w);
	err = viz_reader__read(from, trace, &sink, why, why_size);
	/* what could be read of a broken file is worth looking at */
	if (err && trace->nr_funcs) {
		viz_warn("%s; the part before it is shown", why);
		err = 0;
	}
	if (!err) {
		err = viz_join__end(w, to);
		if (err)
			viz_why(why, why_size, err, "cannot convert the trace: %s", strerror(-err));
	}
cleanup:
	viz_writer__free(w);
	viz_trace__free(trace);
	return err;
}

int viz_transcribe(const char *path, int fd, const char *suffix, char *why, size_t why_size)
{
	const char *tmp = getenv("TMPDIR");
	char dir[512], from[600], to[600];
	int err, result = -1;

	snprintf(dir, sizeof(dir) - 64, "%s", tmp && *tmp == '/' ? tmp : "/tmp");
	strcat(dir, "/vizbpf-view.XXXXXX");
	if (!mkdtemp(dir)) {
		err = -errno;
		return viz_why(why, why_size, err, "cannot make a directory in %s: %s",
			       tmp && *tmp == '/' ? tmp : "/tmp", strerror(-err));
	}
	snprintf(to, sizeof(to), "%s/trace%s", dir, suffix);
	snprintf(from, sizeof(from), "%s/input", dir);
	if (!access(path, R_OK)) {
		err = transcribe(path, to, why, why_size);
	} else {
		err = copy_file(fd, dir, from, sizeof(from));
		if (err)
			viz_why(why, why_size, err, "cannot copy %s: %s", path, strerror(-err));
		else
			err = transcribe(from, to, why, why_size);
	}
	if (!err) {
		result = open(to, O_RDONLY | O_CLOEXEC);
		if (result < 0)
			err = viz_why(why, why_size, -errno, "cannot open %s: %m", to);
	}
	unlink(from);
	unlink(to);
	rmdir(dir);
	return err ? err : result;
}
