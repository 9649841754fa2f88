# SPDX-License-Identifier: Apache-2.0
"""VizTracer's Python API."""
import gzip
import io
import json
import logging
import os
import sys
import time

import sample
import vizbpf
from support import find, folder, load, names, python, recorded, short, write
from vizbpf import (VizCounter, VizLoggingHandler, VizObject, VizTracer, get_tracer, ignore_function,
                    log_sparse, trace_and_save)


def _tracer(path="result.json", **settings):
    return VizTracer(output_file=path, verbose=0, **settings)


def test_context_manager_saves():
    with folder() as here:
        path = os.path.join(here, "deep", "result.json")
        with _tracer(path) as tracer:
            assert get_tracer() is tracer
            sample.recursive(2)
        trace = load(path)
        assert [short(n) for n in names(trace)].count("recursive") == 3
        assert trace["viztracer_metadata"]["overflow"] is False
        assert trace["viztracer_metadata"]["baseTimeNanoseconds"] > 10 ** 18
        text, lines = trace["file_info"]["files"][sample.__file__]
        assert "def recursive" in text and lines == text.count("\n") + 1
        key, = [k for k in trace["file_info"]["functions"] if short(k) == "recursive"]
        assert trace["file_info"]["functions"][key][0] == sample.__file__
        assert os.listdir(os.path.dirname(path)) == ["result.json"]
        event = find(trace, "recursive")[0]
        assert set(event) == {"pid", "tid", "ts", "ph", "dur", "name", "cat"}
        assert event["pid"] == os.getpid() and event["cat"] == "FEE"
        tracer.clear()


def test_saves_when_the_block_raises():
    with folder() as here:
        path = os.path.join(here, "result.json")
        try:
            with _tracer(path):
                sample.raising()
        except ValueError:
            pass
        assert find(load(path), "raising")[0]["args"]["raised"] is True


def test_forms_of_output():
    with folder() as here:
        tracer = _tracer(os.path.join(here, "a.json"))
        tracer.start()
        sample.leaf(1)
        tracer.stop()
        tracer.save(os.path.join(here, "b.json.gz"))
        with gzip.open(os.path.join(here, "b.json.gz"), "rt") as file:
            assert find(json.load(file), "leaf")
        text = io.StringIO()
        tracer.save(text)
        assert find(json.loads(text.getvalue()), "leaf")
        tracer.pid_suffix = True
        tracer.save()
        assert find(load(os.path.join(here, "a_%d.json" % os.getpid())), "leaf")
        try:
            tracer.pid_suffix = False
            os.environ["PATH"], path = "", os.environ["PATH"]
            try:
                tracer.save(os.path.join(here, "c.svg"))
            finally:
                os.environ["PATH"] = path
        except ValueError as error:
            assert "c.svg" in str(error)
        else:
            raise AssertionError("an unknown suffix was accepted")
        assert sorted(os.listdir(here)) == ["a_%d.json" % os.getpid(), "b.json.gz"], os.listdir(here)
        tracer.clear()


def test_output_never_goes_through_a_link():
    with folder() as here:
        victim = write(os.path.join(here, "victim"), "mine")
        link = os.path.join(here, "result.json")
        os.symlink(victim, link)
        with _tracer(link) as tracer:
            sample.leaf(1)
        tracer.clear()
        assert open(victim).read() == "mine" and not os.path.islink(link)
        assert find(load(link), "leaf")


def test_two_tracers_do_not_mix():
    first, second = _tracer(), _tracer()
    first.start()
    try:
        second.start()
    except RuntimeError:
        pass
    else:
        raise AssertionError("two tracers recorded at once")
    sample.leaf(1)
    first.stop()
    second.start()
    sample.recursive(1)
    second.stop()
    second.parse()
    seen = {short(n) for n in names(second.data)}
    assert "recursive" in seen and "leaf" not in seen, seen
    second.clear()


def test_pause_and_ignore():
    tracer = _tracer(ignore_c_function=True)

    @ignore_function
    def hidden():
        sample.leaf(1)

    @ignore_function(tracer=tracer)
    def fails():
        sample.raising()

    tracer.start()
    hidden()
    try:
        fails()
    except ValueError:
        pass
    tracer.pause()
    sample.recursive(1)
    tracer.resume()
    sample.calls_back()
    tracer.stop()
    tracer.parse()
    seen = {short(n) for n in names(tracer.data)}
    assert not seen & {"hidden", "fails", "raising", "recursive"} and "calls_back" in seen, seen
    assert [short(n) for n in names(tracer.data)].count("leaf") == 3, names(tracer.data)
    tracer.clear()


