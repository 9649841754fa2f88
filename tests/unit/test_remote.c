// SPDX-License-Identifier: Apache-2.0
/*
 * user/target/remote.c: memory of another process (this one), good and bad addresses, strings.
 * Build: user/target/remote.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../bpf/records.h"
#include "target/remote.h"

static int tests, failed, mem;

static const struct viz_offsets layout = {
	.str_length = 16, .str_state = 32, .str_ascii_data = 40, .str_compact_data = 56};

static void check(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, what);
	failed += !ok;
}

struct text {
	uint64_t head[2], length, hash;
	uint32_t state, pad;
	unsigned char data[120];
};

#define STATE(kind, compact, ascii) ((kind) << 2 | (compact) << 5 | (ascii) << 6)

static int read_str(struct text *text, uint64_t length, uint32_t state, const void *data,
		    size_t size, char *buf, size_t room)
{
	size_t at = state & 1 << 6 ? 0 : 16;

	memset(text, 0, sizeof(*text));
	text->length = length;
	text->state = state;
	memcpy(text->data + at, data, size);
	return viz_remote__read_str(mem, (uint64_t)(uintptr_t)text, &layout, buf, room);
}

static void test_memory(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *two = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t last = (uint64_t)(uintptr_t)two + (uint64_t)page - 8, value = 0;

	munmap(two + page, (size_t)page);
	memcpy(two + page - 8, "abcdefgh", 8);
	check(!viz_remote__read_u64(mem, last, &value) && !memcmp(&value, "abcdefgh", 8),
	      "the last word of a page");
	check(viz_remote__read_u64(mem, last + 1, &value) < 0, "a word that is half there");
	check(viz_remote__read_u64(mem, 0, &value) < 0, "address 0");
	check(viz_remote__read_u64(mem, UINT64_MAX - 3, &value) == -EFAULT, "the end of the world");
	check(viz_remote__read_u64(mem, 1ull << 63, &value) == -EFAULT, "a negative offset");
	check(!viz_remote__write(mem, last, "ABCD", 4) && !memcmp(two + page - 8, "ABCDefgh", 8),
	      "a write");
	check(viz_remote__write(mem, UINT64_MAX, "A", 1) == -EFAULT, "a write to nowhere");
	check(viz_remote__open(0x7ffffff0, O_RDONLY) == -ENOENT, "a process that is not there");
}

static void test_strings(void)
{
	static const uint16_t two[] = {'a', 0x20ac, 0xd800, 'z'};
	static const uint32_t four[] = {0x1f40d, 0x110000, 'z'};
	struct text t;
	char buf[32];

	check(read_str(&t, 5, STATE(1, 1, 1), "hello", 5, buf, sizeof(buf)) == 5 &&
		      !strcmp(buf, "hello"),
	      "ASCII");
	check(read_str(&t, 3, STATE(1, 1, 0), "\xe9t\xff", 3, buf, sizeof(buf)) == 5 &&
		      !strcmp(buf, "étÿ"),
	      "Latin-1");
	check(read_str(&t, 4, STATE(2, 1, 0), two, sizeof(two), buf, sizeof(buf)) == 8 &&
		      !strcmp(buf, "a€\xef\xbf\xbdz"),
	      "UCS-2, with a lone surrogate");
	check(read_str(&t, 3, STATE(4, 1, 0), four, sizeof(four), buf, sizeof(buf)) == 8 &&
		      !strcmp(buf, "🐍\xef\xbf\xbdz"),
	      "UCS-4, with an impossible character");
	check(read_str(&t, 0, STATE(1, 1, 1), "", 0, buf, sizeof(buf)) == 0 && !*buf, "empty");
	check(read_str(&t, 5, STATE(1, 1, 1), "hello", 5, buf, 4) == 3 && !strcmp(buf, "hel"),
	      "cut to the room there is");
	check(read_str(&t, 3, STATE(1, 1, 0), "\xe9\xe9\xe9", 3, buf, 4) == 2 && !strcmp(buf, "é"),
	      "never in the middle of a character");
	check(read_str(&t, 5, STATE(1, 0, 1), "hello", 5, buf, sizeof(buf)) == -ENOTSUP && !*buf,
	      "characters kept elsewhere");
	check(read_str(&t, 5, STATE(3, 1, 0), "hello", 5, buf, sizeof(buf)) == -EINVAL,
	      "a kind that does not exist");
	check(read_str(&t, UINT64_MAX, STATE(1, 1, 1), "hello", 5, buf, sizeof(buf)) == -EINVAL,
	      "a negative length");
	check(viz_remote__read_str(mem, 16, &layout, buf, sizeof(buf)) < 0 && !*buf,
	      "an address that is none");
	check(viz_remote__read_str(mem, 16, &layout, buf, 0) == -EINVAL, "no room");
}

int main(void)
{
	mem = viz_remote__open(getpid(), O_RDWR);
	if (mem < 0) {
		printf("1..0 # SKIP /proc/self/mem cannot be opened: %s\n", strerror(-mem));
		return 0;
	}
	test_memory();
	test_strings();
	close(mem);
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
