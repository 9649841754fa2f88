// SPDX-License-Identifier: Apache-2.0
#include "container_engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/log.h"
#include "http_unix.h"
#include "procfs.h"

enum {
	ANSWER_MAX = 4 << 20, /* bytes of one document */
	TIMEOUT_MS = 1000,
	DEPTH_MAX = 32,
	STATES_MAX = 512, /* containers of runc and crun that are looked at */
	NAMESPACES_MAX = 32,
};

static const char *const sockets[] = {
	"/run/docker.sock",
	"/run/podman/podman.sock",
};

/* <data root>/containers/<id>/config.v2.json */
static const char *const docker_roots[] = {"/var/lib/docker"};

/* <root>/<containerd namespace>/<id>/config.json */
static const char *const containerd_roots[] = {
	"/run/containerd/io.containerd.runtime.v2.task",
	"/run/k3s/containerd/io.containerd.runtime.v2.task",
	"/run/k0s/containerd/io.containerd.runtime.v2.task",
	"/var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
};

/* containers/storage: Podman and CRI-O */
static const char *const storages[] = {
	"/var/lib/containers/storage/overlay-containers/containers.json",
	"/var/lib/containers/storage/vfs-containers/containers.json",
	"/var/lib/containers/storage/btrfs-containers/containers.json",
	"/var/lib/containers/storage/zfs-containers/containers.json",
};

