// SPDX-License-Identifier: Apache-2.0
#include "interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../base/log.h"
#include "elf_image.h"
#include "eval_sites.h"
#include "page_identity.h"
#include "process_maps.h"
#include "python_build.h"
#include "remote.h"
#include "translated.h"

#define CANDIDATES_MAX 256
#define PAGE 4096u

/* What is known of one file, Python or not. */
struct known_file {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	struct viz_build *build; /* NULL: no Python, or a refused one */
	int err; /* -ENOEXEC or -ENOTSUP */
	char why[192];
};

struct viz_builds {
	struct known_file **files;
	size_t nr_files, max_files;
	struct viz_build *builds[VIZ_BUILDS_MAX]; /* owned by the files */
	unsigned int nr_builds;
};

/* An executable mapping of a file, the first one of each. */
struct candidate {
	struct viz_map map; /* without the path */
	char path[512];
	bool likely;
};

struct candidates {
	struct candidate list[CANDIDATES_MAX];
	unsigned int nr;
	unsigned int lines;
	ino_t exe_ino;
	bool more;
	const char *translator;
};

struct viz_builds *viz_builds__new(void)
{
	return calloc(1, sizeof(struct viz_builds));
}

void viz_builds__free(struct viz_builds *builds)
{
	if (!builds)
		return;
	for (size_t i = 0; i < builds->nr_files; i++) {
		viz_build__free(builds->files[i]->build);
		free(builds->files[i]);
	}
	free(builds->files);
	free(builds);
}

size_t viz_builds__count(const struct viz_builds *builds)
{
	return builds->nr_builds;
}

unsigned int viz_builds__index(const struct viz_builds *builds, const struct viz_build *build)
{
	for (unsigned int i = 0; i < builds->nr_builds; i++)
		if (builds->builds[i] == build)
			return i;
	return UINT32_MAX;
}

