/* with: user/output/file.c user/output/create.c user/output/gzip.c user/output/scratch.c
 * user/base/log.c */
// SPDX-License-Identifier: Apache-2.0
/* Output files: made safely, valid at every moment, also when the disk is full. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "tap.h"

#include "output/create.h"
#include "output/file.h"
#include "output/gzip.h"

static char why[256];

static int count_files(void)
{
	FILE *ls = popen("ls -A | wc -l", "r");
	int n = -1;

	if (fscanf(ls, "%d", &n) != 1)
		n = -1;
	pclose(ls);
	return n;
}

/* The file's text, uncompressed; NULL when it is broken. */
static char *slurp(const char *path)
{
	gzFile file = gzopen(path, "rb");
	char *text = calloc(1, 4 << 20);
	int n, code;

	if (!file) {
		free(text);
		return NULL;
	}
	n = gzread(file, text, (4 << 20) - 1);
	gzerror(file, &code);
	if (n < 0 || code != Z_OK || gzclose(file) != Z_OK) {
		free(text);
		return NULL;
	}
	return text;
}

static bool is(const char *path, const char *want)
{
	char *text = slurp(path);
	bool same = text && !strcmp(text, want);

	if (!same)
		printf("# %s holds \"%.60s\"\n", path, text ? text : "(broken)");
	free(text);
	return same;
}

static const char *part(void)
{
	static char name[256];
	FILE *ls = popen("ls -A | grep part$", "r");

	name[0] = 0;
	if (fgets(name, sizeof(name), ls))
		name[strcspn(name, "\n")] = 0;
	pclose(ls);
	return name;
}

static void test_create(void)
{
	struct viz_output *out;
	struct stat st;

	umask(022);
	unsetenv("SUDO_UID");
	out = viz_output__open("a.json", false, why, sizeof(why));
	ok(out && access("a.json", F_OK) < 0, "a new file has not its name while it is written");
	viz_output__write(out, "one", 3);
	ok(!viz_output__close(out) && is("a.json", "one"), "but when it is complete");
	viz_output__free(out);
	stat("a.json", &st);
	ok((st.st_mode & 0777) == (geteuid() ? 0644 : 0600), "the mode is 0600 for root");
	out = viz_output__open("a.json", false, why, sizeof(why));
	viz_output__write(out, "two", 3);
	ok(is("a.json", "one"), "an old file stays while the new one is written");
	viz_output__free(out);
	ok(is("a.json", "one") && count_files() == 1, "and when it is given up; nothing is left");
	out = viz_output__open("a.json", false, why, sizeof(why));
	viz_output__write(out, "two", 3);
	ok(!viz_output__close(out) && is("a.json", "two"), "it is replaced in the end");
	viz_output__free(out);
	unlink("a.json");
}

static void test_sudo(void)
{
	struct viz_output *out;
	struct stat st = {0};

	if (geteuid()) {
		printf("ok %d - # SKIP only root gives files away\n", ++tap_tests);
		return;
	}
	setenv("SUDO_UID", "12345", 1);
	setenv("SUDO_GID", "54321", 1);
	umask(077);
	out = viz_output__open("s.json", false, why, sizeof(why));
	viz_output__close(out);
	viz_output__free(out);
	stat("s.json", &st);
	ok(st.st_uid == 12345 && st.st_gid == 54321 && (st.st_mode & 0777) == 0600,
	   "a file made by sudo belongs to the user, with the umask's mode");
	setenv("SUDO_UID", "12345x", 1);
	out = viz_output__open("s.json", false, why, sizeof(why));
	viz_output__close(out);
	viz_output__free(out);
	stat("s.json", &st);
	ok(st.st_uid == 0, "a number that is none is not taken");
	unsetenv("SUDO_UID");
	umask(022);
	unlink("s.json");
}

static void refused(const char *path, int err, const char *what)
{
	struct viz_output *out;

	why[0] = 0;
	errno = 0;
	out = viz_output__open(path, false, why, sizeof(why));
	ok(!out && errno == err && strstr(why, path), "refused: %s (%s)", what, why);
	viz_output__free(out);
}

static void test_refused(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), files;

	ok(!symlink("target", "link") && !mkdir("dir", 0700) &&
		   !bind(fd, (struct sockaddr *)&addr, sizeof(addr)),
	   "a link, a directory, a socket");
	close(fd);
	files = count_files();
	refused("link", EEXIST, "a link that leads nowhere");
	refused("dir", EEXIST, "a directory");
	refused("dir/", EISDIR, "a directory by its slash");
	refused("sock", EEXIST, "a socket");
	refused("none/x.json", ENOENT, "a directory that is not there");
	ok(count_files() == files && access("target", F_OK) < 0, "nothing was made");
	unlink("link");
	unlink("sock");
	rmdir("dir");
}

