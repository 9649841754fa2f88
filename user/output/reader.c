// SPDX-License-Identifier: Apache-2.0
#include "reader.h"

#include <errno.h>
#include <string.h>

#include "../base/log.h"
#include "reader_json.h"

static bool ends_with(const char *path, const char *suffix)
{
	size_t len = strlen(path), n = strlen(suffix);

	return len >= n && !strcmp(path + len - n, suffix);
}

/* A protobuf of packets begins with the byte 0x0a, which JSON may have as white space. */
static bool is_perfetto(const struct viz_reading *r)
{
	const char *p = r->input.data, *end = p + r->input.len;

	if (p == end || *p != '\n')
		return false;
	if (ends_with(r->path, ".pftrace") || ends_with(r->path, ".pftrace.gz") ||
	    ends_with(r->path, ".perfetto-trace"))
		return true;
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p < end && *p != '{' && *p != '[';
}

int viz_reader__read(const char *path, struct viz_trace *trace, const struct viz_reader_sink *sink,
		     char *why, size_t why_size)
{
	struct viz_reading r = {.trace = trace, .path = path, .why = why, .why_size = why_size};
	uint64_t skipped;
	int err, finished;

	if (why_size)
		why[0] = '\0';
	err = viz_input__open(&r.input, path);
	if (err)
		return viz_why(why, why_size, err, "cannot read %s: %s", path, strerror(-err));
	r.intake = viz_intake__new(trace, sink);
	if (!r.intake) {
		err = viz_why(why, why_size, -ENOMEM, "out of memory");
		goto cleanup;
	}
	err = viz_input__fill(&r.input, SIZE_MAX);
	if (err && err != -ENODATA) {
		viz_why(why, why_size, err, "cannot read %s: %s", path,
			r.input.reason && *r.input.reason ? r.input.reason : strerror(-err));
		goto cleanup;
	}
	err = is_perfetto(&r) ? viz_reading__perfetto(&r) : viz_reading__json(&r);
	if (err == -ENODATA)
		err = -EBADMSG;
	/* what came before an error is delivered all the same */
	finished = viz_intake__finish(r.intake);
	err = err ? err : finished;
	if (r.broken)
		viz_warn("%s: %llu event%s without a readable ph, ts, dur or name left out, the "
			 "first at byte %llu",
			 path, (unsigned long long)r.broken, r.broken == 1 ? "" : "s",
			 (unsigned long long)r.first_broken);
	skipped = viz_intake__skipped(r.intake);
	if (skipped)
		viz_info("%s: %llu event%s of kinds that have no place in a call trace left out",
			 path, (unsigned long long)skipped, skipped == 1 ? "" : "s");
cleanup:
	viz_intake__free(r.intake);
	viz_input__close(&r.input);
	return err;
}