def test_log_sparse():
    with folder() as here:
        path = os.path.join(here, "result.json")
        with _tracer(path, log_sparse=True, ignore_c_function=True) as tracer:

            @log_sparse
            def alone():
                sample.recursive(3)

            @log_sparse(stack_depth=2)
            def below():
                sample.recursive(3)

            alone()
            below()
            sample.leaf(1)
        seen = [short(n) for n in names(load(path))]
        tracer.clear()
        assert sorted(seen) == ["alone", "below", "recursive"], seen

    @log_sparse
    def untouched():
        return 1

    assert untouched() == 1


def test_trace_and_save():
    with folder() as here:
        @trace_and_save(output_dir=os.path.join(here, "out"), ignore_c_function=True, verbose=0)
        def job(n):
            return sample.recursive(n)

        assert job(2) == 2 and job(1) == 1
        files = sorted(os.listdir(os.path.join(here, "out")))
        assert len(files) == 2 and all(f.startswith("result_job_") for f in files), files
        seen = [[short(n) for n in names(load(os.path.join(here, "out", f)))] for f in files]
        assert [s.count("recursive") for s in seen] == [3, 2] and all("job" in s for s in seen), seen


def test_events_of_the_tracer():
    tracer = _tracer(ignore_c_function=True)
    tracer.start()
    with tracer.log_event("block"):
        tracer.log_instant("inst", {"a": 1})
        tracer.log_instant("never", cond=False)
    tracer.add_instant("global one")
    tracer.log_var("number", 3)
    tracer.log_var("thing", [1, {"a": None}])
    tracer.add_variable("v", "text")
    tracer.add_variable("w", 2, event="counter")
    tracer.add_counter("c", {"a": 1, "b": 2.5})
    tracer.add_object("N", "1", "o")
    tracer.add_raw({"ph": "X", "name": "raw", "ts": tracer.getts() - 5, "dur": 2.0, "cat": "own"})
    for wrong in (lambda: tracer.add_counter("c", {"a": "x"}), lambda: tracer.add_variable("v", 1, event="?"),
                  lambda: tracer.add_variable("v", "x", event="counter")):
        try:
            wrong()
        except ValueError:
            continue
        raise AssertionError("no ValueError")
    tracer.stop()
    tracer.add_instant("too late")
    tracer.parse()
    trace = tracer.data
    tracer.clear()
    block, = [e for e in trace["traceEvents"] if e["name"].startswith("block (")]
    assert block["ph"] == "X" and __file__ in block["name"] and block["cat"] == "FEE"
    inst, = find(trace, "inst")
    assert (inst["ph"], inst["s"], inst["args"]) == ("i", "t", {"a": 1})
    assert block["ts"] <= inst["ts"] <= block["ts"] + block["dur"] + 1
    assert find(trace, "global one")[0]["s"] == "g"
    assert find(trace, "number")[0]["args"] == {"value": 3}
    assert find(trace, "thing")[0]["args"] == {"object": [1, {"a": None}]}
    assert "v = 'text'" in names(trace) and find(trace, "w")[0]["args"] == {"w": 2}
    raw, = find(trace, "raw")
    assert abs(raw["dur"] - 2.0) < 0.01 and raw["cat"] == "own", raw
    assert not {"never", "too late"} & set(names(trace))


def test_arguments_that_a_function_adds():
    tracer = _tracer(log_func_retval=True)

    def adds(n):
        tracer.add_func_args("list", [1, {"a": n}])
        tracer.add_func_args("odd \"key\"", "\ud800\n")
        sample.leaf(n)
        if n == 2:
            for i in range(40):
                tracer.add_func_args("big%d" % i, "x" * 200)
        return n

    def nothing():
        return sample.leaf(0)

    tracer.start()
    adds(1)
    adds(2)
    nothing()
    tracer.stop()
    tracer.add_func_args("late", 1)
    tracer.parse()
    one, two = [e["args"] for e in find(tracer.data, "adds")]
    assert one == {"list": [1, {"a": 1}], "odd \"key\"": one["odd \"key\""], "return_value": "1"}, one
    assert two["list"] == [1, {"a": 2}] and two["big0"] == "x" * 200 and two["return_value"] == "2", two
    assert all(set(e["args"]) == {"return_value"} for name in ("leaf", "nothing") for e in find(tracer.data, name))
    tracer.clear()
    assert abs(tracer.get_base_time() - (time.time_ns() - time.monotonic_ns())) < 1e9


