# SPDX-License-Identifier: Apache-2.0
"""Runs workload() of one program, for a recorder or for the truth.

usage: target.py PROGRAM            prints "ready", waits for a line, works, prints "done",
                                    waits for another line
       target.py PROGRAM --truth    works under sys.setprofile, prints the calls of the
                                    program's own functions as JSON
"""
import json
import os
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    path = os.path.join(HERE, "programs", name + ".py")
    space = {"__name__": name, "__file__": path}
    with open(path) as f:
        exec(compile(f.read(), path, "exec"), space)
    return path, space


def truth(path, space):
    lock = threading.Lock()
    calls = {}
    c_functions = space.get("C_FUNCTIONS")

    def profile(frame, event, arg):
        code = frame.f_code
        key = None
        if event == "call" and code.co_filename == path:
            name = getattr(code, "co_qualname", code.co_name)
            key = "%s:%d" % (name, code.co_firstlineno)
        elif event == "c_call" and c_functions:
            owner = arg.__module__ or next(c.__name__ for c in type(arg.__self__).__mro__
                                           if arg.__name__ in vars(c))
            key = "%s.%s:0" % (owner, arg.__name__)
            if key[:-2] not in c_functions:
                key = None
        if key:
            with lock:
                calls[key] = calls.get(key, 0) + 1

    threading.setprofile(profile)
    sys.setprofile(profile)
    space["workload"]()
    sys.setprofile(None)
    threading.setprofile(None)
    for name, more in space.get("CHILDREN", {}).items():
        key = "%s:%d" % (name, space[name].__code__.co_firstlineno)
        calls[key] = calls.get(key, 0) + more
    print(json.dumps(calls))


def main():
    path, space = load(sys.argv[1])
    if sys.argv[2:] == ["--truth"]:
        truth(path, space)
        return
    if "prepare" in space:
        space["prepare"]()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    os.read(0, 1)
    space["workload"]()
    sys.stdout.write("done\n")
    sys.stdout.flush()
    os.read(0, 1)


main()
