# SPDX-License-Identifier: Apache-2.0
# scope: all
"""Exceptions that cross frames, C code and generators, and that are raised again."""


class Trouble(Exception):
    def __init__(self, depth):
        super().__init__(depth)
        self.depth = depth


def sink(depth):
    if depth == 0:
        raise Trouble(depth)
    sink(depth - 1)


def catches(depth):
    try:
        sink(depth)
    except Trouble as trouble:
        return trouble.depth


def again(depth):
    try:
        sink(depth)
    except Trouble as trouble:
        raise ValueError("again") from trouble
    finally:
        after()


def after():
    return 1


def through_c():
    def key(x):
        if x == 3:
            raise KeyError(x)
        return x
    try:
        sorted([1, 2, 3, 4], key=key)
    except KeyError:
        pass
    try:
        list(map(key, [1, 3]))
    except KeyError:
        pass


class Broken:
    def __init__(self):
        raise Trouble(1)

    def __del__(self):
        after()


class Half:
    @property
    def prop(self):
        raise AttributeError("prop")

    def __getattr__(self, name):
        return name

    def __len__(self):
        raise Trouble(2)


def builtin_errors():
    for action in (lambda: 1 // 0, lambda: [][1], lambda: {}["x"], lambda: int("x"),
                   lambda: None.x, lambda: undefined):  # noqa: F821
        try:
            action()
        except Exception:
            after()


def wrong_call():
    try:
        after(1)
    except TypeError:
        pass
    try:
        sink()
    except TypeError:
        pass


def endless():
    try:
        return endless_inner()
    except RecursionError:
        return 1


def endless_inner():
    raise RecursionError("as if")


def nested():
    try:
        try:
            sink(3)
        finally:
            after()
    except Trouble:
        try:
            sink(2)
        except Trouble:
            after()


def loop_with_else():
    for i in range(5):
        try:
            if i == 3:
                sink(0)
        except Trouble:
            continue
        else:
            after()


def workload():
    for _ in range(50):
        catches(10)
        try:
            again(5)
        except ValueError:
            pass
        through_c()
        try:
            Broken()
        except Trouble:
            pass
        half = Half()
        half.prop
        try:
            len(half)
        except Trouble:
            pass
        builtin_errors()
        wrong_call()
        endless()
        nested()
        loop_with_else()
