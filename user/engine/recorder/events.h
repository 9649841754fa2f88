/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More than Python calls, where it was asked for: calls of C functions (--c-functions) and the
 * places where exceptions are raised (--log-exception). Only in monitor_more.c.
 *
 * What a C function or an exception is called is copied when it is seen first, as for code
 * objects. No reference is held: that to a bound method would keep alive what it is bound to.
 * Instead the key in the table is made of what the name depends on.
 */
#ifndef VIZ_REC_EVENTS_H
#define VIZ_REC_EVENTS_H

#include "filter.h"

/* CPython's layout of builtin functions and types, the same from 3.12 to 3.15. */
enum {
	CFUNCTION_DEFINITION = 16,
	CFUNCTION_SELF = 24,
	CFUNCTION_MODULE = 32,
	DESCRIPTOR_TYPE = 16,
	DESCRIPTOR_DEFINITION = 40,
	DEFINITION_NAME = 0,
	DEFINITION_FUNCTION = 8,
	DEFINITION_SIZE = 32,
	OBJECT_TYPE = 8,
	TYPE_NAME = 24,
	TYPE_METHODS = 232,
	TYPE_BASE = 256,
};

static uint32_t string_size(uint64_t string, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && ((const volatile char *)string)[n])
		n++;
	return n;
}

/* Not an address. */
static inline uint64_t key_of(uint64_t mixed)
{
	return mixed | 1ull << 63;
}

static inline uint64_t rotate(uint64_t value, int by)
{
	return value << by | value >> (64 - by);
}

/* "qualifier.name", or the name alone. */
static int announce_name(struct viz_rec_live *live, uint64_t id, uint64_t place, unsigned int what,
			 struct text qualifier, uint64_t name)
{
	uint32_t size = string_size(name, NAME_MAX - qualifier.size - 1), dot = !!qualifier.size;
	struct viz_rec_code c = {
		.address = name,
		.name_chars = qualifier.size + dot + size,
		.name_size = qualifier.size + dot + size,
		.name_kind = 1,
		.file_kind = 1,
	};
	uint64_t slots = (sizeof(c) + c.name_size + 15) / 16;
	uint8_t point = '.', *to;

	if (!room(live, 1 + slots))
		return 0;
	put(live, slots, what << 4 | VIZ_RECORD_CODE, place << 32 | id);
	to = (uint8_t *)event_at(live, live->head);
	copy_in(to, &c, sizeof(c));
	to += sizeof(c);
	copy_in(to, qualifier.data, qualifier.size);
	copy_in(to + qualifier.size, &point, dot);
	copy_in(to + qualifier.size + dot, (const void *)name, size);
	live->head += slots;
	publish(live);
	return 1;
}

/* The type that brought the method, for an object of a subclass. */
static uint64_t type_with(uint64_t type, uint64_t definition)
{
	uint64_t first = type;

	for (int n = 0; type && n < 64; n++, type = word(type, TYPE_BASE)) {
		uint64_t at = word(type, TYPE_METHODS);

		for (int i = 0; at && i < 1024 && word(at, DEFINITION_NAME); i++) {
			if (at == definition)
				return type;
			at += DEFINITION_SIZE;
		}
	}
	return first;
}

static struct text name_of_type(uint64_t type)
{
	struct text t = {.data = (const uint8_t *)word(type, TYPE_NAME), .kind = 1};

	t.size = string_size((uint64_t)t.data, NAME_MAX / 2);
	return t;
}

/* The module of a function, the type of a method. */
static NOINLINE struct text qualifier_of(uint64_t callable, uint64_t definition)
{
	struct text none = {0, 0, 0, 0, 0}, module;
	uint64_t self;

	if (word(callable, OBJECT_TYPE) == K.method_descriptor_type)
		return name_of_type(word(callable, DESCRIPTOR_TYPE));
	if (word(callable, CFUNCTION_MODULE)) {
		module = text_of(word(callable, CFUNCTION_MODULE), NAME_MAX / 2, 0);
		return module.kind == 1 ? module : none;
	}
	self = word(callable, CFUNCTION_SELF);
	return self ? name_of_type(type_with(word(self, OBJECT_TYPE), definition)) : none;
}

/* The PyMethodDef of what is called; 0: no C function. */
static INLINE uint64_t definition_of(uint64_t callable)
{
	uint64_t type = word(callable, OBJECT_TYPE);

	if (type == K.cfunction_type || type == K.cmethod_type)
		return word(callable, CFUNCTION_DEFINITION);
	return type == K.method_descriptor_type ? word(callable, DESCRIPTOR_DEFINITION) : 0;
}

