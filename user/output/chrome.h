/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the Chrome JSON writer: what its two files share. */
#ifndef VIZ_CHROME_H
#define VIZ_CHROME_H

#include "buffer.h"
#include "writer.h"

/* A function's part of an event, from behind dur's value to the closing brace. */
struct chrome_tail {
	char *text; /* NULL: the function has not been called so far */
	uint32_t len;
	uint32_t name, name_len; /* where the escaped name stands in @text */
	uint32_t place; /* of the first process that called it: where its source can be read */
};

/* A track's part, up to ts's value. One cache line: copied whole. */
struct chrome_prefix {
	char text[63];
	uint8_t len; /* 0: not prepared */
};

struct chrome {
	struct viz_writer w;
	struct chrome_tail *tails; /* by function */
	struct chrome_prefix *prefixes; /* by track */
	uint64_t *processes_said, *tracks_said; /* hashes of the metadata events written */
	uint32_t nr_tails, nr_prefixes, nr_processes_said, nr_tracks_said;
	uint64_t zero; /* what ts counts from, in the trace's time */
	uint64_t calls, events; /* written */
	bool any; /* an event is in the file: the next needs a comma */
	struct viz_buffer scratch;
};

/* What ends the file as it stands, without sources. */
void chrome__metadata(const struct chrome *c, struct viz_buffer *b);
/* "file_info" with the sources of all functions called so far, behind a comma. 0 or -errno. */
int chrome__file_info(struct chrome *c);

#endif
