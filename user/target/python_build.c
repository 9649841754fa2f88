// SPDX-License-Identifier: Apache-2.0
#include "python_build.h"

#include <errno.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/log.h"
#include "eval_sites.h"
#include "pop_sites.h"
#include "python_offsets.h"
#include "python_version.h"
#include "usdt_notes.h"

static int identify(const struct viz_elf *elf, struct viz_build *build, char *why, size_t why_size)
{
	struct viz_python_version version;
	int err;

	err = viz_version__identify(elf, build->path, &version, why, why_size);
	if (err)
		return err;
	build->major = version.major;
	build->minor = version.minor;
	build->micro = version.micro;
	build->debug = version.debug;
	build->free_threaded = version.free_threaded;
	build->info.version = version.hex;
	if (version.major != 3 || version.minor < VIZ_PYTHON_MINOR_MIN ||
	    version.minor > VIZ_PYTHON_MINOR_MAX)
		return viz_why(why, why_size, -ENOTSUP,
			       "Python %u.%u is not supported (3.%d to 3.%d are)", version.major,
			       version.minor, VIZ_PYTHON_MINOR_MIN, VIZ_PYTHON_MINOR_MAX);
	/* Pre-releases still move members: only finished versions have been measured. */
	if ((version.hex >> 4 & 0xf) < 0xc)
		return viz_why(why, why_size, -ENOTSUP,
			       "an alpha or beta version of Python 3.%u is not supported",
			       version.minor);
	if (version.debug)
		return viz_why(why, why_size, -ENOTSUP,
			       "a debug build of Python 3.%u is not supported", version.minor);
	if (version.free_threaded)
		return viz_why(why, why_size, -ENOTSUP,
			       "a free-threaded build of Python 3.%u is not supported",
			       version.minor);
	return 0;
}

/* Where to see calls of an ordinary function going in, with its first two arguments intact. */
static uint64_t enter_of(const struct viz_elf *elf, const char *name)
{
	struct viz_elf_symbol symbol;
	struct viz_site site;
	uint64_t offset;

	if (!viz_elf__symbol(elf, name, &symbol) || !viz_elf__is_code(elf, symbol.value))
		return 0;
	if (!viz_enter_site__find(elf, symbol.value, symbol.size, VIZ_ARG0 | VIZ_ARG1, &site))
		return site.offset;
	return viz_elf__to_offset(elf, symbol.value, &offset) ? offset : 0;
}

static void use_pops(const struct viz_elf *elf, struct viz_build *build)
{
	struct viz_pop_sites pops;

	if (viz_pop_sites__find(elf, build->eval_frame_default, build->eval_size, &build->info.off,
				&pops) ||
	    !pops.needed)
		return;
	memcpy(build->exact, build->leave, sizeof(build->exact));
	build->nr_exact = build->nr_leave;
	memcpy(build->leave, pops.sites, sizeof(build->leave));
	build->nr_leave = pops.nr;
	build->info.flags &= ~(uint32_t)VIZ_BUILD_CURRENT_AFTER;
	build->info.flags |= VIZ_BUILD_POPS;
}

static void find_sites(const struct viz_elf *elf, struct viz_build *build)
{
	struct viz_eval_sites sites;
	char why[160] = "";
	int err;

	err = viz_eval_sites__find(elf, build->eval_frame_default, build->eval_size,
				   (int32_t)build->info.off.tstate_frame, &sites, why, sizeof(why));
	if (err) {
		snprintf(build->no_eval, sizeof(build->no_eval), "%s",
			 *why ? why : "the eval function cannot be analysed");
		return;
	}
	build->enter = sites.enter;
	memcpy(build->leave, sites.leave, sizeof(build->leave));
	build->nr_leave = sites.nr_leave;
	build->info.enter_sp = sites.enter.sp_delta;
	if (sites.settled)
		build->info.flags |= VIZ_BUILD_CURRENT_AFTER;
	if (build->minor == 12 || build->minor == 13)
		use_pops(elf, build);
	for (unsigned int i = 0; i < build->nr_leave; i++)
		build->info.leave_sp[i] = build->leave[i].sp_delta;
}

