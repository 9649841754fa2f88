// SPDX-License-Identifier: Apache-2.0
#include "profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nest.h"

enum {
	SUB_BITS = 4, /* 16 classes to an octave */
	SELF_WAITING = 16384, /* calls of one track that wait for their caller */
	SAME_WAITING = 8, /* of one function on one track */
	SAME_WAITING_RECURSIVE = 256,
};

/* One function on one track: needed to count recursion once. */
struct same {
	uint64_t key; /* 1 + (track << 32 | function), 0: free */
	struct viz_nest nest;
	bool recursive;
};

struct track {
	struct viz_nest nest;
	uint64_t end; /* of the last call */
};

struct viz_profile_private {
	struct track *tracks;
	uint32_t nr_tracks;
	struct same *same;
	size_t nr_same, room_same; /* room is a power of two */
};

struct viz_profile *viz_profile__new(void)
{
	struct viz_profile *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->priv = calloc(1, sizeof(*p->priv));
	if (!p->priv) {
		free(p);
		return NULL;
	}
	p->begin = UINT64_MAX;
	return p;
}

void viz_profile__free(struct viz_profile *p)
{
	size_t i;

	if (!p)
		return;
	for (i = 0; i < p->priv->nr_tracks; i++)
		viz_nest__clear(&p->priv->tracks[i].nest);
	for (i = 0; i < p->priv->room_same; i++)
		viz_nest__clear(&p->priv->same[i].nest);
	for (i = 0; i < p->nr_rows; i++)
		free(p->rows[i].histogram.counts);
	free(p->priv->tracks);
	free(p->priv->same);
	free(p->priv);
	free(p->rows);
	free(p);
}

/* Makes @array long enough for @index, new members zero. */
static void *reach(void *array, uint32_t *nr, uint32_t index, size_t size)
{
	uint64_t room = *nr ? *nr : 64;
	char *bigger;

	while (room <= index)
		room *= 2;
	if (room > UINT32_MAX)
		return NULL;
	bigger = reallocarray(array, room, size);
	if (!bigger)
		return NULL;
	memset(bigger + *nr * size, 0, (room - *nr) * size);
	*nr = (uint32_t)room;
	return bigger;
}

static uint32_t class_of(uint64_t ns)
{
	unsigned int octave;

	if (ns < (1u << SUB_BITS))
		return (uint32_t)ns;
	octave = 63 - (unsigned int)__builtin_clzll(ns);
	return ((octave - SUB_BITS + 1) << SUB_BITS) +
	       (uint32_t)((ns >> (octave - SUB_BITS)) & ((1u << SUB_BITS) - 1));
}

/* The least duration of a class. */
static uint64_t class_begin(uint32_t class)
{
	unsigned int octave;

	if (class < (1u << SUB_BITS))
		return class;
	octave = (class >> SUB_BITS) + SUB_BITS - 1;
	if (octave >= 64)
		return UINT64_MAX;
	return (1ull << octave) +
	       ((uint64_t)(class & ((1u << SUB_BITS) - 1)) << (octave - SUB_BITS));
}

/* A function's durations span few classes: only those between the least and the greatest are
 * kept. */
static int histogram__add(struct viz_histogram *h, uint64_t ns)
{
	uint32_t class = class_of(ns);

	if (!h->nr || class < h->first || class >= (uint32_t)h->first + h->nr) {
		uint32_t first = h->nr && h->first < class ? h->first : class;
		uint32_t last =
			h->nr && h->first + h->nr - 1u > class ? h->first + h->nr - 1u : class;
		uint32_t *counts = calloc(last - first + 1, sizeof(*counts));

		if (!counts)
			return -ENOMEM;
		if (h->nr)
			memcpy(counts + (h->first - first), h->counts, h->nr * sizeof(*counts));
		free(h->counts);
		h->counts = counts;
		h->first = (uint16_t)first;
		h->nr = (uint16_t)(last - first + 1);
	}
	if (h->counts[class - h->first] != UINT32_MAX)
		h->counts[class - h->first]++;
	return 0;
}

static uint64_t hash(uint64_t key)
{
	key *= 0x9e3779b97f4a7c15ull;
	return key ^ key >> 29;
}

static int grow_same(struct viz_profile_private *priv)
{
	size_t room = priv->room_same ? priv->room_same * 2 : 1024, i, at;
	struct same *same = calloc(room, sizeof(*same));

	if (!same)
		return -ENOMEM;
	for (i = 0; i < priv->room_same; i++) {
		if (!priv->same[i].key)
			continue;
		at = hash(priv->same[i].key) & (room - 1);
		while (same[at].key)
			at = (at + 1) & (room - 1);
		same[at] = priv->same[i];
	}
	free(priv->same);
	priv->same = same;
	priv->room_same = room;
	return 0;
}

static struct same *find_same(struct viz_profile_private *priv, uint32_t track, uint32_t func)
{
	uint64_t key = 1 + ((uint64_t)track << 32 | func);
	size_t at;

	if (priv->nr_same * 2 >= priv->room_same && grow_same(priv))
		return NULL;
	at = hash(key) & (priv->room_same - 1);
	while (priv->same[at].key && priv->same[at].key != key)
		at = (at + 1) & (priv->room_same - 1);
	if (!priv->same[at].key) {
		priv->same[at].key = key;
		priv->nr_same++;
	}
	return &priv->same[at];
}

