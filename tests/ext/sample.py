# SPDX-License-Identifier: Apache-2.0
"""Calls of every kind, for counting."""
import contextlib
import functools
import threading


def leaf(n):
    return n


def recursive(n):
    return n and 1 + recursive(n - 1)


def calls_back():
    return sorted([3, 1, 2], key=leaf)


class Thing:
    size = property(lambda self: 5)

    def __init__(self, n):
        self.n = n

    def __getitem__(self, i):
        return i

    def __call__(self):
        return self.method(1)

    def method(self, n, *rest, key=None):
        return leaf(n)

    @classmethod
    def made(cls):
        return cls(1)

    @staticmethod
    def still():
        return 2


class Child(Thing):
    def __init__(self, n):
        super().__init__(n)


def generator(n):
    for i in range(n):
        yield leaf(i)


def delegating():
    yield from generator(2)


def raising():
    raise ValueError("x")


def catching():
    try:
        raising()
    except ValueError:
        return True


def closed():
    g = generator(5)
    next(g)
    g.close()
    g = thrown_into()
    next(g)
    return g.throw(KeyError("k"))


def thrown_into():
    try:
        yield 1
    except KeyError:
        yield 2


@contextlib.contextmanager
def managed():
    yield 1


async def coroutine():
    return leaf(1)


async def awaiting():
    return await coroutine() + await coroutine()


def run_coroutine():
    c = awaiting()
    try:
        c.send(None)
    except StopIteration as done:
        return done.value


def in_thread():
    thread = threading.Thread(target=recursive, args=(3,))
    thread.start()
    thread.join()


def everything():
    for _ in range(3):
        leaf(1)
        recursive(4)
        calls_back()
        thing = Child(1)
        thing()
        thing[3], thing.size, thing.made(), thing.still()
        thing.method(*[1, 2], **{"key": 3})
        list(generator(3)), list(delegating()), sum(x for x in generator(2))
        catching()
        closed()
        with managed():
            pass
        run_coroutine()
        functools.partial(leaf, 1)()
        [leaf(x) for x in map(leaf, (1, 2))]
        eval("leaf(1)")
    in_thread()
