// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "guardian.h"

/* Long options without a letter. */
enum {
	OPT_ENGINE = 256,
	OPT_LOG,
	OPT_READY_FD,
	OPT_VERSION,
	OPT_RING_SIZE,
	OPT_NO_FOLLOW,
	OPT_CONTAINER,
	OPT_CGROUP,
	OPT_USER,
	OPT_COMM,
	OPT_EXCLUDE_PID,
	OPT_AS_ROOT,
	OPT_STARTUP,
	OPT_MIN_DURATION,
	OPT_MAX_DEPTH,
	OPT_INCLUDE_FILES,
	OPT_EXCLUDE_FILES,
	OPT_INCLUDE_FUNCS,
	OPT_EXCLUDE_FUNCS,
	OPT_KEEP_CALLEES,
	OPT_FROZEN,
	OPT_STDLIB,
	OPT_NO_STDLIB,
	OPT_PACKAGE,
	OPT_RESTORE,
	OPT_NO_SOURCES,
	OPT_OUTPUT_DIR,
	OPT_PID_SUFFIX,
	OPT_ENTRIES,
	OPT_TRIGGER,
	OPT_BEFORE,
	OPT_AFTER,
	OPT_PAUSED,
	OPT_THREADS,
	OPT_OPEN,
};

static const struct option longs[] = {
	{"pid", required_argument, NULL, 'p'},
	{"attach", required_argument, NULL, 'p'},
	{"all", no_argument, NULL, 'a'},
	{"output", required_argument, NULL, 'o'},
	{"output-file", required_argument, NULL, 'o'},
	{"output-dir", required_argument, NULL, OPT_OUTPUT_DIR},
	{"unique-output-file", no_argument, NULL, 'u'},
	{"pid-suffix", no_argument, NULL, OPT_PID_SUFFIX},
	{"duration", required_argument, NULL, 'd'},
	{"module", required_argument, NULL, 'm'},
	{"engine", required_argument, NULL, OPT_ENGINE},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"log", required_argument, NULL, OPT_LOG},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"ring-size", required_argument, NULL, OPT_RING_SIZE},
	{"follow", no_argument, NULL, 'f'},
	{"no-follow", no_argument, NULL, OPT_NO_FOLLOW},
	{"ignore-multiprocess", no_argument, NULL, OPT_NO_FOLLOW},
	{"container", required_argument, NULL, OPT_CONTAINER},
	{"cgroup", required_argument, NULL, OPT_CGROUP},
	{"user", required_argument, NULL, OPT_USER},
	{"comm", required_argument, NULL, OPT_COMM},
	{"exclude-pid", required_argument, NULL, OPT_EXCLUDE_PID},
	{"as-root", no_argument, NULL, OPT_AS_ROOT},
	{"include-startup", no_argument, NULL, OPT_STARTUP},
	{"min-duration", required_argument, NULL, OPT_MIN_DURATION},
	{"max-stack-depth", required_argument, NULL, OPT_MAX_DEPTH},
	{"include-files", required_argument, NULL, OPT_INCLUDE_FILES},
	{"exclude-files", required_argument, NULL, OPT_EXCLUDE_FILES},
	{"include-functions", required_argument, NULL, OPT_INCLUDE_FUNCS},
	{"exclude-functions", required_argument, NULL, OPT_EXCLUDE_FUNCS},
	{"keep-callees", no_argument, NULL, OPT_KEEP_CALLEES},
	{"ignore-frozen", no_argument, NULL, OPT_FROZEN},
	{"stdlib", no_argument, NULL, OPT_STDLIB},
	{"no-stdlib", no_argument, NULL, OPT_NO_STDLIB},
	{"only-package", required_argument, NULL, OPT_PACKAGE},
	{"no-sources", no_argument, NULL, OPT_NO_SOURCES},
	{"tracer-entries", required_argument, NULL, OPT_ENTRIES},
	{"trigger", required_argument, NULL, OPT_TRIGGER},
	{"before", required_argument, NULL, OPT_BEFORE},
	{"after", required_argument, NULL, OPT_AFTER},
	{"start-paused", no_argument, NULL, OPT_PAUSED},
	{"threads", required_argument, NULL, OPT_THREADS},
	{"open", no_argument, NULL, OPT_OPEN},
	{"restore", optional_argument, NULL, OPT_RESTORE},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"vizbpf records every Python call of running processes and draws them on a timeline.\n"
	"\n"
	"  vizbpf -p PID [-o FILE] [-d SECONDS]     attach to a live process\n"
	"  vizbpf [--] script.py [ARG...]           start a script (or any command) and record it\n"
	"  vizbpf -m MODULE [ARG...]                the same for python3 -m\n"
	"  vizbpf -a | --container NAME             every Python process of the host, of a "
	"container\n"
	"\n"
	"What to record\n"
	"  -p, --pid PID[,PID...]       these processes\n"
	"  -a, --all                    all Python processes, also those that start later\n"
	"      --container NAME|ID      those of a container (repeatable)\n"
	"      --cgroup PATH            those of a control group\n"
	"      --user NAME              with -a and containers: only this user's; at a start: run "
	"as\n"
	"      --comm PATTERN           only processes of this name\n"
	"      --exclude-pid PID        never this one\n"
	"      --no-follow              not the children (they are followed by default)\n"
	"      --include-startup        also the interpreter's own start\n"
	"      --as-root                under sudo: start the program as root\n"
	"  -d, --duration SECONDS       stop by itself (without: Ctrl-C, or when all have ended)\n"
	"\n"
	"Which calls\n"
	"      --min-duration TIME      shorter ones are left out (10, 10us, 5ms, 1s; bare: us)\n"
	"      --max-stack-depth N      deeper ones are left out\n"
	"      --include-files PATH     only these files: path prefix or glob (repeatable)\n"
	"      --exclude-files PATH     not these, nor what they call (repeatable)\n"
	"      --include-functions GLOB only functions whose qualified name matches (repeatable)\n"
	"      --exclude-functions GLOB not these, nor what they call (repeatable)\n"
	"      --keep-callees           keep what an excluded call calls\n"
	"      --only-package NAME      only files of this package (repeatable)\n"
	"      --no-stdlib, --stdlib    without, only the standard library\n"
	"      --ignore-frozen          without frozen modules\n"
	"      --threads NAME|TID       only these threads (glob, repeatable)\n"
	"\n"
	"When\n"
	"      --tracer-entries N       flight recorder: keep the last N calls of each thread in "
	"memory,\n"
	"                               write them at the end; SIGUSR1 writes a snapshot, "
	"numbered\n"
	"      --trigger 'NAME>50ms'    write a snapshot when a call takes longer (repeatable)\n"
	"      --trigger 'NAME raises'  ... when it ends by an exception\n"
	"      --before TIME, --after TIME  what a snapshot holds around its moment (2s, 500ms)\n"
	"      --start-paused           record nothing until SIGUSR2, which switches on and off\n"
	"\n"
	"Where to\n"
	"  -o, --output FILE            .json .json.gz .pftrace .folded .svg .speedscope.json "
	".html\n"
	"                               (result.json)\n"
	"      --output-dir DIR         directory for it\n"
	"  -u, --unique-output-file     add date, time and pid to the name\n"
	"      --pid-suffix             add the pid to the name\n"
	"      --open                   show it in the browser at the end\n"
	"      --no-sources             leave the source files out of the trace\n"
	"\n"
	"How\n"
	"      --engine auto|usdt|eval|trampoline\n"
	"      --ring-size BYTES        buffer between kernel and vizbpf (32M; K, M, G)\n"
	"      --ready-fd N             write a byte there when all probes are in place\n"
	"  -q, --quiet    -v, --verbose    --log DOMAIN,...    --version    -h, --help\n"
	"      --restore [PID]          undo what a killed vizbpf left in processes\n"
	"\n"
	"Other commands: vizbpf ps, doctor, top, view, stats, tree, diff, convert, combine "
	"(--help\n"
	"after each). Every long option can be written with underscores too.\n";

