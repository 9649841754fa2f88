# SPDX-License-Identifier: Apache-2.0
# scope: own
# alone: yes
# module: greenlet
# nesting: no
"""Stacks that are switched in the middle of calls."""
import greenlet

LOG = []


def leaf(n):
    LOG.append(n)


def switcher(n):
    for _ in range(5):
        leaf(n)
        nested(n)


def nested(n):
    greenlet.getcurrent().parent.switch(n)
    leaf(n)


def deep(n):
    return deep(n - 1) if n else greenlet.getcurrent().parent.switch(0)


def workload():
    del LOG[:]
    for _ in range(3):
        alive = [greenlet.greenlet(switcher) for _ in range(20)]
        while alive:
            for n, one in enumerate(alive):
                one.switch(n) if not one else one.switch()
            alive = [one for one in alive if not one.dead]
        one = greenlet.greenlet(deep)
        one.switch(30)
        one.switch()
    assert len(LOG) == 600
