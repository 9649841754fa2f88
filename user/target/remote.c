// SPDX-License-Identifier: Apache-2.0
#include "remote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../bpf/records.h"

/* Nobody needs more of one string than this; a length beyond it is not believed in full. */
#define STR_CHARS_MAX 4096

/* -ESRCH also when the thread has ended: older kernels open the file and read nothing from it. */
static int open_mem(pid_t pid, int flags)
{
	char path[64], byte;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, &byte, 1, 0))
		return fd;
	close(fd);
	return -ESRCH;
}

pid_t viz_remote__task(pid_t pid)
{
	struct dirent *entry;
	pid_t found = pid;
	char path[64];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	while (tasks && found == pid && (entry = readdir(tasks))) {
		pid_t tid = atoi(entry->d_name);
		int fd = tid > 0 ? open_mem(tid, O_RDONLY) : -1;

		if (fd < 0)
			continue;
		close(fd);
		found = tid;
		if (tid == pid)
			break;
	}
	if (tasks)
		closedir(tasks);
	return found;
}

int viz_remote__open(pid_t pid, int flags)
{
	int fd = open_mem(pid, flags);

	return fd == -ESRCH ? open_mem(viz_remote__task(pid), flags) : fd;
}

int viz_remote__read(int fd, uint64_t addr, void *buf, size_t size)
{
	size_t done = 0;

	if (addr > INT64_MAX || size > INT64_MAX - addr)
		return -EFAULT;
	while (done < size) {
		ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(addr + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EFAULT;
		done += (size_t)n;
	}
	return 0;
}

int viz_remote__read_u64(int fd, uint64_t addr, uint64_t *value)
{
	return viz_remote__read(fd, addr, value, sizeof(*value));
}

int viz_remote__read_u32(int fd, uint64_t addr, uint32_t *value)
{
	return viz_remote__read(fd, addr, value, sizeof(*value));
}

int viz_remote__write(int fd, uint64_t addr, const void *buf, size_t size)
{
	size_t done = 0;

	if (addr > INT64_MAX || size > INT64_MAX - addr)
		return -EFAULT;
	while (done < size) {
		ssize_t n = pwrite(fd, (const char *)buf + done, size - done, (off_t)(addr + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EFAULT;
		done += (size_t)n;
	}
	return 0;
}

/* Appends one character as UTF-8; returns the new length, or the old one when it is full. */
static size_t put_utf8(char *buf, size_t used, size_t size, uint32_t c)
{
	unsigned char out[4];
	size_t n;

	if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		c = 0xfffd;
	if (c < 0x80) {
		out[0] = (unsigned char)c;
		n = 1;
	} else if (c < 0x800) {
		out[0] = (unsigned char)(0xc0 | c >> 6);
		out[1] = (unsigned char)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		out[0] = (unsigned char)(0xe0 | c >> 12);
		out[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (unsigned char)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		out[0] = (unsigned char)(0xf0 | c >> 18);
		out[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
		out[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		out[3] = (unsigned char)(0x80 | (c & 0x3f));
		n = 4;
	}
	if (used + n >= size)
		return used;
	memcpy(buf + used, out, n);
	return used + n;
}

int viz_remote__read_str(int fd, uint64_t addr, const struct viz_offsets *off, char *buf,
			 size_t size)
{
	unsigned char raw[STR_CHARS_MAX * 4];
	uint64_t chars;
	uint32_t state, kind;
	size_t i, used = 0;
	bool ascii;
	int err;

	if (!size)
		return -EINVAL;
	buf[0] = '\0';
	err = viz_remote__read_u64(fd, addr + off->str_length, &chars);
	if (!err)
		err = viz_remote__read_u32(fd, addr + off->str_state, &state);
	if (err)
		return err;
	kind = state >> 2 & 7;
	ascii = state >> 6 & 1;
	if (chars > INT32_MAX || (kind != 1 && kind != 2 && kind != 4) || (ascii && kind != 1))
		return -EINVAL;
	/* Strings made by the old C API keep their characters elsewhere (up to 3.11). */
	if (!(state >> 5 & 1))
		return -ENOTSUP;
	if (chars > STR_CHARS_MAX)
		chars = STR_CHARS_MAX;
	if (chars > size - 1)
		chars = size - 1;
	err = viz_remote__read(fd, addr + (ascii ? off->str_ascii_data : off->str_compact_data),
			       raw, chars * kind);
	if (err)
		return err;
	for (i = 0; i < chars; i++) {
		uint32_t c = 0;
		size_t was = used;

		memcpy(&c, raw + i * kind, kind);
		used = put_utf8(buf, used, size, c);
		if (used == was)
			break;
	}
	buf[used] = '\0';
	return (int)used;
}
