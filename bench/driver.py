# SPDX-License-Identifier: Apache-2.0
"""The process that is measured: runs one program of bench/programs when it is told to.

    python driver.py [--cprofile] [--heartbeat] [--count] [--pause SECONDS] PROGRAM SCALE [TIMES]

It prints `ready` and the pids to be recorded, waits for a line, runs the program's workload, prints
{"calls", "seconds", "cpu", "growth", "gap"} as JSON, waits for another line and ends.

calls: counted by the profile hook with --count, else null. cpu: seconds, of all recorded processes
and the children that they have waited for. growth: KiB by which their resident memory grew. gap:
longest time in seconds between two beats of a 1 kHz thread (--heartbeat).
Runs on Python 3.6 and later.
"""
import argparse
import importlib
import json
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    """Seconds, of the process and the children that it has waited for."""
    if pid == os.getpid():
        times = os.times()
        return time.process_time() + times.children_user + times.children_system
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    with open("/proc/%d/schedstat" % pid) as file:
        # nanoseconds, but of the main thread alone: the ticks bound what other threads add
        exact = int(file.read().split()[0]) / 1e9
    ticks = (int(fields[11]) + int(fields[12])) / TICK
    threads = len(os.listdir("/proc/%d/task" % pid))
    return (exact if threads == 1 else ticks) + (int(fields[13]) + int(fields[14])) / TICK


def resident(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


class Heart:
    """A thread that wants to run every millisecond."""

    def __init__(self):
        # The default switch interval, 5 ms, would be all that is seen of a busy program.
        sys.setswitchinterval(0.0005)
        self.gap = 0.0
        self.beating = True
        self.thread = threading.Thread(target=self.beat)
        self.thread.start()

    def beat(self):
        last = time.perf_counter()
        while self.beating:
            time.sleep(0.001)
            now = time.perf_counter()
            if now - last > self.gap:
                self.gap = now - last
            last = now

    def stop(self):
        self.beating = False
        self.thread.join()
        return self.gap


def counted(function):
    """How many Python calls a function makes, in all threads of this process."""
    counts = {}

    def hook(frame, event, arg):
        if event == "call":
            thread = threading.get_ident()
            counts[thread] = counts.get(thread, 0) + 1

    threading.setprofile(hook)
    sys.setprofile(hook)
    try:
        function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return sum(counts.values())


def nothing():
    pass


def settle():
    """What happens at the first calls after an attach is a figure of its own."""
    for _ in range(10):
        nothing()
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cprofile", action="store_true")
    parser.add_argument("--heartbeat", action="store_true")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--pause", type=float, default=0)
    parser.add_argument("program")
    parser.add_argument("scale", type=int)
    parser.add_argument("times", type=int, nargs="?", default=1)
    options = parser.parse_args()
    sys.path.insert(0, os.path.join(HERE, "programs"))
    program = importlib.import_module(options.program)
    if hasattr(program, "setup"):
        program.setup(options.scale)
    targets = getattr(program, "TARGETS", None) or [os.getpid()]
    print("ready " + " ".join(map(str, targets)), flush=True)
    sys.stdin.readline()

    def run():
        for _ in range(options.times):
            program.workload(options.scale)
            if options.pause:
                time.sleep(options.pause)

    if options.heartbeat:
        # Busy until the next line comes, which is when the tracer has attached.
        told = threading.Event()
        heart = Heart()
        reader = threading.Thread(target=lambda: (sys.stdin.readline(), told.set()))
        reader.start()
        while not told.is_set():
            program.workload(options.scale)
        print(json.dumps({"gap": heart.stop()}), flush=True)
        return
    settle()
    before = sum(map(resident, targets))
    cpu = sum(map(cpu_of, targets))
    began = time.perf_counter()
    calls = None
    if options.count:
        calls = counted(run)
    elif options.cprofile:
        import cProfile
        cProfile.Profile().runcall(run)
    else:
        run()
    seconds = time.perf_counter() - began
    result = {"calls": calls, "seconds": seconds, "cpu": sum(map(cpu_of, targets)) - cpu,
              "growth": sum(map(resident, targets)) - before}
    print(json.dumps(result), flush=True)
    sys.stdin.readline()
    if hasattr(program, "teardown"):
        program.teardown()


if __name__ == "__main__":
    main()
