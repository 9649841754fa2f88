// SPDX-License-Identifier: Apache-2.0
/*
 * The command line. Every NUL or newline ends an argument.
 * Build: user/options.c user/options_help.c user/base/log.c user/trace/filter.c user/flight.c
 *	user/target/select.c user/target/container.c user/target/container_engine.c
 *	user/target/cgroup.c user/target/http_unix.c user/target/procfs.c
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "guardian.h"
#include "options.h"

enum { ARGS_MAX = 64, TEXT_MAX = 8192 };

const struct viz_engine viz_engine_usdt = {.name = "usdt"};
const struct viz_engine viz_engine_eval = {.name = "eval"};
const struct viz_engine viz_engine_trampoline = {.name = "trampoline"};

int viz_guardian__restore(pid_t pid)
{
	if (pid < 0)
		abort();
	return 0;
}

static int split(char *text, size_t size, char **argv)
{
	static char name[] = "vizbpf";
	int argc = 0;
	size_t i;

	argv[argc++] = name;
	for (i = 0; i < size && argc < ARGS_MAX; i += strlen(text + i) + 1)
		argv[argc++] = text + i;
	argv[argc] = NULL;
	return argc;
}

/* What the parser says is not wanted, what the sanitizers say is: they use descriptor 2. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	stdout = stderr = fopen("/dev/null", "w");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[ARGS_MAX + 1], *text;
	struct viz_options opt;
	int argc;

	if (size > TEXT_MAX)
		return 0;
	text = calloc(1, size + 1);
	memcpy(text, data, size);
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\n')
			text[i] = '\0';
	argc = split(text, size, argv);
	for (int i = 1; i < argc; i++)
		/* It would ask the engines of this machine. */
		if (strstr(argv[i], "cont") || strstr(argv[i], "user"))
			goto cleanup;
	optind = 0;
	viz_options__parse(&opt, argc, argv);
	viz_options__free(&opt);
cleanup:
	free(text);
	return 0;
}
