// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/process_maps.c: lines of /proc/PID/maps, as the kernel writes them and not.
 * Build: user/target/process_maps.c
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/process_maps.h"

static int tests, failed;

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

/* In memory of exactly its size, for the sanitizer to see any step outside. */
static int parse(const char *text, struct viz_map *map, char path[64])
{
	char *line = strdup(text);
	int err = viz_maps__parse(line, map);

	path[0] = '\0';
	if (!err)
		snprintf(path, 64, "%s", map->path);
	free(line);
	return err;
}

static void test_good(void)
{
	struct viz_map map;
	char path[64];

	check(!parse("55d0c7a00000-55d0c7a21000 r-xp 0001f000 08:02 393223            "
		     "         /usr/bin/python3.11\n",
		     &map, path) &&
		      map.start == 0x55d0c7a00000 && map.end == 0x55d0c7a21000 && map.read &&
		      !map.write && map.exec && !map.shared && map.offset == 0x1f000 &&
		      map.dev_major == 8 && map.dev_minor == 2 && map.inode == 393223 &&
		      !strcmp(path, "/usr/bin/python3.11"),
	      "a mapped file");
	check(!parse("7f0000000000-7f0000001000 rw-s 00000000 00:00 0 \n", &map, path) &&
		      map.shared && map.write && !map.inode && !*path,
	      "no file");
	check(!parse("7f0000000000-7f0000001000 rw-p 00000000 00:00 0", &map, path) && !*path,
	      "no file, no blank");
	check(!parse("1000-2000 r--p 00000000 103:05 7    /a b  c (deleted)\n", &map, path) &&
		      map.dev_major == 0x103 && !strcmp(path, "/a b  c (deleted)"),
	      "blanks in a path stay");
	check(!parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]\n",
		     &map, path) &&
		      map.start == 0xffffffffff600000 && !map.read && map.exec,
	      "the top of the address space");
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"",
		"\n",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 r-x",
		"1000-2000 r-xp",
		"1000-2000 r-xp ",
		"1000-2000 r-xp 0 08:02",
		"1000-2000 r-xp 0 08:02 ",
		"2000-1000 r-xp 0 08:02 7 /x",
		"1000-1000 r-xp 0 08:02 7 /x",
		"-1000-2000 r-xp 0 08:02 7 /x",
		" 1000-2000 r-xp 0 08:02 7 /x",
		"0x1000-0x2000 r-xp 0 08:02 7 /x",
		"1000-2000 r-xp 0 08:02 -7 /x",
		"1000-2000 r-xp 0 08:02 7x /x",
		"10000000000000000-20000000000000000 r-xp 0 08:02 7 /x",
		"1000-2000 r-xp 10000000000000000 08:02 7 /x",
		"1000-2000 r-xp 0 100000000:02 7 /x",
		"1000-2000 r-xp 0 08:02 99999999999999999999999 /x",
		"1000-2000 r-xpp 0 08:02 7 /x",
		"VmFlags: rd ex mr mw me dw\n",
	};
	char name[96], path[64];
	struct viz_map map;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(name, sizeof(name), "refused: \"%.60s\"", bad[i]);
		for (char *p = name; *p; p++)
			*p = *p == '\n' ? '~' : *p;
		check(parse(bad[i], &map, path) == -EINVAL, name);
	}
}

struct self {
	uint64_t here;
	bool found;
	int calls;
};

static int look(const struct viz_map *map, void *ctx)
{
	struct self *self = ctx;
	struct stat mine, theirs;
	int fd;

	self->calls++;
	if (self->here < map->start || self->here >= map->end)
		return 0;
	fd = viz_maps__open(getpid(), map);
	self->found = map->exec && fd >= 0 && !fstat(fd, &mine) &&
		      !stat("/proc/self/exe", &theirs) && mine.st_ino == theirs.st_ino &&
		      mine.st_dev == theirs.st_dev;
	if (fd >= 0)
		close(fd);
	return 42;
}

static int count(const struct viz_map *map, void *ctx)
{
	(void)map;
	++*(int *)ctx;
	return 0;
}

static void test_self(void)
{
	struct self self = {.here = (uint64_t)(uintptr_t)test_self};
	int lines = 0, calls;

	check(viz_maps__each(getpid(), look, &self) == 42 && self.found,
	      "this program's own code is found and opened; the walk stops when told");
	calls = self.calls;
	check(!viz_maps__each(getpid(), count, &lines) && lines > calls, "the walk ends by itself");
	check(viz_maps__each(0x7ffffff0, count, &lines) == -ENOENT, "no such process");
}

int main(void)
{
	test_good();
	test_bad();
	test_self();
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
