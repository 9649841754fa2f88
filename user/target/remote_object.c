// SPDX-License-Identifier: Apache-2.0
#include "remote_object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "remote.h"

/*
 * Offsets that hold from 3.6 to 3.15 (Include/object.h, Include/cpython/dictobject.h,
 * Objects/dict-common.h, Include/internal/pycore_dict.h), GIL builds.
 */
enum {
	OB_TYPE = 8,
	TP_NAME = 24,
	TP_BASICSIZE = 32,
	TP_FLAGS = 168,
	TP_DICTOFFSET = 288,
	MA_KEYS = 32,
	MA_VALUES = 40,
	INT_SIZE = 16, /* ob_size, or lv_tag from 3.12 on */
	INT_DIGITS = 24,
};

enum {
	FLAG_INLINE_VALUES = 1 << 2, /* 3.13+ */
	FLAG_MANAGED_DICT = 1 << 4, /* 3.11+ */
	ITEMS_MAX = 1 << 16,
	BATCH = 128,
};

/* A dictionary's keys, and its values where they are kept apart. */
struct table {
	uint64_t entries; /* address of the first entry */
	uint64_t values; /* address of the first value; 0: beside the keys */
	uint32_t nr;
	bool with_hash; /* entries are hash, key, value; else key, value */
};

static int read_u64(struct viz_objects *o, uint64_t addr, uint64_t *value)
{
	return viz_remote__read_u64(o->fd, addr, value);
}

static unsigned int version(struct viz_objects *o)
{
	return (unsigned int)o->build->major << 8 | o->build->minor;
}

/*
 * From 3.15 on the interpreter says it itself, in _Py_DebugOffsets (Include/internal/
 * pycore_debug_offsets.h: heap_type_object at 528, after its size). Before, it is offsetof()
 * on the headers of each version.
 */
static uint64_t cached_keys(struct viz_objects *o, const struct viz_interpreter *interp)
{
	uint64_t offset;

	if (version(o) < 0x30f)
		return version(o) == 0x30b ? 872 : 880;
	if (!o->build->runtime || read_u64(o, o->build->runtime + interp->bias + 536, &offset))
		return 0;
	return offset > 400 && offset < 4096 && !(offset & 7) ? offset : 0;
}

int viz_objects__open(struct viz_objects *o, const struct viz_interpreter *interp)
{
	memset(o, 0, sizeof(*o));
	o->build = interp->build;
	o->fd = viz_remote__open(interp->pid, O_RDONLY);
	if (o->fd < 0)
		return o->fd;
	o->cached_keys = cached_keys(o, interp);
	return 0;
}

void viz_objects__close(struct viz_objects *o)
{
	close(o->fd);
}

int viz_object__type(struct viz_objects *o, uint64_t object, char *name, size_t size)
{
	uint64_t type, text;
	size_t i;
	int err;

	name[0] = '\0';
	err = read_u64(o, object + OB_TYPE, &type);
	if (!err)
		err = read_u64(o, type + TP_NAME, &text);
	/* one read where the whole room is mapped, else byte by byte */
	if (!err && !viz_remote__read(o->fd, text, name, size)) {
		name[size - 1] = '\0';
		return 0;
	}
	for (i = 0; !err && i + 1 < size; i++) {
		err = viz_remote__read(o->fd, text + i, name + i, 1);
		if (err || !name[i])
			break;
	}
	name[i] = '\0';
	return err;
}

bool viz_object__is(struct viz_objects *o, uint64_t object, const char *type)
{
	char name[32];

	return !viz_object__type(o, object, name, sizeof(name)) && !strcmp(name, type);
}

int viz_object__text(struct viz_objects *o, uint64_t object, char *buf, size_t size)
{
	uint64_t type;
	int err = read_u64(o, object + OB_TYPE, &type);

	if (err)
		return err;
	if (!o->str_type || type != o->str_type) {
		if (!viz_object__is(o, object, "str"))
			return -EBADMSG;
		o->str_type = type;
	}
	return viz_remote__read_str(o->fd, object, &o->build->info.off, buf, size);
}

