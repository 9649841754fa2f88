// SPDX-License-Identifier: Apache-2.0
/*
 * Engine usdt: the interpreter's own probes function__entry and function__return, where
 * both tell of every call. The kernel raises and lowers their semaphores; nothing is
 * written into the target.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../base/log.h"
#include "../session.h"
#include "../switches.h"

static int can(struct viz_session *s, const struct viz_interpreter *interp, char *why,
	       size_t why_size)
{
	(void)s;
	if (interp->build->no_usdt[0])
		return viz_why(why, why_size, -ENOTSUP, "%s", interp->build->no_usdt);
	return viz_interpreter__probed(interp, why, why_size);
}

static int attach_probes(struct viz_session *s, struct viz_target *t, char *why, size_t why_size)
{
	const struct viz_build *b = t->interp.build;

	t->attachment = viz_probes__attach(
		s->probes, b, viz_builds__index(s->builds, b), VIZ_PROBES_USDT, t->scope,
		viz_interpreter__code_dealloc(&t->interp), why, why_size);
	return t->attachment ? 0 : -errno;
}

/*
 * CPython up to 3.10, Python/ceval.c, dtrace_function_entry(): PyUnicode_AsUTF8() without a check
 * leaves an exception set when a function's or file's name has a lone surrogate.
 */
static void warn_of_names(const struct viz_target *t)
{
	if (t->interp.build->info.version < 0x030b0000)
		viz_warn(
			"pid %d: with these probes CPython %u.%u itself raises SystemError where a "
			"function's or file's name is not UTF-8; engine eval has no such effect",
			t->pid, t->interp.build->major, t->interp.build->minor);
}

static int attach(struct viz_session *s, struct viz_target *t, char *why, size_t why_size)
{
	struct viz_process_info info = {
		.build = viz_builds__index(s->builds, t->interp.build),
		.bias = t->interp.bias,
		.flags = VIZ_PROC_ACTIVE | VIZ_PROC_USDT |
			 (s->opt->select.follow ? VIZ_PROC_FOLLOW : 0) |
			 (viz_switches__look(s, t) ? VIZ_PROC_SWITCHES : 0),
	};
	int err;

	warn_of_names(t);
	err = attach_probes(s, t, why, why_size);
	if (err)
		return err;
	err = viz_probes__set_process(s->probes, t->pid, &info);
	if (err)
		return viz_why(why, why_size, err, "cannot attach to pid %d: %s", t->pid,
			       strerror(-err));
	return 0;
}

static void detach(struct viz_session *s, struct viz_target *t)
{
	viz_probes__drop_process(s->probes, t->pid);
	viz_probes__detach(s->probes, t->attachment);
	t->attachment = NULL;
}

static int forked(struct viz_session *s, struct viz_target *parent, struct viz_target *child)
{
	char why[256];

	(void)parent;
	return attach_probes(s, child, why, sizeof(why));
}

const struct viz_engine viz_engine_usdt = {
	.name = "usdt",
	.can = can,
	.attach = attach,
	.detach = detach,
	.forked = forked,
};
