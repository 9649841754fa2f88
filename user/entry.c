// SPDX-License-Identifier: Apache-2.0
#include "entry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sources.h"
#include "target/container.h"
#include "target/process_name.h"
#include "target/procfs.h"

/* Everything about a process that a person may want to see, as it is now. */
static void describe(struct viz_session *s, struct viz_target *t)
{
	struct viz_process *p = &s->trace->processes[t->process];
	struct viz_procfs_status status;
	char text[4096], link[64];
	ssize_t n;

	if (!viz_process_name__get(t->pid, text, sizeof(text)))
		viz_trace__set(s->trace, &p->name, text);
	if (!viz_process_name__cmdline(t->pid, text, sizeof(text)))
		viz_trace__set(s->trace, &p->cmdline, text);
	snprintf(link, sizeof(link), "/proc/%d/exe", t->pid);
	n = readlink(link, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		viz_trace__set(s->trace, &p->exe, text);
	}
	if (!viz_procfs__status(t->pid, &status)) {
		p->ns_pid = (uint32_t)status.ns_pid;
		if (!p->parent)
			p->parent = (uint32_t)status.parent;
	}
}

/* The JIT is compiled into some builds of 3.14 and 3.15, and off unless asked for. */
static bool uses_jit(const struct viz_target *t)
{
	static char text[65536];
	ssize_t n;

	if (!t->interp.build->jit)
		return false;
	n = viz_procfs__read(t->pid, "environ", text, sizeof(text));
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(text + i) + 1)
		if (!strcmp(text + i, "PYTHON_JIT=1"))
			return true;
	return false;
}

const char *viz_entry__known_gaps(const struct viz_target *t)
{
	uint32_t version = t->interp.build->info.version >> 16;

	if (t->engine == &viz_engine_usdt && uses_jit(t))
		return "code that the JIT compiled shows no ends of calls (PYTHON_JIT=1)";
	if (t->engine == &viz_engine_trampoline && version == 0x030b &&
	    t->interp.build->info.flags & VIZ_BUILD_ESCAPES)
		return "specialised __getitem__ calls are not seen (CPython 3.11.0 to 3.11.3)";
	if (t->engine != &viz_engine_eval)
		return "";
	if (uses_jit(t))
		return "code that the JIT compiled before keeps its calls to itself (PYTHON_JIT=1)";
	if (!(t->interp.build->info.flags & VIZ_BUILD_ESCAPES))
		return "";
	if (version == 0x030b)
		return "specialised __getitem__ calls are not seen (CPython 3.11.0 to 3.11.3)";
	if (version == 0x030d)
		return "specialised simple __init__ calls are seen only when they call something "
		       "(CPython 3.13)";
	return "";
}

static void label_container(struct viz_session *s, struct viz_target *t)
{
	struct viz_process *p = &s->trace->processes[t->process];
	const struct viz_container *c;

	if (!s->opt->select.containers)
		return;
	c = viz_containers__of(s->opt->select.containers, t->pid);
	if (!c)
		return;
	viz_trace__set(s->trace, &p->container, c->name);
	viz_trace__set(s->trace, &p->image, c->image);
	viz_trace__set(s->trace, &p->cgroup, c->cgroup);
}

void viz_entry__tell(struct viz_session *s, struct viz_target *t)
{
	if (!t->said && s->writer->ops->process && !s->err)
		s->err = s->writer->ops->process(s->writer, t->process);
	t->said = true;
}

int viz_entry__new(struct viz_session *s, struct viz_target *t, const char *reason)
{
	const struct viz_build *b = t->interp.build;
	struct viz_process *p;
	char version[32];

	if (t->process == UINT32_MAX)
		t->process = viz_trace__process(s->trace, (uint32_t)t->pid);
	if (t->process == UINT32_MAX)
		return -ENOMEM;
	describe(s, t);
	label_container(s, t);
	snprintf(version, sizeof(version), b->micro == 255 ? "%u.%u" : "%u.%u.%u", b->major,
		 b->minor, b->micro);
	p = &s->trace->processes[t->process];
	p->place = s->sources ? viz_sources__place(s->sources, t->pid) : 0;
	viz_trace__set(s->trace, &p->python, version);
	viz_trace__set(s->trace, &p->engine, t->engine->name);
	viz_trace__set(s->trace, &p->engine_why, reason);
	viz_trace__set(s->trace, &p->limits, viz_entry__known_gaps(t));
	p->hidden = false;
	t->said = false;
	viz_entry__tell(s, t);
	return 0;
}

/* Nothing of it is read but its number: it may be another program, or have ended, by now. */
int viz_entry__inherit(struct viz_session *s, struct viz_target *t, const struct viz_target *parent)
{
	struct viz_procfs_status status;
	struct viz_process *p;

	if (t->process == UINT32_MAX)
		t->process = viz_trace__process(s->trace, (uint32_t)t->pid);
	if (t->process == UINT32_MAX)
		return -ENOMEM;
	p = &s->trace->processes[t->process];
	viz_trace__like(s->trace, t->process, parent->process);
	p->parent = (uint32_t)parent->pid;
	p->ns_pid = viz_procfs__status(t->pid, &status) ? 0 : (uint32_t)status.ns_pid;
	viz_trace__set(s->trace, &p->engine_why, "as in its parent");
	return 0;
}
