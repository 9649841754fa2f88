# SPDX-License-Identifier: Apache-2.0
"""Targets at a limit or under somebody's supervision, and those that spoil what they share."""
import os
import re
import shutil
import signal
import subprocess

from cases import each, read_ready, scenario, some
from harness import PATIENCE, VIZBPF, Skip, Subject, Tracer, check, equal, scratch, wait_for


@scenario
def spoilt_ring(args):
    """a target that makes its ring shorter, or writes nonsense into it"""

    def one(python):
        subject = Subject(python)
        tracer = Tracer("-p", subject.pid, "--ring-size", "4M", engine="trampoline")
        subject.ask("burst", 50)
        said = subject.ask("shrink_ring")
        check(said["refused"] >= 1 and not said["shorter"], "the ring could be made shorter: %r" % said)
        subject.ask("burst", 50)
        tracer.stop()
        equal(tracer.count("marked"), 100, "calls in the trace")
        tracer = Tracer("-p", subject.pid, "--ring-size", "4M", engine="trampoline")
        subject.ask("burst", 50)
        check(subject.ask("spoil_records", 5)["spoilt"], "no ring to spoil")
        for _ in range(20):
            subject.ask("burst", 500)
        tracer.stop()
        tracer.events()  # it is JSON
        subject.ask("burst", 1)
        subject.check_clean("after")
        subject.end()

    each(some(args, lambda i: i.version >= (3, 8), few=True), one)


def traced(subject, what):
    """Whatever engine it is: recorded or refused, and the target goes on."""
    tracer = Tracer("-p", subject.pid, ready=False)
    if read_ready(tracer):
        subject.ask("burst", 50)
        tracer.stop()
        # a pause between the attach and the fall-back to another engine is told of
        check(tracer.count("marked") == 50 or "trampoline" in tracer.said,
              "%s: %d of 50 calls: %s" % (what, tracer.count("marked"), tracer.said))
    else:
        check(str(subject.pid) in tracer.said, "%s: refused without a reason: %s" % (what, tracer.said))
    subject.ask("burst", 1)
    subject.check_clean(what)
    subject.end()
    return tracer.said


@scenario
def at_limits(args):
    """no descriptor, address space, file size, memfd, locked memory or writable code to be had"""

    def one(python):
        for what in ("descriptors", "addresses", "files", "locked", "memfds", "writable code"):
            subject = Subject(python)
            said = subject.ask("limit", what.replace(" ", "-"))
            if "skip" in said:
                print("  skip  %s: %s" % (what, said["skip"]))
                continue
            equal(said, {"ok": True}, what)
            traced(subject, what)

    each(some(args, few=True), one)


@scenario
def no_memory_left(args):
    """a memory cgroup that has no room: the rings are vizbpf's, and nobody is killed"""
    group = "/sys/fs/cgroup/memory/vizbpf-test-%d" % os.getpid()
    limit = "memory.limit_in_bytes"
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        group, limit = "/sys/fs/cgroup/vizbpf-test-%d" % os.getpid(), "memory.max"
    os.mkdir(group)
    try:
        if not os.path.exists(os.path.join(group, limit)):
            raise Skip("no memory controller")

        def one(python):
            subject = Subject(python)
            with open(group + "/cgroup.procs", "w") as procs:
                procs.write(str(subject.pid))
            subject.ask("allocate", 8 << 20)
            usage = open(group + ("/memory.usage_in_bytes" if "limit" in limit else "/memory.current")).read()
            with open(os.path.join(group, limit), "w") as f:
                # room for what the program itself needs, none for a ring of 16 MiB
                f.write(str(int(usage) + (2 << 20)))
            tracer = Tracer("-p", subject.pid)
            for _ in range(30):
                subject.ask("burst", 5000)
            tracer.stop()
            check(tracer.count("marked") > 0, "nothing in the trace: " + tracer.said)
            subject.end()
            with open(os.path.join(group, limit), "w") as f:
                f.write("-1" if "limit" in limit else "max")

        each(some(args, few=True), one)
    finally:
        wait_for(lambda: not open(group + "/cgroup.procs").read(), "the group is not empty")
        os.rmdir(group)


@scenario
def supervised(args):
    """under strace and gdb: what they see and what the program does stays the same"""

    def under(python, tool, prefix):
        if not shutil.which(tool):
            print("  skip  no " + tool)
            return
        subject = Subject(python, prefix=prefix)
        pid = subject.pid
        # the tool is our child, the program is its
        subject.pid = int(open("/proc/%d/task/%d/children" % (pid, pid)).read().split()[0])
        said = traced(subject, tool)
        print("        %s: %s" % (tool, said.strip().splitlines()[0] if said.strip() else ""))

    def one(python):
        under(python, "strace", ("strace", "-f", "-o", scratch("strace")))
        if python.path != "/usr/bin/python3":  # its environment would be that of gdb's own Python, too
            return
        under(python, "gdb", ("gdb", "-q", "-nx", "-batch-silent", "-ex", "set confirm off", "-ex", "run", "--args"))

    each([i for i in some(args, few=True) if not i.chroot], one)


