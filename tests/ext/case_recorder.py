# SPDX-License-Identifier: Apache-2.0
"""The in-process recorder: exact, filtered, bounded."""
import asyncio
import collections
import contextlib
import gc
import io
import json
import os
import random
import sys
import tempfile
import threading
import time

import sample
import vizbpf
from support import find, folder, names, python, recorded, short, write
from vizbpf import VizTracer


def _truth(function):
    """Calls as sys.setprofile sees them: functions of sample.py by name, resumes included."""
    seen = collections.Counter()

    def hook(frame, event, arg):
        if event == "call" and frame.f_code.co_filename == sample.__file__:
            seen[frame.f_code.co_name] += 1

    threading.setprofile(hook)
    sys.setprofile(hook)
    try:
        function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return seen


def _counted(trace):
    return collections.Counter(short(e["name"]) for e in trace["traceEvents"]
                               if e["ph"] in "XB" and sample.__file__ in e["name"])


def _same(function, **settings):
    function()  # warm: specialised code must be counted as well
    truth = _truth(function)
    trace = recorded(function, **settings)
    assert sum(truth.values()) > 5, truth
    assert _counted(trace) == truth, (_counted(trace) - truth, truth - _counted(trace))
    return trace


def test_exact_with_c_functions():
    _same(sample.everything)


def test_exact_without_c_functions():
    _same(sample.everything, ignore_c_function=True)


def test_exact_with_arguments():
    _same(sample.everything, log_func_args=True, log_func_retval=True)


class _Items:
    def __getitem__(self, i):
        return sample.leaf(i)


class _More(_Items):
    pass


def _subscripts(n, *objects):
    for i in range(n):
        for thing in objects:
            thing[0]


def _late(n, thing):
    for i in range(n):
        if i == n - 1:
            for _ in range(9):
                thing[i]


_Made = type("_Made", (), {"__getitem__": lambda self, i: sample.leaf(i)})


def test_subscripts_of_every_temperature():
    # Specialised before the recording, in it, when other types have been there, in code that runs
    # already, between two recordings, at an instruction that had never run.
    def program():
        _subscripts(300, _Items())
        _subscripts(100, [1], {0: 1}, _Items(), (1,), "a", _More())
        _late(200, _Items())
        _subscripts(200, [1])
        _subscripts(50, _Made())
        thread = threading.Thread(target=_subscripts, args=(100, _More()))
        thread.start()
        thread.join()

    expected = 300 + 200 + 9 + 50 + 100
    for warm in (False, True):
        if warm:
            program()
        seen = collections.Counter(short(n) for n in names(recorded(program, ignore_c_function=True)))
        assert seen["leaf"] == expected, (warm, seen)
        assert seen["__getitem__"] == expected - 50, (warm, seen)
    tracer = vizbpf.VizTracer(verbose=0, register_global=False, ignore_c_function=True)
    thing = _Items()
    for i in range(300):
        if i in (100, 150, 250):
            (tracer.stop if i == 150 else tracer.start)()
        thing[i]
        if i == 200:
            _subscripts(9000, [1], thing)
    tracer.stop()
    tracer.parse()
    seen = collections.Counter(short(n) for n in names(tracer.data))
    tracer.clear()
    assert seen["__getitem__"] == 100, seen


def test_slices_nest():
    trace = recorded(sample.everything)
    by_thread = collections.defaultdict(list)
    for e in trace["traceEvents"]:
        if e["ph"] == "X":
            by_thread[e["tid"]].append((round(e["ts"] * 1000), -round(e["dur"] * 1000)))
    for slices in by_thread.values():
        ends = []
        for begin, duration in sorted(slices):
            end = begin - duration
            while ends and ends[-1] <= begin:
                ends.pop()
            # two readings of the clock may round differently by a nanosecond
            assert not ends or end <= ends[-1] + 1, (begin, end, ends[-1])
            ends.append(end)


