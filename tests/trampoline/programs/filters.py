"""Calls that each filter leaves some of: other files, frozen modules, generators, threads,
exceptions, recursion, long and short ones."""
import json
import threading
import time


def long_one():
    time.sleep(0.03)
    return short_one(1)


def short_one(x):
    return x


def recurse(n):
    return n and short_one(n) + recurse(n - 1)


def numbers(n):
    for i in range(n):
        yield short_one(i)


class Shape:
    def __init__(self, n):
        self.n = n

    def area(self):
        return sum(numbers(self.n)) + recurse(3)

    def fail(self):
        try:
            self.raising(2)
        except ValueError:
            short_one(0)

    def raising(self, n):
        if not n:
            raise ValueError(n)
        self.raising(n - 1)


def other(n):
    for i in range(n):
        Shape(i % 5).area()
        Shape(i).fail()
        json.dumps({"a": [i, {"b": i}]}, indent=1)


def workload():
    long_one()
    threads = [threading.Thread(target=other, args=(60,)) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    other(100)
    for _ in range(4):
        long_one()
