# SPDX-License-Identifier: Apache-2.0
# needs: 3.8
# scope: own
"""Syntax of 3.8: positional-only parameters, assignment expressions, f-strings with =."""
import functools


def positional(a, /, b, *, c):
    return a + b + c


class Cached:
    @functools.cached_property
    def value(self):
        return 5


def walrus(data):
    return [y for x in data if (y := double(x)) > 2]


def double(x):
    return 2 * x


def workload():
    for _ in range(60):
        assert positional(1, 2, c=3) == 6
        assert Cached().value == 5
        assert walrus([1, 2, 3]) == [4, 6]
        assert f"{double(2)=}" == "double(2)=4"
