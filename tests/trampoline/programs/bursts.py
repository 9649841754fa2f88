# SPDX-License-Identifier: Apache-2.0
"""More calls than there is room for in a ring, with time to read them in between."""
import time


def leaf():
    pass


def workload():
    for _ in range(100):
        for _ in range(12000):
            leaf()
        time.sleep(0.01)