static void judge_usdt(struct viz_build *build)
{
	bool both = build->nr_usdt[VIZ_USDT_ENTRY] && build->nr_usdt[VIZ_USDT_RETURN];
	const char *why = "";

	if (both && (build->minor <= 10 || build->minor == 15))
		build->usdt_complete = true;
	else if (build->minor >= 12 && build->minor <= 14)
		why = "Python 3.12 to 3.14 have no function probes (removed with PEP 669)";
	else if (!both)
		why = "it was built without function probes (--with-dtrace)";
	else /* gh-104280 and before: entry is not reached from the fast dispatch */
		why = "function__entry of Python 3.11 fires only for generators' throw()";
	snprintf(build->no_usdt, sizeof(build->no_usdt), "%s", why);
}

static int fill(const struct viz_elf *elf, struct viz_build *build, char *why, size_t why_size)
{
	struct viz_elf_symbol symbol;
	int err;

	if (!viz_elf__symbol(elf, "_PyEval_EvalFrameDefault", &symbol)) {
		/* Python 2 and early 3 have the older name, and deserve a better answer. */
		if (!viz_elf__symbol(elf, "PyEval_EvalFrameEx", &symbol))
			return -ENOEXEC;
	}
	if (!viz_elf__is_code(elf, symbol.value))
		return -ENOEXEC;
	build->eval_frame_default = symbol.value;
	build->eval_size = symbol.size;
	if (viz_elf__machine(elf) != EM_X86_64)
		return viz_why(why, why_size, -ENOTSUP,
			       "Python is not supported on this architecture yet");
	err = identify(elf, build, why, why_size);
	if (err)
		return err;
	build->shared = *viz_elf__soname(elf) != '\0';
	build->stripped = !viz_elf__has_symtab(elf);
	build->jit = build->minor >= 13 && viz_elf__contains(elf, "PYTHON_JIT");
	err = viz_offsets__fill(elf, build, why, why_size);
	if (err)
		return err;
	if (viz_elf__symbol(elf, "PyCode_Type", &symbol))
		build->code_type = symbol.value;
	build->module_create2 = enter_of(elf, "PyModule_Create2");
	build->set_eval_frame = enter_of(elf, "_PyInterpreterState_SetEvalFrameFunc");
	build->interp_new[0] = enter_of(elf, "Py_NewInterpreter");
	build->interp_new[1] = enter_of(elf, "_Py_NewInterpreter"); /* 3.9 to 3.11 */
	build->interp_new[2] = enter_of(elf, "Py_NewInterpreterFromConfig"); /* 3.12+ */
	build->interp_new[3] = enter_of(elf, "_PyXI_NewInterpreter"); /* 3.13+ */
	build->interp_end = enter_of(elf, "Py_EndInterpreter");
	err = viz_usdt__read(elf, build);
	if (err)
		return err;
	judge_usdt(build);
	find_sites(elf, build);
	return 0;
}

int viz_build__analyse(int fd, const char *path, struct viz_build **out, char *why, size_t why_size)
{
	struct viz_build *build;
	struct viz_elf *elf;
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	err = viz_elf__open(fd, &elf);
	if (err)
		return err == -ENOMEM ? err : -ENOEXEC;
	build = calloc(1, sizeof(*build));
	if (!build) {
		viz_elf__close(elf);
		return -ENOMEM;
	}
	build->dev = st.st_dev;
	build->ino = st.st_ino;
	build->fd = -1;
	snprintf(build->path, sizeof(build->path), "%s", path);
	err = fill(elf, build, why, why_size);
	viz_elf__close(elf);
	if (err) {
		viz_build__free(build);
		return err;
	}
	build->fd = fd;
	*out = build;
	return 0;
}

void viz_build__free(struct viz_build *build)
{
	if (!build)
		return;
	viz_usdt__free(build);
	if (build->fd >= 0)
		close(build->fd);
	free(build);
}
