/* with: user/engine/trampoline_place.c user/target/remote.c user/base/log.c */
// SPDX-License-Identifier: Apache-2.0
/* Where the recorder can go: looked for in this very process. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/recorder/recorder.h"
#include "engine/trampoline_place.h"
#include "target/remote.h"
#include "tap.h"

enum { HOLE = 64 << 20 };

static bool is_zero(int mem, uint64_t addr, uint64_t size)
{
	unsigned char bytes[4096];

	if (size > sizeof(bytes) || viz_remote__read(mem, addr, bytes, size))
		return false;
	for (uint64_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static void test_caves(int mem)
{
	struct viz_places p;
	uint64_t room = 0;
	bool zero = true, sorted = true;

	ok(!viz_places__find(&p, getpid(), mem, HOLE, NULL, 0), "a process can be looked through");
	for (int i = 0; i < p.nr_caves; i++) {
		zero &= is_zero(mem, p.caves[i].addr, p.caves[i].size);
		sorted &= !i || p.caves[i].size <= p.caves[i - 1].size;
		room += p.caves[i].size;
	}
	ok(p.nr_caves > 0 && zero, "caves are zeros");
	ok(sorted && room == p.room, "the largest comes first, and their sum is told");
}

static void test_reserve(int mem)
{
	struct viz_places p;
	struct viz_cave first;
	uint64_t size, addr;

	viz_places__find(&p, getpid(), mem, HOLE, NULL, 0);
	first = p.caves[0];
	viz_places__reserve(&p, first.addr, 100);
	addr = viz_places__take_some(&p, 64, &size);
	ok(addr && size == 64, "a piece is taken");
	ok(addr >= first.addr + 100 || addr + 64 <= first.addr || addr > first.addr + first.size,
	   "what is in use is not given away, though it is zeros");
	viz_places__find(&p, getpid(), mem, HOLE, NULL, 0);
	for (int i = 0; i < p.nr_caves; i++)
		viz_places__reserve(&p, p.caves[i].addr - 32, p.caves[i].size + 64);
	ok(!viz_places__take(&p, 16) && !p.room, "caves that are used up have no room");
}

static void test_hole(int mem)
{
	struct viz_span taken[2];
	struct viz_places p;
	bool apart = true;

	viz_places__find(&p, getpid(), mem, HOLE, NULL, 0);
	ok(p.hole && !(p.hole & 4095), "there is a free range");
	for (int i = 0; i < 2; i++) {
		taken[i] = (struct viz_span){p.hole, HOLE};
		viz_places__find(&p, getpid(), mem, HOLE, taken, i + 1);
		apart &= p.hole != 0;
		for (int k = 0; k <= i; k++)
			apart &= p.hole + HOLE <= taken[k].addr || p.hole >= taken[k].addr + HOLE;
	}
	ok(apart, "a range that will be mapped soon is not free");
	ok(mmap((void *)p.hole, HOLE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1,
		0) == (void *)p.hole,
	   "and the free one is free");
}

static bool is_found(int mem, const void *base)
{
	struct viz_places p;

	viz_places__find(&p, getpid(), mem, HOLE, NULL, 0);
	for (int i = 0; i < p.nr_images; i++)
		if (p.images[i] == (uint64_t)base)
			return true;
	return false;
}

/* A recorder begins with its magic, in a file or in anonymous memory, which is not writable. */
static void test_images(int mem)
{
	uint64_t magic = VIZ_REC_MAGIC;
	int fd = memfd_create("vizbpf", MFD_CLOEXEC);
	uint64_t *anonymous =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *file;
	bool none;

	none = pwrite(fd, &magic, sizeof(magic), 0) == sizeof(magic);
	file = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	ok(none && is_found(mem, file), "a recorder in a file is found");
	*anonymous = magic;
	none = !is_found(mem, anonymous);
	mprotect(anonymous, 4096, PROT_READ | PROT_EXEC);
	ok(none && is_found(mem, anonymous), "one in anonymous memory is found, if it is code");
	mprotect(anonymous, 4096, PROT_READ | PROT_WRITE);
	*anonymous = magic + 1;
	mprotect(anonymous, 4096, PROT_READ | PROT_EXEC);
	ok(!is_found(mem, anonymous), "other code is none");
	munmap(anonymous, 4096);
	munmap(file, 4096);
	close(fd);
}

int main(void)
{
	int mem = viz_remote__open(getpid(), O_RDONLY);

	test_caves(mem);
	test_reserve(mem);
	test_hole(mem);
	test_images(mem);
	close(mem);
	return tap_done();
}
