# SPDX-License-Identifier: Apache-2.0
"""Beside a vizbpf that is attached from outside: custom events, and the recorder."""
import collections
import contextlib
import os
import shutil
import subprocess
import sys

import vizbpf as package
from support import Skip, find, folder, load, short, vizbpf, write

_PROGRAM = """
import os, sys, threading, time
if sys.argv[1] == "early":
    import vizbpf
print("ready", flush=True)
sys.stdin.readline()
import vizbpf
def wait():
    limit = time.monotonic() + 10
    while not vizbpf.enabled() and time.monotonic() < limit:
        time.sleep(0.001)
    assert vizbpf.enabled()
wait()
def work(name):
    with vizbpf.event("load", {"n": 3}, "io"):
        vizbpf.instant("miss", {"who": name, "odd": ["\\u00e4\\n", 1 << 70, float("nan")]}, "p")
    vizbpf.counter("level", 1.5)
    vizbpf.counter("many", {"a": 1, "b": 2})
    vizbpf.async_begin("request", "x"); vizbpf.async_end("request", "x")
    with vizbpf.object("job", {"s": 1}): pass
    vizbpf.flow_start("arrow", 5)
    for i in range(100):
        vizbpf.instant("tick", {"i": i})
work("main")
thread = threading.Thread(target=work, args=("other",)); thread.start(); thread.join()
pid = os.fork()
if not pid:
    wait()
    vizbpf.flow_end("arrow", 5)
    vizbpf.instant("in the child", {"pad": "x" * 5000})
    vizbpf.begin("never ended")
    os._exit(0)
os.waitpid(pid, 0)
print("done", flush=True)
sys.stdin.readline()
assert not vizbpf.enabled()
print("quiet", flush=True)
"""


@contextlib.contextmanager
def _process(*command, **settings):
    """One that reads from and writes to us; ended at the end."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               universal_newlines=True, **settings)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextlib.contextmanager
def _attached(pid, out, *options):
    """vizbpf, while it records @pid; yields what ends it."""
    ready, told = os.pipe()
    command = [vizbpf(), "-p", str(pid), "-o", out, "--ready-fd", str(told)] + list(options)
    with _process(*command, pass_fds=[told]) as tracer:
        os.close(told)
        if not os.read(ready, 1):
            error = tracer.communicate()[1]
            if "traced by another vizbpf" in error or "engine trampoline" in error:
                raise Skip(error.strip())
            raise AssertionError(error)
        os.close(ready)

        def stop():
            tracer.send_signal(2)
            _, error = tracer.communicate(timeout=60)
            assert tracer.returncode == 0, error
        yield stop


def _go_on(process, expected):
    """Lets it run to the next line that it writes, which is that one."""
    process.stdin.write("\n")
    process.stdin.flush()
    line = process.stdout.readline()
    assert line.strip() == expected, (line, process.communicate()[1])


def _traced(here, when, engine):
    """The trace of the program above, vizbpf attached to it."""
    vizbpf()
    # A copy of the package, which nobody else has mapped: where others have, vizbpf attaches to
    # single processes, and a child's first milliseconds are not heard.
    shutil.copytree(os.path.dirname(package.__file__), os.path.join(here, "site", "vizbpf"))
    environment = dict(os.environ, PYTHONPATH=os.path.join(here, "site"))
    script = write(os.path.join(here, "program.py"), _PROGRAM)
    out = os.path.join(here, "out.json")
    with _process(sys.executable, script, when, env=environment) as python:
        assert python.stdout.readline() == "ready\n", python.communicate()
        with _attached(python.pid, out, "--engine", engine) as stop:
            _go_on(python, "done")
            stop()
        output, error = python.communicate("\n", timeout=30)
        assert output == "quiet\n", error
    return load(out)


def _check(trace):
    load_ = find(trace, "load")
    assert [e["ph"] for e in load_] == ["X", "X"] and load_[0]["tid"] != load_[1]["tid"]
    assert all(e["cat"] == "io" and e["args"] == {"n": 3} for e in load_)
    miss = find(trace, "miss")
    assert [e["args"]["who"] for e in miss] == ["main", "other"] and {e["s"] for e in miss} == {"p"}
    assert miss[0]["args"]["odd"] == ["\u00e4\n", 1 << 70, "nan"], miss[0]
    assert load_[0]["ts"] <= miss[0]["ts"] <= load_[0]["ts"] + load_[0]["dur"]
    assert [e["args"] for e in find(trace, "level")] == [{"value": 1.5}] * 2
    assert [e["args"] for e in find(trace, "many")] == [{"a": 1, "b": 2}] * 2
    request = find(trace, "request")
    assert [e["ph"] for e in request] == ["b", "e"] * 2 and len({e["id"] for e in request}) == 1
    assert [e["ph"] for e in find(trace, "job")] == ["N", "O", "D"] * 2
    assert [e["args"]["i"] for e in find(trace, "tick")] == list(range(100)) * 2
    arrow = sorted(find(trace, "arrow"), key=lambda e: e["ts"])
    assert [e["ph"] for e in arrow] == ["s", "s", "f"] and arrow[2]["pid"] != arrow[0]["pid"], arrow
    child, = find(trace, "in the child")
    assert child["args"]["pad"].endswith("..."), child
    assert find(trace, "never ended")[0]["ph"] == "X"


def _check_engine(engine):
    for when in ("early", "late"):  # imported before the attach, and after
        with folder() as here:
            _check(_traced(here, when, engine))


def test_events_with_engine_auto():
    _check_engine("auto")


def test_events_with_engine_eval():
    _check_engine("eval")


def test_events_with_engine_trampoline():
    _check_engine("trampoline")


_BESIDE = """
import os, sys, threading
from vizbpf import VizTracer
order, with_c, out = sys.argv[1:]
tracer = VizTracer(output_file=out, verbose=0, ignore_c_function=with_c == "no")
class Thing:
    def __init__(self): self.n = 0
    def method(self, n): self.n += n; return leaf(n)
