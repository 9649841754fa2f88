// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/{container,container_engine,cgroup,http_unix}.c: ids from paths, names from what
 * engines say, groups, and an engine that answers badly.
 * Build: gcc -fsanitize=address,undefined -Iuser tests/unit/container_test.c
 *	user/target/container.c user/target/container_engine.c user/target/cgroup.c
 *	user/target/http_unix.c user/target/procfs.c user/base/log.c -ljson-c -lpthread
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <json-c/json.h>

#include "target/cgroup.h"
#include "target/container.h"
#include "target/container_engine.h"
#include "target/http_unix.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int passed, failed;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (condition) {                                                                   \
			passed++;                                                                  \
		} else {                                                                           \
			failed++;                                                                  \
			printf("not ok %s:%d: %s\n", __FILE__, __LINE__, #condition);              \
		}                                                                                  \
	} while (0)

static void path_is(const char *path, const char *id, const char *engine, const char *cgroup)
{
	struct viz_container c, last = {0};
	size_t offset = 0;
	bool found = false;

	while (viz_container__from_path(path, &offset, &c)) {
		last = c;
		found = true;
	}
	CHECK(found == (id != NULL));
	if (!found || !id) {
		if (found != (id != NULL))
			printf("  %s\n", path);
		return;
	}
	CHECK(!strcmp(last.id, id));
	CHECK(!strcmp(last.engine, engine));
	CHECK(!strcmp(last.cgroup, cgroup ? cgroup : path));
}

static void test_paths(void)
{
	path_is("/docker/" A, A, "docker", NULL);
	path_is("/docker/" A "/system.slice/x.service", A, "docker", "/docker/" A);
	path_is("/docker/" A "/docker/" B, B, "docker", NULL);
	path_is("/system.slice/docker-" A ".scope", A, "docker", NULL);
	path_is("/system.slice/containerd-" A ".scope", A, "containerd", NULL);
	path_is("/machine.slice/libpod-" A ".scope/container", A, "podman",
		"/machine.slice/libpod-" A ".scope");
	path_is("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" A ".scope", A,
		"podman", NULL);
	path_is("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7_1.slice/"
		"cri-containerd-" A ".scope",
		A, "containerd", NULL);
	path_is("/kubepods/besteffort/pod12-34/" A, A, "", NULL);
	path_is("/kubepods.slice/kubepods-pod1.slice/crio-" A ".scope", A, "cri-o", NULL);
	path_is("/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:" A,
		A, "containerd", NULL);
	path_is("/lxc.payload.web", "web", "lxc", NULL);
	path_is("/lxc/web/init.scope", "web", "lxc", "/lxc/web");
	path_is("/machine.slice/machine-deb.scope", "deb", "nspawn", NULL);
	path_is("/ecs/t/0123456789abcdef0123456789abcdef-1234567890",
		"0123456789abcdef0123456789abcdef-1234567890", "docker", NULL);
	path_is("/../../docker/" A, A, "docker", NULL);
	/* the monitors beside a container are not in it */
	path_is("/machine.slice/libpod-conmon-" A ".scope", NULL, NULL, NULL);
	path_is("/kubepods.slice/crio-conmon-" A ".scope", NULL, NULL, NULL);
	path_is("/", NULL, NULL, NULL);
	path_is("", NULL, NULL, NULL);
	path_is("/user.slice/user-1000.slice/session-2.scope", NULL, NULL, NULL);
	path_is("/docker/" A "b", NULL, NULL, NULL);
	path_is("/docker/short", NULL, NULL, NULL);
	path_is("//x//" A "//", A, "", "//x//" A);
}

static struct json_object *json(const char *text)
{
	struct json_object *doc = json_tokener_parse(text);

	CHECK(doc);
	return doc;
}

