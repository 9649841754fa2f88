// SPDX-License-Identifier: Apache-2.0
/* `vizbpf ps`: the Python processes of this machine, and how each would be traced. */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <json-c/json.h>

#include "../base/log.h"
#include "../base/text.h"
#include "../session.h"
#include "../target/container.h"
#include "../target/process_name.h"
#include "../target/procfs.h"
#include "../target/python_names.h"
#include "../target/select.h"
#include "args.h"

static const char help[] =
	"Usage: vizbpf ps [options] [PID ...]\n"
	"\n"
	"Lists the Python processes of this machine: version, build, the engine that would\n"
	"trace each, and the container it is in.\n"
	"\n"
	"  -t, --tree             children below their parents\n"
	"  -v, --verbose          also say why this engine, and the whole command line\n"
	"      --container NAME   only this container (repeatable)\n"
	"      --cgroup PATH      only this control group (repeatable)\n"
	"      --user NAME        only this user's\n"
	"      --comm NAME        only processes of this name\n"
	"      --json             as a JSON array\n"
	"  -h, --help             this text\n";

struct row {
	pid_t pid, parent, ns_pid;
	uid_t uid;
	char user[40];
	char version[16];
	char build[64];
	const char *engine; /* NULL: refused */
	char why[256];
	char name[VIZ_PROCESS_NAME_MAX + 80];
	char cmdline[1024];
	const struct viz_container *container;
	int depth;
};

struct listing {
	struct row *rows;
	size_t nr, room;
	struct viz_builds *builds;
	struct viz_python_names *names;
	struct viz_select select;
	bool tree, verbose, json;
	bool named; /* pids were given: say of each why it is not listed */
	int status;
};

static void describe_build(const struct viz_build *b, struct row *row)
{
	bool any = false;
	int i;

	for (i = 0; i < VIZ_USDT_PROBES; i++)
		any |= b->nr_usdt[i] != 0;
	if (b->micro == 255)
		snprintf(row->version, sizeof(row->version), "%u.%u", b->major, b->minor);
	else
		snprintf(row->version, sizeof(row->version), "%u.%u.%u", b->major, b->minor,
			 b->micro);
	snprintf(row->build, sizeof(row->build), "%s%s%s%s%s",
		 b->usdt_complete ? "usdt"
		 : any		  ? "some usdt"
				  : "no usdt",
		 b->stripped ? ", stripped" : "", b->debug ? ", debug" : "",
		 b->free_threaded ? ", free-threaded" : "", b->jit ? ", jit" : "");
}

static void describe_user(struct row *row)
{
	struct passwd *user = getpwuid(row->uid);

	if (user)
		snprintf(row->user, sizeof(row->user), "%s", user->pw_name);
	else
		snprintf(row->user, sizeof(row->user), "%u", (unsigned int)row->uid);
}

/* "Process-3 (python3 app.py)" for a child of multiprocessing. */
static void describe_name(struct listing *l, const struct viz_interpreter *interp, struct row *row)
{
	struct viz_python_place place = {0};
	char own[VIZ_PROCESS_NAME_MAX], name[64];

	viz_process_name__get(row->pid, own, sizeof(own));
	if (interp && !viz_python_names__process(l->names, &place, interp, name, sizeof(name)))
		snprintf(row->name, sizeof(row->name), "%s (%s)", name, own);
	else
		snprintf(row->name, sizeof(row->name), "%s", own);
}

/* 0, or a negative errno with row->why set: not to be listed. */
static int look_at(struct listing *l, pid_t pid, struct row *row)
{
	struct viz_procfs_status status;
	struct viz_interpreter interp;
	const struct viz_engine *engine;
	int err;

	memset(row, 0, sizeof(*row));
	row->pid = pid;
	err = viz_interpreter__find(l->builds, pid, &interp, row->why, sizeof(row->why));
	if (err && err != -ENOTSUP)
		return err;
	if (viz_procfs__status(pid, &status))
		return viz_why(row->why, sizeof(row->why), -ESRCH, "it has ended");
	if (!err) {
		describe_build(interp.build, row);
		engine = viz_session__choose(&interp, NULL, NULL, row->why, sizeof(row->why));
		row->engine = engine ? engine->name : NULL;
	}
	row->parent = status.parent;
	row->ns_pid = status.ns_pid;
	row->uid = status.uid;
	describe_user(row);
	describe_name(l, err ? NULL : &interp, row);
	viz_process_name__cmdline(pid, row->cmdline, sizeof(row->cmdline));
	row->container = viz_containers__of(l->select.containers, pid);
	return 0;
}

