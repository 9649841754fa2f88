# SPDX-License-Identifier: Apache-2.0
"""The process that is traced: runs sample programs, and tells the truth about them.

    python driver.py DIRECTORY

Commands come on standard input, one a line, each answered by one line on standard output:

    run NAME            run the program's workload (this is what the tracer sees)
    truth NAME PATH     run it under sys.setprofile, write the calls to PATH as JSON
    warm NAME N         run it N times without anybody looking
    load NAME, quit

A program is a file of DIRECTORY with a function workload(), which does the same on every run.
Everything runs on Python 3.6 and later. Calls of functions of this file are no part of either
side; the functions truth_begin_NAME and truth_end_NAME mark what is.
"""
import gc
import json
import os
import sys
import threading
import time

HERE = os.path.abspath(__file__)
# Where to write what a run calls, with times; asked once, for os.environ is Python code.
FAKE = os.environ.get("VIZBPF_TRUTH_FAKE")


class Recorder:
    """Calls seen by the profile hook, in order, for each thread of its own."""

    def __init__(self, clock=None):
        self.local = threading.local()
        self.threads = []
        self.clock = clock

    def events(self):
        try:
            return self.local.events
        except AttributeError:
            events = self.local.events = []
            self.threads.append((thread_id(), events))
            return events

    def hook(self, frame, event, arg):
        if event == "call":
            code = frame.f_code
            key = (getattr(code, "co_qualname", code.co_name), code.co_filename,
                   code.co_firstlineno)
        elif event == "return":
            key = None
        else:
            return
        if self.clock:
            self.events().append((key, self.clock()))
        else:
            self.events().append(key)

    def splice(self, keys):
        """Calls that another interpreter saw while this thread waited for it."""
        if self.clock:
            # Two nanoseconds each, and no return to the caller before the last one.
            now = self.clock()
            self.events().extend([(key and tuple(key), now + i * 2e-9)
                                  for i, key in enumerate(keys)])
            while self.clock() <= now + len(keys) * 2e-9:
                pass
        else:
            self.events().extend(key and tuple(key) for key in keys)


def thread_id():
    # threading.get_native_id() came with 3.8; before, any number that is not used twice will do.
    get = getattr(threading, "get_native_id", None)
    return get() if get else next(FALLBACK_IDS)


FALLBACK_IDS = iter(range(1 << 22, 1 << 30))


class State:
    recorder = None


def task(function, *args):
    """Calls function(*args), for threads that threading.setprofile() does not reach."""
    recorder = State.recorder
    if recorder is None:
        return function(*args)
    sys.setprofile(recorder.hook)
    try:
        return function(*args)
    finally:
        sys.setprofile(None)


def splice(keys):
    if State.recorder is not None:
        State.recorder.splice(keys)


def recording():
    return State.recorder is not None


def make_marker(name):
    scope = {}
    exec(compile("def %s():\n    pass\n" % name, HERE, "exec"), scope)
    return scope[name]


class Program:
    def __init__(self, directory, name):
        self.path = os.path.join(directory, name + ".py")
        with open(self.path, encoding="utf-8") as file:
            source = file.read()
        self.module = type(sys)("truth_" + name)
        self.module.__file__ = self.path
        self.module.driver = sys.modules["driver"]
        sys.modules[self.module.__name__] = self.module
        self.begin = make_marker("truth_begin_" + name)
        self.end = make_marker("truth_end_" + name)
        exec(compile(source, self.path, "exec"), self.module.__dict__)
        self.workload = self.module.workload

    def run(self):
        self.begin()
        self.workload()
        self.end()


def record(program, recorder):
    State.recorder = recorder
    threading.setprofile(recorder.hook)
    sys.setprofile(recorder.hook)
    try:
        program.run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        State.recorder = None


def write_truth(recorder, path):
    table = {}
    threads = []
    for _, events in recorder.threads:
        threads.append([-1 if key is None else table.setdefault(key, len(table))
                        for key in events])
    document = {"codes": list(table), "threads": threads}
    with open(path, "w") as file:
        json.dump(document, file)


def write_fake(recorder, path):
    """Calls with times, for the stand-in of the tracer that tests/truth/selftest uses."""
    with open(path, "a") as file:
        for tid, events in list(recorder.threads):
            events = [(key, round(seconds * 1e9)) for key, seconds in events]
            json.dump({"tid": tid, "events": events}, file)
            file.write("\n")


def exchange(text):
    """Answers, and waits for the next command: one call that has begun when the answer is there."""
    os.write(1, text.encode("ascii", "backslashreplace") + b"\n")
    # One byte at a time by read(2): sys.stdin would call Python functions of its own.
    data = b""
    while not data.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)
        data += byte
    return data.decode().split()


def execute(directory, programs, words):
    command, name = words[0], words[1]
    if name not in programs:
        programs[name] = Program(directory, name)
    program = programs[name]
    if command == "truth":
        recorder = Recorder()
        record(program, recorder)
        write_truth(recorder, words[2])
    elif command == "run":
        if FAKE:
            recorder = Recorder(time.monotonic)
            record(program, recorder)
            write_fake(recorder, FAKE)
        else:
            program.run()
    elif command == "warm":
        for _ in range(int(words[2])):
            program.run()


def main():
    directory = os.path.abspath(sys.argv[1])
    programs = {}
    sys.modules["driver"] = sys.modules["__main__"]
    sys.path.insert(0, os.path.join(directory, "imported"))
    # Collections at odd moments run callbacks of weak references: not the same on every run.
    gc.disable()
    answer = "ready %d" % os.getpid()
    while True:
        words = exchange(answer)
        if words[0] == "quit":
            break
        answer = "done"
        try:
            execute(directory, programs, words)
        except BaseException as error:
            answer = "failed %s: %s" % (type(error).__name__, str(error).replace("\n", " "))
    os._exit(0)


if __name__ == "__main__":
    main()
