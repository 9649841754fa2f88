// SPDX-License-Identifier: Apache-2.0
#include "guardian_probes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target/process_maps.h"
#include "target/remote.h"

/* PAGES: of code looked at in a process; more is no program's own */
enum { PAGE = 4096, PLACES = 512, PAGES = 1 << 18 };

#if defined(__aarch64__)
typedef uint32_t insn_t;
static const insn_t breakpoint = 0xd42000a0; /* arch/arm64/include/asm/brk-imm.h, UPROBES_BRK_IMM */
#else
typedef uint8_t insn_t;
static const insn_t breakpoint = 0xcc;
#endif

/* /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst */
#define PRESENT (1ull << 63)
#define OF_FILE (1ull << 61)

enum { INSNS = PAGE / sizeof(insn_t), AROUND = 16 / sizeof(insn_t) };

struct place {
	uint64_t inode, offset;
	unsigned int dev_major, dev_minor;
};

struct search {
	pid_t pid;
	bool everywhere; /* not only in the files of interpreters */
	int mem, pagemap;
	uint64_t pages; /* looked at in this process */
	unsigned int type; /* of perf's uprobes */
	struct place tried[PLACES]; /* a probe of somebody who lives is in many processes */
	unsigned int nr_tried;
	int taken;
};

static bool tried(struct search *s, const struct viz_map *map, uint64_t offset)
{
	struct place one = {map->inode, offset, map->dev_major, map->dev_minor};

	for (unsigned int i = 0; i < s->nr_tried; i++)
		if (!memcmp(&s->tried[i], &one, sizeof(one)))
			return true;
	if (s->nr_tried < PLACES)
		s->tried[s->nr_tried++] = one;
	return false;
}

/* A probe comes to the place and goes. */
static void touch(const struct search *s, int file, uint64_t offset)
{
	char path[32];
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = s->type,
		.config1 = (uint64_t)(uintptr_t)path,
		.config2 = offset,
		.disabled = 1,
	};
	int event;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	event = (int)syscall(SYS_perf_event_open, &attr, s->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (event >= 0)
		close(event);
}

/*
 * The only thing that differs around here, and in place of code: what the recorder of engine
 * trampoline or somebody else wrote has such bytes, too, and what would be put there is what the
 * file has. Where the recorder is the file has zeros, and no instruction that is probed is one.
 */
static bool is_breakpoint(const insn_t *now, const insn_t *was, size_t i)
{
	size_t from = i < AROUND ? 0 : i - AROUND;
	size_t to = i + AROUND < INSNS ? i + AROUND : INSNS - 1;

	if (now[i] != breakpoint || was[i] == breakpoint || !was[i])
		return false;
	for (size_t k = from; k <= to; k++)
		if (k != i && now[k] != was[k] && now[k] != breakpoint)
			return false;
	return true;
}

static void look_at_page(struct search *s, const struct viz_map *map, int file, uint64_t at)
{
	insn_t now[INSNS], was[INSNS], then;
	uint64_t offset = map->offset + (at - map->start);

	if (pread(s->mem, now, PAGE, (off_t)at) != PAGE ||
	    pread(file, was, PAGE, (off_t)offset) != PAGE)
		return;
	for (size_t i = 0; i < INSNS; i++) {
		uint64_t place = i * sizeof(insn_t);

		if (!is_breakpoint(now, was, i) || tried(s, map, offset + place))
			continue;
		touch(s, file, offset + place);
		s->taken +=
			pread(s->mem, &then, sizeof(then), (off_t)(at + place)) == sizeof(then) &&
			then == was[i];
	}
}

static int look_at_map(const struct viz_map *map, void *ctx)
{
	struct search *s = ctx;
	uint64_t entries[512], pages = (map->end - map->start) / PAGE, first;
	int file = -1;

	if (!map->exec || map->write || !map->inode || map->shared ||
	    (!s->everywhere && !strstr(map->path, "python")))
		return 0;
	s->pages += pages;
	if (s->pages > PAGES)
		return -E2BIG;
	for (first = 0; first < pages; first += 512) {
		size_t nr = pages - first < 512 ? pages - first : 512;

		if (pread(s->pagemap, entries, nr * 8, (off_t)((map->start / PAGE + first) * 8)) !=
		    (ssize_t)(nr * 8))
			break;
		for (size_t i = 0; i < nr; i++) {
			/* a page that somebody wrote into is no page of the file any more */
			if ((entries[i] & (PRESENT | OF_FILE)) != PRESENT)
				continue;
			if (file < 0)
				file = viz_maps__open(s->pid, map);
			if (file < 0)
				return 0;
			look_at_page(s, map, file, map->start + (first + i) * PAGE);
		}
	}
	if (file >= 0)
		close(file);
	return 0;
}

/* Its breakpoints may be those of the debugger. */
static bool is_debugged(pid_t pid)
{
	char path[32], line[128];
	bool debugged = false;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = fopen(path, "re");
	if (!status)
		return true;
	while (fgets(line, sizeof(line), status))
		if (!strncmp(line, "TracerPid:", 10))
			debugged = strtol(line + 10, NULL, 10) != 0;
	fclose(status);
	return debugged;
}

static void look_at_process(struct search *s, pid_t pid)
{
	char path[32];

	if (pid == getpid() || is_debugged(pid))
		return;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	s->pid = pid;
	s->pages = 0;
	s->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	s->mem = viz_remote__open(pid, O_RDONLY);
	if (s->pagemap >= 0 && s->mem >= 0)
		viz_maps__each(pid, look_at_map, s);
	if (s->mem >= 0)
		close(s->mem);
	if (s->pagemap >= 0)
		close(s->pagemap);
}

static bool read_type(unsigned int *type)
{
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	bool found = file && fscanf(file, "%u", type) == 1;

	if (file)
		fclose(file);
	return found;
}

int viz_probes_left__take_out(pid_t pid)
{
	struct search *s = calloc(1, sizeof(*s));
	struct dirent *entry;
	int taken = 0;
	DIR *proc;

	if (!s || sysconf(_SC_PAGESIZE) != PAGE || !read_type(&s->type))
		goto cleanup;
	s->everywhere = pid != 0;
	if (pid) {
		look_at_process(s, pid);
	} else {
		proc = opendir("/proc");
		while (proc && (entry = readdir(proc)))
			if (isdigit((unsigned char)entry->d_name[0]))
				look_at_process(s, (pid_t)strtol(entry->d_name, NULL, 10));
		if (proc)
			closedir(proc);
	}
	taken = s->taken;
cleanup:
	free(s);
	return taken;
}
