/* SPDX-License-Identifier: Apache-2.0 */
/* A file without a name, for what does not fit into memory. */
#ifndef VIZ_SCRATCH_H
#define VIZ_SCRATCH_H

/* In $TMPDIR, /var/tmp or /tmp. A descriptor, or -errno. */
int viz_scratch__open(void);

#endif
