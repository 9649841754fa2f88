# SPDX-License-Identifier: Apache-2.0
# Leaves the eval function in every way there is, on any Python from 3.6 on. The variable SLOT
# is the offset of the PEP 523 slot in the interpreter state, 0: leave it alone.
import os
import sys
import threading


def set_slot(offset):
    import ctypes
    api = ctypes.pythonapi
    api.PyInterpreterState_Head.restype = ctypes.c_void_p
    function = ctypes.cast(api._PyEval_EvalFrameDefault, ctypes.c_void_p).value
    ctypes.c_void_p.from_address(api.PyInterpreterState_Head() + offset).value = function


def down(n):
    return 0 if n == 0 else 1 + down(n - 1)


def forever(n):
    return forever(n + 1)


def numbers(n):
    for i in range(n):
        try:
            yield i
        finally:
            pass


def delegate(n):
    yield from numbers(n)


def fail_below(n):
    if n == 0:
        raise ValueError(n)
    try:
        return fail_below(n - 1)
    finally:
        n += 1


class Noisy(object):
    def __init__(self, x=1):
        self.x = x

    def __del__(self):
        self.x = down(3)

    def __getitem__(self, i):
        return i

    @property
    def again(self):
        return Noisy().x


def drop_objects():
    one, two = Noisy(), Noisy(2)
    return one.again + two[3]


def drop_by_exception():
    one = Noisy()
    raise KeyError(id(one))


async def coroutine(n):
    return await coroutine(n - 1) if n else 7


async def async_numbers():
    for i in range(3):
        yield i


async def use_async_numbers():
    return [x async for x in async_numbers()]


def drive(awaitable):
    try:
        while True:
            awaitable.send(None)
    except StopIteration as stop:
        return stop.value


def expect(kind, function, *args):
    try:
        function(*args)
    except kind:
        return
    raise AssertionError("no %s" % kind.__name__)


def generators():
    list(numbers(10))
    list(delegate(5))
    closed, thrown, dropped = numbers(10), delegate(10), numbers(3)
    next(closed)
    closed.close()
    next(thrown)
    expect(KeyError, thrown.throw, KeyError("x"))
    next(dropped)
    del dropped
    return sum(x for x in range(3))


def everything():
    down(50)
    generators()
    expect(ValueError, fail_below, 20)
    drop_objects()
    expect(KeyError, drop_by_exception)
    drive(coroutine(10))
    drive(use_async_numbers())
    sorted(range(20), key=lambda x: -x)
    exec("def f(a): return a\nf(1)", {})
    expect(ZeroDivisionError, exec, "1/0")
    expect(TypeError, down)
    expect(StopIteration, next, iter([]))

    class Local(object):
        def method(self):
            return super(Local, self).__init__()

    Local().method()


def hook(frame, event, argument):
    return hook


def main():
    for _ in range(30):
        everything()
    expect(RecursionError, forever, 0)
    sys.setrecursionlimit(3000)
    expect(RecursionError, forever, 0)
    threads = [threading.Thread(target=everything) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for install in (sys.setprofile, sys.settrace):
        install(hook)
        everything()
        install(None)
    half = numbers(3)
    sys.settrace(hook)
    next(half)
    sys.settrace(None)
    next(half)
    expect(SystemExit, sys.exit, 3)


SLOT = int(os.environ.get("SLOT", "0"))
if SLOT:
    try:
        set_slot(SLOT)
    except ImportError:
        sys.exit(77)
main()
