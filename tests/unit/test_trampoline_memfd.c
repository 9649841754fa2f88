/* with: user/engine/trampoline_memfd.c */
// SPDX-License-Identifier: Apache-2.0
/* What is opened as a target's ring: a memfd that stays as long as it is, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/trampoline_memfd.h"
#include "tap.h"

enum { SIZE = 16 << 10 };

static int try(int fd, int flags, uint64_t *size)
{
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);
	int got;

	if (at == MAP_FAILED)
		return -ENODEV;
	got = viz_memfd__open(getpid(), (uint64_t)at, (uint64_t)at + SIZE, size);
	munmap(at, SIZE);
	return got;
}

static int new_memfd(unsigned int flags, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | flags);

	if (fd < 0 || ftruncate(fd, 2 * SIZE) || (seals && fcntl(fd, F_ADD_SEALS, seals)))
		exit(1);
	return fd;
}

static int temporary(const char *where)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/vizbpf-test-XXXXXX", where);
	fd = mkstemp(path);
	if (fd < 0 || unlink(path) || ftruncate(fd, SIZE))
		exit(1);
	return fd;
}

/* Sealed as well, but a page that is not to be had is a SIGBUS. */
static void test_huge(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	uint64_t size, huge = 2 << 20;
	char *at = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, (off_t)huge))
		at = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (at == MAP_FAILED)
		printf("ok %d # SKIP no file of huge pages\n", ++tap_tests);
	else
		ok(viz_memfd__open(getpid(), (uint64_t)at, (uint64_t)at + huge, &size) == -EPERM,
		   "one of huge pages");
}

int main(void)
{
	uint64_t size = 0;
	int fd = new_memfd(MFD_ALLOW_SEALING, 0), got = try(fd, MAP_SHARED, &size);

	if (got == -EPERM || got == -EACCES) {
		/* /proc/PID/map_files is for the privileged */
		if (geteuid()) {
			printf("1..0 # SKIP needs root\n");
			return 0;
		}
	}
	ok(got >= 0 && size == 2 * SIZE, "a memfd, and its size");
	ok(ftruncate(fd, SIZE) && errno == EPERM, "nobody makes it shorter any more");
	ok(!pwrite(fd, "", 0, 0) &&
		   !fallocate(got, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
	   "what it holds can be given back");
	ok(try(new_memfd(0, 0), MAP_SHARED, &size) == -EPERM, "one that cannot be sealed");
	ok(try(new_memfd(MFD_ALLOW_SEALING, F_SEAL_SEAL), MAP_SHARED, &size) == -EPERM,
	   "one that takes no more seals");
	test_huge();
	ok(try(temporary("/dev/shm"), MAP_SHARED, &size) == -EPERM, "a file of a mounted tmpfs");
	ok(try(temporary("/tmp"), MAP_SHARED, &size) == -EPERM, "a file");
	ok(try(open("/dev/zero", O_RDWR | O_CLOEXEC), MAP_SHARED, &size) == -EPERM, "shared zeros");
	ok(viz_memfd__open(getpid(), 4096, 8192, &size) == -ENOENT, "nothing");
	return tap_done();
}
