/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder as bytes, completed for one interpreter of one process.
 */
#ifndef VIZ_TRAMPOLINE_IMAGE_H
#define VIZ_TRAMPOLINE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../target/interpreter.h"
#include "recorder/recorder.h"

/* Places in the image, from its base. */
struct viz_image_entries {
	uint32_t start, start_again, stop;
	uint32_t wrap; /* WRAP only */
};

/* The addresses of CPython's functions in a build: ELF virtual addresses. 0, or
 * -ENOTSUP with one clause in @why that names what is missing. */
struct viz_image_symbols {
	uint64_t inc_ref, dec_ref, err_fetch, err_restore, err_clear, sys_get_object,
		getattr_string, call_method, cfunction_new, long_as_long, current_tstate, none,
		code_type, cfunction_type, cmethod_type, method_descriptor_type;
};
int viz_image__symbols(const struct viz_build *build, struct viz_image_symbols *out, char *why,
		       size_t why_size);

/* How calls of this build are seen. */
enum viz_rec_mode viz_image__mode(const struct viz_build *build);
/* @more: with C functions and exceptions (MONITOR). */
const unsigned char *viz_image__code(enum viz_rec_mode mode, bool more, size_t *size,
				     struct viz_image_entries *entries);
const unsigned char *viz_image__loader(size_t *size, uint32_t *entry);
const unsigned char *viz_image__room(size_t *size, uint32_t *entry);
/* Fills what the build decides; addresses are run-time ones, moved by the
 * interpreter's bias. */
void viz_image__consts(struct viz_rec_consts *k, const struct viz_interpreter *interp,
		       const struct viz_image_symbols *symbols);

#endif
