// SPDX-License-Identifier: Apache-2.0
#include "translated.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/log.h"
#include "procfs.h"

static const struct {
	const char *file, *command, *name;
} translators[] = {
	{"vgpreload_", "valgrind", "valgrind"},
	{"libdynamorio.so", "drrun", "DynamoRIO"},
	{"pinbin", "pin", "Pin"},
};

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const char *viz_translated__by(const char *path)
{
	const char *base = base_of(path);

	for (size_t i = 0; i < sizeof(translators) / sizeof(translators[0]); i++)
		if (!strncmp(base, translators[i].file, strlen(translators[i].file)))
			return translators[i].name;
	return NULL;
}

const char *viz_translated__tool(const char *command)
{
	const char *base = base_of(command);

	for (size_t i = 0; i < sizeof(translators) / sizeof(translators[0]); i++)
		if (!strcmp(base, translators[i].command))
			return translators[i].name;
	return NULL;
}

int viz_translated__replayed(pid_t pid, char *why, size_t why_size)
{
	char text[4096], path[64], exe[256];
	const char *at;
	ssize_t n;

	if (viz_procfs__read(pid, "status", text, sizeof(text)) <= 0)
		return 0;
	at = strstr(text, "\nTracerPid:\t");
	if (!at || atoi(at + 12) <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/exe", atoi(at + 12));
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (strcmp(base_of(exe), "rr"))
		return 0;
	return viz_why(why, why_size, -ENOTSUP,
		       "rr records it, and what vizbpf does to it would not be in the replay");
}
