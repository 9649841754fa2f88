#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the Python extension costs.

    bench/ext_cost.py [--vizbpf build/vizbpf] [--rounds 5] [--json FILE] [PYTHON...]

Each PYTHON has the extension installed (and viztracer, to be compared with it). Two tables:

* custom events: nanoseconds of each kind, nobody listening and (as root, with a built vizbpf)
  traced from outside, from Python and from C (vizbpf.h, where there is a compiler);
* the in-process recorder: nanoseconds added to a Python call and to a C call, beside VizTracer's
  on the same program.

Every number is the median over the rounds of the least of many short runs in one process; the
variants take turns within a round (A B C A B C ...), so that a busy machine hurts all alike.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

LOOP = """
import sys, time
def least(function, n, runs):
    best = float("inf")
    for _ in range(runs):
        begin = time.perf_counter()
        function(n)
        best = min(best, time.perf_counter() - begin)
    return best / n * 1e9
"""

EVENTS = LOOP + """
import gc, vizbpf
isenabled = gc.isenabled
instant, event, counter, begin, end = vizbpf.instant, vizbpf.event, vizbpf.counter, vizbpf.begin, vizbpf.end
flow_step, async_begin, ready = vizbpf.flow_step, vizbpf.async_begin, event("ready made")
def nothing(n):
    for _ in range(n): pass
def any_c_function(n):
    for _ in range(n): isenabled()
def instant_plain(n):
    for _ in range(n): instant("x")
def instant_args(n):
    args = {"a": 1, "b": "text"}
    for _ in range(n): instant("x", args)
def counter_number(n):
    for _ in range(n): counter("x", 1.5)
def begin_alone(n):
    for _ in range(n): begin("x")
def end_alone(n):
    for _ in range(n): end("x")
def flow(n):
    for _ in range(n): flow_step("x", 1)
def async_one(n):
    for _ in range(n): async_begin("x", 1)
def with_event(n):
    for _ in range(n):
        with event("x"): pass
def with_ready(n):
    for _ in range(n):
        with ready: pass
print("ready", flush=True)
sys.stdin.readline()
n, runs = (2000, 20) if vizbpf.enabled() else (20000, 40)
base = least(nothing, n, runs)
costs = {f.__name__: least(f, n, runs) - base for f in (any_c_function, instant_plain, instant_args,
         counter_number, begin_alone, end_alone, flow, async_one, with_event, with_ready)}
if len(sys.argv) > 1:
    import ctypes
    library = ctypes.CDLL(sys.argv[1])
    library.measure.restype = ctypes.c_double
    limit = time.monotonic() + 5
    while vizbpf.enabled() and not library.heard() and time.monotonic() < limit:
        time.sleep(0.01)
    assert bool(library.heard()) == vizbpf.enabled(), "vizbpf does not listen to the C library"
    costs.update({kind: library.measure(i, n * 10) for i, kind in enumerate(("C_instant", "C_begin_or_end"))})
print(costs, vizbpf.enabled(), flush=True)
"""

C_EVENTS = """
#include <time.h>
#include <vizbpf.h>
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}
int heard(void) { return vizbpf_enabled(); }
#define LEAST(body)                                                                             \\
	for (int run = 0; run < 20; run++) {                                                    \\
		double begin = now();                                                           \\
		for (int i = 0; i < n; i++) {                                                   \\
			body;                                                                   \\
			__asm__ volatile("" ::: "memory");                                      \\
		}                                                                               \\
		double took = now() - begin;                                                    \\
		least = took < least ? took : least;                                            \\
	}
/* Nanoseconds an event of @kind, the loop taken off. */
double measure(int kind, int n)
{
	double least = 1e30, loop;

	LEAST((void)0);
	loop = least;
	least = 1e30;
	if (kind == 0)
		LEAST(vizbpf_instant("x", NULL, NULL))
	else
		LEAST(vizbpf_begin("x", NULL, NULL); vizbpf_end("x"))
	return (least - loop) / n / (kind == 0 ? 1 : 2);
}
"""


