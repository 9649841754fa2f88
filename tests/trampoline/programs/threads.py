"""Threads that come, go and take turns."""
import threading
import time


def leaf(x):
    return x


def work(n):
    for i in range(n):
        leaf(i)
        if not i % 100:
            time.sleep(0)


def short():
    leaf(1)


def workload():
    threads = [threading.Thread(target=work, args=(5000,)) for i in range(8)]
    for t in threads:
        t.start()
    for i in range(200):
        t = threading.Thread(target=short)
        t.start()
        t.join()
    for t in threads:
        t.join()
