/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes in the dynamic loaders of new Python processes, so that a libpython nobody has seen
 * before is found when it is mapped and before it runs (bpf/loader.bpf.c). One probe for each
 * loader file, host and containers; every program that uses the file passes it two or three
 * times when it starts.
 */
#ifndef VIZ_LOADER_WATCH_H
#define VIZ_LOADER_WATCH_H

#include "session.h"

struct viz_loader_watch;

struct viz_loader_watch *viz_loader_watch__new(void);
void viz_loader_watch__free(struct viz_loader_watch *watch);
/* Process @pid has just executed a program: sees to it that its loader has the probe. */
void viz_loader_watch__look(struct viz_loader_watch *watch, struct viz_session *s, pid_t pid);

#endif
