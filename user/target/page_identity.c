// SPDX-License-Identifier: Apache-2.0
#include "page_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

/* Documentation/admin-guide/mm/pagemap.rst */
#define PRESENT (1ull << 63)
#define OF_A_FILE (1ull << 61)
#define FRAME ((1ull << 55) - 1)

enum { PAGES_MAX = 256 };

/* Reads the entries of @nr pages; the number read, or a negative errno. */
static int read_entries(const char *path, uint64_t addr, uint64_t *entries, int nr)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, entries, (size_t)nr * sizeof(*entries),
		  (off_t)(addr / PAGE * sizeof(*entries)));
	n = n < 0 ? -errno : n / (ssize_t)sizeof(*entries);
	close(fd);
	return (int)n;
}

/* The page frame, if the page is there and belongs to a file (no private copy); else 0. */
static uint64_t frame_of(uint64_t entry)
{
	return entry & PRESENT && entry & OF_A_FILE ? entry & FRAME : 0;
}

int viz_pages__same(pid_t pid, const struct viz_map *map, int fd)
{
	uint64_t theirs[PAGES_MAX] = {0}, ours[PAGES_MAX] = {0},
		 pages = (map->end - map->start) / PAGE;
	size_t size = (pages < PAGES_MAX ? pages : PAGES_MAX) * PAGE;
	int nr = (int)(size / PAGE), result = -ENODATA;
	char path[64];
	void *at;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	/* Populated by the kernel, never touched: beyond the end of the file nothing happens. */
	at = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, (off_t)map->offset);
	if (at == MAP_FAILED)
		return -errno;
	nr = read_entries(path, map->start, theirs, nr);
	if (nr > 0)
		nr = read_entries("/proc/self/pagemap", (uint64_t)(uintptr_t)at, ours, nr);
	for (int i = 0; i < nr; i++) {
		if (!frame_of(theirs[i]) || !frame_of(ours[i]))
			continue;
		result = frame_of(theirs[i]) == frame_of(ours[i]);
		/* A page may just have been moved; one that is shared settles it. */
		if (result)
			break;
	}
	munmap(at, size);
	return nr < 0 ? nr : result;
}
