# SPDX-License-Identifier: Apache-2.0
# needs: 3.14
# scope: own
"""Template strings, annotations evaluated late, except without brackets."""


def value():
    return 5


def template():
    return t"{value()} and {value()!r:>{value()}}"


def annotated(i):
    class Local:
        field: value() = i

    return Local.__annotations__


def bare():
    try:
        raise KeyError
    except KeyError, ValueError:
        return value()


def workload():
    for i in range(60):
        assert template().interpolations[0].value == 5
        assert annotated(i) == {"field": 5}
        assert bare() == 5
