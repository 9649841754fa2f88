// SPDX-License-Identifier: Apache-2.0
#include "trampoline_backlog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../output/scratch.h"

enum { UNIT = 16, BLOCK = 4096, PUNCH = 1 << 20 };

static const uint64_t free_at_least = 256 << 20;
/* Places in the file come round again, so that a long recording does not reach
 * the largest file that a file system can have (ext4: 16 TiB). */
static const uint64_t turn = 1ull << 40;

void viz_backlog__init(struct viz_backlog *b)
{
	*b = (struct viz_backlog){.fd = -1};
}

void viz_backlog__free(struct viz_backlog *b)
{
	if (b->fd >= 0)
		close(b->fd);
	viz_backlog__init(b);
}

uint64_t viz_backlog__size(const struct viz_backlog *b)
{
	return __atomic_load_n(&b->end, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(&b->begin, __ATOMIC_RELAXED);
}

static int open_file(struct viz_backlog *b)
{
	struct statvfs fs;
	int fd;

	if (b->refused)
		return -ENOSPC;
	fd = viz_scratch__open();
	if (fd < 0) {
		b->refused = true;
		return fd;
	}
	/* others live on that file system, too */
	if (!fstatvfs(fd, &fs)) {
		b->left_free = (uint64_t)fs.f_blocks * fs.f_frsize / 8;
		if (b->left_free > free_at_least)
			b->left_free = free_at_least;
	}
	b->fd = fd;
	return 0;
}

/* @size, or less where the file system would be too full. */
static size_t fitting(const struct viz_backlog *b, size_t size)
{
	struct statvfs fs;
	uint64_t avail;

	if (fstatvfs(b->fd, &fs))
		return size;
	avail = (uint64_t)fs.f_bavail * fs.f_frsize;
	avail = avail > b->left_free ? avail - b->left_free : 0;
	return avail < size ? (size_t)avail : size;
}

/* From @at to the end of the turn. */
static size_t straight(uint64_t at, size_t size)
{
	uint64_t rest = turn - at % turn;

	return rest < size ? (size_t)rest : size;
}

int64_t viz_backlog__add(struct viz_backlog *b, const void *data, size_t size)
{
	const char *p = data;
	uint64_t end = b->end;
	size_t done = 0;
	int err = b->fd < 0 ? open_file(b) : 0;

	if (err)
		return err;
	size = fitting(b, size) / UNIT * UNIT;
	while (done < size) {
		ssize_t n = pwrite(b->fd, p + done, straight(end + done, size - done),
				   (off_t)((end + done) % turn));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n ? -errno : -ENOSPC;
			break;
		}
		done += (size_t)n;
	}
	/* what was begun of the last one is written again */
	done = done / UNIT * UNIT;
	__atomic_store_n(&b->end, end + done, __ATOMIC_RELEASE);
	if (!done && err && err != -ENOSPC && err != -EDQUOT)
		return err;
	return (int64_t)done;
}

static void give_back(struct viz_backlog *b)
{
	uint64_t size = b->begin / BLOCK * BLOCK - b->punched;

	size = straight(b->punched, (size_t)size);
	/* where there are no holes the blocks stay until the file is closed */
	fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(b->punched % turn),
		  (off_t)size);
	b->punched += size;
}

int64_t viz_backlog__take(struct viz_backlog *b, void *data, size_t size)
{
	uint64_t begin = b->begin, waiting = viz_backlog__size(b);
	ssize_t n;

	if (waiting < size)
		size = (size_t)waiting;
	if (!size)
		return 0;
	do
		n = pread(b->fd, data, straight(begin, size), (off_t)(begin % turn));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -EIO;
	n = n / UNIT * UNIT;
	__atomic_store_n(&b->begin, begin + (uint64_t)n, __ATOMIC_RELAXED);
	if (b->begin - b->punched >= PUNCH ||
	    ((uint64_t)n == waiting && b->begin - b->punched >= BLOCK))
		give_back(b);
	return n;
}
