"""Ends with threads in the middle of calls, which the interpreter ends by force."""
import threading
import time


def leaf(x):
    return x


def forever():
    while True:
        leaf(1)
        time.sleep(0.0001)


def workload():
    for i in range(8):
        threading.Thread(target=forever, daemon=True).start()
    time.sleep(0.3)
