/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dictionaries, attributes and numbers of Python objects in another process that goes on
 * running meanwhile. A dictionary may be resized under the reader and everything may be
 * garbage: sizes are bounded, types are checked by name, and a failure is a plain error.
 */
#ifndef VIZ_REMOTE_OBJECT_H
#define VIZ_REMOTE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interpreter.h"

struct viz_objects {
	int fd; /* of /proc/PID/mem */
	const struct viz_build *build;
	uint64_t str_type; /* once seen: names are compared by the hundred */
	uint64_t cached_keys; /* offset of PyHeapTypeObject.ht_cached_keys; 0: unknown */
};

/* All addresses are the target's. 0 or a negative errno; -ENOENT: no such key or attribute;
 * -EBADMSG: what is there is not what it should be. */

/* Opens the memory of the process. close() does the reverse. */
int viz_objects__open(struct viz_objects *o, const struct viz_interpreter *interp);
void viz_objects__close(struct viz_objects *o);

/* The name of the object's type: "dict", "str", "module". */
int viz_object__type(struct viz_objects *o, uint64_t object, char *name, size_t size);
bool viz_object__is(struct viz_objects *o, uint64_t object, const char *type);
/* A str as UTF-8. Returns its length or a negative errno. */
int viz_object__text(struct viz_objects *o, uint64_t object, char *buf, size_t size);
/* A non-negative int of at most 64 bits. */
int viz_object__u64(struct viz_objects *o, uint64_t object, uint64_t *value);

/* Calls @each for every item until it returns non-zero, which is returned. */
typedef int (*viz_object_item)(struct viz_objects *o, uint64_t key, uint64_t value, void *arg);
int viz_object__items(struct viz_objects *o, uint64_t dict, viz_object_item each, void *arg);
/* The value of the str key @name. */
int viz_object__item(struct viz_objects *o, uint64_t dict, const char *name, uint64_t *value);
/* An attribute that the instance itself has. */
int viz_object__attribute(struct viz_objects *o, uint64_t object, const char *name,
			  uint64_t *value);

#endif
