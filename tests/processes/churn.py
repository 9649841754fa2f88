#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server in whose life many processes and threads begin and end.

    churn.py serve              prints "ready", then does what lines of its input say, answering
                                each with "done": "forks N", "threads N", "programs N"
    churn.py memory PID         KiB of private memory of PID and of its children
    churn.py bounded PID N      waits until that is no more than N; says what it was; status 1: never
    churn.py empty PID TGID...  waits until the BPF hash maps of PID know of no process but those
    churn.py check TRACE N M    TRACE names N processes, and M of them with all their 5 calls
"""
import collections
import glob
import json
import os
import re
import subprocess
import sys
import threading
import time

PATIENCE = 20  # seconds
# By process or thread. "known_interpreters" has addresses.
MAPS = {"processes", "threads", "codes", "guards", "held", "verdicts"}


def child():
    pass


def leave():
    """A call that is open when the process ends."""
    os._exit(0)


def fork(number):
    pid = os.fork()
    if not pid:
        thread = threading.Thread(target=child, name="child-%d" % number)
        thread.start()
        thread.join()
        for _ in range(4):
            child()
        leave()
    if os.waitpid(pid, 0)[1]:
        sys.exit("a child did not end well")


def spawn(number):
    subprocess.run([sys.executable, "-S", "-c", "def child(): pass\nfor i in range(5): child()", str(number)], check=True)


def thread(number):
    one = threading.Thread(target=child, name="thread-%d" % number)
    one.start()
    one.join()


def serve():
    print("ready", flush=True)
    number = 0
    for line in sys.stdin:
        what, count = line.split()
        for _ in range(int(count)):
            number += 1
            {"forks": fork, "programs": spawn, "threads": thread}[what](number)
        print("done", flush=True)


def memory(pid):
    found = 0
    for path in ["/proc/%d" % pid] + ["/proc/" + one for one in children(pid)]:
        try:
            text = open(path + "/smaps_rollup").read()
        except OSError:
            continue
        found += int(re.search(r"^Pss_Anon:\s+(\d+)", text, re.M).group(1))
    return found


def children(pid):
    return open("/proc/%d/task/%d/children" % (pid, pid)).read().split()


def wait(probe):
    """The last of what @probe says, once it says that it is as it should be, or never does."""
    end = time.monotonic() + PATIENCE
    while True:
        good, said = probe()
        if good or time.monotonic() > end:
            print(said)
            return 0 if good else 1
        time.sleep(0.2)


def bounded(pid, most):
    def probe():
        now = memory(pid)
        return now <= most, now
    return wait(probe)


def map_ids(pid):
    found = set()
    for path in glob.glob("/proc/%d/fdinfo/*" % pid):
        try:
            found |= set(re.findall(r"^map_id:\s+(\d+)", open(path).read(), re.M))
        except OSError:
            pass
    return found


def bpftool(*words):
    return json.loads(subprocess.run(("bpftool", "-j", "map") + words, stdout=subprocess.PIPE, check=True).stdout or "[]")


def tgid_of(name, entry):
    key = entry["formatted"]["key"]
    if isinstance(key, dict):
        return key["tgid"]
    return entry["formatted"]["value"]["tgid"] if name == "threads" else key


def empty(pid, known):
    maps = {number: bpftool("show", "id", number)["name"] for number in map_ids(pid)}
    maps = {number: name for number, name in maps.items() if name in MAPS}

    def probe():
        counts = {name: 0 for name in maps.values()}
        for number, name in maps.items():
            counts[name] += sum(tgid_of(name, entry) not in known for entry in bpftool("dump", "id", number))
        return not any(counts.values()), counts
    return wait(probe) if maps else 1


def check(path, processes, whole):
    trace = json.load(open(path))
    counts = collections.Counter(e["pid"] for e in trace["traceEvents"]
                                 if e["ph"] == "X" and e["name"].startswith("child ("))
    listed = {p["pid"]: p for p in trace["vizbpf_metadata"]["processes"]}
    print("%d processes with calls, %d listed" % (len(counts), len(listed)))
    bad = [pid for pid in counts if counts[pid] != 5 or pid not in listed
           or listed[pid]["calls"] < 5 or not listed[pid].get("name")]
    if bad:
        print("wrong: pid %d: %d calls, %r" % (bad[0], counts[bad[0]], listed.get(bad[0])))
    return 1 if bad or len(counts) < whole or len(listed) < processes else 0


def main():
    what, words = sys.argv[1], sys.argv[2:]
    if what == "serve":
        return serve()
    if what == "memory":
        print(memory(int(words[0])))
        return 0
    if what == "bounded":
        return bounded(int(words[0]), int(words[1]))
    if what == "empty":
        return empty(int(words[0]), set(map(int, words[1:])))
    return check(words[0], int(words[1]), int(words[2]))


if __name__ == "__main__":
    sys.exit(main())
