"""C functions, called in every way that the interpreter tells of, and exceptions. The functions
are such as nobody else calls."""
import functools
import math
import threading


class Own(Exception):
    pass


class Words(list):
    pass


class Bare:
    def __getattr__(self, name):
        raise AttributeError(name)


def double(a, b=0):
    return math.hypot(a, b) * 2


def fails(n):
    if n:
        fails(n - 1)
    raise Own(n)


def names():
    words = Words()
    insert = words.insert
    for i in range(10):
        insert(0, i)
        words.insert(0, i)
        list.insert(words, 0, i)
    args = (7, 3)
    divmod(*args)
    divmod(7, 3)
    "abc".swapcase().swapcase()
    {}.setdefault("a", 1)
    functools.reduce(double, [1, 2, 3])
    sum(map(double, [1, 2]), start=1)
    try:
        divmod(1, 0)
    except ZeroDivisionError:
        pass


def raises():
    for i in range(3):
        try:
            fails(2)
        except Own as e:
            kept = e
    try:
        raise kept
    except Own:
        pass
    hasattr(Bare(), "x")
    hasattr(Bare(), "y")
    try:
        list(map(fails, [0]))
    except Own:
        pass
    try:
        try:
            fails(0)
        finally:
            math.hypot(1, 1)
    except Own:
        pass


def work():
    for _ in range(100):
        names()
        raises()


def workload():
    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    work()


C_FUNCTIONS = ["math.hypot", "list.insert", "builtins.divmod", "str.swapcase", "dict.setdefault",
               "_functools.reduce", "builtins.sum"]