/* The id word of a C function. */
static NOINLINE uint64_t c_function(struct viz_rec_live *live, uint64_t callable,
				    uint64_t definition, int add)
{
	uint64_t name = word(definition, DEFINITION_NAME);
	uint64_t key = key_of(definition ^ rotate(name, 21) ^
			      rotate(word(definition, DEFINITION_FUNCTION), 42));
	struct viz_rec_codeslot *place;
	uint64_t id = find(key, &place);

	if (id != LOST || !add)
		return id;
	if (!place || !name ||
	    !announce_name(live, live->next_id, place - RING_AREA.codes, VIZ_CODE_C,
			   qualifier_of(callable, definition), name))
		return LOST;
	return enrol(live, place, key, 0);
}

/* The id word of an exception, by the name of its type. */
static NOINLINE uint64_t exception_name(struct viz_rec_live *live, uint64_t exception)
{
	struct text none = {0, 0, 0, 0, 0};
	uint64_t name = word(word(exception, OBJECT_TYPE), TYPE_NAME), hash = 0xcbf29ce484222325ull;
	uint32_t size = string_size(name, NAME_MAX - 1);
	struct viz_rec_codeslot *place;
	uint64_t id;

	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ ((const uint8_t *)name)[i]) * 0x100000001b3ull;
	id = find(key_of(hash), &place);
	if (id != LOST)
		return id;
	if (!place || !announce_name(live, live->next_id, place - RING_AREA.codes,
				     VIZ_CODE_EXCEPTION, none, name))
		return LOST;
	return enrol(live, place, key_of(hash), 0);
}

/*
 * A C function is called, or has returned. The frame of the call is that of its caller, which
 * has no other at the same time, and 1 added. What vizbpf rejects rejects its C calls, too.
 */
static void *c_edge(void *const *args, unsigned int kind)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t definition = definition_of((uint64_t)args[2]), tstate, code, id;
	int leave = (kind & 15) == VIZ_RECORD_LEAVE;

	if (!definition || (unlikely(!live->ring) && !without_ring()))
		return (void *)K.none;
	tstate = current_tstate();
	code = admit(live, word(tstate, K.tstate_native), (uint64_t)args[0]);
	if (unlikely(code & VIZ_REC_REJECT) && code != LOST)
		return not_recorded(!leave);
	id = code == LOST ? LOST : c_function(live, (uint64_t)args[2], definition, !leave);
	if (likely(!(id & VIZ_REC_REJECT)))
		return edge(live, id, current_frame(tstate) | 1, kind, code);
	if (id == LOST && !leave)
		lost(live, 0);
	return (void *)K.none;
}

static void *on_call(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	return c_edge(args, VIZ_RECORD_ENTER);
}

static void *on_c_return(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	return c_edge(args, LEAVE_FRAME << 4 | VIZ_RECORD_LEAVE);
}

static void *on_c_raise(void *self, void *const *args, long nr)
{
	(void)self, (void)nr;
	return c_edge(args, (LEAVE_FRAME | LEAVE_RAISED) << 4 | VIZ_RECORD_LEAVE);
}

/* An exception leaves a frame: the one around it will be told of the same exception. */
static void unwinds(void *const *args)
{
	struct viz_rec_live *live = &LIVE_PAGE;

	live->unwound = (uint64_t)args[2];
	live->unwound_at = live->head;
}

static void *on_raise(void *self, void *const *args, long nr)
{
	struct viz_rec_live *live = &LIVE_PAGE;
	uint64_t tstate, code, id;
	int passes;

	(void)self, (void)nr;
	if (unlikely(!live->ring) && !without_ring())
		return (void *)K.none;
	passes = live->unwound == (uint64_t)args[2] && live->unwound_at == live->head;
	live->unwound = 0;
	tstate = current_tstate();
	code = admit(live, word(tstate, K.tstate_native), (uint64_t)args[0]);
	if (passes || code & VIZ_REC_REJECT)
		return (void *)K.none;
	if (RING_AREA.filter &&
	    is_below((struct viz_rec_thread *)live->thread, current_frame(tstate)))
		return (void *)K.none;
	id = exception_name(live, (uint64_t)args[2]);
	if (id & VIZ_REC_REJECT || !room(live, 2))
		return (void *)K.none;
	say_inside(live, code);
	say(live, VIZ_RECORD_RAISE, current_frame(tstate) << 32 | (uint32_t)id);
	return (void *)K.none;
}

#endif
