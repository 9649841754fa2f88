/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which container a process is in, and what people call it. The cgroup path tells the id; the
 * name and the image come from the engine: the HTTP socket of Docker or Podman, or the state
 * files of Docker, containerd, Podman, CRI-O and runc. Nothing is executed. vizbpf may itself
 * sit in a container: sockets and files are those of the host, seen through /proc/1/root.
 */
#ifndef VIZ_CONTAINER_H
#define VIZ_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"

struct viz_container {
	char id[128]; /* 64 hex digits with most engines; else the name in the cgroup */
	char engine[16]; /* "docker", "containerd", "podman", "cri-o", "runc", "lxc", "" */
	char name[128]; /* the engine's name for it, or the short id */
	char image[256]; /* "" when unknown */
	char pod[128]; /* Kubernetes: "namespace/pod", else "" */
	char cgroup[VIZ_CGROUP_PATH_MAX]; /* the path of its own group in one hierarchy */
	bool named; /* the engine told the name */
};

/* Remembers what the engines said; one for each run. */
struct viz_containers;

struct viz_containers *viz_containers__new(void);
void viz_containers__free(struct viz_containers *containers);

/* The container of process @pid, the innermost one; NULL: none (or no such process). Owned by
 * @containers, valid until it is freed. */
const struct viz_container *viz_containers__of(struct viz_containers *containers, pid_t pid);

/*
 * Adds to @groups the control groups of every running container that @spec means: a name,
 * a full id, the beginning of an id (three digits or more), or in Kubernetes a container name,
 * POD, POD/CONTAINER or NAMESPACE/POD. Returns how many containers that were, or a negative
 * errno and a line in @why: -ENOENT (it lists those there are), -ENOTUNIQ for an id's
 * beginning that two have.
 */
int viz_containers__find(struct viz_containers *containers, const char *spec,
			 struct viz_cgroups *groups, char *why, size_t why_size);

/* "web (nginx:1.25)" or "default/shop-7d4/web": for labels. */
void viz_container__label(const struct viz_container *c, char *buf, size_t size);

/*
 * Reads the id from one cgroup path (exposed for tests and the fuzzer). Looks from byte
 * *@offset on, which moves behind the component that was found; so nested containers come
 * outermost first. Fills id, engine (as far as the path tells) and cgroup.
 */
bool viz_container__from_path(const char *path, size_t *offset, struct viz_container *out);

#endif