static int add_call(struct viz_profile *p, const struct viz_call *call)
{
	struct viz_profile_private *priv = p->priv;
	uint64_t end = call->begin + call->dur, inside, inner;
	struct track *track = &priv->tracks[call->track];
	struct viz_row *row = &p->rows[call->func];
	struct same *same = find_same(priv, call->track, call->func);
	int err;

	if (!same)
		return -ENOMEM;
	if (end < call->begin) /* a foreign file's nonsense */
		end = UINT64_MAX;
	if (end < track->end)
		p->disordered++;
	else
		track->end = end;
	err = viz_nest__add(&track->nest, call->begin, end, SELF_WAITING, &inside);
	if (err)
		return err;
	err = viz_nest__add(&same->nest, call->begin, end,
			    same->recursive ? SAME_WAITING_RECURSIVE : SAME_WAITING, &inner);
	if (err)
		return err;
	if (inner)
		same->recursive = true;
	if (!row->calls || call->dur < row->min)
		row->min = call->dur;
	if (call->dur > row->max)
		row->max = call->dur;
	row->calls++;
	row->self += end - call->begin - inside;
	row->total += end - call->begin - inner;
	row->sum += call->dur;
	row->raised += !!(call->flags & VIZ_CALL_RAISED);
	p->calls++;
	if (call->begin < p->begin)
		p->begin = call->begin;
	if (end > p->end)
		p->end = end;
	return histogram__add(&row->histogram, call->dur);
}

int viz_profile__calls(void *ctx, const struct viz_call *calls, size_t nr)
{
	struct viz_profile *p = ctx;
	size_t i;
	int err;

	for (i = 0; i < nr; i++) {
		if (calls[i].func >= p->nr_rows) {
			void *rows = reach(p->rows, &p->nr_rows, calls[i].func, sizeof(*p->rows));

			if (!rows)
				return -ENOMEM;
			p->rows = rows;
		}
		if (calls[i].track >= p->priv->nr_tracks) {
			void *tracks = reach(p->priv->tracks, &p->priv->nr_tracks, calls[i].track,
					     sizeof(*p->priv->tracks));

			if (!tracks)
				return -ENOMEM;
			p->priv->tracks = tracks;
		}
		err = add_call(p, &calls[i]);
		if (err)
			return err;
	}
	return 0;
}

uint64_t viz_row__mean(const struct viz_row *row)
{
	return row->calls ? row->sum / row->calls : 0;
}

uint64_t viz_row__percentile(const struct viz_row *row, double percent)
{
	const struct viz_histogram *h = &row->histogram;
	double want = (double)row->calls * percent / 100, seen = 0;
	uint64_t value = row->max;
	uint32_t i;

	for (i = 0; i < h->nr; i++) {
		if (h->counts[i] && seen + h->counts[i] >= want) {
			uint64_t low = class_begin(h->first + i),
				 high = class_begin(h->first + i + 1);

			/* classes of one nanosecond are exact */
			value = high - low <= 1 ? low
						: low + (uint64_t)((double)(high - low) *
								   (want - seen) / h->counts[i]);
			break;
		}
		seen += h->counts[i];
	}
	if (value < row->min)
		return row->min;
	return value > row->max ? row->max : value;
}

const char *const viz_sort_names[VIZ_SORTS + 1] = {
	"self", "total", "calls", "mean", "p50", "p99", "max", "name",
};

static uint64_t sort_value(const struct viz_row *row, enum viz_sort sort)
{
	switch (sort) {
	case VIZ_SORT_SELF:
		return row->self;
	case VIZ_SORT_TOTAL:
		return row->total;
	case VIZ_SORT_CALLS:
		return row->calls;
	case VIZ_SORT_MEAN:
		return viz_row__mean(row);
	case VIZ_SORT_P50:
		return viz_row__percentile(row, 50);
	case VIZ_SORT_P99:
		return viz_row__percentile(row, 99);
	case VIZ_SORT_MAX:
		return row->max;
	default:
		return 0;
	}
}

struct sort_item {
	uint64_t value;
	const char *name;
	uint32_t func;
};

static int compare_items(const void *a, const void *b)
{
	const struct sort_item *x = a, *y = b;
	int by_name;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	by_name = x->name && y->name ? strcmp(x->name, y->name) : 0;
	return by_name ? by_name : (x->func > y->func) - (x->func < y->func);
}

uint32_t *viz_profile__sorted(const struct viz_profile *p, const struct viz_trace *trace,
			      enum viz_sort sort, uint32_t *nr)
{
	struct sort_item *items = calloc((size_t)p->nr_rows + 1, sizeof(*items));
	uint32_t *order = calloc((size_t)p->nr_rows + 1, sizeof(*order));
	uint32_t i, n = 0;

	if (!items || !order) {
		free(items);
		free(order);
		return NULL;
	}
	for (i = 0; i < p->nr_rows; i++) {
		if (!p->rows[i].calls)
			continue;
		items[n++] = (struct sort_item){
			.value = sort_value(&p->rows[i], sort),
			.name = i < trace->nr_funcs ? trace->funcs[i].name : NULL,
			.func = i,
		};
	}
	qsort(items, n, sizeof(*items), compare_items);
	for (i = 0; i < n; i++)
		order[i] = items[i].func;
	free(items);
	*nr = n;
	return order;
}
