// SPDX-License-Identifier: Apache-2.0
/*
 * Checks the probe sites of one interpreter on a live program, with perf events and no BPF:
 * each call is seen exactly once going in and once out, with the same stack pointer.
 *
 *     sites FILE ROOT PROGRAM [ARG...]
 *
 * FILE holds the interpreter; ROOT ("/": none) is where PROGRAM runs. SLOT in its environment
 * is the offset of the PEP 523 slot, 0 where none has to be set. Prints one line, ends with 0
 * when all is well, 1 when not, 2 when it could not be tried.
 *
 * Where the sites are those at which frames are popped, the exact exits are watched too. The
 * condition cannot be evaluated from here, but each call must have been at such a site with its
 * own stack pointer before it ended. (More than once is no error here: until the slot is set,
 * frames of inlined calls are popped within another one's call.)
 *
 * Build: user/target/code_x86.c user/target/code_access_x86.c user/target/control_flow.c
 *	user/target/elf_frames.c user/target/elf_image.c user/target/elf_pointers.c
 *	user/target/eval_sites.c user/target/exit_cut.c user/target/pop_sites.c user/target/python_build.c
 *	user/target/python_offsets.c user/target/python_version.c user/target/usdt_notes.c
 *	user/base/log.c
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/python_build.h"

#define CPUS_MAX 64
#define BUFFER_PAGES 64
#define PAGE 4096u
#define HITS_MAX (8u << 20)
#define DEPTH_MAX 200000
#define THREADS_MAX 64
#define REG_SP 7 /* PERF_REG_X86_SP */

struct hit {
	uint64_t ts, sp;
	uint32_t tid;
	int32_t site; /* -1: the entry */
};

struct probe {
	uint64_t id;
	int32_t site;
};

struct watch {
	pid_t pid;
	int nr_cpus;
	int leader[CPUS_MAX];
	struct perf_event_mmap_page *page[CPUS_MAX];
	struct probe probes[CPUS_MAX * (2 * VIZ_LEAVE_SITES + 1)];
	unsigned int nr_probes;
	struct hit *hits;
	size_t nr_hits, max_hits;
	uint64_t lost;
};

