// SPDX-License-Identifier: Apache-2.0
#include "container.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "container_engine.h"
#include "procfs.h"

enum { SHORT_ID = 12, HEX_ID = 64, PREFIX_MIN = 3 };

/* How engines write the id into the name of the group, and what that tells. */
static const struct {
	const char *prefix, *engine;
} prefixes[] = {
	{"docker-", "docker"},
	{"cri-containerd-", "containerd"},
	{"nerdctl-", "containerd"},
	{"crio-", "cri-o"},
	{"libpod-", "podman"},
	{"containerd-", "containerd"},
	{"cri-containerd:", "containerd"},
	{"nerdctl:", "containerd"},
	{"crio:", "cri-o"},
	{"docker:", "docker"},
};

/* The folder that the group lies in, for those whose name is the id alone. */
static const struct {
	const char *folder, *engine;
} folders[] = {
	{"docker", "docker"},
	{"libpod_parent", "podman"},
	{"lxc", "lxc"},
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static bool is_hex(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!isdigit((unsigned char)text[i]) && (text[i] < 'a' || text[i] > 'f'))
			return false;
	return true;
}

static bool is_folder(const char *path, size_t begin, const char *folder)
{
	size_t len = strlen(folder);

	return begin > len + 1 && path[begin - 1] == '/' && path[begin - len - 2] == '/' &&
	       !strncmp(path + begin - len - 1, folder, len);
}

/* Amazon ECS names its groups /ecs/TASK/TASK-NUMBER: 32 hex digits, '-', decimal digits. */
static bool is_ecs(const char *text, size_t len)
{
	size_t i;

	if (len < 34 || !is_hex(text, 32) || text[32] != '-')
		return false;
	for (i = 33; i < len; i++)
		if (!isdigit((unsigned char)text[i]))
			return false;
	return true;
}

static void take(struct viz_container *out, const char *id, size_t len, const char *engine)
{
	snprintf(out->engine, sizeof(out->engine), "%s", engine);
	if (len >= sizeof(out->id))
		len = sizeof(out->id) - 1;
	memcpy(out->id, id, len);
	out->id[len] = '\0';
}

/* One component of a path, bytes @begin to @end of it. */
static bool from_component(const char *path, size_t begin, size_t end, struct viz_container *out)
{
	const char *text = path + begin, *colon;
	size_t len = end - begin, i;

	if (len > 6 && !strncmp(text + len - 6, ".scope", 6))
		len -= 6;
	/* the systemd cgroup driver where systemd is absent: slice:prefix:id */
	colon = memchr(text, ':', len);
	if (colon && memchr(colon + 1, ':', len - (size_t)(colon + 1 - text))) {
		len -= (size_t)(colon + 1 - text);
		text = colon + 1;
	}
	for (i = 0; i < NR(prefixes); i++) {
		size_t skip = strlen(prefixes[i].prefix);

		if (len == skip + HEX_ID && !strncmp(text, prefixes[i].prefix, skip) &&
		    is_hex(text + skip, HEX_ID)) {
			take(out, text + skip, HEX_ID, prefixes[i].engine);
			return true;
		}
	}
	if (len == HEX_ID && is_hex(text, HEX_ID)) {
		for (i = 0; i < NR(folders) && !is_folder(path, begin, folders[i].folder); i++)
			;
		take(out, text, len, i < NR(folders) ? folders[i].engine : "");
		return true;
	}
	if (is_ecs(text, len)) {
		take(out, text, len, "docker");
		return true;
	}
	if (len > 12 && !strncmp(text, "lxc.payload.", 12)) {
		take(out, text + 12, len - 12, "lxc");
		return true;
	}
	if (is_folder(path, begin, "lxc")) {
		take(out, text, len, "lxc");
		return true;
	}
	if (len > 8 && !strncmp(text, "machine-", 8) && len != end - begin) {
		take(out, text + 8, len - 8, "nspawn");
		return true;
	}
	return false;
}

