// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
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

static int take_percent(const char *option, const char *text, double *percent)
{
	char *end;

	*percent = strtod(text, &end);
	if (end != text && !*end && *percent >= 0 && *percent <= 100)
		return 0;
	viz_error("%s: '%s' is not a percentage", option, text);
	return -EINVAL;
}

static int take_word(const char *option, const char *text, const char *const *words, int *index)
{
	char all[256] = "";
	size_t n = 0;

	for (*index = 0; words[*index]; ++*index) {
		if (!strcmp(text, words[*index]))
			return 0;
		if (n < sizeof(all))
			n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", *index ? ", " : "",
					      words[*index]);
	}
	viz_error("%s: '%s' is none of %s", option, text, all);
	return -EINVAL;
}

static int take(const struct viz_arg *arg, const char *text)
{
	char option[64];

	snprintf(option, sizeof(option), "--%s", arg->name);
	switch (arg->kind) {
	case VIZ_ARG_FLAG:
		*(bool *)arg->to = true;
		return 0;
	case VIZ_ARG_TEXT:
		*(const char **)arg->to = text;
		return 0;
	case VIZ_ARG_NUMBER:
		return viz_args__number(option, text, arg->max, arg->to);
	case VIZ_ARG_PERCENT:
		return take_percent(option, text, arg->to);
	case VIZ_ARG_WORD:
		return take_word(option, text, arg->words, arg->to);
	}
	return -EINVAL;
}

int viz_args__parse(const struct viz_args *args, int argc, char **argv)
{
	enum { FIRST = 256, MOST = 16 };
	struct option longs[MOST + 3] = {0};
	char letters[2 * MOST + 8], *l = stpcpy(letters, ":qh");
	size_t i;
	int c;

	for (i = 0; i < args->nr && i < MOST; i++) {
		const struct viz_arg *a = &args->list[i];

		longs[i] = (struct option){a->name, a->kind != VIZ_ARG_FLAG, NULL, FIRST + (int)i};
		if (a->letter)
			*l++ = a->letter;
		if (a->letter && a->kind != VIZ_ARG_FLAG)
			*l++ = ':';
	}
	*l = 0;
	longs[i++] = (struct option){"quiet", no_argument, NULL, 'q'};
	longs[i] = (struct option){"help", no_argument, NULL, 'h'};
	viz_args__dashes(argc, argv);
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == 'h') {
			fputs(args->usage, stdout);
			return 0;
		}
		if (c == 'q') {
			viz_log_quiet = 1;
			continue;
		}
		for (i = 0; i < args->nr; i++)
			if (c == FIRST + (int)i || (args->list[i].letter == c))
				break;
		if (i == args->nr)
			return viz_args__bad(args->command, argc, argv, c);
		if (take(&args->list[i], optarg))
			return 2;
	}
	if (argc - optind >= args->least && argc - optind <= args->most)
		return -1;
	viz_error("%s: %s (vizbpf %s --help)", args->command, args->files, args->command);
	return 2;
}
