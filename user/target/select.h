/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is traced: -p, -a, --container, --cgroup, and what --user, --comm and --exclude-pid
 * leave out. Pids that were named are traced whatever the filters say, except those that
 * were excluded too.
 */
#ifndef VIZ_SELECT_H
#define VIZ_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../bpf/select.h"
#include "cgroup.h"
#include "container.h"

struct viz_select {
	pid_t *pids;
	size_t nr_pids;
	pid_t *excluded;
	size_t nr_excluded;
	bool all;
	bool follow; /* children too; true at first */
	bool by_user;
	uid_t user;
	char comm[64]; /* "": any; may have * and ? */
	struct viz_cgroups groups; /* from --cgroup and --container */
	struct viz_containers *containers;
};

/* All that can fail return 0 or a negative errno with a line in @why. */

int viz_select__init(struct viz_select *sel, char *why, size_t why_size);
void viz_select__free(struct viz_select *sel);

/* From the options; each may be given more than once. @text of the pids: "41" or "41,42". */
int viz_select__add_pids(struct viz_select *sel, const char *text, char *why, size_t why_size);
int viz_select__add_excluded(struct viz_select *sel, const char *text, char *why, size_t why_size);
int viz_select__add_container(struct viz_select *sel, const char *spec, char *why, size_t why_size);
int viz_select__add_cgroup(struct viz_select *sel, const char *spec, char *why, size_t why_size);
int viz_select__set_user(struct viz_select *sel, const char *name_or_uid, char *why,
			 size_t why_size);
int viz_select__set_comm(struct viz_select *sel, const char *pattern, char *why, size_t why_size);

/* Whether anything was chosen at all. */
bool viz_select__any(const struct viz_select *sel);
/* Whether processes are chosen that may not exist yet (-a, a container, a group): then the
 * BPF programs watch every exec. */
bool viz_select__open(const struct viz_select *sel);

/* 1: process @pid is wanted for itself; 0: it is not; -ESRCH: gone. A child of a followed
 * process is wanted too, but that the BPF programs know. Kernel threads and vizbpf itself
 * never are. */
int viz_select__wants(const struct viz_select *sel, pid_t pid);

/*
 * The wanted processes that exist now, and with @follow what those that were named have
 * started, in rising order; any program, Python or not. Returns their number and the array in
 * @pids (owned by the caller), or a negative errno. A pid that was named is in it even if there is
 * no such process, for attaching to say so.
 */
int viz_select__list(const struct viz_select *sel, pid_t **pids);

/* What the BPF programs are told. @keys: room for VIZ_SELECT_CGROUPS_MAX; their number is
 * returned. More groups than that: -E2BIG. */
void viz_select__selection(const struct viz_select *sel, struct viz_selection *out);
int viz_select__keys(const struct viz_select *sel, struct viz_cgroup_key *keys);

#endif
