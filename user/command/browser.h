/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIZ_BROWSER_H
#define VIZ_BROWSER_H

#include <stddef.h>

/*
 * Opens @url with $BROWSER (a command, "%s" stands for the URL; of a list separated by colons,
 * the first) or xdg-open, as the user this process runs as and without a shell. Does not wait.
 * 0, or -errno with a line in @why.
 */
int viz_browser__open(const char *url, char *why, size_t why_size);

#endif
