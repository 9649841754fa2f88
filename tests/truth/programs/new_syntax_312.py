# SPDX-License-Identifier: Apache-2.0
# needs: 3.12
# scope: own
"""Type parameters and aliases evaluated late."""


def evaluated():
    return int


def first[T: evaluated()](items: list[T]) -> T:
    return items[0]


class Box[T]:
    def __init__(self, value: T):
        self.value = value

    def get(self) -> T:
        return self.value


def define(i):
    type Alias = evaluated()

    def local[S](x: S) -> S:
        return x

    class Local[S]:
        def get(self):
            return i

    def bounded[S: evaluated()](x: S) -> S:
        return x

    assert bounded.__type_params__[0].__bound__ is int
    return Alias.__value__, local(i), Local().get()


def comprehensions(n):
    return [helper(x) for x in range(n)], {helper(x): x for x in range(n)}


def helper(x):
    return x


def workload():
    for i in range(60):
        assert first([i]) == i and Box(i).get() == i
        assert define(i) == (int, i, i)
        comprehensions(3)
