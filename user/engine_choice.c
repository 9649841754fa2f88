// SPDX-License-Identifier: Apache-2.0
/* Which engine records a process, and what that one is known not to see of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "session.h"

enum { ENGINES = 3 };

/*
 * A call costs the least with trampoline. Of the two that record from the kernel, before 3.11 both
 * see everything and eval leaves the target as it is: CPython's own code around function__entry
 * sets an exception for names that are no UTF-8 (ceval.c, up to 3.10, dtrace_function_entry:
 * PyUnicode_AsUTF8 without a check). From 3.11 on eval writes the slot, which usdt does not need
 * where it is complete.
 */
static void order(const struct viz_interpreter *interp, const struct viz_engine *engines[ENGINES])
{
	bool usdt = interp->build->info.flags & VIZ_BUILD_INLINES;

	engines[0] = &viz_engine_trampoline;
	engines[1] = usdt ? &viz_engine_usdt : &viz_engine_eval;
	engines[2] = usdt ? &viz_engine_eval : &viz_engine_usdt;
}

static const char *merit(const struct viz_engine *engine)
{
	return engine == &viz_engine_trampoline ? "records inside it, without traps"
	       : engine == &viz_engine_usdt	? "its own probes are complete"
						: "sees every call, changes nothing in the process";
}

/* Puts one engine's reason to those of others. */
static void add_reason(char *all, size_t size, const struct viz_engine *engine, const char *reason)
{
	size_t used = strlen(all);

	snprintf(all + used, size - used, "%snot %s: %s", used ? "; " : "", engine->name, reason);
}

/* The first of the order of preference that can, but @without. */
static const struct viz_engine *choose_any(const struct viz_interpreter *interp,
					   const struct viz_engine *without, char *reasons,
					   size_t size)
{
	const struct viz_engine *engines[ENGINES];
	char reason[192];

	order(interp, engines);
	for (int i = 0; i < ENGINES; i++) {
		if (engines[i] == without)
			continue;
		if (!engines[i]->can(NULL, interp, reason, sizeof(reason)))
			return engines[i];
		add_reason(reasons, size, engines[i], reason);
	}
	return NULL;
}

/* Whether @reason is new. Who names a process is told of it each time; with -a hundreds of them
 * can be of one kind. */
static bool is_news(const struct viz_session *s, const struct viz_target *t, const char *reason)
{
	static char said[8][192];
	static unsigned int nr;

	if (t->explicit_ || s->opt->launches)
		return true;
	for (unsigned int i = 0; i < nr; i++)
		if (!strncmp(said[i], reason, sizeof(said[i]) - 1))
			return false;
	if (nr < 8)
		snprintf(said[nr++], sizeof(said[0]), "%s", reason);
	return true;
}

void viz_session__say_replaced(const struct viz_session *s, const struct viz_target *t,
			       const char *how, const char *reason, const struct viz_engine *next)
{
	if (is_news(s, t, reason))
		viz_warn("pid %d: engine trampoline %s (%s), %s takes over", t->pid, how, reason,
			 next->name);
	else
		viz_debug(VIZ_LOG_ENGINE, "pid %d: engine trampoline %s (%s), %s takes over",
			  t->pid, how, reason, next->name);
}

const struct viz_engine *viz_session__choose(const struct viz_interpreter *interp,
					     const struct viz_engine *asked,
					     const struct viz_engine *without, char *why,
					     size_t why_size)
{
	const struct viz_engine *engine;
	char reasons[640] = "", reason[192];

	if (asked) {
		if (!asked->can(NULL, interp, reason, sizeof(reason))) {
			viz_why(why, why_size, 0, "asked for");
			return asked;
		}
		if (asked != &viz_engine_trampoline) {
			viz_why(why, why_size, 0, "engine %s cannot record pid %d: %s", asked->name,
				interp->pid, reason);
			return NULL;
		}
		add_reason(reasons, sizeof(reasons), asked, reason);
		without = asked;
	}
	engine = choose_any(interp, without, reasons, sizeof(reasons));
	if (!engine)
		viz_why(why, why_size, 0, "no engine can record pid %d: %s", interp->pid, reasons);
	else
		viz_why(why, why_size, 0, "%s", *reasons ? reasons : merit(engine));
	if (engine && asked)
		viz_warn("pid %d: engine trampoline cannot record it (%s), %s takes over",
			 interp->pid, reason, engine->name);
	return engine;
}