static int add(struct listing *l, pid_t pid)
{
	struct row *grown;
	int err;

	if (l->nr == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		grown = reallocarray(l->rows, l->room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->rows = grown;
	}
	err = look_at(l, pid, &l->rows[l->nr]);
	if (!err) {
		l->nr++;
		return 0;
	}
	if (l->named) {
		viz_error("pid %d: %s", (int)pid, l->rows[l->nr].why);
		l->status = 1;
	} else if (err == -EACCES) {
		viz_debug(VIZ_LOG_LIFE, "pid %d: %s", (int)pid, l->rows[l->nr].why);
	}
	return 0;
}

static struct row *find_row(const struct listing *l, pid_t pid)
{
	size_t low = 0, high = l->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->rows[middle].pid == pid)
			return &l->rows[middle];
		if (l->rows[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The nearest listed ancestor: a shell between two Pythons is passed over. */
static struct row *ancestor(const struct listing *l, const struct row *row)
{
	struct viz_procfs_status status;
	pid_t pid = row->parent;
	int i;

	for (i = 0; i < 64 && pid > 1; i++, pid = status.parent) {
		struct row *found = find_row(l, pid);

		if (found)
			return found;
		if (viz_procfs__status(pid, &status))
			break;
	}
	return NULL;
}

/* Puts the rows into the order of the tree; @order has room for all. */
static size_t add_subtree(struct listing *l, const pid_t *parents, struct row *parent, int depth,
			  size_t *order, size_t used)
{
	size_t i;

	for (i = 0; i < l->nr && depth < 64; i++) {
		if (parents[i] != (parent ? parent->pid : 0))
			continue;
		l->rows[i].depth = depth;
		order[used++] = i;
		used = add_subtree(l, parents, &l->rows[i], depth + 1, order, used);
	}
	return used;
}

static size_t sort_rows(struct listing *l, size_t *order)
{
	pid_t *parents = calloc(l->nr + 1, sizeof(*parents));
	size_t i, nr = 0;

	for (i = 0; parents && l->tree && i < l->nr; i++) {
		struct row *up = ancestor(l, &l->rows[i]);

		parents[i] = up && up != &l->rows[i] ? up->pid : 0;
	}
	if (parents && l->tree)
		nr = add_subtree(l, parents, NULL, 0, order, 0);
	free(parents);
	if (l->tree && nr == l->nr)
		return nr;
	/* without the tree, or when processes came and went and it has a loop */
	for (i = 0; i < l->nr; i++) {
		l->rows[i].depth = 0;
		order[i] = i;
	}
	return l->nr;
}

enum { COLUMNS = 6 };

static const char *cell(const struct row *row, int column, char *buf, size_t size)
{
	switch (column) {
	case 0:
		snprintf(buf, size, "%d", (int)row->pid);
		return buf;
	case 1:
		return row->user;
	case 2:
		return row->version[0] ? row->version : "?";
	case 3:
		return row->build[0] ? row->build : "?";
	case 4:
		return row->engine ? row->engine : "none";
	default:
		if (!row->container)
			return "-";
		viz_container__label(row->container, buf, size);
		return buf;
	}
}

static void print_last(const struct row *row, bool verbose, size_t columns)
{
	char text[4096], indented[2048];
	int i, used = 0;

	for (i = 0; i < row->depth && used < 128; i++)
		used += snprintf(indented + used, sizeof(indented) - (size_t)used, "  ");
	snprintf(indented + used, sizeof(indented) - (size_t)used, "%s",
		 verbose ? row->cmdline : row->name);
	viz_text__fit(text, sizeof(text), indented, columns, false, false);
	printf("%s\n", text);
}

static void print_table(const struct listing *l, const size_t *order, size_t nr)
{
	static const char *const titles[COLUMNS] = {"PID",   "USER",   "PYTHON",
						    "BUILD", "ENGINE", "CONTAINER"};
	static const size_t most[COLUMNS] = {8, 16, 10, 32, 12, 40};
	size_t width[COLUMNS], columns, i, total = 0;
	char buf[1024], text[1024];
	struct winsize size;
	int c;

	for (c = 0; c < COLUMNS; c++) {
		width[c] = strlen(titles[c]);
		for (i = 0; i < nr; i++) {
			viz_text__safe(text, sizeof(text),
				       cell(&l->rows[order[i]], c, buf, sizeof(buf)));
			if (viz_text__columns(text) > width[c])
				width[c] = viz_text__columns(text);
		}
		if (width[c] > most[c])
			width[c] = most[c];
		total += width[c] + 2;
	}
	columns = sizeof(text);
	if (!l->verbose && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		columns = size.ws_col > total + 20 ? size.ws_col - total : 20;
	for (c = 0; c < COLUMNS; c++)
		printf("%-*s  ", (int)width[c], titles[c]);
	printf("COMMAND\n");
	for (i = 0; i < nr; i++) {
		const struct row *row = &l->rows[order[i]];

		for (c = 0; c < COLUMNS; c++) {
			viz_text__fit(text, sizeof(text), cell(row, c, buf, sizeof(buf)), width[c],
				      false, true);
			printf("%s  ", text);
		}
		print_last(row, l->verbose, columns);
		if ((l->verbose || l->named || !row->engine) && row->why[0]) {
			viz_text__safe(text, sizeof(text), row->why);
			printf("    %s%s\n", row->engine ? "" : "not traceable: ", text);
		}
	}
}

static void add_text(struct json_object *object, const char *key, const char *text)
{
	char clean[2048];

	viz_text__safe(clean, sizeof(clean), text);
	json_object_object_add(object, key, json_object_new_string(clean));
}

static struct json_object *row_object(const struct row *row)
{
	struct json_object *object = json_object_new_object();
	const struct viz_container *c = row->container;

	json_object_object_add(object, "pid", json_object_new_int(row->pid));
	json_object_object_add(object, "ns_pid", json_object_new_int(row->ns_pid));
	json_object_object_add(object, "parent", json_object_new_int(row->parent));
	add_text(object, "user", row->user);
	add_text(object, "name", row->name);
	add_text(object, "cmdline", row->cmdline);
	add_text(object, "python", row->version);
	add_text(object, "build", row->build);
	if (row->engine)
		add_text(object, "engine", row->engine);
	else
		json_object_object_add(object, "engine", NULL);
	add_text(object, "why", row->why);
	if (c) {
		struct json_object *inner = json_object_new_object();

		add_text(inner, "id", c->id);
		add_text(inner, "name", c->name);
		add_text(inner, "image", c->image);
		add_text(inner, "engine", c->engine);
		add_text(inner, "pod", c->pod);
		add_text(inner, "cgroup", c->cgroup);
		json_object_object_add(object, "container", inner);
	}
	return object;
}

static void print_json(const struct listing *l, const size_t *order, size_t nr)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < nr; i++)
		json_object_array_add(array, row_object(&l->rows[order[i]]));
	puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(array);
}

enum { OPT_CONTAINER = 256, OPT_CGROUP, OPT_USER, OPT_COMM, OPT_JSON };

static const struct option options[] = {
	{"tree", no_argument, NULL, 't'},
	{"verbose", no_argument, NULL, 'v'},
	{"container", required_argument, NULL, OPT_CONTAINER},
	{"cgroup", required_argument, NULL, OPT_CGROUP},
	{"user", required_argument, NULL, OPT_USER},
	{"comm", required_argument, NULL, OPT_COMM},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* 0: go on; else the exit status plus one. */
static int parse(struct listing *l, int argc, char **argv)
{
	struct viz_select *sel = &l->select;
	char why[512] = "";
	int got, err = 0;

	viz_args__dashes(argc, argv);
	opterr = 0;
	optind = 1;
	while (!err && (got = getopt_long(argc, argv, ":tvh", options, NULL)) != -1) {
		switch (got) {
		case 't':
			l->tree = true;
			break;
		case 'v':
			l->verbose = true;
			break;
		case OPT_CONTAINER:
			err = viz_select__add_container(sel, optarg, why, sizeof(why));
			break;
		case OPT_CGROUP:
			err = viz_select__add_cgroup(sel, optarg, why, sizeof(why));
			break;
		case OPT_USER:
			err = viz_select__set_user(sel, optarg, why, sizeof(why));
			break;
		case OPT_COMM:
			err = viz_select__set_comm(sel, optarg, why, sizeof(why));
			break;
		case OPT_JSON:
			l->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		default:
			return viz_args__bad("ps", argc, argv, got) + 1;
		}
	}
	for (; !err && optind < argc; optind++)
		err = viz_select__add_pids(sel, argv[optind], why, sizeof(why));
	if (err) {
		viz_error("%s", why);
		return 2;
	}
	return 0;
}

static int fill(struct listing *l)
{
	pid_t *pids;
	int nr, i, err = 0;

	l->named = l->select.nr_pids;
	if (!viz_select__any(&l->select))
		l->select.all = true;
	nr = viz_select__list(&l->select, &pids);
	if (nr < 0)
		return nr;
	for (i = 0; !err && i < nr; i++)
		err = add(l, pids[i]);
	free(pids);
	return err;
}

int viz_command__ps(int argc, char **argv)
{
	struct listing l = {0};
	size_t *order = NULL, nr;
	char why[256];
	int status = 1, err;

	err = viz_select__init(&l.select, why, sizeof(why));
	if (err) {
		viz_error("%s", why);
		return 1;
	}
	status = parse(&l, argc, argv);
	if (status) {
		status--;
		goto cleanup;
	}
	l.builds = viz_builds__new();
	l.names = viz_python_names__new();
	err = l.builds && l.names ? fill(&l) : -ENOMEM;
	order = err ? NULL : calloc(l.nr + 1, sizeof(*order));
	if (!order) {
		viz_error("cannot list processes: %s", strerror(err ? -err : ENOMEM));
		status = 1;
		goto cleanup;
	}
	nr = sort_rows(&l, order);
	if (l.json)
		print_json(&l, order, nr);
	else if (nr)
		print_table(&l, order, nr);
	else if (!l.named)
		viz_info("no Python process is running%s",
			 geteuid() ? " that this user may look at (run as root to see all)" : "");
	status = l.status;
cleanup:
	free(order);
	free(l.rows);
	viz_python_names__free(l.names);
	viz_builds__free(l.builds);
	viz_select__free(&l.select);
	return status;
}