@scenario
def simulated(args):
    """under valgrind, which translates the code: refused, or recorded, and the program goes on"""
    if not shutil.which("valgrind"):
        raise Skip("no valgrind")
    done = subprocess.run([VIZBPF, "-o", scratch("no.json"), "--", "valgrind", "/bin/true"], capture_output=True,
                          text=True, timeout=PATIENCE)
    check(done.returncode not in (0, 133, -signal.SIGTRAP) and "SIGTRAP" in done.stderr,
          "not refused: %s" % done.stderr)
    if subprocess.run(["valgrind", "-q", "--tool=none", "/bin/true"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("somebody else's probes are in the dynamic loader, which ends what valgrind runs")
    for python in some(args, lambda i: not i.chroot)[:1]:
        subject = Subject(python, prefix=("valgrind", "-q", "--tool=none"))
        check("valgrind" in traced(subject, "valgrind"), "not refused")


@scenario
def stolen_thread(args):
    """a target that says in its ring that its calls are those of another process's thread"""

    def one(python):
        thief, victim = Subject(python), Subject(python)
        tracer = Tracer("-p", thief.pid, "-p", victim.pid, "--ring-size", "64K", engine="trampoline")
        victim.ask("burst", 10)
        check(thief.ask("steal_thread", victim.pid, 300)["changed"], "nothing to change")
        victim.ask("burst", 40)
        tracer.stop()
        events = tracer.events()
        calls = [e for e in events if e["ph"] == "X" and e["name"].startswith("marked ") and e["pid"] == victim.pid]
        equal(len(calls), 50, "calls of the victim")
        equal(len({e["tid"] for e in calls}), 1, "tracks of the victim's thread")
        stolen = [e for e in events if e["tid"] == victim.pid and e["pid"] != victim.pid]
        check(not stolen, "of another process: %r" % stolen[:1])
        for subject in (thief, victim):
            subject.ask("burst", 1)
            subject.end()

    each(some(args, lambda i: i.version >= (3, 8), few=True), one)


@scenario
def output_traps(args):
    """pipes and files of others under the output's name, where others may write"""
    if os.geteuid():
        raise Skip("needs root")
    subject = Subject(some(args)[0])
    shared = scratch("shared")
    os.mkdir(shared)
    os.chmod(shared, 0o1777)
    os.chmod(os.path.dirname(shared), 0o755)
    pipe, theirs, own = (os.path.join(shared, name) for name in ("pipe.json", "theirs.json", "own.json"))
    os.mkfifo(pipe, 0o666)
    for path in (theirs, own):
        with open(path, "w") as f:
            f.write("precious")
    for path in (pipe, theirs):
        os.chown(path, 12345, 12345)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (pipe, theirs):
        done = subprocess.run([VIZBPF, "-p", str(subject.pid), "-d", "0.5", "-o", path], capture_output=True,
                              text=True, timeout=PATIENCE)
        check(done.returncode > 0 and "somebody else" in done.stderr, "%s: %s" % (path, done.stderr))
    equal(os.read(reader, 100), b"", "what the other end of the pipe got")
    os.close(reader)
    equal(open(theirs).read(), "precious", "somebody's file")
    # the same for who called sudo is allowed
    os.chown(theirs, 4321, 4321)
    tracer = Tracer("-p", subject.pid, output=theirs, env={"SUDO_UID": "4321", "SUDO_GID": "4321"})
    tracer.stop()
    check(tracer.events(), "the trace")
    tracer = Tracer("-p", subject.pid, output=own)
    tracer.stop()
    check(tracer.events(), "the trace")
    subject.end()


@scenario
def many_functions(args):
    """a target that makes functions without end: their names are bounded, their calls are shown"""
    most, count = 1 << 18, 280000

    def one(python):
        subject = Subject(python)
        tracer = Tracer("-p", subject.pid)
        subject.ask("make_functions", count)
        tracer.stop()
        made, further = set(), 0
        with open(tracer.output) as trace:
            for line in trace:
                made.update(re.findall('"name":"(made_[0-9]+)', line))
                further += line.count('"name":"(further functions)')
        check(count - 20000 < len(made) + further, "%d + %d of %d calls" % (len(made), further, count))
        check(len(made) <= most and further, "%d names, %d calls without" % (len(made), further))
        subject.ask("burst", 1)
        subject.end()

    each(some(args, lambda i: i.version >= (3, 8), few=True), one)
