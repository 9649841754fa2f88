"""Sub-interpreters, each with a slot of its own."""
import sys
import time

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters


def leaf(x):
    return x


def workload():
    ids = [interpreters.create() for i in range(3)]
    for i in ids:
        interpreters.run_string(i, "def sub(x): return x\nimport time\nend=time.time()+.6\n"
                                   "while time.time() < end: sub(1)")
    for i in range(1000):
        leaf(i)
    for i in ids:
        interpreters.destroy(i)
