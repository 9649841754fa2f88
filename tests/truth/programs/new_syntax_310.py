# SPDX-License-Identifier: Apache-2.0
# needs: 3.10
# scope: own
"""Structural pattern matching."""


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Tricky:
    @property
    def size(self):
        return 3

    def __eq__(self, other):
        return True


def classify(value):
    match value:
        case Point(0, y):
            return on_axis(y)
        case Point(x, y) if guard(x, y):
            return 2
        case [first, *rest]:
            return classify(first)
        case {"key": inner}:
            return classify(inner)
        case Tricky(size=3):
            return 4
        case str() | int():
            return 5
        case _:
            return 6


def on_axis(y):
    return 1


def guard(x, y):
    return x == y


def workload():
    for _ in range(60):
        values = [Point(0, 1), Point(2, 2), Point(1, 2), [Point(0, 3), 1], {"key": "text"},
                  Tricky(), 7, 1.5]
        assert [classify(value) for value in values] == [1, 2, 6, 1, 5, 4, 5, 6]