static const struct viz_engine *const engines[] = {
	&viz_engine_usdt,
	&viz_engine_eval,
	&viz_engine_trampoline,
};

static int parse_engine(struct viz_options *opt, const char *name)
{
	if (!strcmp(name, "auto")) {
		opt->engine = NULL;
		return 0;
	}
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (!strcmp(name, engines[i]->name)) {
			opt->engine = engines[i];
			return 0;
		}
	viz_error("unknown engine '%s': auto, usdt, eval or trampoline", name);
	return -EINVAL;
}

static int parse_number(const char *what, const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || *value > max) {
		viz_error("%s: '%s' is not a number from 0 to %llu", what, text,
			  (unsigned long long)max);
		return -EINVAL;
	}
	return 0;
}

static int parse_seconds(const char *text, uint64_t *ns)
{
	char *end;
	double seconds;

	errno = 0;
	seconds = strtod(text, &end);
	if (errno || end == text || (*end && strcmp(end, "s")) || !(seconds > 0) || seconds > 1e9) {
		viz_error("--duration: '%s' is not a number of seconds", text);
		return -EINVAL;
	}
	*ns = (uint64_t)(seconds * 1e9);
	return 0;
}

/* Rounded up to a power of two of pages, as ring buffers want it. */
static int parse_ring_size(const char *text, size_t *size)
{
	char *end;
	unsigned long long value;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = page;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end == 'K' || *end == 'k')
		value <<= 10, end++;
	else if (*end == 'M' || *end == 'm')
		value <<= 20, end++;
	else if (*end == 'G' || *end == 'g')
		value <<= 30, end++;
	if (errno || end == text || *end || text[0] == '-' || !value || value > 2ull << 30) {
		viz_error("--ring-size: '%s' is not a size up to 2G", text);
		return -EINVAL;
	}
	while (rounded < value)
		rounded *= 2;
	*size = rounded;
	return 0;
}

