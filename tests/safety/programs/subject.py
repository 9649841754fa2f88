# SPDX-License-Identifier: Apache-2.0
"""The traced program of the safety tests: does what it is told on standard input, one line
a command, and answers with one line of JSON. It checks itself: whatever a tracer does, its
answers must be those of an untraced run. Runs on CPython 3.6 and later."""
import hashlib
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import confined
import observers
import workloads

threads = []
children = []
stopping = threading.Event()
results = {}
commands = dict(workloads.commands, **observers.commands)
commands.update(confined.commands)


def command(function):
    commands[function.__name__] = function
    return function


def leaf(x):
    return x + 1


def middle(x):
    return leaf(x) + leaf(x)


def marked(x):
    """Counted by the tests in the trace."""
    return leaf(x)


def recurse(n):
    return 0 if n == 0 else 1 + recurse(n - 1)


def recurse_sorted(n):
    return 0 if n == 0 else 1 + sorted([0], key=lambda _: recurse_sorted(n - 1)).pop()


class Chain:
    def __init__(self, n):
        self.next = Chain(n - 1) if n else None


@command
def slots():
    import slot

    if sys.version_info < (3, 11):
        return {"slots": []}
    return {"slots": [[a, d] for a, d in slot.addresses()], "values": slot.mine()}


@command
def code():
    """Where the eval function is."""
    import slot

    return {"code": slot._pointer("_PyEval_EvalFrameDefault")}


@command
def speed(count=20000):
    best = None
    for _ in range(7):
        began = time.perf_counter()
        for i in range(int(count)):
            leaf(i)
        took = (time.perf_counter() - began) / int(count) * 1e9
        best = took if best is None else min(best, took)
    return {"ns": best}


@command
def burst(count):
    return {"sum": sum(marked(i) for i in range(int(count)))}


def outcome(function, *args):
    try:
        return "returned %s" % (function(*args),)
    except RecursionError:
        return "RecursionError"


@command
def deep(depth, kind="recurse"):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, int(depth) + 1000))
    function = {"recurse": recurse, "sorted": recurse_sorted, "chain": Chain}[kind]
    try:
        text = outcome(function, int(depth))
        return {"outcome": text.split(" object at ")[0]}
    finally:
        sys.setrecursionlimit(before)


@command
def within_limit(depth):
    """A depth that the default recursion limit allows."""
    return {"outcome": outcome(recurse, int(depth))}


@command
def deep_thread(size, depth):
    """On a thread with so much C stack."""
    said = []
    before = threading.stack_size(int(size))
    thread = threading.Thread(target=lambda: said.append(outcome(recurse, int(depth))))
    thread.start()
    threading.stack_size(before)
    thread.join()
    return {"outcome": said[0]}


small_thread_may_end = threading.Event()


@command
def small_thread(what):
    """Makes a thread with little C stack that calls once and stays, or lets it end."""
    if what == "end":
        small_thread_may_end.set()
        threads.pop().join()
        return {"ok": True}

    def live():
        middle(1)
        called.set()
        small_thread_may_end.wait()

    called = threading.Event()
    small_thread_may_end.clear()
    before = threading.stack_size(65536)
    threads.append(threading.Thread(target=live))
    threads[-1].start()
    threading.stack_size(before)
    called.wait()
    return {"ok": True}


@command
def lose_leader():
    """The first thread ends; this loop goes on in another."""
    import ctypes
    import platform

    def serve():
        answer({"ok": True})
        main()
        os._exit(0)

    threading.Thread(target=serve).start()
    number = {"x86_64": 60, "aarch64": 93}[platform.machine()]
    ctypes.CDLL(None).syscall(ctypes.c_long(number), ctypes.c_long(0))


def work(number):
    rounds = total = 0
    while not stopping.is_set():
        for i in range(50):
            total += middle(i)
        rounds += 1
    results[number] = total == rounds * sum(2 * (i + 1) for i in range(50))


@command
def start_threads(count):
    stopping.clear()
    for number in range(int(count)):
        thread = threading.Thread(target=work, args=(number,), name="busy-%d" % number)
        thread.start()
        threads.append(thread)
    return {"threads": len(threads)}


