# SPDX-License-Identifier: Apache-2.0
"""Custom events in the trace of a vizbpf that is attached from outside."""
import os
import shutil
import subprocess
import sys

from support import Skip, find, folder, load, vizbpf, write

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


def _attached(here, when):
    """The trace of the program above, vizbpf attached to it."""
    program = vizbpf()
    # A copy of the package, which nobody else has mapped: where others have, vizbpf attaches to
    # single processes, and a child's first milliseconds are not heard.
    import vizbpf as package

    shutil.copytree(os.path.dirname(package.__file__), os.path.join(here, "site", "vizbpf"))
    environment = dict(os.environ, PYTHONPATH=os.path.join(here, "site"))
    script = write(os.path.join(here, "program.py"), _PROGRAM)
    out = os.path.join(here, "out.json")
    python = subprocess.Popen([sys.executable, script, when], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, env=environment)
    tracer = None
    try:
        assert python.stdout.readline() == "ready\n", python.communicate()
        ready, told = os.pipe()
        tracer = subprocess.Popen([program, "-p", str(python.pid), "-o", out, "--ready-fd", str(told)],
                                  pass_fds=[told], stderr=subprocess.PIPE, universal_newlines=True)
        os.close(told)
        if not os.read(ready, 1):
            error = tracer.communicate()[1]
            if "traced by another vizbpf" in error:
                raise Skip(error.strip())
            raise AssertionError(error)
        os.close(ready)
        python.stdin.write("\n")
        python.stdin.flush()
        line = python.stdout.readline()
        if line != "done\n":
            error = python.communicate()[1]
            if "assert vizbpf.enabled()" in error:
                raise Skip("this vizbpf does not listen to custom events")
            raise AssertionError(error)
        tracer.send_signal(2)
        _, error = tracer.communicate(timeout=60)
        assert tracer.returncode == 0, error
        output, error = python.communicate("\n", timeout=30)
        assert output == "quiet\n", error
    finally:
        for process in (python, tracer):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
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


def test_imported_before_the_attach():
    with folder() as here:
        _check(_attached(here, "early"))


def test_imported_after_the_attach():
    with folder() as here:
        _check(_attached(here, "late"))
