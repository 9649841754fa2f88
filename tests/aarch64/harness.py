# SPDX-License-Identifier: Apache-2.0
"""Runs in the interpreter for aarch64: what sys.setprofile counts is what the recorder has to."""
import collections
import ctypes
import sys
import threading
import time


def leaf(n):
    return n + 1


def numbers(n):
    for i in range(n):
        yield leaf(i)


def fail(n):
    if n % 2:
        raise ValueError(n)
    return leaf(n)


class Shop:
    def __init__(self, n):
        self.n = n

    def price(self):
        return leaf(self.n)


def recurse(n):
    return recurse(n - 1) if n else 0


def work():
    total = sum(numbers(50))
    for i in range(40):
        try:
            total += fail(i)
        except ValueError:
            pass
    for i in range(30):
        total += Shop(i).price()
    return total + recurse(60)


def first():
    pass


def everything():
    others = [threading.Thread(target=work) for _ in range(3)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()


NAMES = ("leaf", "numbers", "fail", "Shop.__init__", "Shop.price", "recurse", "work", "everything")


def truth():
    """Beginnings and ends by name."""
    seen = []  # appending is one step, counting from several threads is not

    def profile(frame, event, _):
        seen.append((event, frame.f_code.co_qualname))

    threading.setprofile(profile)
    sys.setprofile(profile)
    everything()
    sys.setprofile(None)
    threading.setprofile(None)
    return [collections.Counter(name for event, name in seen if event == which)
            for which in ("call", "return")]


def check(good, what, more=""):
    print("%s - %s%s" % ("ok" if good else "not ok", what, "" if good else " # %s" % (more,)))


def main(path, room):
    lib = ctypes.PyDLL(path)  # with the GIL held, as it must be
    lib.calls.argtypes = [ctypes.c_char_p, ctypes.c_int]
    begun, ended = truth()
    check(lib.attach(room) == 0, "room for it")
    # goes through the slot; a late recorder is there at one of the next
    for _ in range(500 if room else 1):
        first()
        if lib.state() == 1:
            break
        time.sleep(0.01)
    check(lib.state() == 1, "the recorder is up", "state %d error %d" % (lib.state(), lib.error()))
    everything()
    lib.drain()
    print("# %d records, %d changes of thread" % (lib.sum(0), lib.sum(1)))
    for name in NAMES:
        seen = [lib.calls(name.encode(), which) for which in (0, 1)]
        want = [begun[name], ended[name]]
        check(seen == want, "calls of %s" % name, "%s recorded, %s in truth" % (seen, want))
    check(lib.calls(b"fail", 2) == 80, "exceptions", lib.calls(b"fail", 2))
    check(lib.sum(1) > 3, "threads are told apart", lib.sum(1))
    check(lib.sum(2) == 0, "the clock does not go back", lib.sum(2))
    check(lib.sum(3) == 0, "nothing is lost", lib.sum(3))
    lib.detach()
    everything()
    check(lib.is_back() == 1, "the slot is put back")
    if hasattr(sys, "monitoring"):
        check(all(sys.monitoring.get_tool(i) is None for i in range(6)), "its tool is given back")
    everything()
    check(True, "the program goes on")


main(sys.argv[1], len(sys.argv) > 2)