@command
def end_threads():
    stopping.set()
    for thread in threads:
        thread.join()
    ok = len(results) == len(threads) and all(results.values())
    del threads[:]
    results.clear()
    return {"ok": ok}


def forked_child(ready):
    """Works until it is told to end, checks itself, and says so by its exit status."""
    import signal

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    os.write(ready, b"1")
    rounds = total = 0
    parent = os.getppid()
    while not stop:
        total += middle(rounds % 7)
        rounds += 1
        if rounds % 64 == 0:
            time.sleep(0.001)
            if os.getppid() != parent:
                os._exit(7)
    os._exit(0 if total == sum(2 * (i % 7 + 1) for i in range(rounds)) else 9)


@command
def fork():
    # A SIGTERM before the child's handler is there would look like harm.
    reader, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            forked_child(ready)
        finally:
            os._exit(8)
    os.close(ready)
    os.read(reader, 1)
    os.close(reader)
    children.append(pid)
    return {"pid": pid}


@command
def end_forks():
    import signal

    ok = True
    for pid in children:
        os.kill(pid, signal.SIGTERM)
        status = os.waitpid(pid, 0)[1]
        if status:
            print("child %d ended with status 0x%x" % (pid, status), file=sys.stderr)
        ok = status == 0 and ok
    del children[:]
    return {"ok": ok}


@command
def fork_exit(count):
    """So many children that live shortly, as in a server that forks for each request."""
    ok = True
    for i in range(int(count)):
        pid = os.fork()
        if pid == 0:
            os._exit(7 if middle(i) == 2 * (i + 1) else 9)
        ok = os.waitpid(pid, 0)[1] == 7 << 8 and ok
    return {"ok": ok}


@command
def execute(count):
    ok = True
    for i in range(int(count)):
        said = subprocess.check_output([sys.executable, "-S", "-c", "print(6 * %d)" % i])
        ok = said.strip() == b"%d" % (6 * i) and ok
    return {"ok": ok}


@command
def churn(count):
    """So many threads that live shortly."""
    done = []

    def short(i):
        if middle(i) == 2 * (i + 1):
            done.append(i)

    count = int(count)
    for start in range(0, count, 20):
        batch = [threading.Thread(target=short, args=(i,)) for i in range(start, min(start + 20, count))]
        for thread in batch:
            thread.start()
        for thread in batch:
            thread.join()
    return {"ok": len(done) == count}


@command
def subinterpreters(count):
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    ok = True
    text = "def f(n): return 0 if n == 0 else 1 + f(n - 1)\nassert f(50) == 50\n"
    for _ in range(int(count)):
        one = interpreters.create()
        failed = interpreters.run_string(one, text)
        ok = failed is None and ok
        interpreters.destroy(one)
    return {"ok": ok}


@command
def setprofile(count):
    """What a profile function sees must not depend on a tracer outside."""
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append(event))
    for i in range(int(count)):
        middle(i)
    sys.setprofile(None)
    return {"seen": [seen.count("call"), seen.count("return"), seen.count("c_call")]}


@command
def settrace(count):
    """As a debugger and coverage see it."""
    lines = []

    def local(frame, event, arg):
        lines.append((event, frame.f_lineno))
        return local

    sys.settrace(lambda frame, event, arg: local)
    for i in range(int(count)):
        middle(i)
    sys.settrace(None)
    return {"seen": [len(lines), hashlib.sha256(repr(lines).encode()).hexdigest()]}


@command
def monitoring(count):
    if sys.version_info < (3, 12):
        return {"seen": []}
    m, seen = sys.monitoring, []
    m.use_tool_id(3, "test")
    for event in (m.events.PY_START, m.events.PY_RETURN):
        m.register_callback(3, event, lambda code, *_: seen.append(code.co_name))
    m.set_events(3, m.events.PY_START | m.events.PY_RETURN)
    for i in range(int(count)):
        middle(i)
    m.set_events(3, 0)
    m.free_tool_id(3)
    return {"seen": [seen.count("middle"), seen.count("leaf")]}


