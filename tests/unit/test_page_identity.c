// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/page_identity.c: pages that are a file's own, another's, and nobody's.
 * Build: user/target/page_identity.c
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"
#include "target/page_identity.h"

enum { SIZE = 4 * 4096 };

static int make_file(void)
{
	char name[] = "/tmp/vizbpf-page-identity-XXXXXX", page[SIZE];
	int fd = mkstemp(name);

	memset(page, 'x', sizeof(page));
	if (fd < 0 || unlink(name) || write(fd, page, SIZE) != SIZE)
		exit(1);
	return fd;
}

/* What /proc/PID/maps would say of it, every page read if @touch. */
static struct viz_map map_of(int fd, int prot, int touch)
{
	volatile char *at = mmap(NULL, SIZE, prot, MAP_PRIVATE, fd, 0);
	struct viz_map map = {.start = (uint64_t)(uintptr_t)at};

	if (at == MAP_FAILED)
		exit(1);
	for (int i = 0; touch && i < SIZE; i += 4096) {
		if (prot & PROT_WRITE)
			at[i] = 'y';
		else
			(void)at[i];
	}
	map.end = map.start + SIZE;
	return map;
}

int main(void)
{
	int first = make_file(), second = make_file();
	struct viz_map map = map_of(first, PROT_READ, 1), none = map_of(first, PROT_READ, 0),
		       written = map_of(first, PROT_READ | PROT_WRITE, 1), longer;

	if (geteuid() != 0) {
		printf("1..0 # SKIP page frame numbers are for root\n");
		return 0;
	}
	ok(viz_pages__same(getpid(), &map, first) == 1, "the same file");
	ok(viz_pages__same(getpid(), &map, second) == 0, "another file with the same contents");
	ok(viz_pages__same(getpid(), &written, first) == -ENODATA, "private copies only");
	madvise((void *)(uintptr_t)none.start, SIZE, MADV_DONTNEED);
	ok(viz_pages__same(getpid(), &none, first) == -ENODATA, "no page is there");
	longer = map;
	if (ftruncate(second, 100))
		return 1;
	ok(viz_pages__same(getpid(), &longer, second) <= 0, "a file that has become shorter");
	ok(viz_pages__same(-1, &map, first) == -ENOENT, "no such process");
	return tap_done();
}
