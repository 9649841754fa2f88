// SPDX-License-Identifier: Apache-2.0
#include "custom_events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "session.h"
#include "target/bystanders.h"
#include "target/custom_probe.h"
#include "trace/custom.h"

enum {
	/* Each costs a perf event: a process could map files with probes without end.
   */
	ATTACHED_MAX = 4096,
};

struct attached {
	dev_t dev;
	ino_t ino;
	uint64_t offset;
	pid_t scope;
	struct viz_attachment *attachment;
};

struct viz_custom_events {
	struct viz_session *s;
	struct viz_customs *customs;
	struct attached *attached;
	size_t nr, cap;
};

/* What one search is for. */
struct looking {
	struct viz_custom_events *events;
	pid_t pid, scope;
};

struct viz_custom_events *viz_custom_events__new(struct viz_session *s)
{
	struct viz_custom_events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	events->s = s;
	events->customs = viz_customs__new(viz_session__event, s);
	if (!events->customs) {
		free(events);
		return NULL;
	}
	return events;
}

void viz_custom_events__free(struct viz_custom_events *events)
{
	if (!events)
		return;
	for (size_t i = 0; i < events->nr; i++)
		viz_probes__detach(events->s->probes, events->attached[i].attachment);
	viz_customs__free(events->customs);
	free(events->attached);
	free(events);
}

static bool is_attached(const struct viz_custom_events *events, const struct viz_custom_site *site,
			pid_t scope)
{
	for (size_t i = 0; i < events->nr; i++) {
		const struct attached *a = &events->attached[i];

		if (a->ino == site->ino && a->dev == site->dev && a->offset == site->offset &&
		    (a->scope == scope || a->scope == -1))
			return true;
	}
	return false;
}

static bool is_target(pid_t pid, void *ctx)
{
	return viz_session__target(ctx, pid) != NULL;
}

/* As for the interpreter (scope_of() in targets.c), but by who else has this
 * file: a child is then listened to from its first instruction. */
static pid_t scope_of(const struct looking *looking, const struct viz_custom_site *site)
{
	struct viz_session *s = looking->events->s;

	if (looking->scope == -1 || !s->opt->select.follow)
		return looking->scope;
	return viz_bystanders__count(site->dev, site->ino, is_target, s, NULL, 0) > 0
		       ? looking->scope
		       : -1;
}

static int attach_site(const struct viz_custom_site *site, void *ctx)
{
	struct looking *looking = ctx;
	struct viz_custom_events *events = looking->events;
	struct attached *a;
	char why[256] = "";
	pid_t scope;

	if (is_attached(events, site, looking->scope))
		return 0;
	if (events->nr == ATTACHED_MAX)
		return 1;
	if (events->nr == events->cap) {
		size_t cap = events->cap ? 2 * events->cap : 16;

		a = realloc(events->attached, cap * sizeof(*a));
		if (!a)
			return 1;
		events->attached = a;
		events->cap = cap;
	}
	a = &events->attached[events->nr];
	scope = scope_of(looking, site);
	a->dev = site->dev;
	a->ino = site->ino;
	a->offset = site->offset;
	a->scope = scope;
	a->attachment =
		viz_probes__attach_one(events->s->probes, "on_custom", site->fd, site->offset,
				       site->semaphore, scope, why, sizeof(why));
	if (!a->attachment) {
		viz_debug(VIZ_LOG_PROBE, "pid %d: no custom events: %s", looking->pid, why);
		return 0;
	}
	events->nr++;
	viz_debug(VIZ_LOG_PROBE, "pid %d: custom events at 0x%llx (semaphore 0x%llx)", looking->pid,
		  (unsigned long long)site->offset, (unsigned long long)site->semaphore);
	return 0;
}

void viz_custom_events__look(struct viz_custom_events *events, pid_t pid, pid_t scope,
			     uint64_t addr)
{
	struct looking looking = {events, pid, scope};
	int err = events ? viz_custom__find(pid, addr, attach_site, &looking) : 0;

	if (err < 0)
		viz_debug(VIZ_LOG_PROBE, "pid %d: cannot look for custom events: %d", pid, err);
}

int viz_custom_events__take(struct viz_custom_events *events, const void *record, size_t size,
			    uint32_t track)
{
	int err = events ? viz_customs__add(events->customs, record, size, track) : 0;

	return err == -EINVAL ? 0 : err; /* it is counted */
}

int viz_custom_events__end_track(struct viz_custom_events *events, uint32_t track, uint64_t ts)
{
	return events ? viz_customs__close(events->customs, track, ts) : 0;
}

void viz_custom_events__end_process(struct viz_custom_events *events, pid_t pid)
{
	for (size_t i = 0; events && i < events->nr;) {
		if (events->attached[i].scope != pid) {
			i++;
			continue;
		}
		viz_probes__detach(events->s->probes, events->attached[i].attachment);
		events->attached[i] = events->attached[--events->nr];
	}
}

int viz_custom_events__end(struct viz_custom_events *events, uint64_t ts)
{
	struct viz_customs_count count;

	if (!events)
		return 0;
	viz_customs__count(events->customs, &count);
	if (count.bad || count.bad_args || count.too_deep)
		viz_warn("custom events that could not be used: %llu; with args that are "
			 "no JSON "
			 "object: %llu; nested too deeply: %llu",
			 (unsigned long long)count.bad, (unsigned long long)count.bad_args,
			 (unsigned long long)count.too_deep);
	return viz_customs__close_all(events->customs, ts);
}
