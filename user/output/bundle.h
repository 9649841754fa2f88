/* SPDX-License-Identifier: Apache-2.0 */
/* The bundled viewer: speedscope as `make viewer` fetched it or `make install` put it. */
#ifndef VIZ_BUNDLE_H
#define VIZ_BUNDLE_H

#include <dirent.h>

#include "buffer.h"

/* The directory, or NULL; where it was looked for last goes into @where. $VIZBPF_VIEWER comes
 * before the directory beside the program, that before the installation. */
DIR *viz_bundle__open(char *where, size_t size);
/*
 * A page with the whole viewer in it, in two parts: what comes between them is base64 of a
 * profile in speedscope's format, which may be gzip. 0, -ENOENT where there is no bundle, or
 * another negative errno.
 */
int viz_bundle__page(struct viz_buffer *head, struct viz_buffer *tail);

#endif
