# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Signal handlers, weak reference callbacks, the garbage collector's calls, and atexit-like ones."""
import gc
import os
import signal
import sys
import weakref

import driver

SEEN = []


class Thing:
    pass


class Loop:
    def __init__(self):
        self.me = self

    def __del__(self):
        gone()


def gone():
    SEEN.append(1)


def handler(number, frame):
    gone()


def poke():
    # Before 3.11 the interpreter would run the handler inside the profile hook, unseen by it.
    if driver.recording():
        handler(signal.SIGUSR1, None)
    else:
        os.kill(os.getpid(), signal.SIGUSR1)
    return waited()


def waited():
    return len(SEEN)


def on_death(ref):
    gone()


def on_gc(phase, info):
    gone()


def audit_free():
    thing = Thing()
    ref = weakref.ref(thing, on_death)
    del thing
    return ref


def workload():
    old = signal.signal(signal.SIGUSR1, handler)
    for _ in range(20):
        poke()
        audit_free()
    signal.signal(signal.SIGUSR1, old)
    gc.callbacks.append(on_gc)
    for _ in range(3):
        Loop()
        gc.collect()
    gc.callbacks.remove(on_gc)
    hook, sys.displayhook = sys.displayhook, on_death
    exec(compile("1 + 1", "<own interactive>", "single"))
    sys.displayhook = hook
