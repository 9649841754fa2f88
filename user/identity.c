// SPDX-License-Identifier: Apache-2.0
#include "identity.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "target/procfs.h"

enum {
	ENV_MAX = 1 << 18, /* bytes of environment that are taken over */
	LEVELS_MAX = 6, /* sudo, its monitor process, a wrapper or two */
};

/* Where sudo puts its own value in place of the user's. */
static const char *const replaced[] = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "MAIL"};
/* What sudo adds. */
static const char *const added[] = {"SUDO_USER", "SUDO_UID", "SUDO_GID", "SUDO_COMMAND",
				    "SUDO_HOME"};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* A number from the environment; -1 when it is none. */
static long env_id(const char *name)
{
	const char *text = getenv(name);
	unsigned long value;
	char *end;

	if (!text || !isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	value = strtoul(text, &end, 10);
	return errno || *end || value >= UINT32_MAX ? -1 : (long)value;
}

/*
 * sudo is our parent, or its parent, and still has the environment it was called with. What is
 * in it is the user's own, and is used as that user only.
 */
static void read_sudo_environment(struct viz_identity *id)
{
	struct viz_procfs_status status;
	pid_t pid = getppid();
	ssize_t n;
	int i;

	for (i = 0; i < LEVELS_MAX && pid > 1; i++, pid = status.parent) {
		if (viz_procfs__status(pid, &status))
			return;
		if (!strcmp(status.comm, "sudo") && status.uid == 0)
			break;
	}
	if (i == LEVELS_MAX || pid <= 1)
		return;
	id->env = malloc(ENV_MAX);
	n = id->env ? viz_procfs__read(pid, "environ", id->env, ENV_MAX) : -1;
	if (n <= 0 || n == ENV_MAX - 1) {
		free(id->env);
		id->env = NULL;
		return;
	}
	id->env_size = (size_t)n;
}

static void take_entry(struct viz_identity *id, const struct passwd *entry)
{
	id->uid = entry->pw_uid;
	id->gid = entry->pw_gid;
	if (strlen(entry->pw_name) < sizeof(id->name))
		strcpy(id->name, entry->pw_name);
	if (strlen(entry->pw_dir) < sizeof(id->home))
		strcpy(id->home, entry->pw_dir);
	if (strlen(entry->pw_shell) < sizeof(id->shell))
		strcpy(id->shell, entry->pw_shell);
}

int viz_identity__choose(const char *user, bool as_root, struct viz_identity *id, char *why,
			 size_t why_size)
{
	long uid = env_id("SUDO_UID"), gid = env_id("SUDO_GID");
	struct passwd *entry;
	char *end;

	memset(id, 0, sizeof(*id));
	if (user) {
		entry = getpwnam(user);
		if (!entry && isdigit((unsigned char)*user))
			entry = getpwuid((uid_t)strtoul(user, &end, 10));
		if (!entry)
			return viz_why(why, why_size, -EINVAL, "no user is called %s", user);
		take_entry(id, entry);
		id->change = id->uid != geteuid();
		if (id->change && geteuid())
			return viz_why(why, why_size, -EPERM,
				       "only root can run the program as another user (--user %s)",
				       user);
		if (id->change && uid == (long)id->uid)
			read_sudo_environment(id);
		return 0;
	}
	if (as_root || geteuid() || uid <= 0 || gid < 0)
		return 0;
	entry = getpwuid((uid_t)uid);
	if (entry)
		take_entry(id, entry);
	id->uid = (uid_t)uid;
	id->gid = (gid_t)gid;
	id->change = true;
	read_sudo_environment(id);
	return 0;
}

void viz_identity__free(struct viz_identity *id)
{
	free(id->env);
	memset(id, 0, sizeof(*id));
}

static bool among(const char *const *names, size_t nr, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], name, len))
			return true;
	return false;
}

/* Variables that were set for vizbpf on purpose (`sudo NAME=VALUE vizbpf`) stay. */
static int give_environment_back(const struct viz_identity *id)
{
	const char *one = id->env, *end = id->env + id->env_size;
	size_t i;

	for (i = 0; i < NR(added); i++)
		unsetenv(added[i]);
	if (id->home[0] && setenv("HOME", id->home, 1))
		return -ENOMEM;
	if (id->shell[0] && setenv("SHELL", id->shell, 1))
		return -ENOMEM;
	if (id->name[0] && (setenv("USER", id->name, 1) || setenv("LOGNAME", id->name, 1)))
		return -ENOMEM;
	for (; one && one < end; one += strlen(one) + 1) {
		const char *equals = strchr(one, '=');
		size_t len = equals ? (size_t)(equals - one) : 0;
		char name[256];

		if (!len || len >= sizeof(name) || among(added, NR(added), one, len))
			continue;
		memcpy(name, one, len);
		name[len] = '\0';
		if (setenv(name, equals + 1, among(replaced, NR(replaced), one, len)))
			return -ENOMEM;
	}
	return 0;
}

int viz_identity__become(const struct viz_identity *id)
{
	uid_t real, effective, saved;
	int err;

	if (!id->change)
		return 0;
	err = give_environment_back(id);
	if (err)
		return err;
	if (id->name[0] ? initgroups(id->name, id->gid) : setgroups(1, &id->gid))
		return -errno;
	if (setresgid(id->gid, id->gid, id->gid) || setresuid(id->uid, id->uid, id->uid))
		return -errno;
	if (getresuid(&real, &effective, &saved) || real != id->uid || effective != id->uid ||
	    saved != id->uid || (id->uid && !setuid(0)))
		return -EPERM;
	return 0;
}
