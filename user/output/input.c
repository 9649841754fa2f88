// SPDX-License-Identifier: Apache-2.0
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define WINDOW (512 * 1024)

int viz_input__open(struct viz_input *in, const char *path)
{
	int fd, err;

	memset(in, 0, sizeof(*in));
	fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC)
			       : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	in->data = malloc(WINDOW + 1);
	in->file = in->data ? gzdopen(fd, "rb") : NULL;
	if (!in->file) {
		err = in->data && errno ? -errno : -ENOMEM;
		close(fd);
		free(in->data);
		in->data = NULL;
		return err;
	}
	gzbuffer(in->file, 128 * 1024);
	in->cap = WINDOW;
	in->data[0] = '\0';
	return 0;
}

static int grow(struct viz_input *in, size_t most)
{
	size_t cap = in->cap * 2 < most ? in->cap * 2 : most;
	char *data;

	if (cap <= in->cap)
		return -EFBIG;
	data = realloc(in->data, cap + 1);
	if (!data)
		return -ENOMEM;
	in->data = data;
	in->cap = cap;
	return 0;
}

int viz_input__fill(struct viz_input *in, size_t most)
{
	int n, err, code;

	if (in->err)
		return in->err;
	if (in->eof)
		return -ENODATA;
	if (in->pos) {
		memmove(in->data, in->data + in->pos, in->len - in->pos);
		in->len -= in->pos;
		in->base += in->pos;
		in->pos = 0;
	}
	if (in->len == in->cap) {
		err = grow(in, most);
		if (err)
			return err;
	}
	n = gzread(in->file, in->data + in->len, (unsigned int)(in->cap - in->len));
	if (n > 0) {
		in->len += (size_t)n;
		in->data[in->len] = '\0';
		return 0;
	}
	in->eof = true;
	in->reason = gzerror(in->file, &code);
	if (n == 0 && code == Z_OK)
		return -ENODATA;
	if (code == Z_BUF_ERROR)
		in->reason = "the compressed file is cut short";
	in->err = code == Z_ERRNO ? (errno ? -errno : -EIO) : -EBADMSG;
	return in->err;
}

void viz_input__close(struct viz_input *in)
{
	if (in->file)
		gzclose(in->file);
	free(in->data);
	memset(in, 0, sizeof(*in));
}