/* <root>/<name>/<file> */
static const struct {
	const char *root, *file, *engine;
} runtimes[] = {
	{"/run/runc", "state.json", "runc"},
	{"/run/crun", "status", "crun"},
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

struct viz_engines {
	int host; /* the root directory of the host */
	bool dead[NR(sockets) + 1];
	char docker_host[256]; /* from DOCKER_HOST */
};

struct viz_engines *viz_engines__new(void)
{
	struct viz_engines *engines = calloc(1, sizeof(*engines));
	const char *docker = getenv("DOCKER_HOST");

	if (!engines)
		return NULL;
	engines->host = open("/proc/1/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (engines->host < 0)
		engines->host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (docker && !strncmp(docker, "unix://", 7) &&
	    strlen(docker + 7) < sizeof(engines->docker_host))
		strcpy(engines->docker_host, docker + 7);
	return engines;
}

void viz_engines__free(struct viz_engines *engines)
{
	if (!engines)
		return;
	if (engines->host >= 0)
		close(engines->host);
	free(engines);
}

/* Links of the host lead to places of the host, also when seen through /proc/1/root. */
static int open_host(const struct viz_engines *engines, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned int)flags | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, engines->host, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static struct json_object *parse(const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *doc;

	if (!tokener)
		return NULL;
	doc = json_tokener_parse_ex(tokener, text, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		json_object_put(doc);
		doc = NULL;
	}
	json_tokener_free(tokener);
	return doc;
}

static struct json_object *read_document(const struct viz_engines *engines, const char *path)
{
	int fd = open_host(engines, path, O_RDONLY | O_NONBLOCK);
	struct json_object *doc = NULL;
	char *text = NULL;
	struct stat st;
	size_t used = 0;
	ssize_t n = 1;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > ANSWER_MAX)
		goto cleanup;
	text = malloc((size_t)st.st_size + 1);
	while (text && used < (size_t)st.st_size && n > 0) {
		n = read(fd, text + used, (size_t)st.st_size - used);
		used += n > 0 ? (size_t)n : 0;
	}
	if (text && used) {
		text[used] = '\0';
		doc = parse(text, used);
	}
cleanup:
	free(text);
	close(fd);
	return doc;
}

/* Follows a path of keys; NULL where one is missing. */
static struct json_object *member(struct json_object *doc, const char *const *keys)
{
	for (; doc && *keys; keys++)
		if (!json_object_is_type(doc, json_type_object) ||
		    !json_object_object_get_ex(doc, *keys, &doc))
			return NULL;
	return doc;
}
#define MEMBER(doc, ...) member(doc, (const char *const[]){__VA_ARGS__, NULL})

/* Copies a JSON string as one clean line; false when it is none or empty. */
static bool copy_text(char *buf, size_t size, struct json_object *value)
{
	const char *text;
	size_t i;

	if (!json_object_is_type(value, json_type_string))
		return false;
	text = json_object_get_string(value);
	if (!*text)
		return false;
	for (i = 0; text[i] && i + 1 < size; i++)
		buf[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	buf[i] = '\0';
	return true;
}

/* The labels of the kubelet, under whatever names this engine has for them. */
static void take_pod(struct viz_container *c, struct json_object *pod, struct json_object *space)
{
	char name[sizeof(c->pod) / 2], namespace[sizeof(c->pod) / 2 - 1];

	if (copy_text(name, sizeof(name), pod) && copy_text(namespace, sizeof(namespace), space))
		snprintf(c->pod, sizeof(c->pod), "%s/%s", namespace, name);
}

static bool take_name(struct viz_container *c, struct json_object *value)
{
	if (!copy_text(c->name, sizeof(c->name), value))
		return false;
	if (c->name[0] == '/')
		memmove(c->name, c->name + 1, strlen(c->name));
	c->named = c->name[0];
	return c->named;
}

static void take_labels(struct viz_container *c, struct json_object *labels)
{
	take_pod(c, MEMBER(labels, "io.kubernetes.pod.name"),
		 MEMBER(labels, "io.kubernetes.pod.namespace"));
	if (c->pod[0])
		take_name(c, MEMBER(labels, "io.kubernetes.container.name"));
}

/* GET /containers/ID/json of Docker and of Podman */
bool viz_engine__from_inspect(struct json_object *doc, struct viz_container *c)
{
	if (!take_name(c, MEMBER(doc, "Name")))
		return false;
	if (!copy_text(c->image, sizeof(c->image), MEMBER(doc, "Config", "Image")))
		copy_text(c->image, sizeof(c->image), MEMBER(doc, "ImageName"));
	take_labels(c, MEMBER(doc, "Config", "Labels"));
	return true;
}

/* config.v2.json of Docker has the members of the answer above */
bool viz_engine__from_docker_state(struct json_object *doc, struct viz_container *c)
{
	return viz_engine__from_inspect(doc, c);
}

/* config.json of a bundle: what containerd's CRI plugin, CRI-O and nerdctl write beside the
 * specification, as annotations */
bool viz_engine__from_oci_config(struct json_object *doc, struct viz_container *c)
{
	struct json_object *notes = MEMBER(doc, "annotations");

	take_pod(c, MEMBER(notes, "io.kubernetes.cri.sandbox-name"),
		 MEMBER(notes, "io.kubernetes.cri.sandbox-namespace"));
	if (!c->pod[0])
		take_pod(c, MEMBER(notes, "io.kubernetes.pod.name"),
			 MEMBER(notes, "io.kubernetes.pod.namespace"));
	if (!copy_text(c->image, sizeof(c->image), MEMBER(notes, "io.kubernetes.cri.image-name")))
		copy_text(c->image, sizeof(c->image),
			  MEMBER(notes, "io.kubernetes.cri-o.ImageName"));
	return take_name(c, MEMBER(notes, "io.kubernetes.cri.container-name")) ||
	       take_name(c, MEMBER(notes, "io.kubernetes.container.name")) ||
	       take_name(c, MEMBER(notes, "nerdctl/name")) || c->pod[0];
}

/* containers.json of containers/storage: an array; `metadata` is a text that holds JSON */
bool viz_engine__from_storage(struct json_object *doc, struct viz_container *c)
{
	size_t i,
		nr = json_object_is_type(doc, json_type_array) ? json_object_array_length(doc) : 0;
	struct json_object *entry, *id, *names, *metadata, *inner;
	bool found = false;

	for (i = 0; i < nr; i++) {
		entry = json_object_array_get_idx(doc, i);
		id = MEMBER(entry, "id");
		if (json_object_is_type(id, json_type_string) &&
		    !strcmp(json_object_get_string(id), c->id))
			break;
	}
	if (i == nr)
		return false;
	names = MEMBER(entry, "names");
	if (json_object_is_type(names, json_type_array) && json_object_array_length(names))
		found = take_name(c, json_object_array_get_idx(names, 0));
	metadata = MEMBER(entry, "metadata");
	if (!json_object_is_type(metadata, json_type_string))
		return found;
	inner = parse(json_object_get_string(metadata),
		      (size_t)json_object_get_string_len(metadata));
	copy_text(c->image, sizeof(c->image), MEMBER(inner, "image-name"));
	if (MEMBER(inner, "pod-name")) {
		struct viz_container k8s = {0};

		/* k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT, written by the kubelet's rules: none
		 * of the parts can hold an underscore */
		if (sscanf(c->name, "k8s_%127[^_]_%63[^_]_%62[^_]_", k8s.name, k8s.pod,
			   k8s.image) == 3) {
			strcpy(c->name, k8s.name);
			snprintf(c->pod, sizeof(c->pod), "%.62s/%.63s", k8s.image, k8s.pod);
		}
		strcpy(c->engine, "cri-o");
	} else if (!c->engine[0]) {
		strcpy(c->engine, "podman");
	}
	json_object_put(inner);
	return found;
}

static bool ask_socket(struct viz_engines *engines, size_t index, struct viz_container *c)
{
	char path[300], target[200], *body = NULL;
	struct json_object *doc = NULL;
	bool found = false;
	int fd = -1, status;

	if (engines->dead[index])
		return false;
	if (index == NR(sockets)) {
		snprintf(path, sizeof(path), "%s", engines->docker_host);
	} else {
		fd = open_host(engines, sockets[index], O_PATH);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (index < NR(sockets) ? fd < 0 : !path[0]) {
		engines->dead[index] = true;
		return false;
	}
	snprintf(target, sizeof(target), "/containers/%s/json", c->id);
	status = viz_http_unix__get(path, target, ANSWER_MAX, TIMEOUT_MS, &body);
	if (status < 0) {
		viz_debug(VIZ_LOG_LIFE, "container engine at %s: %s",
			  index < NR(sockets) ? sockets[index] : path, strerror(-status));
		engines->dead[index] = true;
	}
	if (status == 200)
		doc = parse(body, strlen(body));
	found = doc && viz_engine__from_inspect(doc, c);
	if (found && !c->engine[0])
		strcpy(c->engine, index == 1 ? "podman" : "docker");
	json_object_put(doc);
	free(body);
	if (fd >= 0)
		close(fd);
	return found;
}

/* One document at @path; @take says whether it names the container. */
static bool ask_file(const struct viz_engines *engines, const char *path, const char *engine,
		     bool (*take)(struct json_object *, struct viz_container *),
		     struct viz_container *c)
{
	struct json_object *doc = read_document(engines, path);
	bool found = doc && take(doc, c);

	if (found && !c->engine[0])
		snprintf(c->engine, sizeof(c->engine), "%s", engine);
	json_object_put(doc);
	return found;
}

static DIR *open_folder(const struct viz_engines *engines, const char *path)
{
	int fd = open_host(engines, path, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (fd >= 0 && !dir)
		close(fd);
	return dir;
}

static bool ask_containerd(const struct viz_engines *engines, const char *root,
			   struct viz_container *c)
{
	DIR *dir = open_folder(engines, root);
	struct dirent *entry;
	char path[1024];
	bool found = false;
	int seen = 0;

	while (dir && !found && seen++ < NAMESPACES_MAX && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s/config.json", root, entry->d_name, c->id);
		found = ask_file(engines, path, "containerd", viz_engine__from_oci_config, c);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool viz_engines__describe(struct viz_engines *engines, struct viz_container *c)
{
	char path[1024];
	size_t i;

	if (strspn(c->id, "0123456789abcdef") != 64 || c->id[64])
		return false;
	for (i = 0; i <= NR(sockets); i++)
		if (ask_socket(engines, i, c))
			return true;
	for (i = 0; i < NR(docker_roots); i++) {
		snprintf(path, sizeof(path), "%s/containers/%s/config.v2.json", docker_roots[i],
			 c->id);
		if (ask_file(engines, path, "docker", viz_engine__from_docker_state, c))
			return true;
	}
	for (i = 0; i < NR(containerd_roots); i++)
		if (ask_containerd(engines, containerd_roots[i], c))
			return true;
	for (i = 0; i < NR(storages); i++)
		if (ask_file(engines, storages[i], "", viz_engine__from_storage, c))
			return true;
	return false;
}

/* The group of the first process of the container whose state file is @path. */
static bool runtime_group(const struct viz_engines *engines, const char *path, char *group)
{
	struct json_object *doc = read_document(engines, path), *pid;
	bool found = false;

	pid = MEMBER(doc, "init_process_pid");
	if (!pid)
		pid = MEMBER(doc, "pid");
	if (json_object_is_type(pid, json_type_int) && json_object_get_int(pid) > 1)
		found = !viz_cgroup__of(json_object_get_int(pid), group) && group[1];
	json_object_put(doc);
	return found;
}

bool viz_engines__by_cgroup(struct viz_engines *engines, const char *path, struct viz_container *c)
{
	char state[1024], group[VIZ_CGROUP_PATH_MAX];
	struct dirent *entry;
	bool found = false;
	size_t i;

	for (i = 0; !found && i < NR(runtimes); i++) {
		DIR *dir = open_folder(engines, runtimes[i].root);
		int seen = 0;

		while (dir && !found && seen++ < STATES_MAX && (entry = readdir(dir))) {
			size_t len = strlen(entry->d_name);

			if (entry->d_name[0] == '.' || len >= sizeof(c->id))
				continue;
			snprintf(state, sizeof(state), "%s/%s/%s", runtimes[i].root, entry->d_name,
				 runtimes[i].file);
			if (!runtime_group(engines, state, group) ||
			    !viz_cgroup__below(group, path))
				continue;
			memset(c, 0, sizeof(*c));
			memcpy(c->id, entry->d_name, len);
			memcpy(c->name, entry->d_name, len);
			strcpy(c->engine, runtimes[i].engine);
			strcpy(c->cgroup, group);
			c->named = true;
			found = true;
		}
		if (dir)
			closedir(dir);
	}
	return found;
}