int viz_object__u64(struct viz_objects *o, uint64_t object, uint64_t *value)
{
	uint64_t size, nr;
	uint32_t digit;
	int err = viz_object__is(o, object, "int") ? 0 : -EBADMSG;

	if (!err)
		err = read_u64(o, object + INT_SIZE, &size);
	if (err)
		return err;
	/* 3.12 put the sign into the low bits (Include/cpython/longintrepr.h) */
	nr = version(o) >= 0x30c ? size >> 3 : size;
	if (nr > 3 || (version(o) >= 0x30c && (size & 3) == 2))
		return -ERANGE;
	*value = 0;
	while (nr--) {
		err = viz_remote__read_u32(o->fd, object + INT_DIGITS + 4 * nr, &digit);
		if (err)
			return err;
		if (digit >> 30 || *value >> 34)
			return -ERANGE;
		*value = *value << 30 | digit;
	}
	return 0;
}

/* 3.6 to 3.10: refcnt, size, lookup, usable, nentries, indices, entries with hashes */
static int old_keys(struct viz_objects *o, uint64_t keys, struct table *t)
{
	uint64_t head[5], width;
	int err = viz_remote__read(o->fd, keys, head, sizeof(head));

	if (err)
		return err;
	if (!head[1] || head[1] > UINT32_MAX || (head[1] & (head[1] - 1)) || head[4] > ITEMS_MAX ||
	    head[4] > head[1])
		return -EBADMSG;
	width = head[1] <= 0xff ? 1 : head[1] <= 0xffff ? 2 : 4;
	t->entries = keys + 40 + head[1] * width;
	t->nr = (uint32_t)head[4];
	t->with_hash = true;
	return 0;
}

/* 3.11+: refcnt, log2 of size and of the indices' bytes, kind, version, usable, nentries */
static int new_keys(struct viz_objects *o, uint64_t keys, struct table *t)
{
	struct {
		uint64_t refcnt;
		uint8_t log2_size, log2_index_bytes, kind, unused;
		uint32_t version;
		uint64_t usable, nentries;
	} head;
	int err = viz_remote__read(o->fd, keys, &head, sizeof(head));

	if (err)
		return err;
	if (head.log2_size > 32 || head.log2_index_bytes > 36 || head.kind > 2 ||
	    head.nentries > ITEMS_MAX || head.nentries > 1ULL << head.log2_size)
		return -EBADMSG;
	t->entries = keys + 32 + (1ULL << head.log2_index_bytes);
	t->nr = (uint32_t)head.nentries;
	t->with_hash = head.kind == 0;
	return 0;
}

static int read_keys(struct viz_objects *o, uint64_t keys, struct table *t)
{
	return version(o) >= 0x30b ? new_keys(o, keys, t) : old_keys(o, keys, t);
}

/* 3.13 has four bytes of sizes and flags before the values (struct _dictvalues) */
static uint64_t first_value(struct viz_objects *o, uint64_t values)
{
	return values && version(o) >= 0x30d ? values + 8 : values;
}

static int read_dict(struct viz_objects *o, uint64_t dict, struct table *t)
{
	uint64_t pair[2];
	int err = viz_remote__read(o->fd, dict + MA_KEYS, pair, sizeof(pair));

	if (err)
		return err;
	t->values = first_value(o, pair[1]);
	return read_keys(o, pair[0], t);
}

static int walk(struct viz_objects *o, const struct table *t, viz_object_item each, void *arg)
{
	uint32_t width = t->with_hash ? 3 : 2, at, nr, i;
	uint64_t entries[BATCH * 3], values[BATCH];
	int err;

	for (at = 0; at < t->nr; at += nr) {
		nr = t->nr - at < BATCH ? t->nr - at : BATCH;
		err = viz_remote__read(o->fd, t->entries + 8ULL * width * at, entries,
				       8 * width * nr);
		if (!err && t->values)
			err = viz_remote__read(o->fd, t->values + 8ULL * at, values, 8 * nr);
		for (i = 0; !err && i < nr; i++) {
			uint64_t key = entries[i * width + width - 2];
			uint64_t value = t->values ? values[i] : entries[i * width + width - 1];

			if (key && value)
				err = each(o, key, value, arg);
		}
		if (err)
			return err;
	}
	return 0;
}

