/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memfd of another process, to be mapped here. The process is not trusted: what it has at that
 * place can be any file.
 */
#ifndef VIZ_TRAMPOLINE_MEMFD_H
#define VIZ_TRAMPOLINE_MEMFD_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Opens, for reading and writing, what @pid has mapped from @start to @end, if that is a memfd;
 * from then on nobody makes it shorter. *size: its bytes. -ENOENT: nothing is mapped there,
 * exactly so; -EPERM: it is something else, or cannot be kept from shrinking; or another
 * negative errno.
 */
int viz_memfd__open(pid_t pid, uint64_t start, uint64_t end, uint64_t *size);

#endif
