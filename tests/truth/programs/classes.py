# SPDX-License-Identifier: Apache-2.0
# scope: all
"""Class bodies, metaclasses, decorators, closures, lambdas and comprehensions."""
import functools


class Meta(type):
    def __new__(mcs, name, bases, space, **options):
        return super().__new__(mcs, name, bases, space)

    def __init__(cls, name, bases, space, **options):
        super().__init__(name, bases, space)

    def __call__(cls, *args):
        return super().__call__(*args)

    @classmethod
    def __prepare__(mcs, name, bases, **options):
        return {}


def counted(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper


def with_option(option):
    def decorate(function):
        def wrapper(*args):
            return function(*args) + option
        return wrapper
    return decorate


class as_class:
    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        return self.function(*args)

    def __get__(self, obj, cls):
        return functools.partial(self, obj)


@counted
def first(a, b=1):
    return a + b


@with_option(5)
@counted
def second(a):
    return a


@as_class
def third(a):
    return a


def bodies(i):
    class Parent:
        def __init_subclass__(cls, **options):
            super().__init_subclass__()

    class Child(Parent, option=1):
        value = i
        squares = [n * n for n in range(3)]

        class Nested:
            deep = 1

            def method(self):
                return self.deep

        @as_class
        def decorated(self):
            return self.value

    class Made(metaclass=Meta, flag=True):
        def __init__(self, n):
            self.n = n

    return Child().decorated() + Child.Nested().method() + Made(3).n


def comprehensions():
    total = sum([n for n in range(5)]) + len({n for n in range(5)})
    total += len({n: -n for n in range(5)}) + sum(n for n in range(5))
    total += sum(x * y for x in range(3) for y in [z for z in range(3)])
    add = lambda a: lambda b: a + b
    total += add(1)(2)
    total += (lambda: (lambda: 3)())()
    return total


def workload():
    for i in range(60):
        first(i), first(i, b=2), second(i), third(i)
        comprehensions()
    for i in range(30):
        bodies(i)
