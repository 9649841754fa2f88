// SPDX-License-Identifier: Apache-2.0
#include "browser.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

enum { WORDS_MAX = 16 };

/* Cuts @command into words, in place; puts @url where "%s" stands alone, else at the end. */
static int split(char *command, char *url, char **argv)
{
	bool placed = false;
	char *save = NULL, *word;
	int n = 0;

	command[strcspn(command, ":")] = 0;
	for (word = strtok_r(command, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
		if (n == WORDS_MAX)
			return -E2BIG;
		if (!strcmp(word, "%s")) {
			word = url;
			placed = true;
		}
		argv[n++] = word;
	}
	if (!n)
		argv[n++] = "xdg-open";
	if (!placed)
		argv[n++] = url;
	argv[n] = NULL;
	return 0;
}

static int spawn(char **argv)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t all, none;
	pid_t pid;
	int err;

	sigfillset(&all);
	sigemptyset(&none);
	err = posix_spawnattr_init(&attr);
	if (err)
		return -err;
	err = posix_spawn_file_actions_init(&files);
	if (err) {
		posix_spawnattr_destroy(&attr);
		return -err;
	}
	/* a group of its own: Ctrl-C is for the viewer, not for the browser */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	err = posix_spawnp(&pid, argv[0], &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -err;
}

int viz_browser__open(const char *url, char *why, size_t why_size)
{
	const char *env = getenv("BROWSER");
	char *argv[WORDS_MAX + 2], command[512] = "", copy[1024];
	int err;

	if ((env && strlen(env) >= sizeof(command)) || strlen(url) >= sizeof(copy))
		return viz_why(why, why_size, -E2BIG,
			       "cannot open a browser: $BROWSER is too long");
	strcpy(command, env ? env : "");
	strcpy(copy, url);
	if (split(command, copy, argv))
		return viz_why(why, why_size, -E2BIG,
			       "cannot open a browser: $BROWSER is too long");
	err = spawn(argv);
	if (err)
		return viz_why(why, why_size, err, "cannot open a browser (%s: %s)", argv[0],
			       strerror(-err));
	return 0;
}
