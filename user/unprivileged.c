// SPDX-License-Identifier: Apache-2.0
#include "unprivileged.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "identity.h"
#include "launch.h"

/* include/uapi/linux/capability.h */
enum { BIT_SYS_ADMIN = 21, BIT_PERFMON = 38, BIT_BPF = 39 };

/* The package may be installed for the interpreter, or beside vizbpf. The path goes to the
 * end: a program's own modules come first. */
static const char bootstrap[] =
	"import sys; sys.path.append('" VIZ_PREFIX "/lib/vizbpf/python')\n"
	"try:\n"
	"    from vizbpf.launch import main\n"
	"except ImportError as error:\n"
	"    sys.exit('vizbpf: recording from inside the program, as without root or with '\n"
	"             '--log-func-args and its like, needs the Python package vizbpf for ' +\n"
	"             sys.executable + ' (make ext, pip install): %s' % error)\n"
	"sys.exit(main(sys.argv[1:]))\n";

bool viz_unprivileged__is(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	if (!file)
		return geteuid() != 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	fclose(file);
	if (caps & 1ull << BIT_SYS_ADMIN)
		return false;
	return !(caps & 1ull << BIT_BPF) || !(caps & 1ull << BIT_PERFMON);
}

/* "python3", "python3.12", "/opt/x/bin/python": the interpreter that was named. */
static bool names_interpreter(const char *word)
{
	const char *name = strrchr(word, '/');

	name = name ? name + 1 : word;
	return !strncmp(name, "python", 6) && !name[6 + strspn(name + 6, "0123456789.t")];
}

static size_t count(char *const *words)
{
	size_t nr = 0;

	while (words[nr])
		nr++;
	return nr;
}

/* Whose the program is: what records from inside needs no rights of its own. */
static int become_user(const struct viz_launch *launch, char *why, size_t why_size)
{
	struct viz_identity id;
	int err = viz_identity__choose(launch->user, launch->as_root, &id, why, why_size);

	if (err || !id.change)
		return err;
	err = viz_identity__become(&id);
	if (err)
		viz_why(why, why_size, err, "cannot become user %s: %s", id.name, strerror(-err));
	viz_identity__free(&id);
	return err;
}

int viz_unprivileged__exec(char *const *options, size_t nr, const struct viz_launch *launch,
			   char *why, size_t why_size)
{
	char *const *program = launch->argv;
	const char *python = "python3";
	size_t used = 0;
	char **words;
	int err;

	words = calloc(nr + count(program) + 8, sizeof(*words));
	if (!words)
		return viz_why(why, why_size, -ENOMEM, "%s", strerror(ENOMEM));
	/* `vizbpf python3.12 script.py`: that one; with options of its own it is a command */
	if (!launch->module && program[0] && names_interpreter(program[0]) && program[1] &&
	    (program[1][0] != '-' || !strcmp(program[1], "-m")))
		python = *program++;
	words[used++] = (char *)python;
	words[used++] = (char *)"-c";
	words[used++] = (char *)bootstrap;
	for (size_t i = 0; i < nr; i++) {
		if (launch->module && !strcmp(options[i], "-m")) {
			i++;
			continue;
		}
		if (strcmp(options[i], "--"))
			words[used++] = options[i];
	}
	words[used++] = (char *)"--";
	if (launch->module) {
		words[used++] = (char *)"-m";
		words[used++] = (char *)launch->module;
	}
	while (*program)
		words[used++] = *program++;
	err = become_user(launch, why, why_size);
	if (err) {
		free(words);
		return err;
	}
	execvp(python, words);
	err = -errno;
	free(words);
	return viz_why(why, why_size, err, "cannot run %s, which records without root: %s", python,
		       strerror(-err));
}
