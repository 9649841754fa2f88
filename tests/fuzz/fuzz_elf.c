// SPDX-License-Identifier: Apache-2.0
/*
 * A file that a process has mapped: whatever it holds, the analysis ends, with a build that
 * keeps its promises or with a refusal.
 * Build: user/target/python_version.c user/target/python_build.c user/target/python_offsets.c
 *	user/target/usdt_notes.c user/target/eval_sites.c user/target/control_flow.c
 *	user/target/exit_cut.c user/target/pop_sites.c user/target/code_x86.c user/target/code_access_x86.c
 *	user/target/elf_image.c user/target/elf_pointers.c user/target/elf_frames.c
 *	user/base/log.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target/python_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct viz_build *build, size_t size)
{
	if (build->major != 3 || build->minor < 6 || build->minor > 15)
		abort();
	if (build->debug || build->free_threaded)
		abort();
	if (!*build->no_eval) {
		if (!build->nr_leave || build->nr_leave > VIZ_LEAVE_SITES)
			abort();
		if (!build->enter.offset || build->enter.offset >= size)
			abort();
		for (unsigned int i = 0; i < build->nr_leave; i++)
			if (!build->leave[i].offset || build->leave[i].offset >= size ||
			    build->leave[i].offset == build->enter.offset)
				abort();
	}
	for (int i = 0; i < VIZ_USDT_PROBES; i++)
		for (unsigned int k = 0; k < build->nr_usdt[i]; k++)
			if (build->usdt[i][k].offset >= size ||
			    build->usdt[i][k].semaphore >= size ||
			    !memchr(build->usdt[i][k].args, 0, sizeof(build->usdt[i][k].args)))
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct viz_build *build = NULL;
	char why[192] = "";
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (viz_build__analyse(fd, "/usr/bin/python3", &build, why, sizeof(why))) {
		if (!memchr(why, 0, sizeof(why)))
			abort();
		close(fd);
		return 0;
	}
	check(build, size);
	viz_build__free(build);
	return 0;
}
