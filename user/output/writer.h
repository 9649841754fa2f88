/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer turns a trace into a file of one format. One table of operations per format;
 * the same operations are what a file reader feeds (out of a Chrome JSON, say), so
 * convert, combine and the readers' commands are a reader and a writer joined.
 *
 * Contract: functions, processes and tracks are looked up in w->trace by index when a
 * call names them; a writer may keep what it prepared for a function (w->trace->funcs[i].user
 * is free for it). process() and track() are called when a name becomes known or changes,
 * and again for all of them before end(). Memory use does not grow with the number of calls.
 * All return 0 or a negative errno (-ENOSPC on a full disk); after an error only end() and
 * free() are called, and end() leaves what was written valid.
 */
#ifndef VIZ_WRITER_H
#define VIZ_WRITER_H

#include "../trace/model.h"

struct viz_writer;
struct viz_output; /* output/file.h: where bytes go */
struct viz_kept; /* output/kept.h */

struct viz_writer_ops {
	const char *suffix; /* ".json", ".pftrace", ... */
	const char *what; /* for --help: "Chrome Trace JSON (Perfetto, vizviewer)" */
	int (*begin)(struct viz_writer *w);
	int (*process)(struct viz_writer *w, uint32_t process);
	int (*track)(struct viz_writer *w, uint32_t track);
	int (*calls)(struct viz_writer *w, const struct viz_call *calls, size_t nr);
	int (*event)(struct viz_writer *w, const struct viz_event *event);
	/* what was given so far is in the file and the file is valid as it stands (a
	 * terminator is written and overwritten by the next batch); optional */
	int (*flush)(struct viz_writer *w);
	/* the index is about to be another's; optional, both or none: without them all processes
	 * and tracks keep theirs to the end */
	void (*end_process)(struct viz_writer *w, uint32_t process);
	int (*end_track)(struct viz_writer *w, uint32_t track);
	/* completes the file and gives it its name (viz_output__close()) */
	int (*end)(struct viz_writer *w);
	void (*free)(struct viz_writer *w);
	bool calls_only; /* event() is there, and does nothing */
	bool sources; /* the format has room for source files */
	size_t size; /* of the writer's own struct, which begins with struct viz_writer */
};

/*
 * Reads the source file @path as a process with that viz_process.place sees it: malloc'ed *@text
 * of *@size bytes, not terminated. 0 or -errno. How a path of a target is opened safely is the
 * caller's part; more than 1 MiB is not used.
 */
typedef int (*viz_source_fn)(void *ctx, uint32_t place, const char *path, char **text,
			     size_t *size);

struct viz_writer {
	const struct viz_writer_ops *ops;
	struct viz_trace *trace; /* not owned */
	struct viz_output *out; /* owned */
	viz_source_fn read_source; /* NULL: sources are not wanted */
	void *source_ctx;
	struct viz_kept *kept; /* owned: sources out of the file that is read, or NULL */
};

/*
 * The writer for @path by its suffix (.json .json.gz .gz .pftrace .folded .svg
 * .speedscope.json .html); @out is taken over. NULL with errno EINVAL for an unknown suffix.
 */
struct viz_writer *viz_writer__new(struct viz_trace *trace, const char *path,
				   struct viz_output *out);
void viz_writer__free(struct viz_writer *w);
/* NULL, or one line that says why the name cannot be an output ("unknown suffix ..."). */
const char *viz_writer__check(const char *path);

/* Whether the output for @path has to be opened with gzip. */
bool viz_writer__gzip(const char *path);
/* Sources are to be included, for formats that can; they are read in end(). */
void viz_writer__sources(struct viz_writer *w, viz_source_fn read_source, void *ctx);
/* Such a file's text, when it comes out of another trace. 0 or -errno. */
int viz_writer__keep_source(struct viz_writer *w, const char *path, const char *text, size_t size);

extern const struct viz_writer_ops viz_writer_chrome, viz_writer_perfetto, viz_writer_folded,
	viz_writer_svg, viz_writer_speedscope, viz_writer_html;

#endif