static int read_int(const char *path)
{
	FILE *file = fopen(path, "re");
	int value = -1;

	if (file && fscanf(file, "%d", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}

static int open_probe(struct watch *w, int type, const char *path, const struct viz_site *site,
		      int32_t index, int cpu)
{
	struct perf_event_attr attr = {
		.type = (uint32_t)type,
		.size = sizeof(attr),
		.config1 = (uint64_t)(uintptr_t)path,
		.config2 = site->offset,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |
			       PERF_SAMPLE_REGS_USER,
		.sample_regs_user = 1ull << REG_SP,
		.wakeup_events = 512,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_ID, &w->probes[w->nr_probes].id))
		return -errno;
	w->probes[w->nr_probes++].site = index;
	if (w->leader[cpu] >= 0)
		return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, w->leader[cpu]) ? -errno : 0;
	w->leader[cpu] = fd;
	w->page[cpu] =
		mmap(NULL, (BUFFER_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return w->page[cpu] == MAP_FAILED ? -errno : 0;
}

static int open_probes(struct watch *w, const struct viz_build *build)
{
	int type = read_int("/sys/bus/event_source/devices/uprobe/type");
	char path[64];
	int err = 0;

	if (type < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", build->fd);
	for (int cpu = 0; cpu < w->nr_cpus && !err; cpu++) {
		w->leader[cpu] = -1;
		err = open_probe(w, type, path, &build->enter, -1, cpu);
		for (unsigned int i = 0; i < build->nr_leave && !err; i++)
			err = open_probe(w, type, path, &build->leave[i], (int32_t)i, cpu);
		for (unsigned int i = 0; i < build->nr_exact && !err; i++)
			err = open_probe(w, type, path, &build->exact[i],
					 (int32_t)(VIZ_LEAVE_SITES + i), cpu);
	}
	return err;
}

static void add_hit(struct watch *w, const struct hit *hit)
{
	if (w->nr_hits == w->max_hits && w->max_hits < HITS_MAX) {
		w->max_hits = w->max_hits ? 2 * w->max_hits : 65536;
		w->hits = realloc(w->hits, w->max_hits * sizeof(*w->hits));
		if (!w->hits)
			abort();
	}
	if (w->nr_hits == w->max_hits)
		w->lost++;
	else
		w->hits[w->nr_hits++] = *hit;
}

static void take_record(struct watch *w, const struct perf_event_header *header)
{
	struct {
		struct perf_event_header header;
		uint64_t id;
		uint32_t pid, tid;
		uint64_t ts;
		uint64_t abi, sp;
	} sample;
	struct {
		struct perf_event_header header;
		uint64_t id, lost;
	} lost;

	if (header->type == PERF_RECORD_LOST) {
		memcpy(&lost, header, sizeof(lost));
		w->lost += lost.lost;
	}
	if (header->type != PERF_RECORD_SAMPLE || header->size < sizeof(sample))
		return;
	memcpy(&sample, header, sizeof(sample));
	if (sample.pid != (uint32_t)w->pid)
		return;
	for (unsigned int i = 0; i < w->nr_probes; i++)
		if (w->probes[i].id == sample.id)
			add_hit(w, &(struct hit){.ts = sample.ts,
						 .sp = sample.sp,
						 .tid = sample.tid,
						 .site = w->probes[i].site});
}

static void drain(struct watch *w, struct perf_event_mmap_page *page)
{
	const char *data = (const char *)page + PAGE;
	uint64_t size = (uint64_t)BUFFER_PAGES * PAGE;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = page->data_tail;
	char record[1024];

	while (tail < head) {
		struct perf_event_header header;
		uint16_t i;

		for (i = 0; i < sizeof(header); i++)
			record[i] = data[(tail + i) % size];
		memcpy(&header, record, sizeof(header));
		if (header.size < sizeof(header) || header.size > sizeof(record))
			abort();
		for (; i < header.size; i++)
			record[i] = data[(tail + i) % size];
		take_record(w, (const struct perf_event_header *)record);
		tail += header.size;
	}
	__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
}

static int by_time(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	return x->ts < y->ts ? -1 : x->ts > y->ts;
}

struct open_call {
	uint64_t sp;
	unsigned int pops;
};

struct thread {
	uint32_t tid;
	struct open_call *open;
	size_t depth;
};

static bool is_at(const struct thread *t, const struct hit *hit, const struct viz_site *site)
{
	return t->depth && t->open[t->depth - 1].sp == hit->sp + (uint64_t)(int64_t)site->sp_delta;
}

/* Every exit must belong to the innermost open call of its thread. */
static int judge(struct watch *w, const struct viz_build *build, char *what, size_t size)
{
	static struct thread threads[THREADS_MAX];
	bool pops = build->info.flags & VIZ_BUILD_POPS;
	size_t missed = 0, entries = 0, exits = 0, wrong = 0, open = 0, t;

	qsort(w->hits, w->nr_hits, sizeof(*w->hits), by_time);
	for (size_t i = 0; i < w->nr_hits; i++) {
		const struct hit *hit = &w->hits[i];
		const struct viz_site *site;

		for (t = 0; t < THREADS_MAX && threads[t].tid && threads[t].tid != hit->tid; t++)
			;
		if (t == THREADS_MAX)
			abort();
		if (!threads[t].tid) {
			threads[t].tid = hit->tid;
			threads[t].open = calloc(DEPTH_MAX, sizeof(*threads[t].open));
		}
		if (hit->site < 0) {
			entries++;
			if (threads[t].depth < DEPTH_MAX)
				threads[t].open[threads[t].depth++] = (struct open_call){
					.sp = hit->sp + (uint64_t)(int64_t)build->enter.sp_delta};
			continue;
		}
		site = hit->site < VIZ_LEAVE_SITES ? &build->leave[hit->site]
						   : &build->exact[hit->site - VIZ_LEAVE_SITES];
		if (pops && hit->site < VIZ_LEAVE_SITES) {
			if (is_at(&threads[t], hit, site))
				threads[t].open[threads[t].depth - 1].pops++;
			else
				wrong++;
			continue;
		}
		exits++;
		if (!is_at(&threads[t], hit, site)) {
			wrong++;
			continue;
		}
		threads[t].depth--;
		missed += pops && !threads[t].open[threads[t].depth].pops;
	}
	for (t = 0; t < THREADS_MAX && threads[t].tid; t++)
		open += threads[t].depth;
	snprintf(what, size,
		 "%zu entries, %zu exits, %zu exits unmatched, %zu calls left open, "
		 "%zu without their pop",
		 entries, exits, wrong, open, missed);
	return !entries || wrong || open || missed || entries != exits;
}

static pid_t start(const char *root, char **argv, uint32_t slot, int gate[2])
{
	pid_t pid = fork();
	char text[32];

	if (pid)
		return pid;
	snprintf(text, sizeof(text), "%u", slot);
	setenv("SLOT", text, 1);
	close(gate[1]);
	while (read(gate[0], text, 1) < 0 && errno == EINTR)
		;
	close(gate[0]);
	if (strcmp(root, "/") && (chroot(root) || chdir("/")))
		_exit(126);
	execv(argv[0], argv);
	_exit(127);
}

static int watch_until_end(struct watch *w)
{
	int status = 0, ended = 0;

	while (!ended) {
		struct pollfd fds[CPUS_MAX];

		for (int cpu = 0; cpu < w->nr_cpus; cpu++)
			fds[cpu] = (struct pollfd){.fd = w->leader[cpu], .events = POLLIN};
		poll(fds, (nfds_t)w->nr_cpus, 10);
		ended = waitpid(w->pid, &status, WNOHANG) == w->pid;
		for (int cpu = 0; cpu < w->nr_cpus; cpu++)
			drain(w, w->page[cpu]);
	}
	return status;
}

int main(int argc, char **argv)
{
	struct watch w = {.nr_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN)};
	struct viz_build *build = NULL;
	char why[256] = "";
	int fd, gate[2], err, status;

	if (argc < 4 || w.nr_cpus > CPUS_MAX)
		return 2;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : viz_build__analyse(fd, argv[1], &build, why, sizeof(why));
	if (err || *build->no_eval) {
		printf("%s\n", err ? (*why ? why : strerror(-err)) : build->no_eval);
		return 1;
	}
	if (pipe2(gate, O_CLOEXEC))
		return 2;
	w.pid = start(argv[2], argv + 3,
		      build->info.flags & VIZ_BUILD_INLINES ? build->info.off.interp_eval_frame : 0,
		      gate);
	err = open_probes(&w, build);
	close(gate[1]);
	if (err) {
		printf("uprobes cannot be opened as perf events: %s\n", strerror(-err));
		return 2;
	}
	status = watch_until_end(&w);
	err = judge(&w, build, why, sizeof(why));
	printf("%s, %" PRIu64 " lost", why, w.lost);
	for (unsigned int i = 0; i < build->nr_leave; i++) {
		size_t n = 0;

		for (size_t k = 0; k < w.nr_hits; k++)
			n += w.hits[k].site == (int32_t)i;
		printf("%s%zu%s", i ? " + " : "; ", n, build->leave[i].emulated ? "" : " stepped");
	}
	printf("\n");
	free(w.hits);
	viz_build__free(build);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		printf("the program ended with status %#x\n", status);
		return 1;
	}
	return w.lost ? 2 : err;
}
