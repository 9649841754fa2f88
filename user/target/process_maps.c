// SPDX-License-Identifier: Apache-2.0
#include "process_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 16384 /* a path of 4096 bytes, each escaped as \ooo */
#define LINES_MAX (1u << 20)

/* Strict: no sign, no blanks, no prefix, at least one digit, no overflow. */
static int parse_number(char **at, unsigned int base, char stop, uint64_t *value)
{
	char *p = *at;
	uint64_t v = 0;

	for (;; p++) {
		unsigned int digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned int)(*p - '0');
		else if (base == 16 && *p >= 'a' && *p <= 'f')
			digit = (unsigned int)(*p - 'a') + 10;
		else
			break;
		if (v > (UINT64_MAX - digit) / base)
			return -EINVAL;
		v = v * base + digit;
	}
	if (p == *at || *p != stop)
		return -EINVAL;
	*value = v;
	*at = p + 1;
	return 0;
}

static int parse_perms(char **at, struct viz_map *map)
{
	char *p = *at;

	if (strnlen(p, 5) < 5 || p[4] != ' ')
		return -EINVAL;
	map->read = p[0] == 'r';
	map->write = p[1] == 'w';
	map->exec = p[2] == 'x';
	map->shared = p[3] == 's';
	*at = p + 5;
	return 0;
}

int viz_maps__parse(char *line, struct viz_map *map)
{
	uint64_t major, minor;
	char *at = line, *end;

	memset(map, 0, sizeof(*map));
	end = line + strlen(line);
	if (end > line && end[-1] == '\n')
		*--end = '\0';
	if (parse_number(&at, 16, '-', &map->start) || parse_number(&at, 16, ' ', &map->end) ||
	    parse_perms(&at, map) || parse_number(&at, 16, ' ', &map->offset) ||
	    parse_number(&at, 16, ':', &major) || parse_number(&at, 16, ' ', &minor))
		return -EINVAL;
	if (map->start >= map->end || major > UINT32_MAX || minor > UINT32_MAX)
		return -EINVAL;
	map->dev_major = (unsigned int)major;
	map->dev_minor = (unsigned int)minor;
	if (!strchr(at, ' ')) { /* older kernels leave no blank after the inode */
		if (parse_number(&at, 10, '\0', &map->inode))
			return -EINVAL;
		map->path = "";
		return 0;
	}
	if (parse_number(&at, 10, ' ', &map->inode))
		return -EINVAL;
	while (*at == ' ')
		at++;
	map->path = at;
	return 0;
}

int viz_maps__each(pid_t pid, int (*each)(const struct viz_map *map, void *ctx), void *ctx)
{
	char path[64], line[LINE_MAX_BYTES];
	unsigned int lines = 0;
	bool skipping = false;
	FILE *file;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	errno = 0;
	while (!err && lines++ < LINES_MAX && fgets(line, sizeof(line), file)) {
		bool whole = strchr(line, '\n') != NULL;
		bool skip = skipping;
		struct viz_map map;

		skipping = !whole;
		if (!skip && whole && !viz_maps__parse(line, &map))
			err = each(&map, ctx);
	}
	/* A process that ended meanwhile gives ESRCH here. */
	if (!err && ferror(file))
		err = errno ? -errno : -EIO;
	fclose(file);
	return err;
}

int viz_maps__open(pid_t pid, const struct viz_map *map)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid,
		 map->start, map->end);
	/* A device or a FIFO must not block or act on being opened. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}
