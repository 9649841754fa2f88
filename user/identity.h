/* SPDX-License-Identifier: Apache-2.0 */
/* Whose process a launched program is: the user behind sudo, the one of --user, or vizbpf's. */
#ifndef VIZ_IDENTITY_H
#define VIZ_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct viz_identity {
	bool change; /* false: the program runs as vizbpf does */
	uid_t uid;
	gid_t gid;
	char name[64]; /* "" when the uid has no entry */
	char home[256], shell[256];
	char *env; /* what sudo was called with, NAME=VALUE NUL ...; or NULL */
	size_t env_size;
};

/*
 * Chooses: --user @user; else, unless @as_root, the user behind sudo when vizbpf runs as root.
 * 0, or a negative errno and a line in @why.
 */
int viz_identity__choose(const char *user, bool as_root, struct viz_identity *id, char *why,
			 size_t why_size);
void viz_identity__free(struct viz_identity *id);

/*
 * Becomes it for good, in a child that will exec: groups, ids, and the environment as the user
 * has it (sudo takes variables away and replaces PATH and HOME; they are given back).
 * 0 or a negative errno; then the child must end.
 */
int viz_identity__become(const struct viz_identity *id);

#endif