def test_times_are_of_the_monotonic_clock():
    before = time.monotonic() * 1e6
    trace = recorded(lambda: time.sleep(0.05))
    after = time.monotonic() * 1e6
    sleep, = find(trace, "time.sleep")
    assert before - 50 <= sleep["ts"] and sleep["ts"] + sleep["dur"] <= after + 50, (before, sleep, after)
    assert 50000 <= sleep["dur"] < 500000, sleep


def test_c_functions_have_names():
    def calls():
        len([1])
        [].append(1)
        sorted([2, 1])
        "a,b".split(",")
        int("3")
        os.getpid()
        collections.OrderedDict.fromkeys([1]).move_to_end(1)
        io.StringIO().getvalue()
        Mapping().get(1)

    class Mapping(dict):
        pass

    seen = set(names(recorded(calls)))
    want = {"builtins.len", "list.append", "builtins.sorted", "str.split", "posix.getpid",
            "collections.OrderedDict.move_to_end", "_io.StringIO.getvalue", "dict.get"}
    if sys.version_info < (3, 12):  # the object that is called is bound there, to one of that type
        want = want - {"dict.get"} | {"Mapping.get"}
    assert want <= seen, want - seen
    if sys.version_info >= (3, 12):
        assert "builtins.int" in seen
    assert not set(names(recorded(calls, ignore_c_function=True))) & want


def test_raised_calls_are_marked():
    def fails():
        raise ValueError("x")

    def catches():
        try:
            fails()
        except ValueError:
            pass

    trace = recorded(catches)
    assert find(trace, "fails")[0]["args"]["raised"] is True
    assert "args" not in find(trace, "catches")[0]


def test_arguments_and_results():
    def called(a, *rest, b=2, **more):
        return [a, rest]

    trace = recorded(lambda: called(1, "x", b="é", z=None), log_func_args=True, log_func_retval=True)
    args = find(trace, "called")[0]["args"]
    assert args["func_args"] == {"a": "1", "rest": "('x',)", "b": "'é'", "more": "{'z': None}"}, args
    assert args["return_value"] == "[1, ('x',)]", args


def test_hostile_arguments():
    class Bad:
        def __repr__(self):
            raise KeyboardInterrupt("mine")

    def called(a, self):
        return a

    def bad_repr(value):
        raise RuntimeError("no")

    trace = recorded(lambda: called(Bad(), 1), log_func_args=True, log_func_retval=True)
    assert find(trace, "called")[0]["args"]["func_args"]["a"] == "<Bad object>"
    trace = recorded(lambda: called(1, 2), log_func_args=True, log_func_repr=bad_repr)
    assert find(trace, "called")[0]["args"]["func_args"]["a"] == "(not representable)"
    trace = recorded(lambda: called(1, 2), log_func_args=True, log_func_repr=lambda v: "r%s" % v)
    assert find(trace, "called")[0]["args"]["func_args"] == {"a": "r1", "self": "r2"}


def test_an_interrupt_is_not_lost():
    import signal

    class Slow:
        def __repr__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # the handler runs here, in a repr of ours
                pass
            return "slow"

    def called(value):
        for _ in range(100000):
            pass
        return value

    def program():
        try:
            called(Slow())
        except KeyboardInterrupt:
            return
        raise AssertionError("the interrupt was lost")

    recorded(program, log_func_args=True)


def test_exceptions_are_shown_on_request():
    def fails():
        raise ValueError("x")

    def catches():
        try:
            fails()
        except ValueError:
            pass

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        trace = recorded(catches, log_exception=True)
    assert ("needs CPython 3.12" in said.getvalue()) == (sys.version_info < (3, 12)), said.getvalue()
    if sys.version_info >= (3, 12):
        assert names(trace, "i") == ["exception raised", "exception caught"]
        assert find(trace, "exception raised")[0]["args"] == {"exception": "ValueError('x')"}


def test_garbage_collections_are_shown_on_request():
    trace = recorded(gc.collect, log_gc=True)
    counters = [e for e in find(trace, "garbage collection") if e["ph"] == "C"]
    assert [e["args"]["collecting"] for e in counters] == [1, 0], counters