def test_counters_and_objects():
    tracer = _tracer(ignore_c_function=True)
    tracer.start()
    counter = VizCounter(tracer, "level")
    counter.a = 1
    counter.b = 2.5
    try:
        counter.c = "text"
    except Exception:
        pass
    else:
        raise AssertionError("a counter took text")
    thing = VizObject(tracer, "thing", include_attributes=["state"])
    thing.state = "new"
    thing.other = 1
    thing.config("trigger_on_change", False)
    thing.state = "old"
    thing.log()
    del thing

    class Own(VizObject):
        def __init__(self):
            super().__init__(tracer, "own", trigger_on_change=False)
            self.n = 1

        @VizObject.triggerlog(when="both")
        def grow(self):
            self.n += 1

    own = Own()
    own.grow()
    tracer.stop()
    tracer.parse()
    trace = tracer.data
    del own
    tracer.clear()
    assert [e["args"] for e in find(trace, "level")] == [{"a": 1}, {"a": 1, "b": 2.5}]
    assert [(e["ph"], e.get("args")) for e in find(trace, "thing")] == [
        ("N", None), ("O", {"snapshot": {"state": "new"}}), ("O", {"snapshot": {"state": "old"}}), ("D", None)]
    assert [e["args"]["snapshot"]["n"] for e in find(trace, "own") if e["ph"] == "O"] == [1, 2]


def test_logging_handler():
    logger = logging.getLogger("vizbpf-test")
    logger.propagate = False
    handler = VizLoggingHandler()
    logger.addHandler(handler)
    try:
        logger.warning("nobody listens")
        trace = recorded(lambda: logger.warning("to %s", "whoever"), ignore_c_function=True)
        event, = find(trace, "logging - to whoever")
        assert event["s"] == "p" and event["args"] == {"level": "WARNING", "logger": "vizbpf-test"}
        tracer = _tracer(ignore_c_function=True)
        handler.setTracer(tracer)
        tracer.start()
        logger.error("told")
        tracer.stop()
        tracer.parse()
        assert find(tracer.data, "logging - told")[0]["s"] == "p"
        tracer.clear()
    finally:
        logger.removeHandler(handler)


def test_print_and_audit():
    def program():
        print("into the trace", 5)
        compile("1", "<audited>", "eval")

    trace = recorded(program, log_print=True, log_audit=["^compile$"], ignore_c_function=True)
    assert "print - into the trace 5\n" in names(trace), names(trace)
    assert any("<audited>" in str(e["args"]) for e in find(trace, "compile"))


def test_fork_save():
    with folder() as here:
        path = os.path.join(here, "result.json")
        tracer = _tracer()
        tracer.start()
        sample.recursive(3)
        tracer.fork_save(path).join()
        assert [short(n) for n in names(load(path))].count("recursive") == 4
        assert {e["pid"] for e in load(path)["traceEvents"]} == {os.getpid()}
        tracer.clear()


def test_child_of_a_fork_has_its_own_record():
    result = python("-c", """
import os, sys
sys.path.insert(0, %r)
import sample, vizbpf
tracer = vizbpf.VizTracer(verbose=0)
tracer.start()
sample.recursive(3)
pid = os.fork()
if not pid:
    sample.leaf(1)
tracer.stop()
tracer.parse()
names = [e["name"].split(" ")[0] for e in tracer.data["traceEvents"] if "sample.py" in e["name"]]
pids = {e["pid"] for e in tracer.data["traceEvents"]}
assert pids == {os.getpid()}, pids
os.write(1, " ".join(["parent" if pid else "child", str(names), "\\n"]).encode())
if pid:
    os.waitpid(pid, 0)
""" % os.path.dirname(sample.__file__))
    assert "child ['leaf']" in result.stdout, result
    assert "parent ['recursive', 'recursive', 'recursive', 'recursive']" in result.stdout, result


def test_afterfork():
    done = python("-c", """
import os
from vizbpf import VizTracer
tracer = VizTracer(verbose=0)
tracer.set_afterfork(lambda tracer, *args, **kwargs: print(os.getpid(), tracer.enable, args, kwargs, flush=True), 1, a=2)
tracer.start()
pid = os.fork()
if not pid: os._exit(0)
os.waitpid(pid, 0)
print("child", pid)
""")
    said, pid = done.stdout.rsplit("child ", 1)
    assert said == "%d True (1,) {'a': 2}\n" % int(pid), done


def test_vizbpf_names_are_there():
    for name in ("VizTracer", "get_tracer", "VizCounter", "VizObject", "VizLoggingHandler",
                 "ignore_function", "log_sparse", "trace_and_save", "load_ipython_extension"):
        assert name in dir(vizbpf) and getattr(vizbpf, name) is not None
    assert os.path.exists(os.path.join(vizbpf.get_include(), "vizbpf.h"))
    try:
        vizbpf.nonsense
    except AttributeError:
        return
    raise AssertionError("no AttributeError")


def test_another_profiler_is_not_disturbed():
    if sys.version_info < (3, 12):
        from support import Skip

        raise Skip("before 3.12 there is one profile function")
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append(event))
    try:
        trace = recorded(lambda: sample.leaf(1))
    finally:
        sys.setprofile(None)
    assert find(trace, "leaf") and "call" in seen