static void test_engines(void)
{
	struct viz_container c = {.id = A};
	struct json_object *doc;
	char label[400];

	doc = json("{\"Name\":\"/web\",\"Config\":{\"Image\":\"shop:3\",\"Labels\":null}}");
	CHECK(viz_engine__from_inspect(doc, &c) && c.named);
	CHECK(!strcmp(c.name, "web") && !strcmp(c.image, "shop:3") && !c.pod[0]);
	viz_container__label(&c, label, sizeof(label));
	CHECK(!strcmp(label, "web (shop:3)"));
	json_object_put(doc);

	doc = json("{\"Name\":\"/k8s_x\",\"Config\":{\"Image\":\"i\",\"Labels\":{"
		   "\"io.kubernetes.pod.name\":\"shop-1\",\"io.kubernetes.pod.namespace\":\"prod\","
		   "\"io.kubernetes.container.name\":\"app\"}}}");
	CHECK(viz_engine__from_inspect(doc, &c));
	viz_container__label(&c, label, sizeof(label));
	CHECK(!strcmp(label, "prod/shop-1/app"));
	json_object_put(doc);

	memset(&c, 0, sizeof(c));
	doc = json("{\"annotations\":{\"io.kubernetes.cri.container-name\":\"app\","
		   "\"io.kubernetes.cri.sandbox-name\":\"shop-1\","
		   "\"io.kubernetes.cri.sandbox-namespace\":\"prod\","
		   "\"io.kubernetes.cri.image-name\":\"shop:4\"}}");
	CHECK(viz_engine__from_oci_config(doc, &c));
	CHECK(!strcmp(c.name, "app") && !strcmp(c.pod, "prod/shop-1") &&
	      !strcmp(c.image, "shop:4"));
	json_object_put(doc);

	memset(&c, 0, sizeof(c));
	strcpy(c.id, A);
	doc = json("[{\"id\":\"" B "\",\"names\":[\"other\"]},{\"id\":\"" A
		   "\",\"names\":[\"web\"],"
		   "\"metadata\":\"{\\\"image-name\\\":\\\"shop:5\\\"}\"}]");
	CHECK(viz_engine__from_storage(doc, &c));
	CHECK(!strcmp(c.name, "web") && !strcmp(c.image, "shop:5") && !strcmp(c.engine, "podman"));
	json_object_put(doc);

	doc = json("[{\"id\":\"" A "\",\"names\":[\"k8s_app_shop-1_prod_77_0\"],"
		   "\"metadata\":\"{\\\"pod-name\\\":\\\"shop-1\\\","
		   "\\\"image-name\\\":\\\"shop:6\\\"}\"}]");
	CHECK(viz_engine__from_storage(doc, &c));
	CHECK(!strcmp(c.name, "app") && !strcmp(c.pod, "prod/shop-1") &&
	      !strcmp(c.engine, "cri-o"));
	CHECK(!strcmp(c.image, "shop:6"));
	json_object_put(doc);
}

/* Documents of another shape than any engine writes are refused, not believed. */
static void test_odd_documents(void)
{
	static const char *const odd[] = {
		"{}",
		"[]",
		"3",
		"\"x\"",
		"{\"Name\":3}",
		"{\"Name\":\"\"}",
		"{\"Name\":\"/\"}",
		"{\"Name\":[\"/web\"]}",
		"{\"annotations\":[]}",
		"{\"annotations\":{\"a\":1}}",
		"[{\"id\":3}]",
		"[3,[]]",
		"[{\"id\":\"" A "\"}]",
		"[{\"id\":\"" A "\",\"names\":{},\"metadata\":\"{\"}]",
	};
	struct viz_container c;
	size_t i;

	for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		struct json_object *doc = json(odd[i]);

		memset(&c, 0, sizeof(c));
		strcpy(c.id, A);
		CHECK(!viz_engine__from_inspect(doc, &c));
		CHECK(!viz_engine__from_oci_config(doc, &c));
		CHECK(!viz_engine__from_storage(doc, &c));
		json_object_put(doc);
	}
	memset(&c, 0, sizeof(c));
	struct json_object *doc = json("{\"Name\":\"/a\\u001b[31m\\nb\"}");

	CHECK(viz_engine__from_inspect(doc, &c));
	CHECK(!strcmp(c.name, "a?[31m?b"));
	json_object_put(doc);
}

static void test_cgroups(void)
{
	const char *cursor = "12:cpu,cpuacct:/a\nbad\n:x:/\n9:name=systemd:/b:c\n7:x:nopath\n0::/d";
	char path[VIZ_CGROUP_PATH_MAX], *long_one = malloc(5000);
	struct viz_cgroups groups = {0};
	uint32_t hierarchy;
	char why[512] = "";

	CHECK(viz_cgroup__next(&cursor, &hierarchy, path) && hierarchy == 12 &&
	      !strcmp(path, "/a"));
	CHECK(viz_cgroup__next(&cursor, &hierarchy, path) && hierarchy == 9 &&
	      !strcmp(path, "/b:c"));
	CHECK(viz_cgroup__next(&cursor, &hierarchy, path) && hierarchy == 0 && !strcmp(path, "/d"));
	CHECK(!viz_cgroup__next(&cursor, &hierarchy, path));
	memset(long_one, 'x', 4999);
	long_one[4999] = '\0';
	memcpy(long_one, "0::/", 4);
	cursor = long_one;
	CHECK(!viz_cgroup__next(&cursor, &hierarchy, path));
	free(long_one);

	CHECK(viz_cgroup__below("/a", "/a") && viz_cgroup__below("/a", "/a/b"));
	CHECK(!viz_cgroup__below("/a", "/ab") && !viz_cgroup__below("/a/b", "/a"));
	CHECK(viz_cgroup__below("/", "/a") && viz_cgroup__below("/a/", "/a/b"));

	CHECK(viz_cgroups__add(&groups, "/no/such/group", why, sizeof(why)) == -ENOENT && why[0]);
	CHECK(viz_cgroups__add(&groups, "/a/../b", why, sizeof(why)) == -ENOENT);
	CHECK(viz_cgroups__add(&groups, "/etc", why, sizeof(why)) == -ENOENT);
	CHECK(groups.nr == 0);
	viz_cgroups__free(&groups);
}

