// SPDX-License-Identifier: Apache-2.0
#include "python_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "procfs.h"
#include "remote.h"
#include "remote_object.h"

enum {
	INTERP_SIZE = 32768, /* bytes of PyInterpreterState that are searched */
	MODULE_DICT = 16, /* PyModuleObject.md_dict, 3.6 to 3.15 */
	PTHREAD_TID = 720, /* struct pthread.tid of glibc on x86-64 (nptl/descr.h) */
	TASKS_MAX = 4096,
};

struct viz_python_names {
	const struct viz_build *builds[VIZ_BUILDS_MAX];
	uint32_t offsets[VIZ_BUILDS_MAX]; /* of sys.modules in PyInterpreterState */
	unsigned int nr;
};

struct viz_python_names *viz_python_names__new(void)
{
	return calloc(1, sizeof(struct viz_python_names));
}

void viz_python_names__free(struct viz_python_names *names)
{
	free(names);
}

/* sys.modules is the dict that has both of these as modules. */
static bool is_modules(struct viz_objects *o, uint64_t dict)
{
	uint64_t value;

	return !viz_object__item(o, dict, "sys", &value) && viz_object__is(o, value, "module") &&
	       !viz_object__item(o, dict, "builtins", &value) && viz_object__is(o, value, "module");
}

/*
 * The place of sys.modules in PyInterpreterState differs between versions and options of a
 * build. It is looked for by content, once for each build. Most words there are no objects;
 * the type of the first dict that is found tells the others fast.
 */
static int search_modules(struct viz_objects *o, uint64_t interp, uint32_t *offset)
{
	uint64_t *words = malloc(INTERP_SIZE), dict_type = 0, type;
	size_t size = INTERP_SIZE, i;
	int err = words ? -EFAULT : -ENOMEM;

	/* it may end before that, at the end of a mapping */
	while (words && size >= 1024 && viz_remote__read(o->fd, interp, words, size))
		size /= 2;
	if (!words || size < 1024)
		goto cleanup;
	err = -ENOENT;
	for (i = 0; i < size / 8; i++) {
		if (words[i] < 4096 || words[i] >> 47 || words[i] & 7)
			continue;
		if (viz_remote__read_u64(o->fd, words[i] + 8, &type))
			continue;
		if (dict_type ? type != dict_type : !viz_object__is(o, words[i], "dict"))
			continue;
		dict_type = type;
		if (!is_modules(o, words[i]))
			continue;
		*offset = (uint32_t)(8 * i);
		err = 0;
		break;
	}
cleanup:
	free(words);
	return err;
}

static int find_modules(struct viz_python_names *names, struct viz_objects *o,
			const struct viz_interpreter *interp, uint64_t *modules)
{
	uint64_t state;
	unsigned int i;
	int n, err;

	n = viz_interpreter__states(interp, &state, 1);
	if (n < 1)
		return n < 0 ? n : -ENOENT;
	for (i = 0; i < names->nr && names->builds[i] != interp->build; i++)
		;
	if (i == VIZ_BUILDS_MAX)
		return -E2BIG;
	if (i == names->nr) {
		err = search_modules(o, state, &names->offsets[i]);
		if (err)
			return err;
		names->builds[i] = interp->build;
		names->nr++;
	}
	return viz_remote__read_u64(o->fd, state + names->offsets[i], modules);
}

/* An attribute of an imported module, whose dictionary is remembered in @known: a module is
 * hardly ever replaced, and one that was leads to values of other types. */
static int module_attribute(struct viz_python_names *names, struct viz_objects *o,
			    const struct viz_interpreter *interp, const char *module,
			    uint64_t *known, const char *name, uint64_t *value)
{
	uint64_t modules, object;
	int err;

	if (*known && !viz_object__item(o, *known, name, value))
		return 0;
	*known = 0;
	err = find_modules(names, o, interp, &modules);
	if (!err)
		err = viz_object__item(o, modules, module, &object);
	if (!err && !viz_object__is(o, object, "module"))
		err = -EBADMSG;
	if (!err)
		err = viz_remote__read_u64(o->fd, object + MODULE_DICT, known);
	if (!err)
		err = viz_object__item(o, *known, name, value);
	if (err)
		*known = 0;
	return err;
}

