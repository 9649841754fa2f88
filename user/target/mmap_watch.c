// SPDX-License-Identifier: Apache-2.0
#include "mmap_watch.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DATA_PAGES = 16, RECORD_MAX = 8192 };

struct cpu {
	int fd;
	struct perf_event_mmap_page *page;
};

struct viz_mmap_watch {
	struct cpu *cpus;
	int nr;
	int epoll;
	size_t page_size;
	char record[RECORD_MAX];
};

static int open_cpu(struct viz_mmap_watch *watch, int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap2 = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	struct epoll_event event = {.events = EPOLLIN};
	struct cpu *c = &watch->cpus[watch->nr];

	c->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	/* A number without a processor, or one that is switched off, is passed over. */
	if (c->fd < 0)
		return errno == ENODEV || errno == EINVAL ? 0 : -errno;
	c->page = mmap(NULL, (DATA_PAGES + 1) * watch->page_size, PROT_READ | PROT_WRITE,
		       MAP_SHARED, c->fd, 0);
	if (c->page == MAP_FAILED) {
		close(c->fd);
		return -errno;
	}
	watch->nr++;
	return epoll_ctl(watch->epoll, EPOLL_CTL_ADD, c->fd, &event) ? -errno : 0;
}

struct viz_mmap_watch *viz_mmap_watch__new(void)
{
	struct viz_mmap_watch *watch = calloc(1, sizeof(*watch));
	int nr = (int)sysconf(_SC_NPROCESSORS_CONF), err = 0;

	if (!watch)
		return NULL;
	watch->page_size = (size_t)sysconf(_SC_PAGESIZE);
	watch->epoll = epoll_create1(EPOLL_CLOEXEC);
	watch->cpus = calloc((size_t)nr, sizeof(*watch->cpus));
	if (watch->epoll < 0 || !watch->cpus)
		err = -ENOMEM;
	for (int cpu = 0; cpu < nr && !err; cpu++)
		err = open_cpu(watch, cpu);
	if (err || !watch->nr) {
		viz_mmap_watch__free(watch);
		errno = err ? -err : ENODEV;
		return NULL;
	}
	return watch;
}

void viz_mmap_watch__free(struct viz_mmap_watch *watch)
{
	if (!watch)
		return;
	for (int i = 0; i < watch->nr; i++) {
		munmap(watch->cpus[i].page, (DATA_PAGES + 1) * watch->page_size);
		close(watch->cpus[i].fd);
	}
	if (watch->epoll >= 0)
		close(watch->epoll);
	free(watch->cpus);
	free(watch);
}

int viz_mmap_watch__fd(const struct viz_mmap_watch *watch)
{
	return watch->epoll;
}

/* struct perf_event_header and the fields of PERF_RECORD_MMAP2 before the name. */
struct mmap2 {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t addr, len, pgoff;
	uint32_t maj, min;
	uint64_t ino, ino_generation;
	uint32_t prot, flags;
	char filename[];
};

static void take(const char *record, size_t size, viz_mapped_fn fn, void *ctx)
{
	const struct mmap2 *m = (const void *)record;
	const char *name;

	if (m->header.type != PERF_RECORD_MMAP2 || size <= sizeof(*m) ||
	    !memchr(m->filename, '\0', size - sizeof(*m)))
		return;
	name = strrchr(m->filename, '/');
	fn(ctx, (pid_t)m->pid, m->addr, name ? name + 1 : m->filename);
}

static void read_cpu(struct viz_mmap_watch *watch, struct cpu *c, viz_mapped_fn fn, void *ctx)
{
	size_t mask = DATA_PAGES * watch->page_size - 1;
	const char *data = (const char *)c->page + watch->page_size;
	uint64_t head = __atomic_load_n(&c->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = c->page->data_tail;

	while (tail < head) {
		const struct perf_event_header *h = (const void *)(data + (tail & mask));
		size_t size = h->size;

		if (size < sizeof(*h) || size > head - tail)
			break;
		if (size <= RECORD_MAX) {
			/* A record may wrap around the end of the ring. */
			for (size_t i = 0; i < size; i++)
				watch->record[i] = data[(tail + i) & mask];
			take(watch->record, size, fn, ctx);
		}
		tail += size;
	}
	__atomic_store_n(&c->page->data_tail, head, __ATOMIC_RELEASE);
}

void viz_mmap_watch__read(struct viz_mmap_watch *watch, viz_mapped_fn fn, void *ctx)
{
	for (int i = 0; i < watch->nr; i++)
		read_cpu(watch, &watch->cpus[i], fn, ctx);
}