static int parse_answer(const char *text, const char **body)
{
	static char copy[4096];
	char *found = NULL;
	int status;

	snprintf(copy, sizeof(copy), "%s", text);
	status = viz_http_unix__parse(copy, strlen(copy), &found);
	*body = found ? found : "";
	return status;
}

static void test_answers(void)
{
	const char *body;

	CHECK(parse_answer("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}", &body) == 200 &&
	      !strcmp(body, "{}"));
	CHECK(parse_answer("HTTP/1.1 404 Not Found\r\n\r\n", &body) == 404 && !*body);
	CHECK(parse_answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
			   "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
			   &body) == 200 &&
	      !strcmp(body, "abc0123456789"));
	CHECK(parse_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nabc",
			   &body) == -EPROTO);
	CHECK(parse_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "ffffffffffffffffffff\r\nabc\r\n",
			   &body) == -EPROTO);
	CHECK(parse_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", &body) ==
	      -EPROTO);
	CHECK(parse_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
			   &body) == -EPROTO);
	CHECK(parse_answer("", &body) == -EPROTO);
	CHECK(parse_answer("HTTP/1.", &body) == -EPROTO);
	CHECK(parse_answer("HTTP/1.1 20 OK\r\n\r\n", &body) == -EPROTO);
	CHECK(parse_answer("HTTP/1.1 999 OK\r\n\r\n", &body) == -EPROTO);
	CHECK(parse_answer("SSH-2.0\r\n\r\n", &body) == -EPROTO);
}

struct server {
	int fd;
	const char *answer; /* NULL: says nothing; "flood": never ends */
};

static void *serve(void *arg)
{
	struct server *server = arg;
	int fd = accept(server->fd, NULL, NULL);
	char junk[1024];
	ssize_t n = recv(fd, junk, sizeof(junk), 0);

	if (server->answer && !strcmp(server->answer, "flood")) {
		memset(junk, 'x', sizeof(junk));
		while (send(fd, junk, sizeof(junk), MSG_NOSIGNAL) > 0)
			;
	} else if (server->answer) {
		n = send(fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
	} else {
		n = recv(fd, junk, sizeof(junk), 0); /* until the client gives up */
	}
	(void)n;
	close(fd);
	return NULL;
}

static int ask(const char *path, const char *answer, int listener, char **body)
{
	struct server server = {listener, answer};
	pthread_t thread;
	int status;

	pthread_create(&thread, NULL, serve, &server);
	status = viz_http_unix__get(path, "/containers/x/json", 65536, 300, body);
	pthread_join(thread, NULL);
	return status;
}

static void test_sockets(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/vizbpf-unit-XXXXXX", *body;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	CHECK(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)) && !listen(fd, 4));

	CHECK(ask(addr.sun_path, "HTTP/1.0 200 OK\r\n\r\nhello", fd, &body) == 200);
	CHECK(body && !strcmp(body, "hello"));
	free(body);
	CHECK(ask(addr.sun_path, "nonsense", fd, &body) == -EPROTO && !body);
	CHECK(ask(addr.sun_path, "", fd, &body) == -EPROTO && !body);
	CHECK(ask(addr.sun_path, NULL, fd, &body) == -ETIMEDOUT && !body);
	CHECK(ask(addr.sun_path, "flood", fd, &body) == -EMSGSIZE && !body);
	CHECK(viz_http_unix__get(addr.sun_path, "/a b", 100, 100, &body) == -EINVAL && !body);
	close(fd);
	CHECK(viz_http_unix__get(addr.sun_path, "/", 100, 100, &body) == -ECONNREFUSED && !body);
	unlink(addr.sun_path);
	CHECK(viz_http_unix__get(addr.sun_path, "/", 100, 100, &body) == -ENOENT && !body);
	rmdir(dir);
}

int main(void)
{
	test_paths();
	test_engines();
	test_odd_documents();
	test_cgroups();
	test_answers();
	test_sockets();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
