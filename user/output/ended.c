// SPDX-License-Identifier: Apache-2.0
#include "ended.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metadata.h"
#include "scratch.h"

/* What the end of a file that grows may have of it: it is written with every flush. */
#define FEW_BYTES (64 * 1024)

/* Entries, each followed by a comma, in a file without a name. */
struct list {
	int fd;
	uint64_t size, nr;
};

struct viz_ended {
	struct list processes, losses;
	bool complete;
};

struct viz_ended *viz_ended__new(void)
{
	struct viz_ended *ended = calloc(1, sizeof(*ended));

	if (ended)
		ended->processes.fd = ended->losses.fd = -1;
	return ended;
}

void viz_ended__free(struct viz_ended *ended)
{
	if (!ended)
		return;
	if (ended->processes.fd >= 0)
		close(ended->processes.fd);
	if (ended->losses.fd >= 0)
		close(ended->losses.fd);
	free(ended);
}

static int list__add(struct list *list, const void *text, size_t size)
{
	ssize_t n;

	if (list->fd < 0)
		list->fd = viz_scratch__open();
	if (list->fd < 0)
		return list->fd;
	/* one that was written in part is written over by the next */
	n = pwrite(list->fd, text, size, (off_t)list->size);
	if (n != (ssize_t)size)
		return n < 0 ? -errno : -ENOSPC;
	list->size += size;
	list->nr++;
	return 0;
}

static int add_object(struct list *list, struct json_object *object)
{
	struct viz_buffer b = {0};
	int err;

	viz_metadata__object(&b, object);
	viz_buffer__text(&b, ",");
	err = b.failed ? -ENOMEM : list__add(list, b.data, b.len);
	viz_buffer__free(&b);
	return err;
}

int viz_ended__process(struct viz_ended *ended, const struct viz_process *process)
{
	return add_object(&ended->processes, viz_metadata__process(process));
}

int viz_ended__track(struct viz_ended *ended, const struct viz_track *track)
{
	return track->lost ? add_object(&ended->losses, viz_metadata__loss(track)) : 0;
}

void viz_ended__complete(struct viz_ended *ended)
{
	ended->complete = true;
}

/* json-c prints what it is given, so that nothing is parsed and put together again. */
static uint64_t list__put(const struct list *list, bool complete, struct json_object *array)
{
	struct json_object *element;
	char *text;

	if (!list->nr)
		return 0;
	if (!complete && list->size > FEW_BYTES)
		return list->nr;
	text = malloc(list->size);
	element = text ? json_object_new_string("") : NULL;
	if (!element || pread(list->fd, text, list->size, 0) != (ssize_t)list->size) {
		json_object_put(element);
		free(text);
		return list->nr;
	}
	text[list->size - 1] = '\0'; /* the last comma */
	json_object_set_serializer(element, json_object_userdata_to_json_string, text,
				   json_object_free_userdata);
	json_object_array_add(array, element);
	return 0;
}

uint64_t viz_ended__list_processes(const struct viz_ended *ended, struct json_object *array)
{
	return ended ? list__put(&ended->processes, ended->complete, array) : 0;
}

uint64_t viz_ended__list_losses(const struct viz_ended *ended, struct json_object *array)
{
	return ended ? list__put(&ended->losses, ended->complete, array) : 0;
}
