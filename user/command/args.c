// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

void viz_args__dashes(int argc, char **argv)
{
	int i;
	char *c;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (strncmp(argv[i], "--", 2))
			continue;
		for (c = argv[i]; *c && *c != '='; c++)
			if (*c == '_')
				*c = '-';
	}
}

int viz_args__bad(const char *command, int argc, char **argv, int got)
{
	const char *arg = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	if (got == ':')
		viz_error("%s: option %s needs a value (vizbpf %s --help)", command, arg, command);
	else
		viz_error("%s: unknown option %s (vizbpf %s --help)", command, arg, command);
	return 2;
}

int viz_args__number(const char *option, const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || *value > max) {
		viz_error("%s: '%s' is not a number from 0 to %llu", option, text,
			  (unsigned long long)max);
		return -EINVAL;
	}
	return 0;
}
