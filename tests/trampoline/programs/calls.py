"""Every way into a Python function that CPython treats in its own way."""
import contextlib
import functools
import sys


def leaf(x=1):
    return x


def many(*args, **kw):
    return leaf(*args)


def default(a, b=2, *, c=3):
    return a + b + c


def recurse(n):
    return n and recurse(n - 1)


class Base:
    def __init__(self):
        self.x = 1

    def method(self):
        return self.x


class Simple(Base):
    pass


class Super(Base):
    def __init__(self, y=1):
        super().__init__()
        self.y = y

    @property
    def prop(self):
        return self.y

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def static():
        return 1

    def __getitem__(self, i):
        return i

    def __len__(self):
        return 1

    def __eq__(self, other):
        return True

    def __getattr__(self, name):
        return name

    def __call__(self):
        return 1


class Meta(type):
    def __call__(cls, *a):
        return super().__call__(*a)


class WithMeta(metaclass=Meta):
    def __init__(self, *a):
        pass


def gen(n):
    for i in range(n):
        yield i


def delegating(n):
    yield from gen(n)


def echo():
    while True:
        try:
            yield 1
        except KeyError:
            yield 2


def raiser():
    raise ValueError


def catcher():
    try:
        raiser()
    except ValueError:
        pass


def through():
    with contextlib.suppress(ValueError):
        raiser()


@contextlib.contextmanager
def manager():
    yield 1


def managed():
    with manager() as x:
        return x


async def aleaf():
    return 1


async def acoro():
    return await aleaf()


async def agen():
    yield 1
    yield await aleaf()


async def aiter():
    n = 0
    async for x in agen():
        n += 1
    return n


def drive(coro):
    try:
        while True:
            coro.send(None)
    except StopIteration:
        pass


def throwing():
    g = echo()
    next(g)
    g.throw(KeyError)
    next(g)
    g.close()


@functools.lru_cache(maxsize=4)
def cached(n):
    return n


def comprehension():
    return [leaf(i) for i in range(2)], {i: 1 for i in range(2)}, list(leaf(i) for i in range(2))


def classes():
    class Local:
        def m(self):
            return 1
    return Local().m()


def one_round(i):
    leaf()
    many(1)
    many(*(1,), **{})
    default(1)
    default(1, c=2)
    recurse(20)
    Simple()
    Base().method()
    s = Super()
    s.prop, s.make(), s.static(), s[1], len(s), s == s, s.nothing, s()
    WithMeta(1)
    for x in gen(5):
        pass
    list(delegating(3))
    next(gen(2))
    throwing()
    catcher()
    through()
    managed()
    drive(acoro())
    drive(aiter())
    cached(i % 3)
    comprehension()
    classes()
    sorted([3, 1, 2], key=leaf)
    list(map(leaf, range(3)))
    functools.partial(leaf, 2)()
    eval("leaf(3)")
    exec("leaf(4)")


def workload():
    for i in range(200):
        one_round(i)
