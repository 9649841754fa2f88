// SPDX-License-Identifier: Apache-2.0
/* One event of the Chrome format: its text, and what it means. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "reader_json.h"

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* @p is behind the quote. Returns the closing one, NULL when it is not there. */
static const char *string_end(const char *p, const char *end, bool *escaped)
{
	*escaped = false;
	for (; p < end; p++) {
		if (*p == '"')
			return p;
		if (*p == '\\') {
			*escaped = true;
			p++;
		}
	}
	return NULL;
}

/* The end of the object or array at @p; its inside is checked where it is used. */
static const char *nested_end(const char *p, const char *end)
{
	size_t depth = 0;
	bool escaped;

	for (; p < end; p++) {
		if (*p == '"') {
			p = string_end(p + 1, end, &escaped);
			if (!p)
				return NULL;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if ((*p == '}' || *p == ']') && !--depth) {
			return p + 1;
		}
	}
	return NULL;
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-' || c == '+' || c == '.';
}

/* The value at @p. Returns its end; NULL as viz_json_event__scan() does. */
static const char *scan_value(struct viz_json_span *v, const char *p, const char *end,
			      const char **bad)
{
	const char *stop;

	v->type = *p;
	v->escaped = false;
	if (*p == '"') {
		v->p = p + 1;
		stop = string_end(p + 1, end, &v->escaped);
		if (!stop)
			return NULL;
		v->len = (size_t)(stop - v->p);
		return stop + 1;
	}
	v->p = p;
	if (*p == '{' || *p == '[') {
		stop = nested_end(p, end);
		if (!stop)
			return NULL;
		v->len = (size_t)(stop - p);
		return stop;
	}
	v->type = (*p >= '0' && *p <= '9') || *p == '-' ? '0' : 'w';
	while (p < end && is_word(*p))
		p++;
	if (p == end)
		return NULL;
	v->len = (size_t)(p - v->p);
	if (!v->len) {
		*bad = p;
		return NULL;
	}
	return p;
}

static struct viz_json_span *member(struct viz_json_event *e, const char *key, size_t len)
{
	switch (len) {
	case 1:
		return *key == 's' ? &e->scope : NULL;
	case 2:
		return !memcmp(key, "ph", 2)   ? &e->ph
		       : !memcmp(key, "ts", 2) ? &e->ts
		       : !memcmp(key, "id", 2) ? &e->id
					       : NULL;
	case 3:
		return !memcmp(key, "pid", 3)	? &e->pid
		       : !memcmp(key, "tid", 3) ? &e->tid
		       : !memcmp(key, "dur", 3) ? &e->dur
		       : !memcmp(key, "cat", 3) ? &e->cat
						: NULL;
	case 4:
		return !memcmp(key, "name", 4)	 ? &e->name
		       : !memcmp(key, "args", 4) ? &e->args
						 : NULL;
	default:
		return NULL;
	}
}

const char *viz_json_event__scan(struct viz_json_event *event, const char *p, const char *end,
				 const char **bad)
{
	struct viz_json_span *v, ignored;
	const char *key, *key_end;
	bool escaped;

	memset(event, 0, sizeof(*event));
	*bad = NULL;
	p = skip_space(p + 1, end);
	if (p < end && *p == '}')
		return p + 1;
	for (;;) {
		p = skip_space(p, end);
		if (p < end && *p != '"')
			goto broken;
		key = p + 1;
		key_end = p < end ? string_end(key, end, &escaped) : NULL;
		if (!key_end)
			return NULL;
		p = skip_space(key_end + 1, end);
		if (p < end && *p != ':')
			goto broken;
		p = p < end ? skip_space(p + 1, end) : end;
		if (p >= end)
			return NULL;
		v = member(event, key, (size_t)(key_end - key));
		p = scan_value(v ? v : &ignored, p, end, bad);
		if (!p)
			return NULL;
		p = skip_space(p, end);
		if (p >= end)
			return NULL;
		if (*p == '}')
			return p + 1;
		if (*p++ != ',') {
			p--;
			goto broken;
		}
	}
broken:
	*bad = p;
	return NULL;
}

/* Microseconds as the file has them, to nanoseconds. Negative ones are not representable. */
static bool get_time(const struct viz_json_span *v, uint64_t *ns)
{
	const char *p, *end;
	uint64_t whole = 0, fraction = 0, unit = 100;
	char text[64], *stop;
	double value;

	if (v->type != '0' && v->type != '"')
		return false;
	p = v->p;
	end = p + v->len;
	for (; p < end && *p >= '0' && *p <= '9' && whole < UINT64_MAX / 10000; p++)
		whole = whole * 10 + (uint64_t)(*p - '0');
	if (p < end && *p == '.')
		for (p++; p < end && *p >= '0' && *p <= '9' && unit; p++, unit /= 10)
			fraction += (uint64_t)(*p - '0') * unit;
	if (p == end && v->len) {
		*ns = whole * 1000 + fraction;
		return true;
	}
	/* more than three decimals, or an exponent */
	if (v->len >= sizeof(text))
		return false;
	memcpy(text, v->p, v->len);
	text[v->len] = '\0';
	if (!unit && strspn(p, "0123456789") >= (size_t)(end - p)) {
		*ns = whole * 1000 + fraction + (*p >= '5');
		return true;
	}
	value = strtod(text, &stop);
	if (stop == text || *stop || !(value >= 0) || value > 1.8e16)
		return false;
	*ns = (uint64_t)llround(value * 1000);
	return true;
}

/* Numbers, and the names that some tools have in their place. */
static uint32_t get_number(const struct viz_json_span *v)
{
	uint64_t value = 0;
	size_t i = v->type == '0' && v->len && v->p[0] == '-';

	for (; i < v->len && v->p[i] >= '0' && v->p[i] <= '9'; i++)
		value = value * 10 + (uint64_t)(v->p[i] - '0');
	if (i == v->len || v->type == '0')
		return (uint32_t)(value ^ value >> 32);
	for (value = 5381, i = 0; i < v->len; i++)
		value = value * 33 + (unsigned char)v->p[i];
	return (uint32_t)value | 0x80000000u;
}

/* 42, "42", "0x2a": the value; other strings: a hash. */
static uint64_t get_id(const struct viz_json_span *v)
{
	uint64_t value = 14695981039346656037ULL;
	char text[24], *end;
	size_t i;

	if (v->len && v->len < sizeof(text)) {
		memcpy(text, v->p, v->len);
		text[v->len] = '\0';
		i = strtoull(text, &end, 0);
		if (!*end)
			return i;
	}
	for (i = 0; i < v->len; i++)
		value = (value ^ (unsigned char)v->p[i]) * 1099511628211ULL;
	return value;
}

/* The flags among the members of @args, and what is left of them. */
static uint32_t take_flags(const struct viz_json_span *args, struct viz_buffer *rest)
{
	const char *p = args->p + 1, *end = args->p + args->len - 1, *start, *key, *stop;
	struct viz_json_span v;
	uint32_t found = 0;
	bool escaped;
	size_t i;

	for (p = skip_space(p, end); p < end; p = skip_space(p + 1, end)) {
		start = p;
		key = p + 1;
		stop = *p == '"' ? string_end(key, end, &escaped) : NULL;
		if (!stop)
			return found;
		p = skip_space(stop + 1, end);
		if (p >= end || *p != ':')
			return found;
		p = skip_space(p + 1, end);
		/* the closing brace is there to be seen: a number may end at it */
		p = p < end ? scan_value(&v, p, end + 1, &stop) : NULL;
		if (!p)
			return found;
		for (i = 0; i < VIZ_CALL_MARKS; i++) {
			size_t len = strlen(viz_call_marks[i].name);

			if (v.type == 'w' && *v.p == 't' &&
			    !strncmp(key, viz_call_marks[i].name, len) && key[len] == '"')
				break;
		}
		if (i < VIZ_CALL_MARKS) {
			found |= viz_call_marks[i].flag;
		} else {
			if (rest->len)
				viz_buffer__add(rest, ",", 1);
			viz_buffer__add(rest, start, (size_t)(p - start));
		}
		p = skip_space(p, end);
	}
	return found;
}

static char *unescaped(const struct viz_json_span *v, struct viz_buffer *b)
{
	b->len = 0;
	viz_json__unescape(b, v->p, v->len);
	viz_buffer__add(b, "", 1);
	return b->failed ? NULL : b->data;
}

/* {"args":{"name":"..."}} gives the name. */
static int take_metadata(const struct viz_json_event *e, struct viz_reading *r)
{
	bool process = e->name.len == 12 && !memcmp(e->name.p, "process_name", 12);
	bool thread = e->name.len == 11 && !memcmp(e->name.p, "thread_name", 11);
	struct viz_json_event args;
	struct viz_buffer b = {0};
	const char *bad, *name;
	uint32_t index;
	int err = -ENOMEM;

	if ((!process && !thread) || e->args.type != '{' ||
	    !viz_json_event__scan(&args, e->args.p, e->args.p + e->args.len, &bad) ||
	    args.name.type != '"')
		return 0;
	name = unescaped(&args.name, &b);
	name = name ? viz_trace__string(r->trace, name) : NULL;
	if (!name)
		goto cleanup;
	index = process ? viz_intake__process(r->intake, get_number(&e->pid))
			: viz_intake__track(r->intake, get_number(&e->pid), get_number(&e->tid));
	if (index == UINT32_MAX)
		goto cleanup;
	if (process)
		r->trace->processes[index].name = name;
	else
		r->trace->tracks[index].name = name;
	err = process ? viz_intake__named_process(r->intake, index)
		      : viz_intake__named_track(r->intake, index);
cleanup:
	viz_buffer__free(&b);
	return err;
}

static const struct {
	char phase;
	enum viz_event_type type;
} phases[] = {
	{'i', VIZ_EVENT_INSTANT},	  {'I', VIZ_EVENT_INSTANT},
	{'C', VIZ_EVENT_COUNTER},	  {'X', VIZ_EVENT_SLICE},
	{'b', VIZ_EVENT_ASYNC_BEGIN},	  {'e', VIZ_EVENT_ASYNC_END},
	{'s', VIZ_EVENT_FLOW_START},	  {'t', VIZ_EVENT_FLOW_STEP},
	{'f', VIZ_EVENT_FLOW_END},	  {'N', VIZ_EVENT_OBJECT_NEW},
	{'O', VIZ_EVENT_OBJECT_SNAPSHOT}, {'D', VIZ_EVENT_OBJECT_DELETE},
};

static int take_event(const struct viz_json_event *e, struct viz_reading *r, uint32_t track,
		      uint64_t ts, uint64_t dur)
{
	struct viz_event event = {.track = track, .ts = ts, .dur = dur, .scope = 't'};
	struct viz_buffer name = {0}, cat = {0}, args = {0};
	int err = -ENOMEM;
	size_t i;

	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (phases[i].phase == *e->ph.p)
			break;
	if (i == sizeof(phases) / sizeof(phases[0])) {
		viz_intake__skip(r->intake);
		return 0;
	}
	event.type = phases[i].type;
	event.id = get_id(&e->id);
	if (e->scope.len == 1)
		event.scope = *e->scope.p;
	event.name = unescaped(&e->name, &name);
	if (!event.name)
		goto cleanup;
	if (e->cat.type == '"') {
		event.cat = unescaped(&e->cat, &cat);
		if (!event.cat)
			goto cleanup;
	}
	if (e->args.type == '{') {
		viz_buffer__add(&args, e->args.p, e->args.len);
		viz_buffer__add(&args, "", 1);
		event.args = args.data;
		if (!event.args)
			goto cleanup;
	}
	err = viz_intake__event(r->intake, &event);
cleanup:
	viz_buffer__free(&name);
	viz_buffer__free(&cat);
	viz_buffer__free(&args);
	return err;
}

/* VizTracer writes "FEE" or "fee", depending on the way a trace is saved. */
static bool is_fee(const struct viz_json_event *e)
{
	return !e->cat.type || (e->cat.len == 3 && !strncasecmp(e->cat.p, "FEE", 3));
}

/* "X", "B" and "E": calls. */
static int take_call(const struct viz_json_event *e, struct viz_reading *r, uint32_t track,
		     uint64_t ts, uint64_t dur)
{
	struct viz_call call = {.begin = ts, .dur = dur, .track = track};
	struct viz_buffer rest = {0};
	char phase = *e->ph.p;
	int err;

	if (phase != 'E') {
		call.func = viz_intake__func(r->intake, e->name.p, e->name.len, e->name.escaped);
		if (call.func == UINT32_MAX)
			return -ENOMEM;
		if (!r->trace->funcs[call.func].file[0] && e->cat.type && is_fee(e))
			call.flags |= VIZ_CALL_C;
	}
	if (e->args.type == '{' && e->args.len > 2)
		call.flags |= take_flags(&e->args, &rest);
	if (rest.failed)
		return -ENOMEM;
	if (phase == 'X')
		err = viz_intake__call(r->intake, &call, rest.data, rest.len);
	else if (phase == 'B')
		err = viz_intake__begin(r->intake, track, ts, call.func, call.flags, rest.data,
					rest.len);
	else
		err = viz_intake__end(r->intake, track, ts, call.flags, rest.data, rest.len);
	viz_buffer__free(&rest);
	return err;
}

/* One that nobody can make sense of. */
static int leave_out(struct viz_reading *r)
{
	if (!r->broken++)
		r->first_broken = viz_input__offset(&r->input);
	return 0;
}

int viz_json_event__take(const struct viz_json_event *e, struct viz_reading *r)
{
	uint64_t ts, dur = 0;
	uint32_t track;
	char phase;

	if (e->ph.type != '"' || e->ph.len != 1)
		return leave_out(r);
	phase = *e->ph.p;
	if (phase == 'M')
		return take_metadata(e, r);
	if (!get_time(&e->ts, &ts) || (phase == 'X' && e->dur.type && !get_time(&e->dur, &dur)) ||
	    (phase != 'E' && e->name.type != '"'))
		return leave_out(r);
	track = viz_intake__track(r->intake, get_number(&e->pid), get_number(&e->tid));
	if (track == UINT32_MAX)
		return -ENOMEM;
	/* slices of other kinds than calls, as far as anybody can tell them apart */
	if (phase == 'B' || phase == 'E' ||
	    (phase == 'X' && (is_fee(e) || !viz_intake__wants_events(r->intake))))
		return take_call(e, r, track, ts, dur);
	return take_event(e, r, track, ts, dur);
}
