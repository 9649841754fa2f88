// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "command/command.h"
#include "options.h"
#include "session.h"
#include "unprivileged.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"ps", viz_command__ps},	   {"doctor", viz_command__doctor},
	{"view", viz_command__view},	   {"stats", viz_command__stats},
	{"tree", viz_command__tree},	   {"diff", viz_command__diff},
	{"convert", viz_command__convert}, {"combine", viz_command__combine},
	{"top", viz_command__top},
};

int main(int argc, char **argv)
{
	struct viz_options opt;
	char why[512] = "";
	int status;

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	switch (viz_options__parse(&opt, argc, argv)) {
	case VIZ_OPTIONS_RUN:
		if (opt.launches && (opt.inside || viz_unprivileged__is())) {
			/* A program can record itself; returns only on failure. */
			viz_unprivileged__exec(argv + 1, (int)(opt.launch.argv - (argv + 1)),
					       &opt.launch, why, sizeof(why));
			viz_error("%s", why);
			status = 1;
			break;
		}
		status = viz_session__run(&opt);
		if (opt.open_viewer && !access(opt.path, R_OK))
			viz_command__view(2, (char *[]){"view", opt.path, NULL});
		break;
	case VIZ_OPTIONS_DONE:
		status = 0;
		break;
	default:
		status = 2;
	}
	viz_options__free(&opt);
	return status;
}