static int parse_fd(const char *text, int *fd)
{
	uint64_t value;
	int err = parse_number("--ready-fd", text, 1 << 20, &value);

	if (err)
		return err;
	if (fcntl((int)value, F_GETFD) < 0) {
		viz_error("--ready-fd: descriptor %llu is not open", (unsigned long long)value);
		return -EBADF;
	}
	*fd = (int)value;
	fcntl(*fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int parse_filter(struct viz_options *opt, int c, const char *arg)
{
	struct viz_filter *f = &opt->filter;
	uint64_t value;
	int err;

	switch (c) {
	case OPT_MIN_DURATION:
		err = viz_filter__parse_duration(arg, &f->min_duration);
		if (err)
			viz_error("--min-duration: '%s' is not a time (10us, 5ms, 1s)", arg);
		return err;
	case OPT_MAX_DEPTH:
		err = parse_number("--max-stack-depth", arg, 1 << 20, &value);
		f->max_depth = (uint32_t)value;
		return err;
	case OPT_KEEP_CALLEES:
		f->keep_callees = true;
		return 0;
	}
	f->any = true;
	switch (c) {
	case OPT_INCLUDE_FILES:
		return viz_filter__add(&f->include_files, arg);
	case OPT_EXCLUDE_FILES:
		return viz_filter__add(&f->exclude_files, arg);
	case OPT_INCLUDE_FUNCS:
		return viz_filter__add(&f->include_functions, arg);
	case OPT_EXCLUDE_FUNCS:
		return viz_filter__add(&f->exclude_functions, arg);
	case OPT_PACKAGE:
		return viz_filter__add(&f->packages, arg);
	case OPT_FROZEN:
		f->ignore_frozen = true;
		return 0;
	default:
		f->stdlib = c == OPT_STDLIB;
		return 0;
	}
}

static int parse_who(struct viz_options *opt, int c, const char *arg)
{
	struct viz_select *sel = &opt->select;
	char why[512] = "";
	int err = 0;

	switch (c) {
	case 'p':
		err = viz_select__add_pids(sel, arg, why, sizeof(why));
		break;
	case 'a':
		sel->all = true;
		break;
	case OPT_CONTAINER:
		err = viz_select__add_container(sel, arg, why, sizeof(why));
		break;
	case OPT_CGROUP:
		err = viz_select__add_cgroup(sel, arg, why, sizeof(why));
		break;
	case OPT_USER:
		opt->launch.user = arg;
		break;
	case OPT_COMM:
		err = viz_select__set_comm(sel, arg, why, sizeof(why));
		break;
	case OPT_EXCLUDE_PID:
		err = viz_select__add_excluded(sel, arg, why, sizeof(why));
		break;
	}
	if (err)
		viz_error("%s", why);
	return err;
}

static int parse_trigger(struct viz_options *opt, const char *arg)
{
	struct viz_trigger *grown = realloc(opt->triggers, (opt->nr_triggers + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	opt->triggers = grown;
	if (viz_trigger__parse(arg, &grown[opt->nr_triggers])) {
		viz_error("--trigger: '%s' is neither 'NAME>TIME' nor 'NAME raises'", arg);
		return -EINVAL;
	}
	opt->nr_triggers++;
	if (!opt->entries)
		opt->entries = 1000000;
	return 0;
}

static int parse_when(struct viz_options *opt, int c, const char *arg)
{
	uint64_t *time = c == OPT_BEFORE ? &opt->before : &opt->after;
	int err;

	switch (c) {
	case OPT_ENTRIES:
		err = parse_number("--tracer-entries", arg, 1u << 28, &opt->entries);
		if (!err && !opt->entries) {
			viz_error("--tracer-entries: at least 1");
			err = -EINVAL;
		}
		return err;
	case OPT_TRIGGER:
		return parse_trigger(opt, arg);
	case OPT_PAUSED:
		opt->start_paused = true;
		return 0;
	case OPT_THREADS:
		return viz_filter__add(&opt->threads, arg);
	}
	err = viz_filter__parse_duration(arg, time);
	if (err)
		viz_error("--%s: '%s' is not a time (500ms, 2s)",
			  c == OPT_BEFORE ? "before" : "after", arg);
	return err;
}

static int parse_log(const char *arg)
{
	const char *bad;

	if (!viz_log__enable(arg, &bad))
		return 0;
	viz_error("--log: unknown domain '%.*s'", (int)strcspn(bad, ","), bad);
	return -EINVAL;
}

static int parse_one(struct viz_options *opt, int c, const char *arg)
{
	switch (c) {
	case 'p':
	case 'a':
	case OPT_CONTAINER:
	case OPT_CGROUP:
	case OPT_USER:
	case OPT_COMM:
	case OPT_EXCLUDE_PID:
		return parse_who(opt, c, arg);
	case OPT_MIN_DURATION:
	case OPT_MAX_DEPTH:
	case OPT_INCLUDE_FILES:
	case OPT_EXCLUDE_FILES:
	case OPT_INCLUDE_FUNCS:
	case OPT_EXCLUDE_FUNCS:
	case OPT_KEEP_CALLEES:
	case OPT_FROZEN:
	case OPT_STDLIB:
	case OPT_NO_STDLIB:
	case OPT_PACKAGE:
		return parse_filter(opt, c, arg);
	case OPT_ENTRIES:
	case OPT_TRIGGER:
	case OPT_BEFORE:
	case OPT_AFTER:
	case OPT_PAUSED:
	case OPT_THREADS:
		return parse_when(opt, c, arg);
	case 'f':
		opt->select.follow = true;
		return 0;
	case OPT_NO_FOLLOW:
		opt->select.follow = false;
		return 0;
	case 'o':
		opt->output = arg;
		return 0;
	case OPT_OUTPUT_DIR:
		opt->output_dir = arg;
		return 0;
	case 'u':
		opt->unique_output = true;
		return 0;
	case OPT_PID_SUFFIX:
		opt->pid_suffix = true;
		return 0;
	case 'd':
	case 't':
		return parse_seconds(arg, &opt->duration);
	case 'm':
		opt->launch.module = arg;
		return 0;
	case OPT_ENGINE:
		return parse_engine(opt, arg);
	case 'q':
		viz_log_quiet = 1;
		return 0;
	case 'v':
		viz_log__enable_all();
		return 0;
	case OPT_LOG:
		return parse_log(arg);
	case OPT_READY_FD:
		return parse_fd(arg, &opt->ready_fd);
	case OPT_RING_SIZE:
		return parse_ring_size(arg, &opt->ring_size);
	case OPT_AS_ROOT:
		opt->launch.as_root = true;
		return 0;
	case OPT_STARTUP:
		opt->include_startup = true;
		return 0;
	case OPT_OPEN:
		opt->open_viewer = true;
		return 0;
	case OPT_NO_SOURCES:
		opt->sources = false;
		return 0;
	}
	return -EINVAL;
}

/* "result.json" with "_20260131_120000_41" put before the suffix. */
static int make_path(struct viz_options *opt)
{
	const char *name = strrchr(opt->output, '/') ? strrchr(opt->output, '/') + 1 : opt->output;
	const char *dot = strchr(name, '.');
	size_t stem = dot ? (size_t)(dot - opt->output) : strlen(opt->output);
	char stamp[64] = "", suffix[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (opt->unique_output) {
		localtime_r(&now, &tm);
		strftime(stamp, sizeof(stamp), "_%Y%m%d_%H%M%S", &tm);
	}
	if (opt->unique_output || opt->pid_suffix)
		snprintf(suffix, sizeof(suffix), "_%d",
			 opt->select.nr_pids ? opt->select.pids[0] : getpid());
	if (asprintf(&opt->path, "%s%s%.*s%s%s%s", opt->output_dir ? opt->output_dir : "",
		     opt->output_dir ? "/" : "", (int)stem, opt->output, stamp, suffix,
		     opt->output + stem) < 0)
		return -ENOMEM;
	return 0;
}

static int join_command(struct viz_options *opt, int argc, char **argv)
{
	size_t size = 1;
	char *p;

	for (int i = 0; i < argc; i++)
		size += strlen(argv[i]) + 1;
	p = opt->command_line = malloc(size);
	if (!p)
		return -ENOMEM;
	for (int i = 0; i < argc; i++)
		p += sprintf(p, "%s%s", i ? " " : "", argv[i]);
	return 0;
}

/*
 * The long options, each also with underscores. Only names are doubled: what is behind the
 * program's name is the program's own and stays as it is. NULL when out of memory.
 */
static struct option *both_spellings(void)
{
	size_t nr = sizeof(longs) / sizeof(longs[0]), out = 0;
	struct option *all = calloc(2 * nr, sizeof(*all));

	for (size_t i = 0; all && i + 1 < nr; i++) {
		all[out++] = longs[i];
		if (!strchr(longs[i].name, '-'))
			continue;
		all[out] = longs[i];
		all[out].name = strdup(longs[i].name);
		for (char *p = (char *)all[out].name; p && *p; p++)
			if (*p == '-')
				*p = '_';
		if (all[out].name)
			out++;
	}
	return all;
}

static void free_spellings(struct option *all)
{
	for (size_t i = 0; all && all[i].name; i++)
		if (strchr(all[i].name, '_'))
			free((char *)all[i].name);
	free(all);
}

static enum viz_options_result restore(int argc, char **argv, const char *arg)
{
	uint64_t pid = 0;

	if (!arg && optind < argc)
		arg = argv[optind];
	if (arg && parse_number("--restore", arg, 1 << 22, &pid))
		return VIZ_OPTIONS_BAD;
	return viz_guardian__restore((pid_t)pid) ? VIZ_OPTIONS_BAD : VIZ_OPTIONS_DONE;
}

static int check(struct viz_options *opt, int argc, char **argv)
{
	char why[512];

	opt->launches = optind < argc || opt->launch.module;
	opt->launch.argv = argv + optind;
	if (!opt->launches && !viz_select__any(&opt->select)) {
		viz_error("nothing to record: give -p PID, -a, --container NAME, or a program to "
			  "start "
			  "(vizbpf --help)");
		return -EINVAL;
	}
	if (opt->launches && viz_select__any(&opt->select)) {
		viz_error("give either a program to start or processes to attach to (-p, -a, "
			  "--container), not both");
		return -EINVAL;
	}
	if (opt->launch.user && !opt->launches) {
		if (viz_select__set_user(&opt->select, opt->launch.user, why, sizeof(why))) {
			viz_error("%s", why);
			return -EINVAL;
		}
		opt->launch.user = NULL;
	}
	return make_path(opt);
}

static enum viz_options_result parse_all(struct viz_options *opt, int argc, char **argv,
					 const struct option *all)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:p:ao:d:t:m:qvhfu", all, NULL)) != -1) {
		switch (c) {
		case 'h':
			fputs(help_text, stdout);
			return VIZ_OPTIONS_DONE;
		case OPT_VERSION:
			printf("vizbpf %s\n", VIZ_VERSION);
			return VIZ_OPTIONS_DONE;
		case OPT_RESTORE:
			return restore(argc, argv, optarg);
		case ':':
			viz_error("option '%s' needs a value", argv[optind - 1]);
			return VIZ_OPTIONS_BAD;
		case '?':
			viz_error("unknown option '%s' (vizbpf --help)", argv[optind - 1]);
			return VIZ_OPTIONS_BAD;
		}
		if (parse_one(opt, c, optarg))
			return VIZ_OPTIONS_BAD;
		/* What follows -m MODULE belongs to the module. */
		if (c == 'm')
			break;
	}
	return VIZ_OPTIONS_RUN;
}

enum viz_options_result viz_options__parse(struct viz_options *opt, int argc, char **argv)
{
	enum viz_options_result result;
	struct option *all;
	char why[512];

	*opt = (struct viz_options){
		.output = "result.json",
		.ready_fd = -1,
		.ring_size = 32 << 20,
		.filter.stdlib = -1,
		.sources = true,
		.before = 2000000000,
		.after = 500000000,
	};
	if (join_command(opt, argc, argv) || viz_select__init(&opt->select, why, sizeof(why)))
		return VIZ_OPTIONS_BAD;
	all = both_spellings();
	if (!all)
		return VIZ_OPTIONS_BAD;
	result = parse_all(opt, argc, argv, all);
	free_spellings(all);
	if (result == VIZ_OPTIONS_RUN && check(opt, argc, argv))
		result = VIZ_OPTIONS_BAD;
	return result;
}

void viz_options__free(struct viz_options *opt)
{
	viz_select__free(&opt->select);
	viz_filter__free(&opt->filter);
	for (size_t i = 0; i < opt->nr_triggers; i++)
		free(opt->triggers[i].pattern);
	free(opt->triggers);
	for (size_t i = 0; opt->threads && opt->threads[i]; i++)
		free(opt->threads[i]);
	free(opt->threads);
	free(opt->path);
	free(opt->command_line);
}
