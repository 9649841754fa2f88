// SPDX-License-Identifier: Apache-2.0
#include "probes_private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { CLOSING_MAX = 64 };

/* A verifier's log is one message of many lines, and the last ones are those that matter. */
static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text = NULL, *line, *rest;

	(void)level;
	if (vasprintf(&text, fmt, ap) < 0)
		return 0;
	for (rest = text; (line = strsep(&rest, "\n"));)
		if (*line)
			viz_debug(VIZ_LOG_BPF, "%s", line);
	free(text);
	return 0;
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct viz_probes *probes = ctx;

	return probes->fn(probes->ctx, data, size);
}

/*
 * The ring is made here and put into the map; it is also the pattern for the map's members.
 * (libbpf 1.1 cannot change the size of an inner map that is declared in the object.)
 */
static int make_ring(struct viz_probes *probes)
{
	probes->ring_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0,
					 (uint32_t)probes->ring_size, NULL);
	if (probes->ring_fd < 0)
		return -errno;
	return bpf_map__set_inner_map_fd(probes->skel->maps.rings, probes->ring_fd);
}

static int open_ring(struct viz_probes *probes)
{
	uint32_t key = 0;

	if (bpf_map_update_elem(bpf_map__fd(probes->skel->maps.rings), &key, &probes->ring_fd,
				BPF_ANY))
		return -errno;
	probes->rings = ring_buffer__new(probes->ring_fd, on_record, probes, NULL);
	return probes->rings ? 0 : -errno;
}

static int on_life(void *ctx, void *data, size_t size)
{
	struct viz_probes *probes = ctx;

	return probes->life_fn(probes->ctx, data, size);
}

int viz_probes__open_lives(struct viz_probes *probes, viz_record_fn fn)
{
	struct epoll_event event = {.events = EPOLLIN};

	probes->life_fn = fn;
	probes->lives =
		ring_buffer__new(bpf_map__fd(probes->skel->maps.lives), on_life, probes, NULL);
	if (!probes->lives || epoll_ctl(ring_buffer__epoll_fd(probes->rings), EPOLL_CTL_ADD,
					ring_buffer__epoll_fd(probes->lives), &event))
		return -errno;
	return 0;
}

int viz_probes__consume_lives(struct viz_probes *probes)
{
	return ring_buffer__consume(probes->lives);
}

uint64_t viz_probes__lives_lost(const struct viz_probes *probes)
{
	return probes->skel->bss->lives_lost;
}

/* bpf_find_vma() came with 5.17 (commit 7c7e3d31e785). */
static void choose_programs(struct viz_probes *probes)
{
	struct bpf_program *with = probes->skel->progs.eval_enter;
	struct bpf_program *without = probes->skel->progs.eval_enter_assuming;
	bool has = libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_find_vma, NULL) == 1;

	probes->eval_enter = has ? with : without;
	bpf_program__set_autoload(has ? without : with, false);
	probes->first_call = has ? "interp_first" : "interp_first_passes";
	bpf_program__set_autoload(has ? probes->skel->progs.interp_first_passes
				      : probes->skel->progs.interp_first,
				  false);
}

static const char *explain_load(int err)
{
	if (err == -EPERM)
		return "not permitted: CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE are needed (run it "
		       "with sudo)";
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return "the kernel has no BTF (/sys/kernel/btf/vmlinux; CONFIG_DEBUG_INFO_BTF, "
		       "Linux 5.4 and newer)";
	if (libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) == 0)
		return "the kernel has no BPF ring buffer (Linux 5.8 and newer)";
	if (err == -EACCES || err == -EINVAL || err == -E2BIG)
		return "the kernel's verifier refuses them (vizbpf -v shows its reason)";
	return strerror(-err);
}

struct viz_probes *viz_probes__load(size_t ring_size, viz_record_fn fn, void *ctx, char *why,
				    size_t why_size)
{
	struct viz_probes *probes = calloc(1, sizeof(*probes));
	int err;

	if (!probes)
		return NULL;
	probes->ring_fd = -1;
	libbpf_set_print(print_libbpf);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	probes->ring_size = ring_size;
	probes->fn = fn;
	probes->ctx = ctx;
	probes->skel = vizbpf_bpf__open();
	if (!probes->skel) {
		viz_why(why, why_size, 0, "cannot open the BPF programs: %s", strerror(errno));
		free(probes);
		return NULL;
	}
	choose_programs(probes);
	probes->links = viz_uprobe__has_links();
	viz_uprobe__prepare(probes->skel->obj, probes->links);
	probes->skel->data->ring_wakeup_bytes = ring_size / 2;
	err = make_ring(probes);
	if (!err)
		err = vizbpf_bpf__load(probes->skel);
	if (!err)
		err = open_ring(probes);
	if (!err)
		err = vizbpf_bpf__attach(probes->skel);
	if (err) {
		viz_why(why, why_size, 0, "cannot load the BPF programs: %s", explain_load(err));
		viz_probes__free(probes);
		errno = -err;
		return NULL;
	}
	return probes;
}

