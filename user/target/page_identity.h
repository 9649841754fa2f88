/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what a process has mapped is the file that one gets by opening it. */
#ifndef VIZ_PAGE_IDENTITY_H
#define VIZ_PAGE_IDENTITY_H

#include <sys/types.h>

#include "process_maps.h"

/*
 * 1: the pages that process @pid has at @map are those of the file open at @fd; 0: they are
 * another file's; negative errno: that cannot be told (no page is there, no permission). Reads
 * nothing of either file, so a file that shrinks meanwhile does no harm.
 */
int viz_pages__same(pid_t pid, const struct viz_map *map, int fd);

#endif