static void test_streams(void)
{
	struct viz_output *out = viz_output__open("/dev/null", false, why, sizeof(why));
	char text[64] = "";
	int fds[2], n;
	pid_t child;

	ok(out && !viz_output__write(out, "x", 1) && !viz_output__close(out), "/dev/null");
	viz_output__free(out);
	out = viz_output__open("/dev/full", false, why, sizeof(why));
	viz_output__write(out, "x", 1);
	ok(viz_output__close(out) == -ENOSPC, "/dev/full says so");
	viz_output__free(out);
	ok(!mkfifo("fifo", 0600), "a pipe");
	child = fork();
	if (!child) {
		out = viz_output__open("fifo", false, why, sizeof(why));
		viz_output__write(out, "data", 4);
		viz_output__terminator(out, "END", 3);
		viz_output__write(out, "more", 4);
		_exit(viz_output__close(out) ? 1 : 0);
	}
	fds[0] = open("fifo", O_RDONLY);
	while ((n = (int)read(fds[0], text + strlen(text), 32)) > 0)
		;
	close(fds[0]);
	waitpid(child, &n, 0);
	ok(!n && !strcmp(text, "datamoreEND"), "what cannot be rewritten is ended once: %s", text);
	unlink("fifo");
	ok(!pipe(fds), "an inherited pipe");
	snprintf(text, sizeof(text), "/dev/fd/%d", fds[1]);
	out = viz_output__open(text, false, why, sizeof(why));
	ok(out && !viz_output__write(out, "sub", 3) && !viz_output__close(out) &&
		   read(fds[0], text, 3) == 3 && !memcmp(text, "sub", 3),
	   "/dev/fd/N, as <(...) of the shell gives it");
	viz_output__free(out);
	close(fds[0]);
	close(fds[1]);
}

static void test_terminator(bool gzip)
{
	struct viz_output *out = viz_output__open("t", gzip, why, sizeof(why));
	char expect[200000] = "", line[32];
	int i, wrong = 0;

	viz_output__terminator(out, "[end]", 5);
	ok(is(part(), "[end]"), "gzip %d: valid before anything is written", gzip);
	for (i = 0; i < 2000; i++) {
		snprintf(line, sizeof(line), "line %d,", i);
		viz_output__write(out, line, strlen(line));
		strcat(expect, line);
		if (i % 250)
			continue;
		strcat(expect, i % 500 ? "<longer end>" : "<e>");
		viz_output__terminator(out, i % 500 ? "<longer end>" : "<e>", i % 500 ? 12 : 3);
		wrong += !is(part(), expect);
		expect[strlen(expect) - (i % 500 ? 12 : 3)] = 0;
	}
	ok(!wrong, "gzip %d: valid at every flush", gzip);
	strcat(expect, "<longer end>");
	ok(!viz_output__close(out) && is("t", expect), "gzip %d: ended by the last terminator",
	   gzip);
	viz_output__free(out);
	out = viz_output__open("t", gzip, why, sizeof(why));
	viz_output__write(out, "data", 4);
	viz_output__terminator(out, "]a long provisional end", 23);
	viz_output__last(out);
	viz_output__write(out, "]", 1);
	ok(!viz_output__close(out) && is("t", "data]"), "gzip %d: or by what the writer says",
	   gzip);
	viz_output__free(out);
	unlink("t");
}

/* Kept valid between flushes too, when it is not compressed. */
static void test_large(void)
{
	struct viz_output *out = viz_output__open("l", false, why, sizeof(why));
	static char big[1 << 20];
	int i, wrong = 0;
	char *p, *text;

	viz_output__terminator(out, "]", 1);
	for (i = 0; i < 50000; i++) {
		p = viz_output__reserve(out, 64);
		memcpy(p, ",0123456789", 11);
		viz_output__commit(out, 11);
		if (i % 7000 == 0) {
			text = slurp(part());
			wrong += !text || text[strlen(text) - 1] != ']' || (strlen(text) - 1) % 11;
			free(text);
		}
	}
	ok(!wrong, "a file that is being written ends where it may at any time");
	memset(big, 'x', sizeof(big));
	ok(!viz_output__write(out, big, sizeof(big)), "a piece larger than the buffer");
	ok(!viz_output__close(out) && viz_output__size(out) == 550000 + sizeof(big) + 1, "size");
	viz_output__free(out);
	unlink("l");
}

static void test_full(bool gzip)
{
	struct rlimit old, limit;
	struct viz_output *out = viz_output__open("f", gzip, why, sizeof(why));
	int i, err = 0;
	size_t len;
	char *text;

	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = gzip ? 40000 : 400000;
	signal(SIGXFSZ, SIG_IGN);
	viz_output__terminator(out, "]", 1);
	setrlimit(RLIMIT_FSIZE, &limit);
	for (i = 0; i < 2000000 && !err; i++) {
		char *p = viz_output__reserve(out, 64);

		if (!p) {
			err = viz_output__error(out);
			break;
		}
		len = (size_t)sprintf(p, ",%d", i * 7919 % 100000);
		viz_output__commit(out, len);
		if (i % 3000 == 0)
			err = viz_output__terminator(out, "]", 1);
	}
	ok(err == -EFBIG, "gzip %d: a full disk is an error", gzip);
	ok(viz_output__write(out, "x", 1) == err && viz_output__close(out) == err,
	   "gzip %d: which stays", gzip);
	viz_output__free(out);
	setrlimit(RLIMIT_FSIZE, &old);
	text = slurp("f");
	ok(text && strlen(text) > 1000 && text[strlen(text) - 1] == ']' &&
		   text[strlen(text) - 2] != ',',
	   "gzip %d: what was written is there, and ends well", gzip);
	free(text);
	unlink("f");
}

