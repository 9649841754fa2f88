# SPDX-License-Identifier: Apache-2.0
"""What real programs are made of, for subject.py: event loops, pools of processes, C code that
calls back, servers on greenlets. Every command checks itself and answers {"ok": ...}; "skip"
says what this interpreter lacks. Runs on CPython 3.6 and later."""
import functools
import json
import threading

commands = {}


def workload(function):
    @functools.wraps(function)
    def run(*words):
        try:
            return {"ok": function(*map(int, words))}
        except ImportError as e:
            return {"ok": True, "skip": str(e)}

    commands[function.__name__] = run
    return function


def twice(x):
    return 2 * x


@workload
def asyncio_burst(tasks, rounds):
    """Coroutines, asynchronous generators, a queue, a thread pool and a cancelled task."""
    import asyncio

    async def numbers(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    async def consume(n):
        total = 0
        async for i in numbers(n):
            total += twice(i)
        return total

    async def relay(queue, n):
        return sum([await queue.get() for _ in range(n)])

    async def main():
        loop = asyncio.get_event_loop()
        queue = asyncio.Queue()
        reader = asyncio.ensure_future(relay(queue, tasks))
        endless = asyncio.ensure_future(asyncio.sleep(3600))
        sums = await asyncio.gather(*[consume(rounds) for _ in range(tasks)])
        for one in sums:
            await queue.put(one)
        endless.cancel()
        try:
            await endless
        except asyncio.CancelledError:
            cancelled = True
        return (cancelled and sums == [rounds * (rounds - 1)] * tasks and await reader == sum(sums)
                and await loop.run_in_executor(None, twice, 21) == 42)

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


@workload
def process_pool(workers, count):
    """multiprocessing, forked and (now and then) spawned."""
    import multiprocessing

    ok = True
    for method in ("fork", "spawn") if count % 2 else ("fork",):
        context = multiprocessing.get_context(method)
        with context.Pool(workers) as pool:
            ok = pool.map(twice, range(count), 3) == [2 * i for i in range(count)] and ok
            pool.close()
            pool.join()
    return ok


class Odd:
    """Its hooks are called by C code."""

    def __init__(self, n):
        self.n = n

    def __lt__(self, other):
        return self.n < other.n

    def __eq__(self, other):
        return self.n == other.n

    def __hash__(self):
        return hash(self.n)

    def __reduce__(self):
        return Odd, (self.n,)


@workload
def c_callbacks(count):
    """Python called from C modules: sorting, regular expressions, json, pickle."""
    import pickle
    import re

    backwards = [Odd(i) for i in range(count, 0, -1)]
    ok = [o.n for o in sorted(backwards)] == list(range(1, count + 1))
    ok = functools.reduce(lambda a, b: a + twice(b), range(count), 0) == count * (count - 1) and ok
    ok = re.sub(r"\d+", lambda m: str(twice(int(m.group()))), "1 20 300") == "2 40 600" and ok
    ok = json.loads(json.dumps(backwards, default=lambda o: o.n)) == list(range(count, 0, -1)) and ok
    ok = pickle.loads(pickle.dumps(backwards)) == backwards and ok
    return len(set(backwards)) == count and ok


@workload
def c_libraries(count):
    """Python called from libraries that know nothing of it: qsort() and SQLite, on two threads."""
    import ctypes
    import sqlite3

    compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    said = []

    def run():
        numbers = (ctypes.c_int * count)(*range(count, 0, -1))
        libc = ctypes.CDLL(None)
        libc.qsort(numbers, ctypes.c_size_t(count), ctypes.sizeof(ctypes.c_int),
                   compare_type(lambda a, b: a[0] - b[0]))
        database = sqlite3.connect(":memory:")
        database.create_function("twice", 1, twice)
        database.execute("create table t(n)")
        database.executemany("insert into t values (?)", ((i,) for i in range(count)))
        total = database.execute("select sum(twice(n)) from t").fetchone()[0]
        database.close()
        said.append(list(numbers) == list(range(1, count + 1)) and total == count * (count - 1))

    other = threading.Thread(target=run)
    other.start()
    run()
    other.join()
    return said == [True, True]


@workload
def gevent_requests(clients, rounds):
    """A server and its clients on greenlets."""
    import gevent
    from gevent import socket
    from gevent.server import StreamServer

    def serve(connection, _):
        for line in connection.makefile("rb"):
            connection.sendall(b"%d\n" % twice(int(line)))

    def ask(n):
        connection = socket.create_connection(("127.0.0.1", server.server_port))
        answers = connection.makefile("rb")
        total = 0
        for i in range(rounds):
            connection.sendall(b"%d\n" % (n + i))
            total += int(answers.readline())
        connection.close()
        return total == sum(2 * (n + i) for i in range(rounds))

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    try:
        jobs = [gevent.spawn(ask, n) for n in range(clients)]
        gevent.joinall(jobs)
        return all(job.value for job in jobs)
    finally:
        server.stop()


@workload
def subprocesses(count):
    """A shell's pipeline, as many programs run it."""
    import subprocess

    said = [subprocess.check_output(["/bin/sh", "-c", "echo %d | cat" % twice(i)]) for i in range(count)]
    return said == [b"%d\n" % (2 * i) for i in range(count)]