const struct viz_build *viz_builds__at(const struct viz_builds *builds, unsigned int index)
{
	return index < builds->nr_builds ? builds->builds[index] : NULL;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static struct known_file *find_known(const struct viz_builds *builds, const struct stat *st)
{
	for (size_t i = 0; i < builds->nr_files; i++) {
		struct known_file *file = builds->files[i];

		if (file->dev == st->st_dev && file->ino == st->st_ino &&
		    file->size == st->st_size && same_time(&file->mtime, &st->st_mtim) &&
		    same_time(&file->ctime, &st->st_ctim))
			return file;
	}
	return NULL;
}

/* Where to see an object go in tp_dealloc, at @dealloc: a file offset. 0: nowhere. */
static uint64_t dealloc_site(const struct viz_elf *elf, uint64_t dealloc)
{
	struct viz_site site;
	uint64_t offset;

	if (!viz_elf__is_code(elf, dealloc))
		return 0;
	if (!viz_enter_site__find(elf, dealloc, 0, VIZ_ARG0, &site))
		return site.offset;
	return viz_elf__to_offset(elf, dealloc, &offset) ? offset : 0;
}

/* The file's own relocations tell it, also while a process is still being loaded. */
static void find_dealloc(struct viz_build *build)
{
	uint64_t dealloc = 0;
	struct viz_elf *elf;

	if (!build->code_type || viz_elf__open(build->fd, &elf))
		return;
	if (viz_elf__pointer_at(elf, build->code_type + 48, &dealloc))
		build->code_dealloc = dealloc_site(elf, dealloc);
	viz_elf__close(elf);
}

/* The entry of the file open at @fd, which is taken over. NULL: no memory, or gone. */
static struct known_file *know(struct viz_builds *builds, int fd, const char *path)
{
	struct known_file *file, **grown;
	struct stat st;

	if (fstat(fd, &st))
		goto fail;
	file = find_known(builds, &st);
	if (file) {
		close(fd);
		return file;
	}
	if (builds->nr_files == builds->max_files) {
		grown = realloc(builds->files, (builds->max_files + 64) * sizeof(*grown));
		if (!grown)
			goto fail;
		builds->files = grown;
		builds->max_files += 64;
	}
	file = calloc(1, sizeof(*file));
	if (!file)
		goto fail;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->size = st.st_size;
	file->mtime = st.st_mtim;
	file->ctime = st.st_ctim;
	file->err = viz_build__analyse(fd, path, &file->build, file->why, sizeof(file->why));
	if (file->err) {
		close(fd);
	} else if (builds->nr_builds == VIZ_BUILDS_MAX) {
		viz_build__free(file->build);
		file->build = NULL;
		file->err =
			viz_why(file->why, sizeof(file->why), -ENOTSUP,
				"more than %d different Python builds run here", VIZ_BUILDS_MAX);
	} else {
		builds->builds[builds->nr_builds++] = file->build;
		find_dealloc(file->build);
	}
	viz_debug(VIZ_LOG_ELF, "%s: %s", path, file->err ? strerror(-file->err) : "a CPython");
	builds->files[builds->nr_files++] = file;
	return file;
fail:
	close(fd);
	return NULL;
}

static int add_candidate(const struct viz_map *map, void *ctx)
{
	struct candidates *all = ctx;
	struct candidate *new;
	const char *name;

	all->lines++;
	if (!map->exec || !map->inode || map->path[0] != '/')
		return 0;
	if (!all->translator)
		all->translator = viz_translated__by(map->path);
	for (unsigned int i = 0; i < all->nr; i++)
		if (all->list[i].map.inode == map->inode &&
		    all->list[i].map.dev_major == map->dev_major &&
		    all->list[i].map.dev_minor == map->dev_minor)
			return 0;
	name = strrchr(map->path, '/') + 1;
	if (all->nr == CANDIDATES_MAX) {
		all->more = true;
		return 0;
	}
	new = &all->list[all->nr++];
	new->map = *map;
	new->map.path = "";
	snprintf(new->path, sizeof(new->path), "%s", map->path);
	new->likely = strstr(name, "python") || map->inode == all->exe_ino;
	return 0;
}

/* The load bias, from where an executable page of the file is mapped. */
static int find_bias(const struct viz_elf *elf, const struct viz_map *map, uint64_t *bias)
{
	uint64_t vaddr;

	if (!viz_elf__to_code(elf, map->offset, &vaddr))
		return -ENOENT;
	*bias = map->start - vaddr;
	if (*bias % PAGE || (viz_elf__is_fixed(elf) && *bias))
		return -ENOENT;
	return 0;
}

/* Finds where the first mapping of a file begins. */
struct first_mapping {
	const struct viz_map *of;
	uint64_t start;
};

static int match_mapping(const struct viz_map *map, void *ctx)
{
	struct first_mapping *first = ctx;

	if (map->inode != first->of->inode || map->dev_major != first->of->dev_major ||
	    map->dev_minor != first->of->dev_minor)
		return 0;
	first->start = map->start;
	return 1;
}

/*
 * An overlay copies a file of a lower layer when something is changed about it (dpkg makes a hard
 * link of what it replaces). A process goes on with the lower one, while opening, and a uprobe
 * (d_real_inode() in kernel/trace/trace_uprobe.c), get the copy.
 */
static bool copied_up(pid_t pid, const struct viz_map *map)
{
	int fd = viz_maps__open(pid, map);
	struct statfs fs;
	bool copied;

	if (fd < 0)
		return false;
	copied = !fstatfs(fd, &fs) && fs.f_type == OVERLAYFS_SUPER_MAGIC &&
		 !viz_pages__same(pid, map, fd);
	close(fd);
	return copied;
}

static int place(const struct viz_build *build, const struct candidate *from, pid_t pid,
		 struct viz_interpreter *out, char *why, size_t why_size)
{
	struct first_mapping first = {.of = &from->map};
	struct viz_elf *elf;
	int err;

	err = viz_elf__open(build->fd, &elf);
	if (err)
		return viz_why(why, why_size, -ENOTSUP,
			       "the file of its Python cannot be read again");
	err = find_bias(elf, &from->map, &out->bias);
	viz_elf__close(elf);
	if (err)
		return viz_why(why, why_size, -ENOTSUP, "where its Python is loaded is not clear");
	err = viz_maps__each(pid, match_mapping, &first);
	if (err != 1)
		return viz_why(why, why_size, err ? err : -ESRCH, "it has ended");
	out->build = build;
	out->pid = pid;
	out->map_start = first.start;
	out->unreachable = copied_up(pid, &from->map);
	return 0;
}

int viz_interpreter__probed(const struct viz_interpreter *interp, char *why, size_t why_size)
{
	if (!interp->unreachable)
		return 0;
	return viz_why(
		why, why_size, -ENOTSUP,
		"overlayfs has copied its Python's file meanwhile (an upgrade does that), and "
		"probes reach the copy only");
}

struct search {
	struct viz_builds *builds;
	pid_t pid;
	const struct known_file *found;
	const struct candidate *where;
	int denied; /* errno of the first file that could not be opened */
};

/* Looks at the candidates that are (not) likely. -ENOTSUP: two Pythons. */
static int look(struct search *s, const struct candidates *all, bool likely, char *why,
		size_t why_size)
{
	for (unsigned int i = 0; i < all->nr; i++) {
		const struct candidate *c = &all->list[i];
		struct known_file *file;
		int fd;

		if (c->likely != likely)
			continue;
		fd = viz_maps__open(s->pid, &c->map);
		if (fd == -EPERM && c->map.inode == all->exe_ino) {
			char path[64];

			snprintf(path, sizeof(path), "/proc/%d/exe", (int)s->pid);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			fd = fd < 0 ? -errno : fd;
		}
		if (fd < 0) {
			if (!s->denied)
				s->denied = -fd;
			continue;
		}
		file = know(s->builds, fd, c->path);
		if (!file)
			return viz_why(why, why_size, -ENOMEM, "out of memory");
		if (file->err == -ENOEXEC)
			continue;
		if (s->found && s->found != file)
			return viz_why(why, why_size, -ENOTSUP,
				       "two different Pythons are loaded into it");
		s->found = file;
		s->where = c;
		if (!likely)
			return 0;
	}
	return 0;
}

static bool is_zombie(pid_t pid)
{
	char path[64], line[512], state = 0;
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (fgets(line, sizeof(line), file)) {
		end = strrchr(line, ')');
		if (end && end[1] == ' ')
			state = end[2];
	}
	fclose(file);
	return state == 'Z' || state == 'X' || state == 'x';
}

static int no_maps(pid_t pid, int err, char *why, size_t why_size)
{
	if (err == -ENOENT || err == -ESRCH)
		return viz_why(why, why_size, -ESRCH, "there is no such process");
	if (err == -EACCES || err == -EPERM)
		return viz_why(why, why_size, -EACCES,
			       "not allowed to look at it (CAP_SYS_PTRACE is needed)");
	if (err)
		return viz_why(why, why_size, err, "its memory map cannot be read: %s",
			       strerror(-err));
	if (is_zombie(pid))
		return viz_why(why, why_size, -ESRCH, "it has ended");
	return viz_why(why, why_size, -ENOEXEC, "it is a kernel thread");
}

static int decide(struct search *s, struct viz_interpreter *out, char *why, size_t why_size)
{
	if (!s->found && (s->denied == EPERM || s->denied == EACCES))
		return viz_why(why, why_size, -EACCES,
			       "not allowed to open what it has mapped (CAP_SYS_ADMIN or "
			       "CAP_CHECKPOINT_RESTORE is needed)");
	if (!s->found && is_zombie(s->pid))
		return viz_why(why, why_size, -ESRCH, "it has ended");
	if (!s->found)
		return viz_why(why, why_size, -ENOEXEC,
			       "it is not a Python process (no libpython or python executable is "
			       "mapped)");
	if (s->found->err)
		return viz_why(why, why_size, s->found->err, "%s", s->found->why);
	return place(s->found->build, s->where, s->pid, out, why, why_size);
}

int viz_interpreter__find(struct viz_builds *builds, pid_t pid, struct viz_interpreter *out,
			  char *why, size_t why_size)
{
	struct search s = {.builds = builds, .pid = pid};
	struct candidates *all;
	char path[64];
	struct stat st;
	int err;

	memset(out, 0, sizeof(*out));
	all = calloc(1, sizeof(*all));
	if (!all)
		return viz_why(why, why_size, -ENOMEM, "out of memory");
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (!stat(path, &st))
		all->exe_ino = st.st_ino;
	err = viz_maps__each(pid, add_candidate, all);
	if (err || !all->lines) {
		err = no_maps(pid, err, why, why_size);
		goto cleanup;
	}
	err = look(&s, all, true, why, why_size);
	if (!err && !s.found)
		err = look(&s, all, false, why, why_size);
	if (!err)
		err = decide(&s, out, why, why_size);
	/* it reads the breakpoint for an instruction of the program, which ends by SIGTRAP */
	if (!err && all->translator)
		err = viz_why(why, why_size, -ENOTSUP, "%s translates its code", all->translator);
	if (!err)
		err = viz_translated__replayed(pid, why, why_size);
cleanup:
	free(all);
	return err;
}

int viz_interpreter__states(const struct viz_interpreter *interp, uint64_t *states, int max)
{
	const struct viz_build *build = interp->build;
	uint64_t at;
	int fd, n = 0, err;

	if (!build->interp_head)
		return -ENOTSUP;
	fd = viz_remote__open(interp->pid, O_RDONLY);
	if (fd < 0)
		return fd;
	err = viz_remote__read_u64(fd, interp->bias + build->interp_head, &at);
	while (!err && at && n < max) {
		states[n++] = at;
		err = viz_remote__read_u64(fd, at + build->info.off.interp_next, &at);
	}
	close(fd);
	return err ? err : n;
}

/* tp_dealloc of PyCode_Type as the live process has it, relative to the file. */
static bool live_dealloc(const struct viz_interpreter *interp, uint64_t *dealloc)
{
	uint64_t type = interp->bias + interp->build->code_type, name = 0;
	int fd = viz_remote__open(interp->pid, O_RDONLY);
	char text[5] = "";
	bool ok;

	if (fd < 0)
		return false;
	/* tp_name at 24 is a check that this is the type. */
	ok = !viz_remote__read_u64(fd, type + 24, &name) &&
	     !viz_remote__read(fd, name, text, sizeof(text)) && !memcmp(text, "code", 5) &&
	     !viz_remote__read_u64(fd, type + 48, dealloc);
	close(fd);
	if (ok)
		*dealloc -= interp->bias;
	return ok;
}

uint64_t viz_interpreter__code_dealloc(const struct viz_interpreter *interp)
{
	const struct viz_build *build = interp->build;
	uint64_t dealloc = 0, result = 0;
	struct viz_elf *elf;

	if (build->code_dealloc || !build->code_type || !live_dealloc(interp, &dealloc) ||
	    viz_elf__open(build->fd, &elf))
		return build->code_dealloc;
	result = dealloc_site(elf, dealloc);
	viz_elf__close(elf);
	return result;
}
