# SPDX-License-Identifier: Apache-2.0
"""Custom events while nobody listens, imports in odd places."""
import asyncio
import sys

import vizbpf
from support import Skip, python


def test_nothing_happens_without_a_listener():
    assert vizbpf.enabled() is False
    assert vizbpf.instant("x", {"a": object()}) is None
    assert vizbpf.begin("x") is None and vizbpf.end() is None
    assert vizbpf.counter("x", 1) is None and vizbpf.counter("x", {"a": 1}) is None
    assert vizbpf.async_begin("x", 1) is None and vizbpf.async_end("x", 1) is None
    assert vizbpf.flow(1) is None and vizbpf.log_var("x", [1]) is None
    with vizbpf.event("x", {"n": 1}) as event:
        assert event is not None
    with vizbpf.object("job", {"s": 1}) as job:
        job.snapshot({"s": 2})


def test_arguments_are_not_looked_at_without_a_listener():
    class Loud:
        def __repr__(self):
            raise AssertionError("repr was called")

        __str__ = __hash__ = __len__ = __repr__

    vizbpf.instant("x", Loud())
    vizbpf.instant("x", {"a": Loud()})
    vizbpf.counter("x", Loud())
    with vizbpf.event("x", Loud()):
        pass


def test_wrong_calls_raise_type_error_traced_or_not():
    for call in (lambda: vizbpf.instant(), lambda: vizbpf.instant("a", None, "t", None, 5),
                 lambda: vizbpf.instant("a", nonsense=1), lambda: vizbpf.counter("a"),
                 lambda: vizbpf.instant("a", name="b"), lambda: vizbpf.event()):
        try:
            call()
        except TypeError:
            continue
        raise AssertionError("no TypeError")


def test_exceptions_pass_through_event():
    try:
        with vizbpf.event("x"):
            raise KeyError("k")
    except KeyError:
        return
    raise AssertionError("the exception was swallowed")


def test_decorators_keep_the_function():
    @vizbpf.event
    def plain(a, b=2):
        "doc"
        return a + b

    @vizbpf.event("named", {"n": 1})
    def named(a):
        return a

    @vizbpf.event
    def generator():
        yield 1
        yield 2

    @vizbpf.event
    async def coroutine(a):
        await asyncio.sleep(0)
        return a

    assert plain(1) == 3 and plain.__name__ == "plain" and plain.__doc__ == "doc"
    assert named(5) == 5 and list(generator()) == [1, 2]
    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(coroutine(7)) == 7
    finally:
        loop.close()


def test_import_in_twenty_threads_at_once():
    result = python("-c", """
import threading
barrier, errors = threading.Barrier(20), []
def work():
    barrier.wait()
    try:
        import vizbpf
        vizbpf.instant("x")
        vizbpf.VizTracer
    except BaseException as error:
        errors.append(error)
threads = [threading.Thread(target=work) for _ in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
print(errors)
""")
    assert result.stdout == "[]\n", result


def test_import_in_sub_interpreters():
    for module in ("_interpreters", "_xxsubinterpreters"):
        if python("-c", "import " + module).returncode == 0:
            break
    else:
        raise Skip("this Python has no module for sub-interpreters")
    result = python("-c", """
import %s as interpreters
import vizbpf
for _ in range(10):
    one = interpreters.create()
    failed = interpreters.run_string(one, '''
import vizbpf
vizbpf.instant("x", {"a": [1, object()]})
with vizbpf.event("y"): pass
assert vizbpf._native._to_json(vizbpf).startswith('"<module')
''')
    assert not failed, failed
    interpreters.destroy(one)
vizbpf.instant("still here")
print("fine")
""" % module)
    assert result.stdout == "fine\n", result


def test_import_is_cheap():
    result = python("-X", "importtime", "-c", "import vizbpf")
    loaded = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert "vizbpf._native" in loaded
    assert not loaded & {"inspect", "json", "subprocess", "logging", "asyncio"}, loaded


def test_events_after_fork():
    result = python("-c", """
import os, vizbpf
pid = os.fork()
with vizbpf.event("x"):
    vizbpf.instant("y", {"a": 1})
if not pid:
    os._exit(7)
print(os.waitpid(pid, 0)[1] >> 8)
""")
    assert result.stdout == "7\n", result


def test_no_references_are_lost():
    args, name = {"a": [1, 2]}, "a name that is not interned"

    def count():
        return sys.getrefcount(args), sys.getrefcount(name), sys.getrefcount(args["a"])

    before = count()
    for _ in range(100):
        vizbpf.instant(name, args)
        vizbpf.event(name, args)
        with vizbpf.event(name, args, "c"):
            pass
        vizbpf._native._to_json(args)
        vizbpf._native._to_json(args, 100, True)
    assert count() == before, (before, count())