/*
 * Taking one probe away waits until no processor can be in it any more: some ten milliseconds,
 * on a busy machine hundreds. The session must not stand still for that, and waiting for all
 * probes at once takes no longer than for one.
 */
static atomic_uint closing;

static void *close_link(void *link)
{
	viz_uprobe__close(link);
	free(link);
	atomic_fetch_sub(&closing, 1);
	return NULL;
}

static void close_soon(struct viz_uprobe *link)
{
	struct viz_uprobe *copy = malloc(sizeof(*copy));
	pthread_attr_t attr;
	pthread_t thread;

	if (!copy) {
		viz_uprobe__close(link);
		return;
	}
	*copy = *link;
	if (atomic_fetch_add(&closing, 1) < CLOSING_MAX && !pthread_attr_init(&attr)) {
		int err;

		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, 256 << 10);
		err = pthread_create(&thread, &attr, close_link, copy);
		pthread_attr_destroy(&attr);
		if (!err)
			return;
	}
	close_link(copy);
}

static void wait_for_closing(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	while (atomic_load(&closing))
		nanosleep(&pause, NULL);
}

static void free_attachment(struct viz_attachment *a)
{
	for (unsigned int i = 0; i < a->nr_links; i++)
		close_soon(&a->links[i]);
	free(a);
}

void viz_probes__set_guardian(struct viz_probes *probes, struct viz_guardian *guardian)
{
	probes->guardian = guardian;
}

void viz_probes__free(struct viz_probes *probes)
{
	struct viz_attachment *a, *next;

	if (!probes)
		return;
	for (a = probes->attachments; a; a = next) {
		next = a->next;
		free_attachment(a);
	}
	wait_for_closing();
	ring_buffer__free(probes->rings);
	ring_buffer__free(probes->lives);
	vizbpf_bpf__destroy(probes->skel);
	if (probes->ring_fd >= 0)
		close(probes->ring_fd);
	free(probes);
}

int viz_probes__fd(const struct viz_probes *probes)
{
	return ring_buffer__epoll_fd(probes->rings);
}

int viz_probes__consume(struct viz_probes *probes)
{
	return ring_buffer__consume(probes->rings);
}

/* Its positions are in its first two pages; ring__avail_data_size() came with libbpf 1.3. */
void viz_probes__fill(const struct viz_probes *probes, size_t *used, size_t *size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, probes->ring_fd, 0);

	*used = 0;
	*size = probes->ring_size;
	if (pages == MAP_FAILED)
		return;
	*used = __atomic_load_n((unsigned long *)(pages + page), __ATOMIC_ACQUIRE) -
		__atomic_load_n((unsigned long *)pages, __ATOMIC_ACQUIRE);
	munmap(pages, 2 * page);
}

static int add_link(const struct viz_probes *probes, struct viz_attachment *a,
		    struct bpf_program *prog, int fd, uint64_t offset, uint64_t semaphore,
		    char *why, size_t why_size)
{
	int err;

	if (!offset)
		return 0;
	if (a->nr_links == LINKS_MAX)
		return viz_why(why, why_size, -E2BIG, "too many probe sites");
	err = viz_uprobe__attach(&a->links[a->nr_links], prog, probes->links, a->pid, fd, offset,
				 semaphore);
	if (err == -EINVAL && semaphore)
		return viz_why(why, why_size, err,
			       "the probe is held by another tracer (its counter is in use)");
	if (err)
		return viz_why(why, why_size, err, "cannot attach %s at 0x%llx: %s",
			       bpf_program__name(prog), (unsigned long long)offset, strerror(-err));
	a->nr_links++;
	return 0;
}

static int attach_eval(struct viz_probes *probes, struct viz_attachment *a, char *why,
		       size_t why_size)
{
	const struct viz_build *b = a->build;
	struct bpf_program *leaves[VIZ_LEAVE_SITES] = {
		probes->skel->progs.eval_leave_0, probes->skel->progs.eval_leave_1,
		probes->skel->progs.eval_leave_2, probes->skel->progs.eval_leave_3,
		probes->skel->progs.eval_leave_4, probes->skel->progs.eval_leave_5,
		probes->skel->progs.eval_leave_6, probes->skel->progs.eval_leave_7,
	};
	int err = 0;

	/* Ends first: a call that is seen to begin is seen to end. */
	for (unsigned int i = 0; i < b->nr_leave && !err; i++)
		err = add_link(probes, a, leaves[i], b->fd, b->leave[i].offset, 0, why, why_size);
	return err
		       ?: add_link(probes, a, probes->eval_enter, b->fd, b->enter.offset, 0, why,
				   why_size);
}

static int attach_usdt(struct viz_probes *probes, struct viz_attachment *a, char *why,
		       size_t why_size)
{
	const struct viz_build *b = a->build;
	int err = 0;

	for (unsigned int i = 0; i < b->nr_usdt[VIZ_USDT_RETURN] && !err; i++)
		err = add_link(probes, a, probes->skel->progs.usdt_leave, b->fd,
			       b->usdt[VIZ_USDT_RETURN][i].offset,
			       b->usdt[VIZ_USDT_RETURN][i].semaphore, why, why_size);
	if (!err && b->info.flags & VIZ_BUILD_INLINES)
		err = add_link(probes, a, probes->skel->progs.usdt_throw, b->fd, b->enter.offset, 0,
			       why, why_size);
	for (unsigned int i = 0; i < b->nr_usdt[VIZ_USDT_ENTRY] && !err; i++)
		err = add_link(probes, a, probes->skel->progs.usdt_enter, b->fd,
			       b->usdt[VIZ_USDT_ENTRY][i].offset,
			       b->usdt[VIZ_USDT_ENTRY][i].semaphore, why, why_size);
	return err;
}

