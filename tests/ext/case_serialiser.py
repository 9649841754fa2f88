# SPDX-License-Identifier: Apache-2.0
"""Values to JSON: always valid, always bounded, never an exception."""
import collections
import enum
import json
import random

import vizbpf
from vizbpf._native import _to_json


class _Evil(Exception):
    pass


class Raises:
    def __init__(self, error):
        self.error = error

    def __repr__(self):
        raise self.error


class NotText:
    def __repr__(self):
        return 7


class Surrogate:
    def __repr__(self):
        return "\ud800\x00\x1b[31m\"\\" + chr(0x10ffff)


class Huge:
    def __repr__(self):
        return "x" * 1000000


class Deep:
    def __repr__(self):
        return repr(self)


class Meta(type):
    @property
    def __name__(cls):
        raise _Evil

    def __instancecheck__(cls, other):
        raise _Evil


class Strange(metaclass=Meta):
    __class__ = property(lambda self: 1 / 0)

    def __repr__(self):
        raise _Evil

    def __getattr__(self, name):
        raise _Evil


class IntLike(int):
    def __repr__(self):
        raise _Evil

    __str__ = __index__ = __int__ = bit_length = __repr__


class TextLike(str):
    def __str__(self):
        raise _Evil

    __repr__ = __len__ = encode = __str__


class FloatLike(float):
    def __float__(self):
        raise _Evil

    __repr__ = __float__


class ListLike(list):
    def __iter__(self):
        raise _Evil

    __len__ = __getitem__ = __repr__ = __iter__


class DictLike(dict):
    def items(self):
        raise _Evil

    __iter__ = keys = __len__ = __getitem__ = __repr__ = items


class Grows:
    """Changes the container it is in while that is written."""

    def __init__(self, target):
        self.target = target

    def __repr__(self):
        if isinstance(self.target, list):
            self.target.clear()
        elif len(self.target) < 500:
            for _ in range(10):
                self.target[len(self.target)] = self
        return "grown"


class Color(enum.IntEnum):
    RED = 1


def _hostile(rng, depth=0):
    simple = [
        lambda: None, lambda: rng.random() * 10 ** rng.randrange(-300, 300),
        lambda: float(rng.choice(["nan", "inf", "-inf"])), lambda: -rng.getrandbits(rng.randrange(1, 4000)),
        lambda: "".join(chr(rng.choice([0, 7, 10, 34, 92, 127, 233, 0xd800, 0x20ac, 0x1f600]))
                        for _ in range(rng.randrange(300))),
        lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(400))),
        lambda: Raises(rng.choice([_Evil(), KeyboardInterrupt("mine"), SystemExit(3), MemoryError(),
                                   RecursionError(), StopIteration()])),
        NotText, Surrogate, Huge, Deep, Strange, lambda: IntLike(5), lambda: IntLike(1 << 5000),
        lambda: TextLike("t\"\ud801"), lambda: FloatLike(1.5), lambda: Color.RED, lambda: Strange,
        lambda: set(range(rng.randrange(100))), lambda: frozenset("ab"), lambda: range(10 ** 9),
        lambda: bytearray(rng.randrange(1000)), lambda: memoryview(b"abc"), lambda: 1 + 2j,
    ]
    if depth > 8 or rng.random() < 0.5:
        return rng.choice(simple)()
    many = [_hostile(rng, depth + 1) for _ in range(rng.randrange(6))]
    kind = rng.randrange(6)
    if kind == 0:
        return many
    if kind == 1:
        return tuple(many)
    if kind == 2:
        return ListLike(many)
    if kind == 3:
        cycle = list(many)
        cycle.append(cycle)
        cycle.append(Grows(cycle))
        return cycle
    keys = [rng.choice(["k", 5, (1, 2), None, 1.5, "\ud800", b"b", 1 << 400]) for _ in many]
    if kind == 4:
        grown = dict(zip(keys, many))
        grown["g"] = Grows(grown)
        return grown
    return DictLike(zip(keys, many))


def test_random_hostile_values():
    rng = random.Random(20240817)
    for _ in range(1500):
        value = _hostile(rng)
        size = rng.choice([8, 9, 12, 20, 50, 100, 300, 1700])
        for as_repr in (False, True):
            text = _to_json(value, size, as_repr)
            if text is None:
                assert size < 64, (size, as_repr, type(value))
                continue
            assert len(text.encode("utf-8", "surrogatepass")) < size, (size, text)
            json.loads(text)
            text.encode("utf-8")


def test_every_size_of_buffer():
    values = ["abc" * 100, "é\"\n\x01" * 100, {"a" * 30: ["b" * 30, {"c": [1, 2, 3]}]},
              [[[[["x", (1,), {}]]]]], [1.5] * 100, {"k": 1 << 200}, (), {}]
    for size in range(8, 700):
        for value in values:
            for as_repr in (False, True):
                text = _to_json(value, size, as_repr)
                if text is not None:
                    json.loads(text)
                    assert len(text.encode()) < size


def test_plain_values_are_exact():
    for value in (None, True, False, 0, -5, 1 << 62, -(1 << 100), 1.5, 0.1, 1e300, -2.5e-8, 3.0, "", "a",
                  "\u20ac\U0001f600\x00\x7f\"\\/", [], [1, [2, {"a": None}]], {"a": {"b": [True]}}):
        assert json.loads(_to_json(value)) == value, value


def test_repr_is_python_notation():
    Point = collections.namedtuple("Point", "x y")
    for value in (None, True, 5, -1.5, "a'b", [1, "x", None], (1,), (), (1, 2), {"a": 1, 2: (3,)}, {},
                  Point(1, 2), Color.RED, b"x", {5}, 1 << 100, range(3)):
        assert json.loads(_to_json(value, 1700, True)) == repr(value), value


def test_long_things_are_cut():
    assert json.loads(_to_json("x" * 10 ** 6)).endswith("...")
    assert json.loads(_to_json(list(range(1000))))[-1] == "..."
    assert json.loads(_to_json(b"x" * 1000)) == "<bytes of 1000>"
    assert json.loads(_to_json(10 ** 5000)) == "<int of 16610 bits>"
    assert len(json.loads(_to_json("x" * 10 ** 6, 1700, True))) <= 205
    assert len(json.loads(_to_json(Huge()))) <= 203


def test_excluded_types_are_not_asked():
    class Secret:
        def __repr__(self):
            raise AssertionError("repr was called")

    class Child(Secret, list):
        pass

    vizbpf.exclude_repr(Secret)
    try:
        assert json.loads(_to_json([Secret(), Child([1])])) == ["<Secret object>", "<Child object>"]
        assert json.loads(_to_json({"a": Secret()}, 1700, True)) == "{'a': <Secret object>}"
        assert json.loads(_to_json(Child(), 1700, True)) == "<Child object>"
    finally:
        vizbpf.exclude_repr()


def test_pending_state_is_left_alone():
    try:
        raise KeyError("mine")
    except KeyError as error:
        _to_json(Raises(ValueError("x")))
        _to_json([Deep()])
        assert repr(error) == "KeyError('mine')"
    _to_json(Raises(KeyboardInterrupt("mine")))
