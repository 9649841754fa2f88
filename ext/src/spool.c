// SPDX-License-Identifier: Apache-2.0
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLASSES = 22, CLASS_MIN_BITS = 10 };

struct mapping {
	void *at;
	size_t size;
};

static struct {
	int fd; /* -1: private memory */
	dev_t dev;
	ino_t ino;
	off_t size; /* of the file */
	char *at, *end; /* room in the newest slab */
	struct viz_block *free[CLASSES]; /* by size */
	struct mapping *mappings;
	size_t nr;
	/* the parent's, in a forked child */
	struct mapping *left;
	size_t nr_left;
} spool = {.fd = -1};

/* A program that closes descriptors it does not know (a daemon's start) closes ours too, and
 * the number may be another file's then. */
static bool is_ours(void)
{
	struct stat st;

	return spool.fd >= 0 && !fstat(spool.fd, &st) && st.st_dev == spool.dev &&
	       st.st_ino == spool.ino;
}

int viz_spool__open(int fd)
{
	struct stat st;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fstat(fd, &st))
		return -errno;
	spool.fd = fd;
	spool.dev = st.st_dev;
	spool.ino = st.st_ino;
	spool.size = 0;
	/* what is free is not in the file */
	spool.at = spool.end = NULL;
	memset(spool.free, 0, sizeof(spool.free));
	return 0;
}

bool viz_spool__is_file(void)
{
	return spool.fd >= 0 && spool.size;
}

void viz_spool__end_file(void)
{
	if (is_ours())
		close(spool.fd);
	spool.fd = -1;
}

/* To grow a file beyond the limit is SIGXFSZ, which a program may not ignore. */
static bool may_grow(size_t size)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_FSIZE, &limit) &&
	       (limit.rlim_cur == RLIM_INFINITY || (rlim_t)spool.size + size <= limit.rlim_cur);
}

static void *map_file(size_t size)
{
	void *at;

	/* The room is taken now: a write into a page that a full filesystem has no room for is
	 * SIGBUS. */
	if (!is_ours() || !may_grow(size) || fallocate(spool.fd, 0, spool.size, (off_t)size))
		return MAP_FAILED;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, spool.fd,
		  spool.size);
	if (at != MAP_FAILED)
		spool.size += (off_t)size;
	return at;
}

/* @size: a multiple of the slab's. */
static void *map(size_t size)
{
	struct mapping *grown = realloc(spool.mappings, (spool.nr + 1) * sizeof(*grown));
	void *at;

	if (!grown)
		return NULL;
	spool.mappings = grown;
	at = map_file(size);
	/* One call instead of a page fault every 256 records. */
	if (at == MAP_FAILED)
		at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	grown[spool.nr++] = (struct mapping){at, size};
	return at;
}

static struct viz_block *take(size_t size)
{
	struct viz_block *block;

	if (size >= VIZ_SPOOL_SLAB)
		return map(size);
	if ((size_t)(spool.end - spool.at) < size) {
		char *slab = map(VIZ_SPOOL_SLAB);

		if (!slab)
			return NULL;
		spool.at = slab;
		spool.end = slab + VIZ_SPOOL_SLAB;
	}
	block = (struct viz_block *)spool.at;
	spool.at += size;
	return block;
}

void *viz_spool__get(enum viz_block_kind kind, size_t size)
{
	struct viz_block *block;
	int class = 0;

	while ((size_t)1 << (class + CLASS_MIN_BITS) < size)
		class ++;
	if (class >= CLASSES)
		return NULL;
	size = (size_t)1 << (class + CLASS_MIN_BITS);
	block = spool.free[class];
	if (block) {
		spool.free[class] = block->next;
		memset(block + 1, 0, size - sizeof(*block));
		block->next = NULL;
	} else {
		block = take(size);
	}
	if (!block)
		return NULL;
	block->bytes = (uint32_t)size;
	block->kind = kind;
	return block;
}

void viz_spool__put(void *memory)
{
	struct viz_block *block = memory;
	int class = 0;

	if (!block)
		return;
	while (1u << (class + CLASS_MIN_BITS) < block->bytes)
		class ++;
	block->kind = VIZ_BLOCK_FREE;
	block->next = spool.free[class];
	spool.free[class] = block;
}

static void reset(void)
{
	viz_spool__end_file();
	spool.size = 0;
	spool.at = spool.end = NULL;
	memset(spool.free, 0, sizeof(spool.free));
	spool.mappings = NULL;
	spool.nr = 0;
}

static void unmap(struct mapping *mappings, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		munmap(mappings[i].at, mappings[i].size);
}

void viz_spool__close(void)
{
	unmap(spool.mappings, spool.nr);
	free(spool.mappings);
	reset();
}

void viz_spool__leave(void)
{
	spool.left = spool.mappings;
	spool.nr_left = spool.nr;
	reset();
}

void viz_spool__forget_left(bool really)
{
	if (really)
		unmap(spool.left, spool.nr_left);
	free(spool.left);
	spool.left = NULL;
	spool.nr_left = 0;
}
