# SPDX-License-Identifier: Apache-2.0
# scope: all
"""Plain, mutual and nested recursion."""


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


def hanoi(n, source="a", target="b", spare="c"):
    if n:
        hanoi(n - 1, source, spare, target)
        hanoi(n - 1, spare, target, source)


def outer(n):
    def inner(m):
        return 0 if m == 0 else 1 + inner(m - 1)
    return inner(n)


def workload():
    assert fib(14) == 377
    assert even(100)
    assert ackermann(2, 4) == 11
    hanoi(6)
    assert outer(60) == 60
