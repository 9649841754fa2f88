# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Many short threads, one after another and in groups."""
import threading


def leaf(n):
    return n


def short(n):
    return leaf(n) + leaf(n)


def workload():
    for n in range(150):
        thread = threading.Thread(target=short, args=(n,))
        thread.start()
        thread.join()
    for _ in range(10):
        group = [threading.Thread(target=short, args=(n,)) for n in range(15)]
        for thread in group:
            thread.start()
        for thread in group:
            thread.join()
