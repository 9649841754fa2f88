# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Python functions called by C functions."""
import bisect
import functools
import heapq
import itertools
import json
import operator
import re


def key(x):
    return -x


def compare(a, b):
    return b - a


def pair(a, b):
    return a + b


@functools.lru_cache(maxsize=None)
def cached(n):
    return 1 if n < 2 else cached(n - 1) + cached(n - 2)


@functools.singledispatch
def kind(value):
    return "any"


@kind.register(int)
def kind_int(value):
    return "int"


class Ordered:
    def __init__(self, n):
        self.n = n

    def __lt__(self, other):
        return self.n < other.n


class Reader:
    def __init__(self):
        self.left = 20

    def __call__(self):
        self.left -= 1
        return self.left


def replace(match):
    return match.group(0).upper()


def default(value):
    return repr(type(value))


def hook(pairs):
    return dict(pairs)


def workload():
    data = list(range(50))
    assert sorted(data, key=key)[0] == 49
    assert sorted(data, key=functools.cmp_to_key(compare))[0] == 49
    assert list(map(key, data))[1] == -1 and list(filter(key, data))[0] == 1
    assert min(data, key=key) == 49 and max(data, key=lambda x: x) == 49
    assert functools.reduce(pair, data) == 1225
    assert list(itertools.accumulate(data, pair))[-1] == 1225
    assert sum(1 for _ in itertools.takewhile(lambda x: x < 10, data)) == 10
    assert sum(1 for _ in itertools.groupby(data, key=lambda x: x // 10)) == 5
    assert list(itertools.starmap(pair, [(1, 2), (3, 4)])) == [3, 7]
    partial = functools.partial(pair, 1)
    for i in range(60):
        assert partial(i) == i + 1
    cached.cache_clear()
    for _ in range(5):
        assert cached(30) == 1346269
    assert kind(1) == "int" and kind("x") == "any"
    heap = [Ordered(n) for n in (5, 3, 8, 1)]
    heapq.heapify(heap)
    assert heapq.heappop(heap).n == 1
    bisect.insort(heap, Ordered(4))
    assert len(list(iter(Reader(), 0))) == 19
    assert re.sub("[a-c]", replace, "abcdabcd") == "ABCdABCd"
    assert json.loads(json.dumps([object(), {"a": 1}], default=default),
                      object_pairs_hook=hook)[1] == {"a": 1}
    method = operator.methodcaller("__lt__", Ordered(2))
    assert method(Ordered(1))
    # To the end: see echo() in generators.py for what becomes of a generator that is dropped.
    assert not any(key(x) == 3 for x in data) and not all(map(key, data))
    assert dict.fromkeys(map(key, data))
    assert eval("pair(1, key(-2))", globals()) == 3
    exec("for i in range(3):\n    key(i)\n", dict(globals()))
