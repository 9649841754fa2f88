/* SPDX-License-Identifier: Apache-2.0 */
/* Where an output file is made: the part of output/file.h that must not be fooled. */
#ifndef VIZ_CREATE_H
#define VIZ_CREATE_H

#include <stdbool.h>
#include <stddef.h>

struct viz_place {
	int dir; /* -1 for a stream */
	int fd;
	bool stream; /* standard output, a pipe or a device: written as it comes */
	char *name; /* in @dir; NULL for a stream */
	char *temp; /* in @dir, what @fd is; NULL for a stream */
};

/* 0, or -errno with one line in @why. On failure nothing is left behind. */
int viz_place__open(struct viz_place *place, const char *path, char *why, size_t why_size);
/* The temporary file takes its name. */
int viz_place__commit(struct viz_place *place);
/* Removes the temporary file if it still has that name; closes everything. */
void viz_place__close(struct viz_place *place);

#endif
