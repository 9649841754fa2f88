// SPDX-License-Identifier: Apache-2.0
/*
 * speedscope's own format: a profile for each thread, of frames opening and closing in the
 * order of time. The calls are walked backwards, so what is opened and closed goes to a file
 * of its own first, which is read from its end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "scratch.h"
#include "spooled.h"

#define BATCH 4096

struct edge {
	uint64_t ts;
	uint32_t func;
	uint32_t close;
};

/* Edges of one track, latest first. */
struct edges {
	int fd;
	uint64_t nr_written;
	uint64_t next; /* time of the edge behind, in time */
	size_t nr;
	struct edge batch[BATCH];
};

static int edges__flush(struct edges *e)
{
	size_t size = e->nr * sizeof(e->batch[0]), done = 0;
	ssize_t n;

	while (done < size) {
		n = pwrite(e->fd, (char *)e->batch + done, size - done,
			   (off_t)(e->nr_written * sizeof(e->batch[0]) + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	e->nr_written += e->nr;
	e->nr = 0;
	return 0;
}

static int edges__add(struct edges *e, uint64_t ts, uint32_t func, uint32_t close)
{
	/* never back in time, whatever the durations say: the format does not allow it */
	e->next = ts < e->next ? ts : e->next;
	e->batch[e->nr++] = (struct edge){e->next, func, close};
	return e->nr == BATCH ? edges__flush(e) : 0;
}

static int on_enter(void *ctx, struct viz_frame *stack, size_t depth)
{
	return edges__add(ctx, stack[depth - 1].end, stack[depth - 1].call.func, 1);
}

static int on_leave(void *ctx, struct viz_frame *stack, size_t depth)
{
	return edges__add(ctx, stack[depth - 1].call.begin, stack[depth - 1].call.func, 0);
}

static int put_edge(struct viz_spooled *s, const struct edge *edge, uint64_t base, bool first)
{
	char *start = viz_buffer__room(&s->buffer, 128), *p = start;

	if (!p)
		return -ENOMEM;
	p = stpcpy(p, first ? "\n" : ",\n");
	p = stpcpy(p, edge->close ? "{\"type\":\"C\",\"frame\":" : "{\"type\":\"O\",\"frame\":");
	p = viz_json__u64(p, edge->func);
	p = stpcpy(p, ",\"at\":");
	p = viz_json__u64(p, edge->ts - base);
	*p++ = '}';
	s->buffer.len += (size_t)(p - start);
	return s->buffer.len > 65536 ? viz_spooled__put(s) : 0;
}

/* The edges from the earliest on. */
static int put_edges(struct viz_spooled *s, struct edges *e, uint64_t base)
{
	uint64_t left = e->nr_written;
	bool first = true;
	size_t nr, i;
	ssize_t n;
	int err;

	while (left) {
		nr = left < BATCH ? (size_t)left : BATCH;
		left -= nr;
		n = pread(e->fd, e->batch, nr * sizeof(e->batch[0]),
			  (off_t)(left * sizeof(e->batch[0])));
		if (n != (ssize_t)(nr * sizeof(e->batch[0])))
			return n < 0 ? -errno : -EIO;
		for (i = nr; i > 0; i--) {
			err = put_edge(s, &e->batch[i - 1], base, first);
			if (err)
				return err;
			first = false;
		}
	}
	return viz_spooled__put(s);
}

static void put_frames(struct viz_spooled *s)
{
	const struct viz_trace *trace = s->w.trace;
	struct viz_buffer *b = &s->buffer;
	uint32_t i;

	viz_buffer__text(b, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n"
			    "\"exporter\":\"vizbpf " VIZ_VERSION "\",\n\"name\":");
	viz_buffer__quoted(b, trace->nr_processes && trace->processes[0].name
				      ? trace->processes[0].name
				      : "vizbpf");
	viz_buffer__text(b, ",\n\"shared\":{\"frames\":[");
	for (i = 0; i < trace->nr_funcs; i++) {
		const struct viz_func *f = &trace->funcs[i];

		viz_buffer__text(b, i ? ",\n{\"name\":" : "\n{\"name\":");
		viz_buffer__quoted(b, f->name);
		if (f->file[0]) {
			viz_buffer__text(b, ",\"file\":");
			viz_buffer__quoted(b, f->file);
			viz_buffer__printf(b, ",\"line\":%u", f->line);
		}
		viz_buffer__text(b, "}");
	}
	viz_buffer__text(b, "\n]},\n\"profiles\":[");
}

static int put_profile(struct viz_spooled *s, struct edges *e, uint32_t track, uint64_t base)
{
	const struct viz_trace *trace = s->w.trace;
	const struct viz_track *t = &trace->tracks[track];
	const char *process = trace->processes[t->process].name;
	struct viz_buffer name = {0};
	uint64_t end = e->batch[0].ts;

	viz_buffer__printf(&name, "%s [%u] %s [%u]", process ? process : "python", t->pid,
			   t->name ? t->name : "thread", t->tid);
	viz_buffer__text(&s->buffer, "{\"type\":\"evented\",\"unit\":\"nanoseconds\",\"name\":");
	if (name.data)
		viz_buffer__quoted(&s->buffer, name.data);
	s->buffer.failed |= name.failed;
	viz_buffer__free(&name);
	viz_buffer__printf(&s->buffer, ",\"startValue\":%llu,\"endValue\":%llu,\"events\":[",
			   (unsigned long long)(e->next - base), (unsigned long long)(end - base));
	return put_edges(s, e, base);
}

static int put_profiles(struct viz_spooled *s, struct edges *e)
{
	struct viz_walk walk = {.enter = on_enter, .leave = on_leave, .ctx = e};
	const char *separator = "\n";
	uint64_t base = s->first, most = 0; /* profiles count from there */
	uint32_t i, nr = 0, busiest = 0;
	int err = 0;

	for (i = 0; !err && i < s->w.trace->nr_tracks; i++) {
		struct edge last;

		e->nr_written = 0;
		e->nr = 0;
		e->next = UINT64_MAX;
		err = viz_spool__walk(s->spool, i, &walk);
		if (!err)
			err = edges__flush(e);
		if (err || !e->nr_written)
			continue;
		if (pread(e->fd, &last, sizeof(last), 0) != sizeof(last))
			return -EIO;
		e->batch[0] = last;
		busiest = e->nr_written > most ? nr : busiest;
		most = e->nr_written > most ? e->nr_written : most;
		nr++;
		viz_buffer__text(&s->buffer, separator);
		err = put_profile(s, e, i, base);
		viz_buffer__text(&s->buffer, "\n]}");
		separator = ",\n";
	}
	/* the one that is shown first */
	viz_buffer__printf(&s->buffer, "\n],\"activeProfileIndex\":%u}\n", busiest);
	return err;
}

static int speedscope__end(struct viz_writer *w)
{
	struct viz_spooled *s = (struct viz_spooled *)w;
	struct edges *e = malloc(sizeof(*e));
	int err = -ENOMEM;

	if (!e)
		return err;
	e->fd = viz_scratch__open();
	err = e->fd < 0 ? e->fd : s->spool ? 0 : -EBADF;
	if (!err) {
		put_frames(s);
		err = put_profiles(s, e);
	}
	if (!err)
		err = viz_spooled__put(s);
	if (!err)
		err = viz_output__close(w->out);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
	return err;
}

const struct viz_writer_ops viz_writer_speedscope = {
	.suffix = ".speedscope.json",
	.what = "speedscope, a profile for each thread",
	.begin = viz_spooled__begin,
	.process = viz_spooled__name,
	.track = viz_spooled__name,
	.calls = viz_spooled__calls,
	.event = viz_spooled__event,
	.end = speedscope__end,
	.free = viz_spooled__free,
	.calls_only = true,
	.size = sizeof(struct viz_spooled),
};
