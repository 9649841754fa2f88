// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "guardian.h"

enum { FIRST_LONG = 256 }; /* behind all letters, for getopt_long() */

/* What a snapshot holds around its moment, ns. */
#define BEFORE_DEFAULT 2000000000
#define AFTER_DEFAULT 500000000

static const struct viz_engine *const engines[] = {
	&viz_engine_usdt,
	&viz_engine_eval,
	&viz_engine_trampoline,
};

static int take_engine(struct viz_options *opt, const char *name)
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

static int take_seconds(struct viz_options *opt, const char *text)
{
	char *end;
	double seconds;

	errno = 0;
	seconds = strtod(text, &end);
	if (errno || end == text || (*end && strcmp(end, "s")) || !(seconds > 0) || seconds > 1e9) {
		viz_error("--duration: '%s' is not a number of seconds", text);
		return -EINVAL;
	}
	opt->duration = (uint64_t)(seconds * 1e9);
	return 0;
}

/* Rounded up to a power of two of pages, as ring buffers want it. */
static int take_ring_size(struct viz_options *opt, const char *text)
{
	static const char units[] = "KMG";
	size_t rounded = (size_t)sysconf(_SC_PAGESIZE);
	unsigned long long value;
	const char *unit;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit && value <= 2ull << 30) {
		value <<= 10 * (unit - units + 1);
		end++;
	}
	if (errno || end == text || *end || text[0] == '-' || !value || value > 2ull << 30) {
		viz_error("--ring-size: '%s' is not a size up to 2G", text);
		return -EINVAL;
	}
	while (rounded < value)
		rounded *= 2;
	opt->ring_size = rounded;
	return 0;
}