bool viz_container__from_path(const char *path, size_t *offset, struct viz_container *out)
{
	while (path[*offset]) {
		size_t begin = *offset + strspn(path + *offset, "/");
		size_t end = begin + strcspn(path + begin, "/");

		*offset = end;
		if (end == begin || end >= sizeof(out->cgroup))
			continue;
		memset(out, 0, sizeof(*out));
		if (!from_component(path, begin, end, out))
			continue;
		memcpy(out->cgroup, path, end);
		out->cgroup[end] = '\0';
		snprintf(out->name, sizeof(out->name), "%.*s",
			 is_hex(out->id, strlen(out->id)) ? SHORT_ID : (int)sizeof(out->name) - 1,
			 out->id);
		return true;
	}
	return false;
}

struct viz_containers {
	struct viz_engines *engines;
	struct viz_container **list; /* single allocations: callers keep pointers */
	size_t nr;
	char pid_ns[64], mnt_ns[64]; /* of the host */
};

static void read_namespace(pid_t pid, const char *which, char *buf, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, which);
	n = readlink(path, buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
}

struct viz_containers *viz_containers__new(void)
{
	struct viz_containers *containers = calloc(1, sizeof(*containers));

	if (!containers)
		return NULL;
	containers->engines = viz_engines__new();
	if (!containers->engines) {
		free(containers);
		return NULL;
	}
	read_namespace(1, "pid", containers->pid_ns, sizeof(containers->pid_ns));
	read_namespace(1, "mnt", containers->mnt_ns, sizeof(containers->mnt_ns));
	/* some machines let nobody look at their init */
	if (!containers->pid_ns[0] || !containers->mnt_ns[0]) {
		read_namespace(getpid(), "pid", containers->pid_ns, sizeof(containers->pid_ns));
		read_namespace(getpid(), "mnt", containers->mnt_ns, sizeof(containers->mnt_ns));
	}
	return containers;
}

void viz_containers__free(struct viz_containers *containers)
{
	size_t i;

	if (!containers)
		return;
	for (i = 0; i < containers->nr; i++)
		free(containers->list[i]);
	free(containers->list);
	viz_engines__free(containers->engines);
	free(containers);
}

/* The remembered container like @c; a new one is described by its engine first. */
static struct viz_container *remember(struct viz_containers *containers, struct viz_container *c)
{
	struct viz_container **list, *copy;
	size_t i;

	for (i = 0; i < containers->nr; i++)
		if (!strcmp(containers->list[i]->id, c->id) &&
		    !strcmp(containers->list[i]->cgroup, c->cgroup))
			return containers->list[i];
	if (!c->named)
		viz_engines__describe(containers->engines, c);
	list = reallocarray(containers->list, containers->nr + 1, sizeof(*list));
	copy = malloc(sizeof(*copy));
	if (list)
		containers->list = list;
	if (!list || !copy) {
		free(copy);
		return NULL;
	}
	*copy = *c;
	list[containers->nr++] = copy;
	return copy;
}

/* In namespaces of its own: what tells a container from a service in a group. */
static bool is_apart(const struct viz_containers *containers, pid_t pid)
{
	char pid_ns[64], mnt_ns[64];

	read_namespace(pid, "pid", pid_ns, sizeof(pid_ns));
	read_namespace(pid, "mnt", mnt_ns, sizeof(mnt_ns));
	return pid_ns[0] && mnt_ns[0] && containers->pid_ns[0] &&
	       strcmp(pid_ns, containers->pid_ns) && strcmp(mnt_ns, containers->mnt_ns);
}

/* A runtime used by hand: the group can have any name. */
static bool from_namespaces(struct viz_containers *containers, pid_t pid, const char *path,
			    struct viz_container *c)
{
	const char *leaf = strrchr(path, '/');

	if (!is_apart(containers, pid))
		return false;
	if (viz_engines__by_cgroup(containers->engines, path, c))
		return true;
	if (!leaf || !leaf[1])
		return false;
	memset(c, 0, sizeof(*c));
	snprintf(c->id, sizeof(c->id), "%s", leaf + 1);
	snprintf(c->name, sizeof(c->name), "%s", leaf + 1);
	snprintf(c->cgroup, sizeof(c->cgroup), "%s", path);
	c->named = true;
	return true;
}

