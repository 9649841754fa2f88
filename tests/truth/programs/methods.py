# SPDX-License-Identifier: Apache-2.0
# scope: all
"""Every way by which a class makes the interpreter call Python code."""


class Plain:
    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value

    def with_defaults(self, a, b=2, *rest, c=3, **more):
        return a + b + c + len(rest) + len(more)

    @staticmethod
    def static(a):
        return a

    @classmethod
    def make(cls, value):
        return cls(value)

    @property
    def double(self):
        return self.value * 2

    @double.setter
    def double(self, value):
        self.value = value // 2


class Base:
    def __init__(self):
        self.trail = ["base"]

    def step(self):
        return 1


class Left(Base):
    def __init__(self):
        super().__init__()
        self.trail.append("left")

    def step(self):
        return super().step() + 1


class Right(Base):
    def __init__(self):
        super().__init__()
        self.trail.append("right")

    def step(self):
        return super().step() + 10


class Both(Left, Right):
    def step(self):
        return super().step() + 100


class Container:
    def __init__(self):
        self.data = {}

    def __getitem__(self, key):
        return self.data[key]

    def __setitem__(self, key, value):
        self.data[key] = value

    def __delitem__(self, key):
        del self.data[key]

    def __len__(self):
        return len(self.data)

    def __contains__(self, key):
        return key in self.data

    def __iter__(self):
        return Walker(sorted(self.data))

    def __bool__(self):
        return bool(self.data)


class Walker:
    def __init__(self, keys):
        self.keys = keys
        self.at = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.at == len(self.keys):
            raise StopIteration
        self.at += 1
        return self.keys[self.at - 1]


class Number:
    def __init__(self, n):
        self.n = n

    def __add__(self, other):
        return Number(self.n + other.n)

    def __radd__(self, other):
        return Number(self.n + other)

    def __iadd__(self, other):
        self.n += other.n
        return self

    def __neg__(self):
        return Number(-self.n)

    def __eq__(self, other):
        return self.n == other.n

    def __lt__(self, other):
        return self.n < other.n

    def __hash__(self):
        return hash(self.n)

    def __call__(self, k):
        return self.n * k

    def __repr__(self):
        return "Number(%d)" % self.n

    def __format__(self, spec):
        return "n" + str(self.n)

    def __index__(self):
        return self.n


class Lazy:
    def __getattr__(self, name):
        if name.startswith("no"):
            raise AttributeError(name)
        return name

    def __setattr__(self, name, value):
        super().__setattr__(name, value)


class Watched:
    x = 1

    def __getattribute__(self, name):
        return object.__getattribute__(self, name)


class Described:
    def __get__(self, obj, cls):
        return 5

    def __set__(self, obj, value):
        pass

    def __set_name__(self, owner, name):
        self.name = name


class Missing(dict):
    def __missing__(self, key):
        return key


class Dying:
    def __init__(self, log):
        self.log = log

    def __del__(self):
        self.log.append(1)


def calls():
    total = 0
    for i in range(120):
        plain = Plain(i)
        total += plain.get() + Plain.make(i).get() + Plain.static(i)
        total += plain.with_defaults(1) + plain.with_defaults(1, 2, 3, c=4, d=5)
        plain.double = plain.double
        args = (1, 2)
        total += plain.with_defaults(*args) + plain.with_defaults(**{"a": 1})
        bound = plain.get
        total += bound()
    return total


def containers():
    box = Container()
    for i in range(120):
        box[i] = i
    assert sum(box[i] for i in range(120)) == sum(range(120))
    total = 0
    for i in range(120):
        total += box[i]
        assert i in box
    for key in box:
        total += key
    del box[3]
    assert box and len(box) == 119
    table = Missing()
    for i in range(60):
        total += table[i]
    return total


def numbers():
    one = Number(1)
    total = Number(0)
    for i in range(100):
        total = total + one
        total += one
        assert -(-one) == one
        assert one(i) == i
    assert sum([Number(1), Number(2)]).n == 3
    assert sorted([Number(3), Number(1), Number(2)])[0].n == 1
    assert len({Number(1), Number(1), Number(2)}) == 2
    assert repr(one) == "Number(1)" and "{0:x}{0!r}".format(one) == "n1Number(1)"
    assert [10, 20][one] == 20


def attributes():
    lazy, watched = Lazy(), Watched()
    for _ in range(100):
        lazy.field = 1
        assert lazy.other == "other"
        assert not hasattr(lazy, "nothing")
        assert watched.x == 1

    class Owner:
        field = Described()

    owner = Owner()
    for _ in range(100):
        owner.field = owner.field


def deaths():
    log = []
    for _ in range(80):
        Dying(log)
    assert len(log) == 80


def workload():
    calls()
    for _ in range(60):
        assert Both().step() == 112
    containers()
    numbers()
    attributes()
    deaths()