static int take_ready_fd(struct viz_options *opt, const char *text)
{
	uint64_t value;
	int err = parse_number("--ready-fd", text, 1 << 20, &value);

	if (err)
		return err;
	if (fcntl((int)value, F_GETFD) < 0) {
		viz_error("--ready-fd: descriptor %llu is not open", (unsigned long long)value);
		return -EBADF;
	}
	opt->ready_fd = (int)value;
	fcntl(opt->ready_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int take_min_duration(struct viz_options *opt, const char *text)
{
	int err = viz_filter__parse_duration(text, &opt->filter.min_duration);

	if (err)
		viz_error("--min-duration: '%s' is not a time (10us, 5ms, 1s)", text);
	return err;
}

static int take_max_depth(struct viz_options *opt, const char *text)
{
	uint64_t value;
	int err = parse_number("--max-stack-depth", text, 1 << 20, &value);

	opt->filter.max_depth = (uint32_t)value;
	return err;
}

/* Runs one of the functions that choose processes: they say why not in a text. */
static int choose(struct viz_options *opt, const char *text,
		  int (*fn)(struct viz_select *sel, const char *text, char *why, size_t size))
{
	char why[512] = "";
	int err = fn(&opt->select, text, why, sizeof(why));

	if (err)
		viz_error("%s", why);
	return err;
}

static int take_pids(struct viz_options *opt, const char *text)
{
	return choose(opt, text, viz_select__add_pids);
}

static int take_container(struct viz_options *opt, const char *text)
{
	return choose(opt, text, viz_select__add_container);
}

static int take_cgroup(struct viz_options *opt, const char *text)
{
	return choose(opt, text, viz_select__add_cgroup);
}

static int take_comm(struct viz_options *opt, const char *text)
{
	return choose(opt, text, viz_select__set_comm);
}

static int take_excluded(struct viz_options *opt, const char *text)
{
	return choose(opt, text, viz_select__add_excluded);
}

static int take_entries(struct viz_options *opt, const char *text)
{
	int err = parse_number("--tracer-entries", text, 1u << 28, &opt->entries);

	if (!err && !opt->entries) {
		viz_error("--tracer-entries: at least 1");
		err = -EINVAL;
	}
	return err;
}

static int take_trigger(struct viz_options *opt, const char *text)
{
	struct viz_trigger *grown = realloc(opt->triggers, (opt->nr_triggers + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	opt->triggers = grown;
	if (viz_trigger__parse(text, &grown[opt->nr_triggers])) {
		viz_error("--trigger: '%s' is neither 'NAME>TIME' nor 'NAME raises'", text);
		return -EINVAL;
	}
	opt->nr_triggers++;
	if (!opt->entries)
		opt->entries = 1000000;
	return 0;
}

static int parse_time(const char *option, const char *text, uint64_t *ns)
{
	int err = viz_filter__parse_duration(text, ns);

	if (err)
		viz_error("%s: '%s' is not a time (500ms, 2s)", option, text);
	return err;
}

static int take_before(struct viz_options *opt, const char *text)
{
	return parse_time("--before", text, &opt->before);
}

static int take_after(struct viz_options *opt, const char *text)
{
	return parse_time("--after", text, &opt->after);
}

static int take_quiet(struct viz_options *opt, const char *text)
{
	(void)opt, (void)text;
	viz_log_quiet = 1;
	return 0;
}

static int take_verbose(struct viz_options *opt, const char *text)
{
	(void)opt, (void)text;
	viz_log__enable_all();
	return 0;
}

static int take_log(struct viz_options *opt, const char *text)
{
	const char *bad;

	(void)opt;
	if (!viz_log__enable(text, &bad))
		return 0;
	viz_error("--log: unknown domain '%.*s'", (int)strcspn(bad, ","), bad);
	return -EINVAL;
}

static int take_version(struct viz_options *opt, const char *text)
{
	(void)opt, (void)text;
	printf("vizbpf %s\n", VIZ_VERSION);
	return VIZ_OPTIONS_DONE;
}

static int take_help(struct viz_options *opt, const char *text)
{
	(void)opt, (void)text;
	fputs(viz_options_help, stdout);
	return VIZ_OPTIONS_DONE;
}

static int take_inside(struct viz_options *opt, const char *text)
{
	(void)text;
	opt->inside = true;
	return 0;
}

/* "--restore", "--restore=PID", "--restore PID". */
static int take_restore(struct viz_options *opt, const char *text)
{
	uint64_t pid = 0;

	if (!text)
		text = opt->launch.argv[optind];
	if (text && parse_number("--restore", text, 1 << 22, &pid))
		return -EINVAL;
	return viz_guardian__restore((pid_t)pid) ? -EINVAL : VIZ_OPTIONS_DONE;
}

/* What an option does: sets the bool, the text or the list at @offset, or calls @take, which
 * returns 0, a negative errno after a message, or VIZ_OPTIONS_DONE. */
struct spec {
	const char *name; /* NULL: a letter alone */
	char letter;
	char what; /* 'b'ool, 't'ext, 'l'ist, list of 'f'iles, 'n'o value, 'v'alue, 'm'aybe one */
	bool value; /* of 'b' */
	size_t offset;
	int (*take)(struct viz_options *opt, const char *text);
};

#define AT(field) .offset = offsetof(struct viz_options, field)
#define ON(field) AT(field), .value = true
#define OFF(field) AT(field), .value = false

static const struct spec specs[] = {
	{"pid", 'p', 'v', .take = take_pids},
	{"attach", 0, 'v', .take = take_pids},
	{"all", 'a', 'b', ON(select.all)},
	{"container", 0, 'v', .take = take_container},
	{"cgroup", 0, 'v', .take = take_cgroup},
	{"user", 0, 't', AT(launch.user)},
	{"comm", 0, 'v', .take = take_comm},
	{"exclude-pid", 0, 'v', .take = take_excluded},
	{"follow", 'f', 'b', ON(select.follow)},
	{"no-follow", 0, 'b', OFF(select.follow)},
	{"ignore-multiprocess", 0, 'b', OFF(select.follow)},
	{"include-startup", 0, 'b', ON(include_startup)},
	{"as-root", 0, 'b', ON(launch.as_root)},
	{"duration", 'd', 'v', .take = take_seconds},
	{NULL, 't', 'v', .take = take_seconds},
	{"module", 'm', 't', AT(launch.module)},

	{"min-duration", 0, 'v', .take = take_min_duration},
	{"max-stack-depth", 0, 'v', .take = take_max_depth},
	{"include-files", 0, 'f', AT(filter.include_files)},
	{"exclude-files", 0, 'f', AT(filter.exclude_files)},
	{"include-functions", 0, 'l', AT(filter.include_functions)},
	{"exclude-functions", 0, 'l', AT(filter.exclude_functions)},
	{"only-package", 0, 'l', AT(filter.packages)},
	{"threads", 0, 'l', AT(threads)},
	{"c-functions", 0, 'b', ON(c_functions)},
	{"log-exception", 0, 'b', ON(log_exception)},
	{"keep-callees", 0, 'b', ON(filter.keep_callees)},
	{"ignore-frozen", 0, 'b', ON(filter.ignore_frozen)},
	{"ignore-c-function", 0, 'b', OFF(c_functions)},
	{"log-func-args", 0, 'b', ON(inside)},
	{"log-func-retval", 0, 'b', ON(inside)},
	{"log-print", 0, 'b', ON(inside)},
	{"log-gc", 0, 'b', ON(inside)},
	{"log-async", 0, 'b', ON(inside)},
	{"log-sparse", 0, 'b', ON(inside)},
	{"log-audit", 0, 'v', .take = take_inside},
	{"log-var", 0, 'v', .take = take_inside},
	{"log-number", 0, 'v', .take = take_inside},
	{"log-attr", 0, 'v', .take = take_inside},
	{"stdlib", 0, 'b', ON(only_stdlib)},
	{"no-stdlib", 0, 'b', ON(no_stdlib)},

	{"tracer-entries", 0, 'v', .take = take_entries},
	{"trigger", 0, 'v', .take = take_trigger},
	{"before", 0, 'v', .take = take_before},
	{"after", 0, 'v', .take = take_after},
	{"start-paused", 0, 'b', ON(start_paused)},

	{"output", 'o', 't', AT(output)},
	{"output-file", 0, 't', AT(output)},
	{"output-dir", 0, 't', AT(output_dir)},
	{"unique-output-file", 'u', 'b', ON(unique_output)},
	{"pid-suffix", 0, 'b', ON(pid_suffix)},
	{"open", 0, 'b', ON(open_viewer)},
	{"no-sources", 0, 'b', OFF(sources)},

	{"engine", 0, 'v', .take = take_engine},
	{"ring-size", 0, 'v', .take = take_ring_size},
	{"ready-fd", 0, 'v', .take = take_ready_fd},
	{"quiet", 'q', 'n', .take = take_quiet},
	{"verbose", 'v', 'n', .take = take_verbose},
	{"log", 0, 'v', .take = take_log},
	{"restore", 0, 'm', .take = take_restore},
	{"version", 0, 'n', .take = take_version},
	{"help", 'h', 'n', .take = take_help},
};

enum { NR_SPECS = sizeof(specs) / sizeof(specs[0]) };

static int take(struct viz_options *opt, const struct spec *spec, const char *text)
{
	void *at = (char *)opt + spec->offset;
	const char *bad;

	switch (spec->what) {
	case 'b':
		*(bool *)at = spec->value;
		return 0;
	case 't':
		*(const char **)at = text;
		return 0;
	case 'l':
	case 'f':
		bad = viz_filter__bad(text);
		if (bad)
			viz_error("--%s: '%s' is no pattern: %s", spec->name, text, bad);
		return bad		   ? -EINVAL
		       : spec->what == 'f' ? viz_filter__add_path(at, text)
					   : viz_filter__add(at, text);
	default:
		return spec->take(opt, text);
	}
}

/* What getopt_long() is told: the letters, and each long name also with underscores. Only names
 * are doubled: what is behind the program's name is the program's own and stays as it is. */
struct spelling {
	struct option longs[2 * NR_SPECS + 1];
	char letters[2 * NR_SPECS + 4];
	char underscored[NR_SPECS][32];
};

static void spell(struct spelling *s)
{
	struct option *out = s->longs;
	char *letter = stpcpy(s->letters, "+:"), *c;

	for (int i = 0; i < NR_SPECS; i++) {
		const struct spec *spec = &specs[i];
		int arg = spec->what == 'm'	       ? optional_argument
			  : strchr("tlfv", spec->what) ? required_argument
						       : no_argument;

		if (spec->letter) {
			*letter++ = spec->letter;
			if (arg == required_argument)
				*letter++ = ':';
		}
		if (!spec->name)
			continue;
		*out++ = (struct option){spec->name, arg, NULL, FIRST_LONG + i};
		if (!strchr(spec->name, '-'))
			continue;
		snprintf(s->underscored[i], sizeof(s->underscored[i]), "%s", spec->name);
		for (c = s->underscored[i]; (c = strchr(c, '-'));)
			*c = '_';
		*out++ = (struct option){s->underscored[i], arg, NULL, FIRST_LONG + i};
	}
}

static const struct spec *spec_of(int c)
{
	if (c >= FIRST_LONG)
		return &specs[c - FIRST_LONG];
	for (int i = 0; i < NR_SPECS; i++)
		if (specs[i].letter == c)
			return &specs[i];
	return NULL;
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

static int check(struct viz_options *opt, int argc, char **argv)
{
	struct viz_filter *f = &opt->filter;
	char why[512];

	if (opt->only_stdlib && opt->no_stdlib) {
		viz_error("give either --stdlib or --no-stdlib, not both");
		return -EINVAL;
	}
	if (opt->only_stdlib || opt->no_stdlib)
		f->stdlib = opt->only_stdlib;
	f->any = f->include_files || f->exclude_files || f->include_functions ||
		 f->exclude_functions || f->packages || f->ignore_frozen || f->stdlib >= 0;
	if (!opt->entries && (opt->before & opt->after) != UINT64_MAX) {
		viz_error("--before and --after are for snapshots: give --tracer-entries or "
			  "--trigger too");
		return -EINVAL;
	}
	opt->before = opt->before == UINT64_MAX ? BEFORE_DEFAULT : opt->before;
	opt->after = opt->after == UINT64_MAX ? AFTER_DEFAULT : opt->after;
	opt->launches = optind < argc || opt->launch.module;
	opt->launch.argv = argv + optind;
	if (opt->inside && !opt->launches) {
		viz_error(
			"arguments, results, tasks, collections, audit events and prints are seen "
			"from inside a process only: start the program with vizbpf, or call "
			"VizTracer() in it (docs/extension.md)");
		return -EINVAL;
	}
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
	if (opt->c_functions || opt->log_exception) {
		if (!opt->engine)
			opt->engine = &viz_engine_trampoline;
		if (opt->engine != &viz_engine_trampoline) {
			viz_error("%s needs engine trampoline: the interpreter tells engine %s of "
				  "Python calls only (leave --engine away)",
				  opt->c_functions ? "--c-functions" : "--log-exception",
				  opt->engine->name);
			return -EINVAL;
		}
	}
	return make_path(opt);
}

static enum viz_options_result parse_all(struct viz_options *opt, int argc, char **argv)
{
	struct spelling spelling = {0};
	const struct spec *spec;
	int c, err;

	spell(&spelling);
	opt->launch.argv = argv;
	opterr = 0;
	while ((c = getopt_long(argc, argv, spelling.letters, spelling.longs, NULL)) != -1) {
		spec = spec_of(c);
		if (!spec) {
			viz_error(c == ':' ? "option '%s' needs a value"
					   : "unknown option '%s' (vizbpf --help)",
				  argv[optind - 1]);
			return VIZ_OPTIONS_BAD;
		}
		err = take(opt, spec, optarg);
		if (err)
			return err < 0 ? VIZ_OPTIONS_BAD : VIZ_OPTIONS_DONE;
		/* What follows -m MODULE belongs to the module. */
		if (spec->letter == 'm')
			break;
	}
	return VIZ_OPTIONS_RUN;
}

enum viz_options_result viz_options__parse(struct viz_options *opt, int argc, char **argv)
{
	enum viz_options_result result;
	char why[512];

	*opt = (struct viz_options){
		.output = "result.json",
		.ready_fd = -1,
		.filter.stdlib = -1,
		.sources = true,
		.before = UINT64_MAX,
		.after = UINT64_MAX,
	};
	if (join_command(opt, argc, argv) || viz_select__init(&opt->select, why, sizeof(why)))
		return VIZ_OPTIONS_BAD;
	result = parse_all(opt, argc, argv);
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
