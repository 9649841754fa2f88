# SPDX-License-Identifier: Apache-2.0
"""The command line of `python -m vizbpf`: VizTracer's options, with - or _ in the names."""
import argparse
import os
import re
import time

from . import variables

_UNITS = {"": 1.0, "ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}


def duration(text):
    """Microseconds of "5", "5us", "5ms", "0.1s", "100ns"."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ns|us|ms|s|)\s*", text)
    if not match:
        raise argparse.ArgumentTypeError("%r is not a duration such as 10us" % text)
    return float(match.group(1)) * _UNITS[match.group(2)]


def _regex(text):
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError("%r is not a regular expression: %s" % (text, error))
    return text


class _Extend(argparse.Action):
    """Several values, and several times."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, (getattr(namespace, self.dest) or []) + values)


# What the program vizbpf can do as root alone.
_ROOT_ONLY = ("include-functions", "exclude-functions", "only-package", "threads", "keep-callees",
              "stdlib", "no-stdlib", "trigger", "before", "after", "start-paused", "engine",
              "ring-size", "ready-fd", "duration", "include-startup", "cgroup", "container",
              "comm", "exclude-pid", "all", "pid", "attach")


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        match = re.search(r"unrecognized arguments: --([\w-]+)", message)
        if match and match.group(1).replace("_", "-") in _ROOT_ONLY:
            message = "--%s is there only where root records from outside" % match.group(1)
        super().error(message)

    def option(self, name, *short, **settings):
        names = list(short) + ["--" + name]
        if "_" in name:
            names.append("--" + name.replace("_", "-"))
        self.add_argument(*names, dest=name, **settings)

    def flag(self, name, *short, **settings):
        self.option(name, *short, action="store_true", **settings)


def _parser():
    parser = _Parser(
        prog="python -m vizbpf", allow_abbrev=False,
        usage="%(prog)s [options] [--] script.py [arguments]\n"
              "       %(prog)s [options] [--] -m module [arguments]",
        description="Runs a Python program and records every function call of it, and of its "
                    "Python children, without root.")
    parser.option("output_file", "-o", "--output", default=None,
                  help="result.json; .json.gz packs it")
    parser.option("output_dir", default=None)
    parser.flag("unique_output_file", "-u", help="the time and the pid become part of the name")
    parser.flag("pid_suffix", help="the pid becomes part of the name")
    parser.flag("quiet", "-q", help="say nothing on standard error")
    parser.flag("open", help="view the result when done (needs the program vizbpf)")
    parser.option("tracer_entries", type=int, default=1000000,
                  help="events kept of a process, the latest ones (default: %(default)s)")
    parser.option("max_stack_depth", type=int, default=-1)
    parser.option("min_duration", type=duration, default=0.0, help="us, or with a unit: 1ms")
    parser.option("include_files", nargs="*", action=_Extend, default=None)
    parser.option("exclude_files", nargs="*", action=_Extend, default=None)
    parser.add_argument("--no-follow", dest="ignore_multiprocess", action="store_true",
                        help=argparse.SUPPRESS)  # as the program vizbpf calls it
    parser.add_argument("--no-sources", "--no_sources", dest="no_file_info", action="store_true",
                        help=argparse.SUPPRESS)
    for name, text in (("ignore_c_function", None), ("ignore_frozen", None),
                       ("log_func_args", "show arguments (repr, bounded)"),
                       ("log_func_retval", "show results (repr, bounded)"),
                       ("log_print", "print() goes into the trace instead of the output"),
                       ("log_gc", "garbage collections"), ("log_sparse", None),
                       ("log_async", "a track for each asyncio task"),
                       ("log_exception", "where exceptions are raised and caught (3.12+)"),
                       ("ignore_multiprocess", "do not record child processes"),
                       ("no_file_info", "leave sources out of the result")):
        parser.flag(name, help=text)
    for name in ("as_root", "c_functions", "verbose"):
        parser.add_argument("--" + name.replace("_", "-"), "--" + name, dest="ignored",
                            action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-v", dest="ignored", action="store_true", help=argparse.SUPPRESS)
    for name in ("user", "log"):
        parser.add_argument("--" + name, dest="ignored", help=argparse.SUPPRESS)
    parser.add_argument("--recover", nargs="*", metavar="FOLDER", default=None,
                        help="make traces of what VizTracer() in killed programs had recorded (and "
                             "look for it in these folders too), then end")
    parser.option("log_audit", nargs="*", default=None, help="audit events that match these")
    for name, text in (("log_var", "values of variables and arguments whose names match these"),
                       ("log_number", "the same, as counters"),
                       ("log_attr", "values of attributes whose names match these")):
        parser.option(name, nargs="*", action=_Extend, type=_regex, default=None, metavar="REGEX", help=text)
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _split(parser, arguments):
    """Options, and the program with its arguments: behind "--", or from the first word that
    is no option on. What follows the program is its own, "--" and -m too."""
    at = len(arguments)
    for mark in ("--", "-m"):
        if mark in arguments[:at]:
            at = arguments.index(mark)
    head = parser.parse_args(arguments[:at])
    if head.command:
        at -= len(head.command)
    elif arguments[at:at + 1] == ["--"]:
        return arguments[:at], arguments[at + 1:]
    return arguments[:at], arguments[at:]


def parse(arguments):
    parser = _parser()
    ours, command = _split(parser, arguments)
    options = parser.parse_args(ours)
    if options.recover is not None and command:
        parser.error("--recover takes folders, and no program")
    if not command and options.recover is None:
        parser.error("no program is given")
    options.module, options.command = None, command
    if command[:1] == ["-m"]:
        if len(command) < 2:
            parser.error("-m needs the name of a module")
        options.module, options.command = command[1], command[2:]
    if options.include_files is not None and options.exclude_files is not None:
        parser.error("--include_files and --exclude_files cannot both be given")
    return options


def output_path(options, pid):
    path = options.output_file or "result.json"
    stem, suffix = path, ""
    for known in (".json.gz", ".gz", ".json", ".html"):
        if path.endswith(known):
            stem, suffix = path[:-len(known)], known
            break
    if options.unique_output_file:
        stem += time.strftime("_%Y%m%d_%H%M%S") + "_%d" % pid
    elif options.pid_suffix:
        stem += "_%d" % pid
    path = stem + suffix
    if options.output_dir:
        path = os.path.join(options.output_dir, os.path.basename(path))
    return os.path.abspath(path)


def tracer_arguments(options):
    """What VizTracer() gets."""
    return {name: getattr(options, name) for name in (
        "tracer_entries", "max_stack_depth", "include_files", "exclude_files", "ignore_c_function",
        "ignore_frozen", "log_func_args", "log_func_retval", "log_print", "log_gc", "log_sparse",
        "log_async", "log_exception", "log_audit", "min_duration")}


def variable_patterns(options):
    """What variables.install() gets."""
    return {name: getattr(options, name) for name in variables.KINDS}