int viz_object__items(struct viz_objects *o, uint64_t dict, viz_object_item each, void *arg)
{
	struct table t;
	int err = read_dict(o, dict, &t);

	return err ? err : walk(o, &t, each, arg);
}

struct wanted {
	const char *name;
	uint64_t value;
};

static int is_wanted(struct viz_objects *o, uint64_t key, uint64_t value, void *arg)
{
	struct wanted *wanted = arg;
	char text[64];

	/* an attribute's or module's name is a str; other keys are passed over */
	if (viz_object__text(o, key, text, sizeof(text)) < 0 || strcmp(text, wanted->name))
		return 0;
	wanted->value = value;
	return 1;
}

static int find(struct viz_objects *o, const struct table *t, const char *name, uint64_t *value)
{
	struct wanted wanted = {name, 0};
	int found = walk(o, t, is_wanted, &wanted);

	*value = wanted.value;
	return found < 0 ? found : found ? 0 : -ENOENT;
}

int viz_object__item(struct viz_objects *o, uint64_t dict, const char *name, uint64_t *value)
{
	struct table t;
	int err = viz_object__is(o, dict, "dict") ? read_dict(o, dict, &t) : -EBADMSG;

	return err ? err : find(o, &t, name, value);
}

/* Values without a dictionary: their names are the type's. */
static int shared_table(struct viz_objects *o, uint64_t type, uint64_t values, struct table *t)
{
	uint64_t keys;
	int err = o->cached_keys ? 0 : -ENOTSUP;

	if (!err)
		err = read_u64(o, type + o->cached_keys, &keys);

	if (err)
		return err;
	t->values = values;
	return read_keys(o, keys, t);
}

/*
 * Where 3.11 and later keep the attributes of instances of ordinary classes: before the
 * object (Include/internal/pycore_object.h), from 3.13 on also behind it.
 */
static int managed_table(struct viz_objects *o, uint64_t object, uint64_t type, uint64_t flags,
			 struct table *t)
{
	uint64_t dict, values, size;
	int err = read_u64(o, object - 24, &dict);

	if (err)
		return err;
	if (version(o) == 0x30b) {
		err = read_u64(o, object - 32, &values);
		if (!err && values)
			return shared_table(o, type, values, t);
	} else if (version(o) == 0x30c) {
		/* one pointer for both, tagged (PyDictOrValues) */
		if (dict & 1)
			return shared_table(o, type, dict + 1, t);
	} else if (!dict && flags & FLAG_INLINE_VALUES) {
		err = read_u64(o, type + TP_BASICSIZE, &size);
		if (err || size > 1 << 20)
			return err ? err : -EBADMSG;
		return shared_table(o, type, first_value(o, object + size), t);
	}
	if (err)
		return err;
	return dict ? read_dict(o, dict, t) : -ENOENT;
}

int viz_object__attribute(struct viz_objects *o, uint64_t object, const char *name, uint64_t *value)
{
	uint64_t type, flags, offset, dict;
	struct table t;
	int err = read_u64(o, object + OB_TYPE, &type);

	if (!err)
		err = read_u64(o, type + TP_FLAGS, &flags);
	if (!err)
		err = read_u64(o, type + TP_DICTOFFSET, &offset);
	if (err)
		return err;
	if (version(o) >= 0x30b && flags & FLAG_MANAGED_DICT) {
		err = managed_table(o, object, type, flags, &t);
	} else {
		/* negative: behind a part of variable size, which no thread or module has */
		if (!offset || offset > 1 << 20)
			return -ENOENT;
		err = read_u64(o, object + offset, &dict);
		if (!err)
			err = dict ? read_dict(o, dict, &t) : -ENOENT;
	}
	return err ? err : find(o, &t, name, value);
}