def test_depth_duration_and_files():
    def outer():
        inner()
        time.sleep(0.02)

    def inner():
        sample.leaf(1)

    trace = recorded(outer, max_stack_depth=2, ignore_c_function=True)
    assert {short(n) for n in names(trace)} == {"outer", "inner"}, names(trace)
    trace = recorded(outer, min_duration=10000, ignore_c_function=True)
    assert {short(n) for n in names(trace)} == {"outer"}, names(trace)
    trace = recorded(outer, exclude_files=[sample.__file__], ignore_c_function=True)
    assert {short(n) for n in names(trace)} == {"outer", "inner"}, names(trace)
    trace = recorded(sample.calls_back, include_files=[sample.__file__], ignore_c_function=True)
    assert {short(n) for n in names(trace)} == {"calls_back", "leaf"}, names(trace)
    # what a rejected function calls is rejected with it
    trace = recorded(outer, include_files=[sample.__file__])
    assert names(trace) == [], names(trace)


def test_ring_keeps_the_latest_and_the_quiet():
    def quiet():
        sample.leaf(0)

    def busy():
        for i in range(30000):
            sample.leaf(i)

    def program():
        thread = threading.Thread(target=quiet, name="quiet one")
        thread.start()
        thread.join()
        busy()
        sample.recursive(2)

    tracer = VizTracer(verbose=0, tracer_entries=8192, ignore_c_function=True, register_global=False)
    tracer.start()
    program()
    tracer.stop()
    count = tracer.parse()
    seen = collections.Counter(short(n) for n in names(tracer.data))
    assert 4096 <= count <= 8192 + 2048, count
    assert tracer.data["viztracer_metadata"]["overflow"] is True
    assert seen["quiet"] == 1 and seen["recursive"] == 3, seen
    tracer.clear()


def test_threads_have_their_names():
    ready = threading.Event()
    lives = threading.Thread(target=ready.wait, name="lives on", daemon=True)
    lives.start()

    def program():
        for name in ("first", "zweiter \u00e4\""):
            thread = threading.Thread(target=sample.leaf, args=(1,), name=name)
            thread.start()
            thread.join()
        ready.set()
        lives.join()

    trace = recorded(program)
    given = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert {"first", "zweiter \u00e4\"", "MainThread"} <= given, given


def test_threads_that_run_already():
    if sys.version_info < (3, 9):
        from support import Skip

        raise Skip("3.8 can set a profile function for the calling thread only")
    go, done = threading.Event(), threading.Event()

    def work():
        go.wait()
        sample.leaf(1)
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    trace = recorded(lambda: (go.set(), done.wait()))
    thread.join()
    assert find(trace, "leaf"), names(trace)


def test_open_calls_when_recording_stops():
    tracer = VizTracer(verbose=0, register_global=False)

    def inside():
        tracer.stop()

    tracer.start()
    inside()
    tracer.parse()
    event, = [e for e in find(tracer.data, "inside")]
    assert event["ph"] == "B" and "dur" not in event, event
    tracer.clear()


def test_start_and_stop_in_odd_places():
    tracer = VizTracer(verbose=0, register_global=False)

    def starts():
        tracer.start()
        sample.leaf(1)

    def stops():
        sample.leaf(2)
        tracer.stop()

    for _ in range(20):
        starts()  # returns from calls that began before
        sample.leaf(3)
        stops()
    tracer.parse()
    assert _counted(tracer.data)["leaf"] == 60, _counted(tracer.data)
    tracer.clear()


