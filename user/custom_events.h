/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom events of the recorded processes: finds and attaches their probes, and brings what
 * they say into the trace. The session tells it of processes and records.
 */
#ifndef VIZ_CUSTOM_EVENTS_H
#define VIZ_CUSTOM_EVENTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct viz_session;
struct viz_custom_events;

struct viz_custom_events *viz_custom_events__new(struct viz_session *s);
/* Detaches everything. */
void viz_custom_events__free(struct viz_custom_events *events);

/*
 * Attaches what @pid has mapped: all of it (@addr 0), when recording of it begins, or the one
 * mapping around @addr, when a file was mapped later. @scope: where to attach, as in
 * viz_target.scope. Says itself (verbosely) what does not work; nothing depends on it.
 */
void viz_custom_events__look(struct viz_custom_events *events, pid_t pid, pid_t scope,
			     uint64_t addr);
/* A VIZ_CUSTOM record of @size bytes, of the thread that has @track. 0 or a negative errno
 * that ends the session. */
int viz_custom_events__take(struct viz_custom_events *events, const void *record, size_t size,
			    uint32_t track);
/* The thread of @track ended at @ts: its open slices do too. */
int viz_custom_events__end_track(struct viz_custom_events *events, uint32_t track, uint64_t ts);
/* The process ended, or became another program: its own probes are detached. */
void viz_custom_events__end_process(struct viz_custom_events *events, pid_t pid);
/* Recording ends at @ts: everything that is open ends. Says what could not be used. */
int viz_custom_events__end(struct viz_custom_events *events, uint64_t ts);

#endif
