/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that a program gave its threads (threading.Thread.name) and its process
 * (multiprocessing.current_process().name): read from the target's memory, since the kernel
 * is told of them by no Python before 3.14. They may be set late and changed at any time.
 */
#ifndef VIZ_PYTHON_NAMES_H
#define VIZ_PYTHON_NAMES_H

#include "interpreter.h"

struct viz_python_thread {
	pid_t tid; /* as this namespace has it */
	char name[96]; /* UTF-8, one line */
};

/* Remembers for each build where things are. */
struct viz_python_names;

/* Where they are in one process; all zero at first, and again after an exec. */
struct viz_python_place {
	uint64_t threading, process; /* dictionaries of the modules */
};

struct viz_python_names *viz_python_names__new(void);
void viz_python_names__free(struct viz_python_names *names);

/* The threads that threading knows, at most @max. Returns their number (0: the module is not
 * imported) or a negative errno. */
int viz_python_names__threads(struct viz_python_names *names, struct viz_python_place *place,
			      const struct viz_interpreter *interp, struct viz_python_thread *out,
			      int max);

/* "SpawnPoolWorker-3": 0, -ENOENT where it is not a child of multiprocessing, or a negative
 * errno. */
int viz_python_names__process(struct viz_python_names *names, struct viz_python_place *place,
			      const struct viz_interpreter *interp, char *buf, size_t size);

#endif
