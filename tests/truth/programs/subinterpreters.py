# SPDX-License-Identifier: Apache-2.0
# needs: 3.8
# scope: own
# alone: yes
# module: _interpreters _xxsubinterpreters
"""Interpreters of their own inside the process, made before and while being watched."""
import json
import os
import tempfile

import driver

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

SOURCE = '''
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

class Thing:
    def method(self):
        return fib(5)

for _ in range(30):
    Thing().method()
'''
HOOKED = '''
import json, sys
events = []
def hook(frame, event, arg):
    if event == "call":
        code = frame.f_code
        events.append((getattr(code, "co_qualname", code.co_name), code.co_filename,
                       code.co_firstlineno))
    elif event == "return":
        events.append(None)
code = compile(SOURCE, "<own sub>", "exec")
sys.setprofile(hook)
exec(code, {"__name__": "sub"})
sys.setprofile(None)
with open(PATH, "w") as file:
    json.dump(events, file)
'''
PLAIN = 'exec(compile(SOURCE, "<own sub>", "exec"), {"__name__": "sub"})\n'


def create():
    try:
        return interpreters.create("legacy")
    except (TypeError, ValueError):
        return interpreters.create()


EARLY = create()
IDLE = create()  # older than those that are made later, and never runs anything


def run_in(interpreter):
    source = "SOURCE = %r\n" % SOURCE
    if not driver.recording():
        interpreters.run_string(interpreter, source + PLAIN)
        return
    handle, path = tempfile.mkstemp()
    os.close(handle)
    interpreters.run_string(interpreter, source + "PATH = %r\n" % path + HOOKED)
    with open(path) as file:
        driver.splice(json.load(file))
    os.unlink(path)


def workload():
    for _ in range(2):
        run_in(EARLY)
        late = create()
        run_in(late)
        run_in(late)
        interpreters.destroy(late)
