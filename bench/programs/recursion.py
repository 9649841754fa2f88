# SPDX-License-Identifier: Apache-2.0
"""Recursion: almost nothing but calls."""


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def workload(scale):
    for _ in range(8 * scale):
        fib(19)
