"""Greenlets: many chains of calls on one C stack."""
import gevent


def leaf(x):
    return x


def inner(n):
    gevent.sleep(0)
    leaf(n)
    gevent.sleep(0)
    return n


def outer(n):
    for i in range(50):
        inner(i)


def workload():
    gevent.joinall([gevent.spawn(outer, i) for i in range(100)])
