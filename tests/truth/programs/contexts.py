# SPDX-License-Identifier: Apache-2.0
# scope: all
"""Context managers: classes, contextlib's, stacks of them, swallowed and passed exceptions."""
import contextlib


class Manager:
    def __init__(self, swallow):
        self.swallow = swallow

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.swallow


@contextlib.contextmanager
def managed(n):
    try:
        yield n
    except KeyError:
        pass


@managed(1)
def decorated():
    return 2


def workload():
    for i in range(40):
        with Manager(True) as outer, Manager(False):
            assert outer.swallow
            raise ValueError(i)
        with managed(i) as value:
            assert value == i
        with managed(i):
            raise KeyError(i)
        try:
            with managed(i), Manager(False):
                raise LookupError(i)
        except LookupError:
            pass
        assert decorated() == 2
        with contextlib.ExitStack() as stack:
            for n in range(3):
                stack.enter_context(managed(n))
            stack.callback(Manager, False)
        with contextlib.suppress(OSError):
            raise OSError(i)


# From 3.15 on contextlib asks inspect, which remembers the classes it has seen.
workload()
