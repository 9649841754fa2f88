// SPDX-License-Identifier: Apache-2.0
#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t viz_procfs__read(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[96];
	size_t used = 0;
	int fd, err = 0;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	else
		snprintf(path, sizeof(path), "/proc/self/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (used < size - 1) {
		ssize_t n = read(fd, buf + used, size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	buf[used] = '\0';
	return err ? err : (ssize_t)used;
}

/* The text after "\n@key:" and blanks, or NULL. The kernel escapes newlines in Name. */
static const char *field(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text) {
		if (!strncmp(text, key, len) && text[len] == ':') {
			text += len + 1;
			return text + strspn(text, "\t ");
		}
		text = strchr(text, '\n');
		text += text != NULL;
	}
	return NULL;
}

/* One number for each nested namespace, the innermost last. 0: none. */
static pid_t innermost(const char *text, const char *key)
{
	const char *p = field(text, key);
	pid_t number = 0;
	char *end;

	while (p && isdigit((unsigned char)*p)) {
		number = (pid_t)strtol(p, &end, 10);
		p = end + strspn(end, "\t ");
	}
	return number;
}

int viz_procfs__status(pid_t pid, struct viz_procfs_status *out)
{
	char text[4096], *end;
	const char *p;
	ssize_t n = viz_procfs__read(pid, "status", text, sizeof(text));
	size_t len;

	if (n < 0)
		return (int)n;
	memset(out, 0, sizeof(*out));
	p = field(text, "Name");
	if (!p)
		return -ESRCH;
	len = strcspn(p, "\n");
	if (len >= sizeof(out->comm))
		len = sizeof(out->comm) - 1;
	memcpy(out->comm, p, len);
	p = field(text, "State");
	out->state = p ? *p : '?';
	p = field(text, "PPid");
	out->parent = p ? (pid_t)strtol(p, NULL, 10) : 0;
	p = field(text, "Uid");
	if (p) {
		(void)strtoul(p, &end, 10);
		out->uid = (uid_t)strtoul(end, NULL, 10);
	}
	out->ns_pid = innermost(text, "NSpid");
	out->kernel = !field(text, "VmSize") && out->state != 'Z';
	return 0;
}

int viz_procfs__pids(pid_t **pids)
{
	DIR *dir = opendir("/proc");
	size_t nr = 0, room = 0;
	struct dirent *entry;
	int err = 0;

	*pids = NULL;
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		pid_t *grown;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (nr == room) {
			room = room ? 2 * room : 256;
			grown = reallocarray(*pids, room, sizeof(**pids));
			if (!grown) {
				err = -ENOMEM;
				break;
			}
			*pids = grown;
		}
		(*pids)[nr++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(dir);
	if (err) {
		free(*pids);
		*pids = NULL;
		return err;
	}
	return (int)nr;
}

int viz_procfs__tasks(pid_t pid, struct viz_procfs_task *tasks, int max)
{
	char path[64], text[4096];
	struct dirent *entry;
	int nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (nr < max && (entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		snprintf(path, sizeof(path), "task/%d/status", (int)tid);
		if (viz_procfs__read(pid, path, text, sizeof(text)) <= 0)
			continue;
		tasks[nr].tid = tid;
		tasks[nr].ns_tid = innermost(text, "NSpid");
		nr++;
	}
	closedir(dir);
	return nr;
}

uint64_t viz_procfs__start_time(pid_t pid)
{
	char text[1024], *p;
	int i;

	if (viz_procfs__read(pid, "stat", text, sizeof(text)) <= 0)
		return 0;
	/* the name may hold blanks and brackets: fields are counted from its last bracket */
	p = strrchr(text, ')');
	for (i = 2; p && i < 22; i++) {
		p = strchr(p, ' ');
		p += p != NULL;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}
