// SPDX-License-Identifier: Apache-2.0
#include "select.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "procfs.h"

int viz_select__init(struct viz_select *sel, char *why, size_t why_size)
{
	memset(sel, 0, sizeof(*sel));
	sel->follow = true;
	sel->containers = viz_containers__new();
	return sel->containers ? 0 : viz_why(why, why_size, -ENOMEM, "out of memory");
}

void viz_select__free(struct viz_select *sel)
{
	free(sel->pids);
	free(sel->excluded);
	viz_cgroups__free(&sel->groups);
	viz_containers__free(sel->containers);
	memset(sel, 0, sizeof(*sel));
}

static bool has(const pid_t *list, size_t nr, pid_t pid)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (list[i] == pid)
			return true;
	return false;
}

static int add_pids(pid_t **list, size_t *nr, const char *text, char *why, size_t why_size)
{
	const char *p = text;

	do {
		pid_t *grown;
		char *end;
		long pid;

		errno = 0;
		pid = strtol(p, &end, 10);
		if (!isdigit((unsigned char)*p) || errno || pid < 1 || pid > 0x7fffffff ||
		    (*end && *end != ','))
			return viz_why(why, why_size, -EINVAL, "not a process id: %s", text);
		p = end + (*end == ',');
		if (has(*list, *nr, (pid_t)pid))
			continue;
		grown = reallocarray(*list, *nr + 1, sizeof(**list));
		if (!grown)
			return viz_why(why, why_size, -ENOMEM, "out of memory");
		*list = grown;
		grown[(*nr)++] = (pid_t)pid;
	} while (*p);
	return 0;
}

int viz_select__add_pids(struct viz_select *sel, const char *text, char *why, size_t why_size)
{
	return add_pids(&sel->pids, &sel->nr_pids, text, why, why_size);
}

int viz_select__add_excluded(struct viz_select *sel, const char *text, char *why, size_t why_size)
{
	int err = add_pids(&sel->excluded, &sel->nr_excluded, text, why, why_size);

	if (!err && sel->nr_excluded > VIZ_SELECT_EXCLUDED_MAX)
		err = viz_why(why, why_size, -E2BIG, "more than %d processes to exclude",
			      VIZ_SELECT_EXCLUDED_MAX);
	return err;
}

int viz_select__add_container(struct viz_select *sel, const char *spec, char *why, size_t why_size)
{
	int nr = viz_containers__find(sel->containers, spec, &sel->groups, why, why_size);

	if (nr > 1)
		viz_info("%s: %d containers", spec, nr);
	return nr < 0 ? nr : 0;
}

int viz_select__add_cgroup(struct viz_select *sel, const char *spec, char *why, size_t why_size)
{
	return viz_cgroups__add(&sel->groups, spec, why, why_size);
}

int viz_select__set_user(struct viz_select *sel, const char *name_or_uid, char *why,
			 size_t why_size)
{
	struct passwd *user = getpwnam(name_or_uid);
	unsigned long uid;
	char *end;

	sel->by_user = true;
	if (user) {
		sel->user = user->pw_uid;
		return 0;
	}
	uid = strtoul(name_or_uid, &end, 10);
	if (!isdigit((unsigned char)*name_or_uid) || *end || uid >= UINT32_MAX)
		return viz_why(why, why_size, -EINVAL, "no user is called %s", name_or_uid);
	sel->user = (uid_t)uid;
	return 0;
}

int viz_select__set_comm(struct viz_select *sel, const char *pattern, char *why, size_t why_size)
{
	if (!*pattern || strlen(pattern) >= sizeof(sel->comm))
		return viz_why(why, why_size, -EINVAL, "not a name that a process can have: '%s'",
			       pattern);
	strcpy(sel->comm, pattern);
	return 0;
}

bool viz_select__any(const struct viz_select *sel)
{
	return sel->nr_pids || viz_select__open(sel);
}

bool viz_select__open(const struct viz_select *sel)
{
	return sel->all || sel->groups.nr;
}

/* The kernel keeps 15 bytes of a name: a longer one that was asked for is cut likewise. */
static bool comm_fits(const struct viz_select *sel, const char *comm)
{
	if (!sel->comm[0] || !fnmatch(sel->comm, comm, 0))
		return true;
	return strlen(comm) == 15 && strlen(sel->comm) > 15 && !strncmp(sel->comm, comm, 15);
}