def leaf(n): return n
def numbers(n):
    for i in range(n): yield leaf(i)
def fails(): raise KeyError
def both():
    thing = Thing()
    for i in range(200): thing.method(i)
    for i in numbers(50): leaf(i)
    for i in range(10):
        try: fails()
        except KeyError: pass
    thread = threading.Thread(target=in_thread); thread.start(); thread.join()
def in_thread():
    for i in range(100): leaf(i)
def outside_alone():
    for i in range(500): leaf(i)
def step(word):
    print(word, flush=True)
    sys.stdin.readline()
if order == "inside":
    tracer.start()
step("ready")
if order == "outside":
    tracer.start()
both()
step("both")
tracer.stop()
outside_alone()
step("alone")
tracer.save()
print("saved", flush=True)
sys.stdin.readline()
"""
_BOTH = {"leaf": 400, "method": 200, "numbers": 51, "fails": 10, "in_thread": 1, "both": 1, "__init__": 1}


def _check_beside(engine):
    """The recorder inside and vizbpf outside see the same calls, whoever begins and ends first."""
    for order in ("inside", "outside"):
        for first_to_end in ("inside", "outside"):
            _check_one(engine, order, first_to_end, "no")
    _check_one(engine, "outside", "inside", "yes")


def _check_one(engine, order, first_to_end, with_c):
    with folder() as here:
        script = write(os.path.join(here, "program.py"), _BESIDE)
        paths = {side: os.path.join(here, side + ".json") for side in ("inside", "outside")}
        with _process(sys.executable, script, order, with_c, paths["inside"]) as python:
            assert python.stdout.readline() == "ready\n"
            with _attached(python.pid, paths["outside"], "--engine", engine) as stop:
                _go_on(python, "both")
                if first_to_end == "inside":
                    _go_on(python, "alone")
                stop()
            for word in ("alone", "saved")[first_to_end == "inside":]:
                _go_on(python, word)
            assert python.communicate("\n")[1] == "" and python.returncode == 0
        for side in ("inside", "outside"):
            seen = collections.Counter(short(e["name"]) for e in load(paths[side])["traceEvents"]
                                       if e["ph"] == "X" and "program.py" in e["name"])
            expected = dict(_BOTH)
            if side == "outside" and first_to_end == "inside":
                expected.update(leaf=900, outside_alone=1)
            wrong = {name: (seen[name], nr) for name, nr in expected.items() if seen[name] != nr}
            assert not wrong, (engine, order, first_to_end, with_c, side, wrong)


def test_recorder_beside_engine_eval():
    _check_beside("eval")


def test_recorder_beside_engine_trampoline():
    _check_beside("trampoline")
