# SPDX-License-Identifier: Apache-2.0
"""Tools that observe a program from inside, for subject.py: a debugger and coverage.py. What
they say must not depend on who observes it from outside. Runs on CPython 3.6 and later."""
import hashlib
import io
import os
import pdb
import re
import sys
import threading

commands = {}


def command(function):
    commands[function.__name__] = function
    return function


def leaf(x):
    return x + 1


def middle(x):
    if x % 2:
        return leaf(x) * 2
    return sum(leaf(i) for i in (x, x))


def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)


def through_c(n):
    if n == 0:
        return 0
    return 1 + sorted([n], key=lambda _: through_c(n - 1))[0] * 0


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@command
def debug(count):
    """What somebody sees who steps through calls with pdb, with a conditional breakpoint."""
    script = ["s", "s", "a", "w", "p x", "u", "p x", "d", "n", "n", "r", "n", "unt", "c"]
    said = io.StringIO()
    debugger = pdb.Pdb(stdin=io.StringIO("\n".join(script * int(count)) + "\n"), stdout=said, nosigint=True)
    debugger.use_rawinput = False
    debugger.set_break(__file__, leaf.__code__.co_firstlineno + 1, cond="x % 2")
    results = [debugger.runcall(middle, i) for i in range(int(count))]
    debugger.clear_all_breaks()
    sys.settrace(None)
    text = re.sub("0x[0-9a-f]+", "0x", said.getvalue())
    return {"results": results, "said": digest(text), "lines": text.count("\n")}


running = []


@command
def coverage_begin(core):
    """core: ctrace, or sysmon where coverage.py and the interpreter have it."""
    os.environ["COVERAGE_CORE"] = core
    import coverage

    # Branches by sys.monitoring are a newer thing than lines.
    one = coverage.Coverage(data_file=None, config_file=False, branch=core != "sysmon", include=[__file__])
    one.start()
    running.append(one)
    return {"core": type(next(iter(one._collector.tracers), None)).__name__}


@command
def coverage_work(count):
    """Something to be covered, on several threads too."""
    results = []
    others = [threading.Thread(target=lambda: results.append(deep(30))) for _ in range(5)]
    for one in others:
        one.start()
    for one in others:
        one.join()
    results += [middle(i) for i in range(int(count))] + [deep(200), through_c(5)]
    try:
        deep(10000)
    except RecursionError:
        results.append("RecursionError")
    return {"results": digest(repr(results))}


@command
def coverage_end():
    one = running.pop()
    one.stop()
    report = io.StringIO()
    one.report(file=report, show_missing=True)
    data = one.get_data()
    lines, arcs = sorted(data.lines(__file__)), sorted(data.arcs(__file__) or [])
    return {"lines": len(lines), "arcs": len(arcs), "said": digest(repr((lines, arcs, report.getvalue())))}