/* One line, whatever was put into it. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

struct threads {
	const struct viz_interpreter *interp;
	struct viz_procfs_task *tasks;
	int nr_tasks;
	struct viz_python_thread *out;
	int nr, max;
};

/* The thread's id, as it knows it itself, translated from its namespace. */
static pid_t find_tid(struct viz_objects *o, const struct threads *t, uint64_t thread,
		      uint64_t ident)
{
	uint64_t number = 0, object;
	uint32_t tid;
	int i;

	if (!viz_object__attribute(o, thread, "_native_id", &object)) {
		if (viz_object__u64(o, object, &number))
			return 0;
	} else if (!viz_remote__read_u32(o->fd, ident + PTHREAD_TID, &tid)) {
		/* 3.6 and 3.7 have no native ids; what is no thread of the process is refused
		 * below, so that another libc leads to no name, not to a wrong one */
		number = tid;
	}
	for (i = 0; i < t->nr_tasks; i++)
		if ((uint64_t)t->tasks[i].ns_tid == number)
			return t->tasks[i].tid;
	return 0;
}

static int add_thread(struct viz_objects *o, uint64_t key, uint64_t value, void *arg)
{
	struct threads *t = arg;
	struct viz_python_thread *out = &t->out[t->nr];
	uint64_t ident, name;

	if (t->nr == t->max)
		return 1;
	if (viz_object__u64(o, key, &ident) || viz_object__attribute(o, value, "_name", &name) ||
	    viz_object__text(o, name, out->name, sizeof(out->name)) < 1)
		return 0;
	out->tid = find_tid(o, t, value, ident);
	if (!out->tid)
		return 0;
	clean(out->name);
	t->nr++;
	return 0;
}

int viz_python_names__threads(struct viz_python_names *names, struct viz_python_place *place,
			      const struct viz_interpreter *interp, struct viz_python_thread *out,
			      int max)
{
	struct threads t = {.interp = interp, .out = out, .max = max};
	struct viz_objects o;
	uint64_t active;
	int err = viz_objects__open(&o, interp);

	if (err)
		return err;
	err = module_attribute(names, &o, interp, "threading", &place->threading, "_active",
			       &active);
	if (err)
		goto cleanup;
	t.tasks = calloc(TASKS_MAX, sizeof(*t.tasks));
	t.nr_tasks = t.tasks ? viz_procfs__tasks(interp->pid, t.tasks, TASKS_MAX) : -ENOMEM;
	err = t.nr_tasks < 0 ? t.nr_tasks : viz_object__is(&o, active, "dict") ? 0 : -EBADMSG;
	if (!err)
		err = viz_object__items(&o, active, add_thread, &t);
cleanup:
	free(t.tasks);
	viz_objects__close(&o);
	if (t.nr)
		return t.nr; /* a dictionary that changed under the reader: what was read holds */
	return err == -ENOENT ? 0 : err < 0 ? err : 0;
}

int viz_python_names__process(struct viz_python_names *names, struct viz_python_place *place,
			      const struct viz_interpreter *interp, char *buf, size_t size)
{
	struct viz_objects o;
	uint64_t process, name;
	int err = viz_objects__open(&o, interp);

	buf[0] = '\0';
	if (err)
		return err;
	err = module_attribute(names, &o, interp, "multiprocessing.process", &place->process,
			       "_current_process", &process);
	if (!err)
		err = viz_object__attribute(&o, process, "_name", &name);
	if (!err)
		err = viz_object__text(&o, name, buf, size);
	viz_objects__close(&o);
	clean(buf);
	if (err < 0)
		return err;
	return buf[0] && strcmp(buf, "MainProcess") ? 0 : -ENOENT;
}
