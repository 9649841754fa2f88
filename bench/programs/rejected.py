# SPDX-License-Identifier: Apache-2.0
"""A leaf function called in a loop; a filter leaves it out."""


def leaf(x):
    return x


def workload(scale):
    for i in range(100000 * scale):
        leaf(i)
