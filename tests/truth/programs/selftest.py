# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Small and regular: what tests/truth/selftest breaks on purpose."""


class Thing:
    def __getitem__(self, key):
        return key


def leaf(n):
    return n


def middle(n):
    return leaf(n)


def left():
    return middle(1)


def right():
    return middle(2)


def workload():
    thing = Thing()
    for n in range(5):
        left()
        right()
        thing[n]
