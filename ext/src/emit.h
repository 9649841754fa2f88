/* SPDX-License-Identifier: Apache-2.0 */
/* Custom events: to whoever listens at the USDT probe, and to the in-process recorder. */
#ifndef VIZ_EXT_EMIT_H
#define VIZ_EXT_EMIT_H

#include "module.h"
#include "vizbpf.h"

/* One event on its way out; strings live for the call. */
struct viz_emitted {
	enum vizbpf_type type;
	const char *name;
	const char *category; /* "" if none */
	const char *args; /* a JSON object, or "" */
	uint64_t id;
	uint64_t value; /* scope of an instant, bits of a counter's double */
};

/* Set while the in-process recorder runs. @module: of the calling interpreter. */
typedef void (*viz_emit_fn)(const struct viz_module *module, const struct viz_emitted *event);
extern viz_emit_fn volatile viz_emit_sink;

static inline bool viz_emit__wanted(void)
{
	return __builtin_expect(vizbpf_enabled() || viz_emit_sink != NULL, 0);
}

/* Sends an event to all that listen. Never fails, never raises; @args may be NULL. */
void viz_emit__send(struct viz_module *module, enum vizbpf_type type, PyObject *name,
		    PyObject *category, PyObject *args, uint64_t id, uint64_t value);

#endif
