/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that read trace files have in common on their command lines. */
#ifndef VIZ_ARGS_H
#define VIZ_ARGS_H

#include <stdint.h>

/* "--min_duration" becomes "--min-duration", in place: VizTracer's users write both. */
void viz_args__dashes(int argc, char **argv);
/* Says which option getopt_long() (opterr = 0) did not take; returns the exit status 2.
 * @got: '?' or ':'. */
int viz_args__bad(const char *command, int argc, char **argv, int got);
/* A decimal number of at most @max. Returns 0 or -EINVAL after a message that names @option. */
int viz_args__number(const char *option, const char *text, uint64_t max, uint64_t *value);

#endif
