# SPDX-License-Identifier: Apache-2.0
# scope: all
# alone: yes
# mode: losses
"""More calls than a small ring can hold while the tracer is kept from reading it."""


def leaf(n):
    return n


def middle(n):
    return leaf(n) + leaf(n)


def workload():
    for n in range(20000):
        middle(n)