const struct viz_container *viz_containers__of(struct viz_containers *containers, pid_t pid)
{
	struct viz_container one, last;
	char path[VIZ_CGROUP_PATH_MAX];
	bool found = false;
	size_t offset = 0;

	if (viz_cgroup__of(pid, path) || !path[1])
		return NULL;
	while (viz_container__from_path(path, &offset, &one)) {
		last = one;
		found = true;
	}
	if (!found && !from_namespaces(containers, pid, path, &last))
		return NULL;
	return remember(containers, &last);
}

/* Remembers every container there is now, the outer ones of nested ones too. */
static int look_around(struct viz_containers *containers)
{
	char path[VIZ_CGROUP_PATH_MAX];
	struct viz_container one;
	pid_t *pids;
	int nr = viz_procfs__pids(&pids), i;
	size_t offset;

	for (i = 0; i < nr; i++) {
		if (viz_cgroup__of(pids[i], path) || !path[1])
			continue;
		offset = 0;
		while (viz_container__from_path(path, &offset, &one))
			remember(containers, &one);
		viz_containers__of(containers, pids[i]);
	}
	free(pids);
	return nr < 0 ? nr : 0;
}

static bool called(const struct viz_container *c, const char *spec)
{
	char whole[sizeof(c->pod) + sizeof(c->name)];
	const char *pod = strchr(c->pod, '/');
	size_t len;

	if (!strcmp(spec, c->id) || (c->name[0] && !strcmp(spec, c->name)))
		return true;
	if (!pod)
		return false;
	/* POD, NAMESPACE/POD, POD/CONTAINER, NAMESPACE/POD/CONTAINER */
	if (!strcmp(spec, pod + 1) || !strcmp(spec, c->pod))
		return true;
	len = (size_t)snprintf(whole, sizeof(whole), "%s/%s", c->pod, c->name);
	return len < sizeof(whole) &&
	       (!strcmp(spec, whole) || !strcmp(spec, whole + (pod + 1 - c->pod)));
}

static void list_known(const struct viz_containers *containers, char *buf, size_t size)
{
	size_t i, used = 0;

	buf[0] = '\0';
	for (i = 0; i < containers->nr && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? ", " : "",
					 containers->list[i]->name);
}

int viz_containers__find(struct viz_containers *containers, const char *spec,
			 struct viz_cgroups *groups, char *why, size_t why_size)
{
	const struct viz_container *prefixed = NULL;
	int found = 0, err = look_around(containers);
	char known[256];
	size_t i;

	if (err)
		return viz_why(why, why_size, err, "cannot list processes: %s", strerror(-err));
	for (i = 0; i < containers->nr; i++) {
		const struct viz_container *c = containers->list[i];

		if (!called(c, spec))
			continue;
		err = viz_cgroups__add_path(groups, c->cgroup);
		if (err)
			return viz_why(why, why_size, err,
				       "cannot find the control group %s of container %s: %s",
				       c->cgroup, spec, strerror(-err));
		found++;
	}
	if (found)
		return found;
	for (i = 0; strlen(spec) >= PREFIX_MIN && i < containers->nr; i++) {
		const struct viz_container *c = containers->list[i];

		if (strncmp(c->id, spec, strlen(spec)) || !is_hex(spec, strlen(spec)))
			continue;
		if (prefixed && strcmp(prefixed->id, c->id))
			return viz_why(why, why_size, -ENOTUNIQ,
				       "two containers have an id that begins with %s: %s and %s",
				       spec, prefixed->name, c->name);
		prefixed = c;
	}
	if (prefixed) {
		err = viz_cgroups__add_path(groups, prefixed->cgroup);
		return err ? viz_why(why, why_size, err, "cannot find the control group of %s: %s",
				     spec, strerror(-err))
			   : 1;
	}
	list_known(containers, known, sizeof(known));
	return viz_why(why, why_size, -ENOENT,
		       known[0] ? "no running container is called %s (there are: %s)"
				: "no running container is called %s: none is running here",
		       spec, known);
}

void viz_container__label(const struct viz_container *c, char *buf, size_t size)
{
	if (c->pod[0])
		snprintf(buf, size, "%s/%s", c->pod, c->name);
	else if (c->image[0])
		snprintf(buf, size, "%s (%s)", c->name, c->image);
	else
		snprintf(buf, size, "%s", c->name);
}
