# SPDX-License-Identifier: Apache-2.0
# scope: all
"""Generators: next, send, throw, close, yield from, and never started ones."""
import sys


def count(n):
    for i in range(n):
        yield i


def echo():
    # Without the finally, close() from 3.13 on would drop the generator and run nothing of it,
    # but only while nobody has instrumented it: with or without a call, as one looks at it.
    value = None
    try:
        while True:
            value = yield value
    finally:
        ended()


def ended():
    return 1


def catcher():
    while True:
        try:
            yield 1
        except KeyError:
            yield 2


def cleaner(log):
    try:
        yield 1
        yield 2
    finally:
        log.append(1)


def delegate(n):
    result = yield from count(n)
    yield from count(2)
    return result


def tree(depth):
    if depth:
        yield from tree(depth - 1)
        yield depth
        yield from tree(depth - 1)


def returns():
    yield 1
    return 7


def outer_return():
    value = yield from returns()
    yield value


def fails():
    yield 1
    raise LookupError("x")


class Hand:
    def __init__(self):
        self.sent = []

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        self.sent.append(value)
        if len(self.sent) > 3:
            raise StopIteration(9)
        return value

    def throw(self, *error):
        raise StopIteration(8)


def over_hand():
    try:
        value = yield from Hand()
    finally:
        ended()
    return value


def plain():
    for _ in range(40):
        assert sum(count(5)) == 10
        total = 0
        for i in count(5):
            total += i
        assert list(delegate(3)) == [0, 1, 2, 0, 1]
    assert len(list(tree(6))) == 63
    assert list(outer_return()) == [1, 7]


def sends():
    for _ in range(30):
        gen = echo()
        next(gen)
        assert [gen.send(i) for i in range(4)] == [0, 1, 2, 3]
        gen.close()
        gen = over_hand()
        next(gen)
        assert gen.send(5) == 5
        gen.send(6)
        try:
            gen.send(7)
        except StopIteration as stop:
            assert stop.value == 9


def throws():
    log = []
    for _ in range(30):
        gen = catcher()
        next(gen)
        assert gen.throw(KeyError("a")) == 2
        next(gen)
        gen.close()
        gen = cleaner(log)
        next(gen)
        gen.close()
        gen = cleaner(log)
        next(gen)
        try:
            gen.throw(ValueError("b"))
        except ValueError:
            pass
        gen = delegate(3)
        next(gen)
        try:
            gen.throw(LookupError("c"))
        except LookupError:
            pass
        # 3.11 resumes it behind the RESUME instruction that would tell the profile hook.
        if sys.version_info[:2] != (3, 11):
            gen = over_hand()
            next(gen)
            try:
                gen.throw(KeyError("d"))
            except StopIteration as stop:
                assert stop.value == 8
        try:
            list(fails())
        except LookupError:
            pass
    assert len(log) == 60


def guarded():
    try:
        yield 0
        yield 1
        yield 2
    finally:
        ended()


def unstarted():
    for _ in range(30):
        count(3)
        gen = echo()
        gen.close()
        gen = catcher()
        try:
            gen.throw(KeyError("e"))
        except KeyError:
            pass
        sum(i for i in range(3))
        all(i for i in (1, 1, 1))
        any(guarded())


def workload():
    plain()
    sends()
    throws()
    unstarted()