def c_library(python, folder):
    """The arguments that make EVENTS measure C events too."""
    include = subprocess.run([python, "-c", "import vizbpf; print(vizbpf.get_include())"],
                             stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
    source, library = os.path.join(folder, "events.c"), os.path.join(folder, "events.so")
    with open(source, "w") as file:
        file.write(C_EVENTS)
    try:
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-I", include, source, "-o", library], check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [library]


CALLS = LOOP + """
mode = sys.argv[1]
def leaf(a): return a
class Thing:
    def method(self, a): return a
def python_calls(n):
    thing = Thing()
    for i in range(n // 2):
        leaf(i); thing.method(i)
def c_calls(n):
    data = [1, 2]
    for i in range(n // 2):
        len(data); data.copy()
tracer = None
if mode.startswith("viztracer"):
    from viztracer import VizTracer
if mode.startswith("vizbpf"):
    from vizbpf import VizTracer
if mode != "plain":
    tracer = VizTracer(verbose=0, ignore_c_function=mode.endswith("-python"))
    tracer.start()
result = {f.__name__: least(f, 10000, 60) for f in (python_calls, c_calls)}
if tracer:
    tracer.stop()
print(result)
"""


def run_events(python, program, library):
    """{kind: ns}; @program: a vizbpf that listens, or None. None when it could not."""
    process = subprocess.Popen([python, "-c", EVENTS] + library, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               universal_newlines=True)
    tracer = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            if process.stdout.readline() != "ready\n":
                raise SystemExit("%s: the extension is not installed there" % python)
            if program:
                ready, told = os.pipe()
                tracer = subprocess.Popen([program, "-q", "-p", str(process.pid), "--ready-fd", str(told),
                                           "-o", os.path.join(folder, "out.json")], pass_fds=[told],
                                          stderr=subprocess.DEVNULL)
                os.close(told)
                if not os.read(ready, 1):
                    return None
            output = process.communicate("\n")[0].rsplit(" ", 1)
            return eval(output[0]) if output[1].strip() == str(bool(program)) else None
        finally:
            for one in (process, tracer):
                if one is not None and one.poll() is None:
                    one.terminate()
                    one.wait()


def run_calls(python, mode):
    result = subprocess.run([python, "-c", CALLS, mode], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            universal_newlines=True)
    return eval(result.stdout) if result.returncode == 0 else None


def in_turns(variants, rounds):
    """{variant: {measure: median}} of functions that return {measure: ns} or None."""
    seen = {name: [] for name in variants}
    for _ in range(rounds):
        for name, function in variants.items():
            result = function()
            if result is not None:
                seen[name].append(result)
    return {name: {key: statistics.median(r[key] for r in results) for key in results[0]}
            for name, results in seen.items() if results}


def measure_events(python, options):
    with tempfile.TemporaryDirectory() as folder:
        library = c_library(python, folder)
        variants = {"idle": lambda: run_events(python, None, library)}
        if options.vizbpf and os.access(options.vizbpf, os.X_OK) and not os.geteuid():
            variants["traced"] = lambda: run_events(python, options.vizbpf, library)
        return in_turns(variants, options.rounds)


def measure_calls(python, options):
    """{mode: {kind of call: ns added}} of the modes that can run there."""
    modes = ("plain", "vizbpf-python", "viztracer-python", "vizbpf-all", "viztracer-all")
    calls = in_turns({mode: lambda mode=mode: run_calls(python, mode) for mode in modes}, options.rounds)
    plain = calls.pop("plain")
    return {mode: {kind: ns - plain[kind] for kind, ns in row.items()} for mode, row in calls.items()}


def measure(python, options):
    version = subprocess.run([python, "-c", "import platform; print(platform.python_version())"],
                             stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
    result = {"version": version, "added": measure_calls(python, options)}
    if not options.calls_only:
        result["events"] = measure_events(python, options)
    return result


def show(python, result):
    print("\n%s (%s)" % (python, result["version"]))
    if "events" in result:
        print("  %-20s %10s %10s   (ns an event)" % ("event", "idle", "traced"))
        for kind, idle in result["events"]["idle"].items():
            traced = result["events"].get("traced", {}).get(kind)
            print("  %-20s %10.1f %10s" % (kind, idle, "-" if traced is None else "%.0f" % traced))
    print("  %-20s %10s %10s %8s   (ns added to a call)" % ("recorder", "vizbpf", "VizTracer", "ratio"))
    for what, mode, kind in (("Python, C left out", "python", "python_calls"),
                             ("Python, C recorded", "all", "python_calls"), ("C", "all", "c_calls")):
        ours = result["added"]["vizbpf-" + mode][kind]
        theirs = result["added"].get("viztracer-" + mode, {}).get(kind)
        print("  %-20s %10.1f %10s %8s" % (what, ours, "%.1f" % theirs if theirs else "-",
                                          "%.2f" % (ours / theirs) if theirs else "-"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vizbpf", default="build/vizbpf", help="a built vizbpf (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls-only", action="store_true", help="leave the custom events out")
    parser.add_argument("--json", help="write all numbers there")
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    options = parser.parse_args()
    results = {}
    for python in options.pythons:
        results[python] = measure(python, options)
        show(python, results[python])
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
