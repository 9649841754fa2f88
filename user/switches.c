// SPDX-License-Identifier: Apache-2.0
#include "switches.h"

#include <string.h>

#include "target/process_maps.h"

/* The name is the target's to choose: a wrong one spoils nothing but how its own calls are laid
 * out. */
static int is_greenlet(const struct viz_map *map, void *ctx)
{
	(void)ctx;
	/* before greenlet 1.0 the module has no package around it */
	return map->exec && (strstr(map->path, "/_greenlet.") || strstr(map->path, "/greenlet."));
}

void viz_switches__mark(struct viz_session *s, struct viz_target *t)
{
	t->switches = true;
	for (uint32_t i = 0; i < s->nr_lanes; i++)
		if (s->lanes[i].target == t && !s->lanes[i].ended) {
			viz_lane__switches(s->lanes[i].lane);
			viz_session__release_held(s, &s->lanes[i]);
		}
}

bool viz_switches__look(struct viz_session *s, struct viz_target *t)
{
	if (!t->switches && viz_maps__each(t->pid, is_greenlet, NULL) == 1)
		viz_switches__mark(s, t);
	return t->switches;
}
