/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of one ring on their way to the reader. While the reader keeps up
 * they come straight from the ring; when it is late a thread moves them into a
 * backlog on disk, so that the ring has room and the target loses nothing. The
 * order is kept.
 *
 *      ring --------------------------------> viz_feed__read()
 *        `---- mover ---> backlog ---------->
 *
 * The target can write what it wants into the ring: an end of its records that
 * cannot be is refused, and what has been read does not change any more.
 */
#ifndef VIZ_TRAMPOLINE_FEED_H
#define VIZ_TRAMPOLINE_FEED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "recorder/recorder.h"

struct viz_feed;

/*
 * @ring is the head of the ring, mapped; its @nr records, a power of two, are at
 * @at in @fd. Both stay the caller's, and stay there. NULL: out of memory.
 */
struct viz_feed *viz_feed__new(struct viz_rec_ring *ring, int fd, off_t at, uint64_t nr);
void viz_feed__free(struct viz_feed *feed);
/*
 * The next records, at most @nr. @over: nothing is written any more, those that
 * were not yet certain are included. 0: there is none; or a negative errno.
 */
int64_t viz_feed__read(struct viz_feed *feed, bool over, struct viz_rec_event *to, uint64_t nr);
/* Records that wait. */
uint64_t viz_feed__waiting(const struct viz_feed *feed);

#endif
