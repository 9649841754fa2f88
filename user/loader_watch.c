// SPDX-License-Identifier: Apache-2.0
#include "loader_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "target/elf_image.h"
#include "target/process_maps.h"

enum { LOADERS_MAX = 64 };

struct loader {
	unsigned int dev_major, dev_minor;
	uint64_t inode;
};

/* The probes belong to viz_probes, which takes them away with itself. */
struct viz_loader_watch {
	struct loader known[LOADERS_MAX];
	unsigned int nr;
};

struct search {
	struct viz_loader_watch *watch;
	struct viz_session *s;
	pid_t pid;
};

struct viz_loader_watch *viz_loader_watch__new(void)
{
	return calloc(1, sizeof(struct viz_loader_watch));
}

void viz_loader_watch__free(struct viz_loader_watch *watch)
{
	free(watch);
}

static bool is_known(const struct viz_loader_watch *watch, const struct viz_map *map)
{
	unsigned int i;

	for (i = 0; i < watch->nr; i++)
		if (watch->known[i].inode == map->inode &&
		    watch->known[i].dev_major == map->dev_major &&
		    watch->known[i].dev_minor == map->dev_minor)
			return true;
	return false;
}

static int attach(struct viz_session *s, int fd, char *why, size_t why_size)
{
	struct viz_elf_symbol symbol;
	struct viz_elf *elf;
	uint64_t offset = 0;
	int err = viz_elf__open(fd, &elf);

	if (err)
		return viz_why(why, why_size, err, "%s", strerror(-err));
	if (!viz_elf__symbol(elf, "_dl_debug_state", &symbol) ||
	    !viz_elf__to_offset(elf, symbol.value, &offset))
		err = viz_why(why, why_size, -ENOENT, "it has no _dl_debug_state");
	viz_elf__close(elf);
	if (!err &&
	    !viz_probes__attach_one(s->probes, "loader_state", fd, offset, 0, -1, why, why_size))
		err = -errno;
	return err;
}

/* musl is its own loader, and where ld-musl-*.so.1 is a link to it, it is mapped as libc.so. */
static bool may_be_loader(const char *path)
{
	const char *name = strrchr(path, '/');

	return name && (!strncmp(name, "/ld", 3) || !strcmp(name, "/libc.so"));
}

/* A loader that cannot be probed is remembered too: it is said once. */
static int look_at(const struct viz_map *map, void *ctx)
{
	struct search *search = ctx;
	struct viz_loader_watch *watch = search->watch;
	char why[256] = "";
	int fd, err;

	if (!map->exec || !map->inode || !may_be_loader(map->path) || is_known(watch, map))
		return 0;
	if (watch->nr == LOADERS_MAX)
		return 1;
	fd = viz_maps__open(search->pid, map);
	if (fd < 0)
		return 0;
	watch->known[watch->nr++] = (struct loader){
		.dev_major = map->dev_major,
		.dev_minor = map->dev_minor,
		.inode = map->inode,
	};
	err = attach(search->s, fd, why, sizeof(why));
	close(fd);
	viz_debug(VIZ_LOG_PROBE, "loader %s: %s", map->path, err ? why : "watched");
	return 0;
}

void viz_loader_watch__look(struct viz_loader_watch *watch, struct viz_session *s, pid_t pid)
{
	struct search search = {.watch = watch, .s = s, .pid = pid};

	if (watch)
		viz_maps__each(pid, look_at, &search);
}
