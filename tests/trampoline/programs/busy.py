"""Calls as fast as they go, for some time."""
import time


def leaf(x):
    return x


def quick(x):
    return leaf(x)


def slow():
    time.sleep(0.002)


def batch():
    for i in range(1000):
        quick(i)
    slow()


def workload():
    end = time.time() + 1.5
    while time.time() < end:
        batch()
