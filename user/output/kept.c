// SPDX-License-Identifier: Apache-2.0
#include "kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"

struct item {
	char *path;
	uint64_t at; /* in the file */
	size_t size;
};

struct viz_kept {
	int fd;
	struct item *items;
	size_t nr;
	uint64_t end; /* of the file */
};

struct viz_kept *viz_kept__new(void)
{
	struct viz_kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	kept->fd = viz_scratch__open();
	if (kept->fd >= 0)
		return kept;
	errno = -kept->fd;
	free(kept);
	return NULL;
}

void viz_kept__free(struct viz_kept *kept)
{
	size_t i;

	if (!kept)
		return;
	for (i = 0; i < kept->nr; i++)
		free(kept->items[i].path);
	free(kept->items);
	close(kept->fd);
	free(kept);
}

static const struct item *find(const struct viz_kept *kept, const char *path)
{
	size_t i;

	for (i = 0; i < kept->nr; i++)
		if (!strcmp(kept->items[i].path, path))
			return &kept->items[i];
	return NULL;
}

int viz_kept__add(struct viz_kept *kept, const char *path, const char *text, size_t size)
{
	struct item *items;
	size_t done = 0;
	ssize_t n;

	if (find(kept, path))
		return 0;
	items = realloc(kept->items, (kept->nr + 1) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	kept->items = items;
	for (; done < size; done += (size_t)n) {
		n = pwrite(kept->fd, text + done, size - done, (off_t)(kept->end + done));
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return n ? -errno : -EIO;
	}
	items[kept->nr] = (struct item){strdup(path), kept->end, size};
	if (!items[kept->nr].path)
		return -ENOMEM;
	kept->nr++;
	kept->end += size;
	return 0;
}

int viz_kept__read(void *ctx, uint32_t place, const char *path, char **text, size_t *size)
{
	const struct viz_kept *kept = ctx;
	const struct item *item = find(kept, path);
	char *copy;

	(void)place;
	if (!item)
		return -ENOENT;
	copy = malloc(item->size + 1);
	if (!copy)
		return -ENOMEM;
	if (pread(kept->fd, copy, item->size, (off_t)item->at) != (ssize_t)item->size) {
		free(copy);
		return -EIO;
	}
	*text = copy;
	*size = item->size;
	return 0;
}