static int add(void *ctx, const void *data, size_t size)
{
	strncat(ctx, data, size);
	return 0;
}

/* What a slow disk, then a fast one, took. */
struct taken {
	char data[4 << 20];
	size_t len;
	int writes;
};

static int take_slowly(void *ctx, const void *data, size_t size)
{
	struct taken *t = ctx;

	if (t->writes++ < 40 && size)
		usleep(2000);
	memcpy(t->data + t->len, data, size);
	t->len += size;
	return 0;
}

static void fill(char *buffer, size_t size, unsigned int *seed)
{
	char line[80];
	size_t i;

	for (i = 0; i + 64 <= size; i += 64) {
		snprintf(line, sizeof(line),
			 "{\"ts\":%010u,\"name\":\"function %03u (/srv/a.py)\"},%16s",
			 (unsigned int)rand_r(seed), (unsigned int)rand_r(seed) % 200, "");
		memcpy(buffer + i, line, 64);
	}
}

/* In a hurry the level goes up and down inside one stream; it stays one. */
static void test_hurry(bool hurry)
{
	enum { SIZE = 64 * 1024, BUFFERS = 120 };
	static size_t patient;
	struct taken *t = calloc(1, sizeof(*t));
	struct viz_gzip *gz = viz_gzip__new(SIZE, take_slowly, t);
	unsigned char *back = malloc(SIZE * BUFFERS + 1);
	char *sent = malloc(SIZE * BUFFERS), *p = sent;
	unsigned int seed = 5, i;
	z_stream z = {0};

	viz_gzip__patient(gz, !hurry);
	for (i = 0; i < BUFFERS; i++, p += SIZE) {
		fill(viz_gzip__buffer(gz), SIZE, &seed);
		memcpy(p, viz_gzip__buffer(gz), SIZE);
		viz_gzip__submit(gz, SIZE);
		if (i == 50)
			viz_gzip__sync(gz);
		if (i > 80)
			usleep(500);
	}
	ok(!viz_gzip__finish(gz), "hurry %d: finished", hurry);
	inflateInit2(&z, 15 + 16);
	z.next_in = (unsigned char *)t->data;
	z.avail_in = (unsigned int)t->len;
	z.next_out = back;
	z.avail_out = SIZE * BUFFERS + 1;
	ok(inflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out == SIZE * BUFFERS &&
		   !memcmp(back, sent, SIZE * BUFFERS),
	   "hurry %d: %zu bytes are what was sent", hurry, t->len);
	if (hurry)
		ok(t->len > patient, "hurry: more bytes than the %zu of patience", patient);
	patient = t->len;
	inflateEnd(&z);
	viz_gzip__free(gz);
	free(back);
	free(sent);
	free(t);
}

static void test_scratch(void)
{
	struct viz_output *out = viz_output__scratch(false);
	char text[64] = "";
	int files = count_files();

	viz_output__write(out, "scratch", 7);
	ok(!viz_output__close(out) && !viz_output__copy(out, add, text) && !strcmp(text, "scratch"),
	   "a file without a name is read back");
	ok(count_files() == files, "and leaves none");
	viz_output__free(out);
}

/* Who may write to the directory puts another file where ours was. */
static void test_swapped_temporary(void)
{
	struct viz_place place;
	char why[256], name[300];
	FILE *other;

	if (viz_place__open(&place, "swapped.json", why, sizeof(why)))
		abort();
	snprintf(name, sizeof(name), "%s", place.temp);
	other = rename(name, "moved") ? NULL : fopen(name, "w");
	if (!other)
		abort();
	fclose(other);
	ok(viz_place__commit(&place) == -ESTALE && access("swapped.json", F_OK),
	   "another's file does not get the trace's name");
	viz_place__close(&place);
	ok(!access(name, F_OK), "nor is it removed");
	unlink(name);
	unlink("moved");
}

int main(void)
{
	char dir[] = "/tmp/vizbpf-test.XXXXXX";

	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	test_create();
	test_sudo();
	test_refused();
	test_swapped_temporary();
	test_streams();
	test_terminator(false);
	test_terminator(true);
	test_large();
	test_full(false);
	test_full(true);
	test_scratch();
	test_hurry(false);
	test_hurry(true);
	ok(count_files() == 0, "nothing is left behind");
	if (chdir("/") || rmdir(dir))
		return 1;
	return tap_done();
}
