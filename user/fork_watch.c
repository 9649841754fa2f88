// SPDX-License-Identifier: Apache-2.0
#include "fork_watch.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "target/elf_image.h"

/* 3.7 and newer; 3.6 has the older name (Modules/posixmodule.c). */
static int find(const struct viz_build *build, uint64_t *offset)
{
	struct viz_elf_symbol symbol;
	struct viz_elf *elf;
	int err = viz_elf__open(build->fd, &elf);

	if (err)
		return err;
	if (!viz_elf__symbol(elf, "PyOS_AfterFork_Child", &symbol) &&
	    !viz_elf__symbol(elf, "PyOS_AfterFork", &symbol))
		err = -ENOENT;
	else if (!viz_elf__is_code(elf, symbol.value) ||
		 !viz_elf__to_offset(elf, symbol.value, offset))
		err = -ENOEXEC;
	viz_elf__close(elf);
	return err;
}

void viz_fork_watch__add(struct viz_probes *probes, const struct viz_build *build, bool *watched)
{
	char why[256] = "";
	uint64_t offset;
	int err;

	if (*watched)
		return;
	*watched = true;
	err = find(build, &offset);

	if (err)
		viz_why(why, sizeof(why), 0, "PyOS_AfterFork_Child: %s", strerror(-err));
	else
		viz_probes__attach_one(probes, "python_forked", build->fd, offset, 0, -1, why,
				       sizeof(why));
	viz_debug(VIZ_LOG_PROBE, "forks in %s: %s", build->path, why[0] ? why : "watched");
}