int viz_select__wants(const struct viz_select *sel, pid_t pid)
{
	struct viz_procfs_status status;
	int err;

	if (pid == getpid() || has(sel->excluded, sel->nr_excluded, pid))
		return 0;
	if (has(sel->pids, sel->nr_pids, pid))
		return 1;
	if (!viz_select__open(sel))
		return 0;
	err = viz_procfs__status(pid, &status);
	if (err)
		return err;
	if (status.kernel || status.state == 'Z' || status.state == 'X')
		return 0;
	if ((sel->by_user && status.uid != sel->user) || !comm_fits(sel, status.comm))
		return 0;
	return sel->all ? 1 : viz_cgroups__has(&sel->groups, pid);
}

static int compare(const void *a, const void *b)
{
	pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;

	return left < right ? -1 : left > right;
}

/* Behind the @nr of @list, what they have started, and what that has; @list has room for all
 * processes there are. Returns how many there are then. */
static int add_descendants(const struct viz_select *sel, pid_t *list, int nr, const pid_t *all,
			   int nr_all)
{
	struct viz_procfs_status status;
	pid_t *parents = calloc((size_t)nr_all + 1, sizeof(*parents));
	int i, before;

	if (!parents)
		return nr;
	for (i = 0; i < nr_all; i++)
		if (!viz_procfs__status(all[i], &status) && !status.kernel && status.state != 'Z')
			parents[i] = status.parent;
	do {
		before = nr;
		for (i = 0; i < nr_all; i++)
			if (parents[i] && has(list, (size_t)nr, parents[i]) &&
			    !has(list, (size_t)nr, all[i]) && all[i] != getpid() &&
			    !has(sel->excluded, sel->nr_excluded, all[i]))
				list[nr++] = all[i];
	} while (nr > before);
	free(parents);
	return nr;
}

int viz_select__list(const struct viz_select *sel, pid_t **pids)
{
	bool family = sel->follow && sel->nr_pids;
	int nr = 0, kept = 0, i;
	pid_t *list, *all = NULL;
	size_t k;

	*pids = NULL;
	if (viz_select__open(sel)) {
		nr = viz_procfs__pids(pids);
		if (nr < 0)
			return nr;
		for (i = 0; i < nr; i++)
			if (!has(sel->pids, sel->nr_pids, (*pids)[i]) &&
			    viz_select__wants(sel, (*pids)[i]) == 1)
				(*pids)[kept++] = (*pids)[i];
	}
	nr = family ? viz_procfs__pids(&all) : 0;
	if (nr < 0)
		nr = 0;
	list = reallocarray(*pids, (size_t)kept + sel->nr_pids + (size_t)nr + 1, sizeof(*list));
	if (!list) {
		free(*pids);
		free(all);
		*pids = NULL;
		return -ENOMEM;
	}
	*pids = list;
	for (k = 0; k < sel->nr_pids; k++)
		if (!has(sel->excluded, sel->nr_excluded, sel->pids[k]))
			list[kept++] = sel->pids[k];
	kept = add_descendants(sel, list, kept, all, nr);
	free(all);
	qsort(list, (size_t)kept, sizeof(*list), compare);
	return kept;
}

void viz_select__selection(const struct viz_select *sel, struct viz_selection *out)
{
	memset(out, 0, sizeof(*out));
	out->flags = (sel->all ? VIZ_SELECT_ALL : 0) | (sel->groups.nr ? VIZ_SELECT_CGROUPS : 0) |
		     (sel->by_user ? VIZ_SELECT_USER : 0) |
		     (sel->nr_excluded ? VIZ_SELECT_EXCLUDE : 0);
	out->uid = sel->user;
	/* a pattern is for user space: viz_select__wants() has the last word in any case */
	if (sel->comm[0] && !strpbrk(sel->comm, "*?[\\")) {
		out->flags |= VIZ_SELECT_COMM;
		memcpy(out->comm, sel->comm, strnlen(sel->comm, sizeof(out->comm) - 1));
	}
}

int viz_select__keys(const struct viz_select *sel, struct viz_cgroup_key *keys)
{
	size_t i;

	if (sel->groups.nr > VIZ_SELECT_CGROUPS_MAX)
		return -E2BIG;
	for (i = 0; i < sel->groups.nr; i++)
		keys[i] = (struct viz_cgroup_key){
			.id = sel->groups.list[i].id,
			.hierarchy = sel->groups.list[i].hierarchy,
		};
	return (int)sel->groups.nr;
}