def test_asyncio_tasks_have_tracks():
    async def job(n):
        for _ in range(3):
            await asyncio.sleep(0)
            sample.leaf(n)
            print("from", n)

    async def main():
        tasks = [asyncio.ensure_future(job(i)) for i in range(3)]
        if hasattr(tasks[0], "set_name"):
            for i, task in enumerate(tasks):
                task.set_name("job number %d" % i)
        await asyncio.gather(*tasks)

    def program():
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()

    trace = recorded(program, log_async=True, log_print=True, ignore_c_function=True)
    tracks = {e["args"]["name"]: e["tid"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert {"job number 0", "job number 1", "job number 2"} <= set(tracks), tracks
    for i in range(3):
        own = [e for e in trace["traceEvents"] if e["tid"] == tracks["job number %d" % i] and e["ph"] == "X"]
        assert sum(short(e["name"]) == "leaf" for e in own) == 3, own
        prints = [e["tid"] for e in trace["traceEvents"] if e["name"] == "print - from %d\n" % i]
        assert prints == [tracks["job number %d" % i]] * 3, prints


def test_custom_events_reach_the_recorder():
    def program():
        with vizbpf.event("outer", {"n": 1}, "cat"):
            vizbpf.instant("here", {"a": [1]}, "p")
        vizbpf.counter("level", 2.5)
        vizbpf.async_begin("request", "id-1")
        vizbpf.async_end("request", "id-1")
        vizbpf.flow("f")
        vizbpf.flow("f", end=True)
        with vizbpf.object("job", {"state": "new"}):
            pass
        vizbpf.log_var("text", "value")

    trace = recorded(program)
    own = [(e["ph"], e["name"]) for e in trace["traceEvents"] if e["ph"] in "BEiCbestfNOD"]
    assert own == [("B", "outer"), ("i", "here"), ("E", "outer"), ("C", "level"), ("b", "request"),
                   ("e", "request"), ("s", "flow"), ("f", "flow"), ("N", "job"), ("O", "job"),
                   ("D", "job"), ("i", "text")], own
    assert find(trace, "here")[0]["s"] == "p" and find(trace, "level")[0]["args"] == {"value": 2.5}
    assert find(trace, "outer")[0]["args"] == {"n": 1}
    ids = {e["id"] for e in find(trace, "request")}
    assert len(ids) == 1, ids
    snapshot = [e for e in find(trace, "job") if e["ph"] == "O"]
    assert snapshot[0]["args"] == {"snapshot": {"state": "new"}}


def test_a_million_calls_stay_bounded():
    def program():
        leaf = sample.leaf
        for i in range(300000):
            leaf(i)

    tracer = VizTracer(verbose=0, tracer_entries=50000, ignore_c_function=True, register_global=False)
    tracer.start()
    program()
    tracer.stop()
    assert tracer.parse() <= 52048 and tracer.total_entries > 45000
    tracer.clear()


def test_deep_recursion():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)
    try:
        depth = 900 if sys.version_info < (3, 11) else 15000
        trace = recorded(lambda: sample.recursive(depth), ignore_c_function=True)
    finally:
        sys.setrecursionlimit(limit)
    assert _counted(trace)["recursive"] >= 900


_RECORDS_INTO = """
import os, sys, vizbpf
from vizbpf import VizTracer
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
tracer = VizTracer(verbose=0, log_func_args=len(sys.argv) > 2)
tracer._make_spool = lambda: fd
tracer.start()
def leaf(a): return a
def deep(n): return n and deep(n - 1)
for i in range(3000): leaf(i)
vizbpf.instant("here", {"a": 1})
sys.setrecursionlimit(3000)
def bottom(n): return bottom(n - 1) if n else os.kill(os.getpid(), 9)
bottom(500)
"""


def _recover(path):
    """(events, what _native._recover() returns)"""
    with open(path, "rb") as file, tempfile.TemporaryFile() as out:
        result = vizbpf._native._recover(file.fileno(), out.fileno())
        out.seek(0)
        return json.loads("[%s]" % out.read().decode("utf-8")), result


def test_the_file_of_a_killed_process():
    with folder() as here:
        path = os.path.join(here, "spool")
        for more in ([], ["args"]):
            done = python("-c", _RECORDS_INTO, path, *more)
            assert done.returncode == -9, done
            events, (calls, others, dropped, functions) = _recover(path)
            seen = collections.Counter((e["ph"], short(e["name"])) for e in events)
            assert seen["X", "leaf"] == 3000 and seen["B", "bottom"] == 501 and seen["i", "here"] == 1, seen
            assert calls + others == sum(e["ph"] != "M" for e in events) and not dropped
            assert any("leaf" in name for name in functions)
            os.unlink(path)


def test_a_hostile_file_is_no_harm():
    rng = random.Random(int(os.environ.get("VIZ_SEED", "1")))
    with folder() as here:
        path = os.path.join(here, "spool")
        python("-c", _RECORDS_INTO, path, "args")
        with open(path, "rb") as file:
            good = file.read()
        used = [at for at in range(0, len(good), 8) if good[at:at + 8] != bytes(8)]
        refused = 0
        for _ in range(400):
            bad = bytearray(good)
            for _ in range(rng.choice((1, 3, 30, 300))):
                at = rng.choice(used) + rng.randrange(8)
                bad[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
            if rng.random() < 0.2:
                del bad[rng.randrange(len(bad)):]
            write(path, "")
            with open(path, "wb") as file:
                file.write(bad)
            try:
                with open(path, "rb") as file, open(os.devnull, "wb") as out:
                    vizbpf._native._recover(file.fileno(), out.fileno())
            except OSError:
                refused += 1
        assert refused < 400
        write(path, "x" * 70000)
        try:
            _recover(path)
        except OSError:
            return
        raise AssertionError("a file of another kind was read")


_FORKS_IN_REPR = """
import os, sys
class Forks:
    def __repr__(self):
        pid = os.fork()
        if pid: os.waitpid(pid, 0)
        return "in the child" if not pid else "in the parent"
def takes(a): return 1
def after(): pass
def program():
    takes(Forks()); after()
program()
"""


def test_a_repr_that_forks():
    with folder() as here:
        script = write(os.path.join(here, "program.py"), _FORKS_IN_REPR)
        out = os.path.join(here, "out.json")
        done = python("-m", "vizbpf", "-q", "--log-func-args", "-o", out, script)
        assert done.returncode == 0 and not done.stderr, done
        with open(out) as file:
            trace = json.load(file)
        seen = collections.Counter((e["ph"], short(e["name"])) for e in trace["traceEvents"])
        assert seen["X", "after"] == 2 and seen["X", "takes"] == 2 and seen["X", "program"] == 2, seen
        values = sorted(e["args"]["func_args"]["a"] for e in find(trace, "takes"))
        assert values == ["in the child", "in the parent"], values


_LIMITED = """
import os, resource, signal, sys
from vizbpf import VizTracer
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
tracer = VizTracer(verbose=0, ignore_c_function=True)
tracer._make_spool = lambda: fd
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
def leaf(a): return a
tracer.start()
for i in range(50000): leaf(i)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
for i in range(50000): leaf(i)
pid = os.fork()
if not pid:
    for i in range(50000): leaf(i)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
tracer.stop()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
tracer.parse()
print(sum("leaf" in e["name"] for e in tracer.data["traceEvents"]), os.stat(sys.argv[1]).st_size)
"""


def test_a_file_that_cannot_grow():
    # the last one has no room at first and much later on: the file must not come back then
    for limit, later, size in ((1 << 20, 1 << 20, 1 << 20), (1000, 1000, 0), (1000, 1 << 30, 0)):
        with folder() as here:
            done = python("-c", _LIMITED, os.path.join(here, "spool"), str(limit), str(later))
            assert done.stdout == "100000 %d\n" % size, (limit, later, done)


_CLOSES = """
import os, sys
from vizbpf import VizTracer
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
tracer = VizTracer(verbose=0, ignore_c_function=True)
tracer._make_spool = lambda: fd
def leaf(a): return a
tracer.start()
os.closerange(3, 100)
mine = os.open(sys.argv[1] + "-mine", os.O_RDWR | os.O_CREAT)
assert mine == fd
for i in range(100000): leaf(i)
tracer.stop()
tracer.parse()
print(sum("leaf" in e["name"] for e in tracer.data["traceEvents"]), os.fstat(mine).st_size)
tracer.clear()
os.fstat(mine)
"""


def test_a_program_that_closes_what_it_does_not_know():
    with folder() as here:
        done = python("-c", _CLOSES, os.path.join(here, "spool"))
        assert (done.stdout, done.returncode) == ("100000 0\n", 0), done