/* An interpreter can be made in several ways, and one of them may go on to another. */
static int attach_inside(struct viz_probes *probes, struct viz_attachment *a, char *why,
			 size_t why_size)
{
	const struct viz_build *b = a->build;
	int err = add_link(probes, a, probes->skel->progs.interp_ends, b->fd, b->interp_end, 0, why,
			   why_size);

	for (unsigned int i = 0; i < sizeof(b->interp_new) / sizeof(*b->interp_new) && !err; i++)
		err = add_link(probes, a, probes->skel->progs.interp_coming, b->fd,
			       b->interp_new[i], 0, why, why_size);
	return err;
}

static int (*const attach_set[])(struct viz_probes *, struct viz_attachment *, char *, size_t) = {
	[VIZ_PROBES_EVAL] = attach_eval,
	[VIZ_PROBES_USDT] = attach_usdt,
	[VIZ_PROBES_INSIDE] = attach_inside,
};

static const char *const set_name[] = {"eval", "usdt", "trampoline"};

static struct viz_attachment *find(struct viz_probes *probes, const struct viz_build *build,
				   enum viz_probe_set set, pid_t pid)
{
	struct viz_attachment *a;

	for (a = probes->attachments; a; a = a->next)
		if (a->build == build && a->set == set && a->pid == pid && build)
			return a;
	return NULL;
}

struct viz_attachment *viz_probes__attach(struct viz_probes *probes, const struct viz_build *build,
					  unsigned int index, enum viz_probe_set set, pid_t pid,
					  uint64_t code_dealloc, char *why, size_t why_size)
{
	struct viz_attachment *a = find(probes, build, set, pid);
	uint32_t key = index;
	int err;

	if (a) {
		a->users++;
		return a;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->build = build;
	a->set = set;
	a->pid = pid;
	a->users = 1;
	a->kept = -1;
	err = bpf_map_update_elem(bpf_map__fd(probes->skel->maps.builds), &key, &build->info,
				  BPF_ANY);
	if (err)
		err = viz_why(why, why_size, -errno, "too many different interpreters");
	if (!err)
		err = add_link(probes, a, probes->skel->progs.code_dealloc, build->fd, code_dealloc,
			       0, why, why_size);
	if (!err)
		err = add_link(probes, a, probes->skel->progs.module_create, build->fd,
			       build->module_create2, 0, why, why_size);
	if (!err)
		err = attach_set[set](probes, a, why, why_size);
	if (err) {
		free_attachment(a);
		errno = -err;
		return NULL;
	}
	/* The entry's link, which is the last: its program guards the C stack. */
	if (set == VIZ_PROBES_EVAL && probes->guardian && build->info.flags & VIZ_BUILD_INLINES &&
	    a->nr_links)
		a->kept = viz_guardian__keep(probes->guardian, a->links[a->nr_links - 1].fd);
	viz_debug(VIZ_LOG_PROBE, "%s: %u probes attached for %s, pid %d", build->path, a->nr_links,
		  set_name[set], pid);
	a->next = probes->attachments;
	probes->attachments = a;
	return a;
}

struct viz_attachment *viz_probes__attach_one(struct viz_probes *probes, const char *program,
					      int fd, uint64_t offset, uint64_t semaphore,
					      pid_t pid, char *why, size_t why_size)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(probes->skel->obj, program);
	struct viz_attachment *a = prog ? calloc(1, sizeof(*a)) : NULL;
	int err;

	if (!a)
		return NULL;
	a->pid = pid;
	a->users = 1;
	a->kept = -1;
	err = add_link(probes, a, prog, fd, offset, semaphore, why, why_size);
	if (err) {
		free_attachment(a);
		errno = -err;
		return NULL;
	}
	a->next = probes->attachments;
	probes->attachments = a;
	return a;
}

struct viz_attachment *viz_probes__attach_first(struct viz_probes *probes,
						const struct viz_build *build, pid_t pid, char *why,
						size_t why_size)
{
	return viz_probes__attach_one(probes, probes->first_call, build->fd, build->enter.offset, 0,
				      pid, why, why_size);
}

void viz_probes__detach(struct viz_probes *probes, struct viz_attachment *attachment)
{
	struct viz_attachment **p;

	if (!attachment || --attachment->users)
		return;
	if (probes->keep && attachment->build && attachment->pid == -1)
		return;
	for (p = &probes->attachments; *p; p = &(*p)->next)
		if (*p == attachment) {
			*p = attachment->next;
			break;
		}
	if (probes->guardian)
		viz_guardian__drop(probes->guardian, attachment->kept);
	free_attachment(attachment);
}
