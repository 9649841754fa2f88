# SPDX-License-Identifier: Apache-2.0
# scope: all
# alone: yes
"""A stack a thousand deep: far more than the 64 return probes that a kernel keeps."""
import sys


def down(n):
    if n:
        return down(n - 1)
    return leaf()


def leaf():
    return 1


class Node:
    def __init__(self, child):
        self.child = child

    def depth(self):
        return 1 + (self.child.depth() if self.child else 0)


def fails(n):
    if n == 0:
        raise LookupError("bottom")
    fails(n - 1)


def chain(n):
    node = None
    for _ in range(n):
        node = Node(node)
    return node


def through_key(n):
    # Every second level goes through C code.
    return sorted([0], key=lambda _: through_key(n - 1))[0] if n else 0


def workload():
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(3000)
    try:
        for _ in range(3):
            down(1000)
            assert chain(900).depth() == 900
            try:
                fails(1000)
            except LookupError:
                pass
        through_key(60)
    finally:
        sys.setrecursionlimit(old)
