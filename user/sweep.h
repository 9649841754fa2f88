/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has ended is written down and forgotten, so that a server that forks for ever, or a host
 * that is watched for days, does not fill memory with those that were.
 */
#ifndef VIZ_SWEEP_H
#define VIZ_SWEEP_H

#include "session.h"

/* Frees lanes and targets that have ended; what the trace says of them goes where it stays.
 * No pointer to a lane or to a target may be held across it. */
void viz_sweep(struct viz_session *s);

#endif
