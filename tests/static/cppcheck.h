/* SPDX-License-Identifier: Apache-2.0 */
/* Macros of libraries whose headers cppcheck does not see, as plain as it needs them. */
#define LIBBPF_OPTS(type, name, ...) struct type name = {__VA_ARGS__}
#define json_object_object_foreach(object, key, value)                                             \
	for (struct json_object *key = next(object), *value = next(object); key; key = next(object))
