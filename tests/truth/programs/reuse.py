# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Code objects that come and go: their addresses are used again by others."""

TEMPLATE = """
class C{i}:
    def method(self):
        return helper_{i}()

def helper_{i}():
    return {i}

def same():
    return C{i}().method()

result = same()
"""


def once(i):
    scope = {}
    exec(compile(TEMPLATE.format(i=i), "<own %d>" % (i % 7), "exec"), scope)
    assert scope["result"] == i


def shifted(i):
    # The same name and file at another line, in the same memory.
    scope = {}
    exec(compile("\n" * (i % 50) + "def f():\n    return 1\n", "<own shifted>", "exec"), scope)
    scope["f"]()


def workload():
    for i in range(500):
        once(i)
    for i in range(1000):
        shifted(i)
    for i in range(300):
        eval(compile("(lambda: %d)()" % i, "<own eval %d>" % i, "eval"))
