/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is read through a window: plain or gzip, of any size, in bounded memory. */
#ifndef VIZ_INPUT_H
#define VIZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct viz_input {
	void *file; /* gzFile: reads plain files too */
	char *data; /* the window; data[len] is NUL */
	size_t pos, len, cap; /* what lies before pos is done with */
	uint64_t base; /* offset of data[0] in the uncompressed file */
	bool eof;
	int err; /* of reading, negative errno */
	const char *reason; /* for err, valid until viz_input__close() */
};

/* "-" is standard input. 0 or -errno. */
int viz_input__open(struct viz_input *in, const char *path);
/* More bytes behind what is there; what lies before pos goes. The window grows up to @most
 * bytes. 0, -ENODATA at the end of the file, -EFBIG, or another negative errno. */
int viz_input__fill(struct viz_input *in, size_t most);
void viz_input__close(struct viz_input *in);

static inline uint64_t viz_input__offset(const struct viz_input *in)
{
	return in->base + in->pos;
}

#endif
