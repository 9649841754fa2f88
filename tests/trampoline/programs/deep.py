"""Recursion that counts on inlined calls: a raised limit, and threads with little stack."""
import sys
import threading


def down(n):
    return n and down(n - 1)


def small():
    down(200)


def workload():
    down(500)
    if sys.version_info >= (3, 11):
        sys.setrecursionlimit(60000)
        down(50000)
        sys.setrecursionlimit(1000)
    old = threading.stack_size(64 << 10) if sys.version_info >= (3, 11) else None
    for i in range(20):
        t = threading.Thread(target=small)
        t.start()
        t.join()
    down(500)
