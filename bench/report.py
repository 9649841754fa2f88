#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The results of bench/run, for people.

    bench/report.py [FILE]              the table (FILE: build/bench.json)
    bench/report.py [FILE] --markdown   the same as docs/benchmarks.md has it
"""
import json
import os
import sys

COLUMNS = (
    # heading, key, format, factor
    ("time, ratio", "ratio", "%.2f", 1),
    ("added, ns/call", "added", "%.0f", 1),
    ("file after, s", "complete", "%.2f", 1),
    ("stop, s", "stop", "%.2f", 1),
    ("file, MB", "size", "%.1f", 1e-6),
    ("bytes/call", "bytes", "%.0f", 1),
    ("calls seen, %", "seen", "%.1f", 100),
    ("lost", "lost", "%.0f", 1),
    ("tool, MB", "tool_memory", "%.0f", 1 / 1024),
    ("tool CPU, s", "tool_cpu", "%.2f", 1),
    ("program grows, MB", "growth", "%.1f", 1 / 1024),
)

INTRODUCTION = """# What tracing costs

Written by `make bench-update` from the last `make bench`; do not edit. Read ratios: the machine
is small and shared, and absolute times of another one differ.

Every variant runs once a round, in turns; a number is the median over the rounds.

* **time, ratio**: run time of the program, to the untraced run of the same round.
* **added**: CPU time of the recorded process, the least of the rounds, above that of the untraced
  runs, for each call that the program makes (entry and return together).
* **file after, stop**: seconds from Ctrl-C (for tools that run inside the program: from its end)
  until vizbpf's file is complete, and until the tool has ended. Between the two the kernel takes
  the probes out, which lasts longer on a busy machine.
* **calls seen**: calls in the file, to those that the program made.
* **tool, MB / CPU**: peak memory and CPU time of the tracer's own process; an in-process tool has
  none of its own.
* **program grows**: how much more the program's resident memory grew than untraced.

VizTracer "light" is VizTracer with `--ignore_multiprocess`. py-spy samples 100 times a second and
records no calls. cProfile keeps sums only.
"""


def cell(value, form, factor):
    return "-" if value is None else form % (value * factor)


def show_number(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return "{:,}".format(value) if isinstance(value, int) else "%.3g" % value


def rows_of(program):
    """(tool, cells) or (tool, text)"""
    for name, row in program["rows"].items():
        if "failed" in row:
            yield name, row["failed"]
        else:
            yield name, [cell(row.get(key), form, factor) for _, key, form, factor in COLUMNS]


def heading(name, program):
    if "absent" in program:
        return "%s: %s" % (name, program["absent"])
    calls = program["calls"]
    return "%s (%s calls)" % (name, "?" if calls is None else "{:,}".format(calls))


def as_text(results):
    lines = ["%s: %s" % pair for pair in results["machine"].items()]
    for name, program in results["programs"].items():
        lines += ["", heading(name, program)]
        if "absent" in program:
            continue
        lines.append("  %-20s" % "" + "".join("%15s" % column[0][:14] for column in COLUMNS))
        for tool, cells in rows_of(program):
            lines.append("  %-20s" % tool + (cells if isinstance(cells, str) else
                                             "".join("%15s" % text for text in cells)))
    for name, figure in results["figures"].items():
        lines += ["", name]
        lines += ["  %-40s %s" % (key, show_number(value)) for key, value in figure.items()]
    lines += [""] + ["absent: %s: %s" % pair for pair in results["absent"].items()]
    if "absent" in results.get("extension", {}):
        lines.append("absent: extension: " + results["extension"]["absent"])
    return "\n".join(lines)


def table(headings, rows):
    lines = ["| %s |" % " | ".join(headings), "|%s" % ("---|" * len(headings))]
    return lines + ["| %s |" % " | ".join(row) for row in rows]


def extension_tables(extension):
    if not extension.get("added"):
        return []
    lines = ["", "## The Python extension", ""]
    if "events" in extension:
        idle, traced = (extension["events"].get(key, {}) for key in ("idle", "traced"))
        lines += table(["event", "nobody listens, ns", "traced, ns"],
                       ([kind, "%.1f" % value, show_number(traced.get(kind))]
                        for kind, value in idle.items())) + [""]
    return lines + table(["CPython", "in-process recorder", "Python call, ns added", "C call, ns added"],
                         ([version, mode, *("%.0f" % row[key] for key in ("python_calls", "c_calls"))]
                          for version, modes in extension["added"].items()
                          for mode, row in modes.items()))


def as_markdown(results):
    lines = [INTRODUCTION]
    lines += table(["machine", ""], ((key, str(value)) for key, value in
                                  results["machine"].items()))
    for name, program in results["programs"].items():
        lines += ["", "## " + heading(name, program), ""]
        if "absent" in program:
            continue
        lines += table(["", *(column[0] for column in COLUMNS)],
                       ([tool, *([cells] + [""] * (len(COLUMNS) - 1) if isinstance(cells, str)
                                 else cells)] for tool, cells in rows_of(program)))
    lines += ["", "## Single figures", ""]
    lines += table(["figure", "", ""], ([name, key, show_number(value)] for name, figure in
                                        results["figures"].items()
                                        for key, value in figure.items()))
    lines += extension_tables(results.get("extension", {}))
    if results["absent"]:
        lines += ["", "## Absent", ""]
        lines += ["* %s: %s" % pair for pair in results["absent"].items()]
    return "\n".join(lines) + "\n"


def main():
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    path = names[0] if names else os.path.join(top, os.environ.get("BUILD", "build"), "bench.json")
    try:
        with open(path) as file:
            results = json.load(file)
    except OSError as error:
        raise SystemExit("bench: %s: %s (run make bench)" % (path, error.strerror))
    print(as_markdown(results) if "--markdown" in sys.argv else as_text(results), end="")


if __name__ == "__main__":
    main()
