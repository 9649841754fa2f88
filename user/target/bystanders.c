// SPDX-License-Identifier: Apache-2.0
#include "bystanders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "procfs.h"

/* start-end perms offset major:minor inode path: only what stands before the path is read,
 * which the process has no say in */
static bool line_is(const char *line, dev_t dev, ino_t ino)
{
	unsigned int major, minor;
	unsigned long inode;
	char perms[5];

	return sscanf(line, "%*x-%*x %4s %*x %x:%x %lu", perms, &major, &minor, &inode) == 4 &&
	       perms[2] == 'x' && inode == ino && makedev(major, minor) == dev;
}

int viz_bystanders__maps(pid_t pid, dev_t dev, ino_t ino)
{
	char path[64], line[512];
	bool begins = true;
	int found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!found && fgets(line, sizeof(line), file)) {
		found = begins && line_is(line, dev, ino);
		begins = strchr(line, '\n');
	}
	fclose(file);
	return found;
}

int viz_bystanders__count(dev_t dev, ino_t ino, bool (*traced)(pid_t pid, void *arg), void *arg,
			  pid_t *first, size_t max)
{
	pid_t *pids;
	int nr = viz_procfs__pids(&pids), found = 0, i;

	for (i = 0; i < nr; i++) {
		if ((traced && traced(pids[i], arg)) ||
		    viz_bystanders__maps(pids[i], dev, ino) != 1)
			continue;
		if ((size_t)found < max)
			first[found] = pids[i];
		found++;
	}
	free(pids);
	return nr < 0 ? nr : found;
}
