/* SPDX-License-Identifier: Apache-2.0 */
/* Asks container engines, and reads what they leave on disk, for the name of a container. */
#ifndef VIZ_CONTAINER_ENGINE_H
#define VIZ_CONTAINER_ENGINE_H

#include "container.h"

struct json_object;
struct viz_engines;

struct viz_engines *viz_engines__new(void);
void viz_engines__free(struct viz_engines *engines);

/* Completes name, image, pod and engine of @c by its id. False: nobody knows it. */
bool viz_engines__describe(struct viz_engines *engines, struct viz_container *c);

/* The container whose first process runs in the cgroup @path, by the state files that runc and
 * crun keep for names of any form. Fills id, engine and cgroup. */
bool viz_engines__by_cgroup(struct viz_engines *engines, const char *path, struct viz_container *c);

/* Takes what matters from the engine's document (exposed for tests). */
bool viz_engine__from_inspect(struct json_object *doc, struct viz_container *c);
bool viz_engine__from_docker_state(struct json_object *doc, struct viz_container *c);
bool viz_engine__from_oci_config(struct json_object *doc, struct viz_container *c);
bool viz_engine__from_storage(struct json_object *doc, struct viz_container *c);

#endif