@command
def activate_perf():
    try:
        sys.activate_stack_trampoline("perf")
        active = sys.is_stack_trampoline_active()
        middle(1)
        sys.deactivate_stack_trampoline()
        return {"active": active}
    except (RuntimeError, ValueError) as e:
        return {"error": str(e)}


@command
def pep523(what):
    """The other user of the slot: tests/safety/programs/pep523.c."""
    import viz_pep523

    if what == "install":
        viz_pep523.install()
    elif what == "uninstall":
        viz_pep523.uninstall()
    before = viz_pep523.count()
    for i in range(100):
        middle(i)
    return {"seen": viz_pep523.count() - before, "installed": viz_pep523.installed()}


@command
def odd_names(count):
    """Names that would do harm on a terminal or in JSON, if they reached it as they are."""
    scope = {}
    names = ["esc\x1b]0;owned\x07\x1b[2J", "c1\x9b31m", 'quote"\\', "line\nfeed", "\u202eright to left"]
    exec("def f(x): return x", scope)
    function = scope["f"]
    if hasattr(function.__code__, "replace"):
        for name in names:
            changed = {"co_name": name, "co_filename": "/tmp/" + name}
            if sys.version_info >= (3, 11):
                changed["co_qualname"] = name
            function.__code__ = function.__code__.replace(**changed)
            for i in range(int(count)):
                function(i)
    return {"ok": True}


@command
def load_library(path):
    """A second libpython in the address space, never initialised."""
    import ctypes

    ctypes.CDLL(path, mode=os.RTLD_LOCAL | os.RTLD_NOW)
    return {"ok": any(path in line for line in open("/proc/self/maps"))}


# ---- greenlets ----

suspended = []


@command
def import_gevent():
    import gevent  # noqa: F401

    return {"ok": True}


@command
def greenlet_burst(greenlets, rounds):
    """Each greenlet switches in the middle of nested calls."""
    import gevent

    total = [0]

    def inner(i):
        gevent.sleep(0)
        total[0] += marked(i)

    def outer(n):
        for i in range(int(rounds)):
            inner(i)

    gevent.joinall([gevent.spawn(outer, n) for n in range(int(greenlets))])
    return {"sum": total[0]}


@command
def greenlet_suspend(greenlets):
    """Leaves so many waiting in nested calls."""
    import gevent
    from gevent.event import Event

    event, done = Event(), []

    def waiting(n):
        event.wait()
        return n

    def outer(n):
        done.append(waiting(n) == n)

    jobs = [gevent.spawn(outer, n) for n in range(int(greenlets))]
    for _ in range(3):
        gevent.sleep(0)
    suspended.append((event, jobs, done))
    return {"suspended": len(jobs)}


@command
def greenlet_resume():
    import gevent

    ok = True
    for event, jobs, done in suspended:
        event.set()
        gevent.joinall(jobs)
        ok = len(done) == len(jobs) and all(done) and ok
    del suspended[:]
    return {"ok": ok}


@command
def greenlet_server():
    """Goes on switching in a thread of its own until end_threads."""

    def serve():
        import gevent

        count = [0]

        def one(n):
            while not stopping.is_set():
                gevent.sleep(0)
                count[0] += 1 if middle(n) == 2 * (n + 1) else 1 << 40

        gevent.joinall([gevent.spawn(one, n) for n in range(50)])
        results["greenlets"] = 0 < count[0] < 1 << 40

    stopping.clear()
    thread = threading.Thread(target=serve, name="greenlets")
    thread.start()
    threads.append(thread)
    return {"ok": True}


def answer(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main():
    for line in iter(sys.stdin.readline, ""):
        words = line.split()
        if not words:
            continue
        if words[0] == "quit":
            break
        try:
            answer(commands[words[0]](*words[1:]))
        except Exception as e:  # the test reads it
            answer({"exception": "%s: %s" % (type(e).__name__, e)})
    stopping.set()


if __name__ == "__main__":
    main()
