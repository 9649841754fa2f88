# SPDX-License-Identifier: Apache-2.0
"""Others who observe the same process."""
import os
import signal
import subprocess

import foreign_probe
from cases import each, leftovers, read_ready, scenario, some
from harness import ENGINE, HERE, PATIENCE, VIZBPF, Skip, Subject, Tracer, check, equal, scratch, wait_for


@scenario
def profiled_and_debugged(args):
    """sys.setprofile, sys.settrace, sys.monitoring see what they see untraced"""

    def run(python):
        subject = Subject(python)
        words = [("setprofile", 200), ("settrace", 50), ("monitoring", 200)]
        untraced = [subject.ask(*w) for w in words]
        tracer = Tracer("-p", subject.pid)
        equal([subject.ask(*w) for w in words], untraced, "seen while traced")
        tracer.stop()
        equal([subject.ask(*w) for w in words], untraced, "seen afterwards")
        subject.check_untouched("after")
        subject.end()

    each(some(args), run)


@scenario
def debugger(args):
    """a pdb session shows what it shows untraced, whether it begins before or after the attach"""

    def run(python):
        subject = Subject(python)
        subject.ask("debug", 4)  # newer ones say a line more when it is not the first
        untraced = subject.ask("debug", 4)
        check(untraced.get("lines", 0) > 20, "nothing was debugged: %s" % untraced)
        tracer = Tracer("-p", subject.pid)
        equal(subject.ask("debug", 4), untraced, "while traced")
        tracer.stop()
        equal(subject.ask("debug", 4), untraced, "afterwards")
        subject.check_untouched("after")
        subject.end()

    each(some(args), run)


@scenario
def coverage(args):
    """coverage.py reports what it reports untraced: started before, while or after"""

    def measure(subject, core, before, after):
        """begin, work, attach, work, detach, work, end; each of the two may be left out."""
        tracer = None if before else after and Tracer("-p", subject.pid)
        answers = [subject.ask("coverage_begin", core)]
        for step in range(3):
            answers.append(subject.ask("coverage_work", 40))
            if step == 0 and before:
                tracer = Tracer("-p", subject.pid)
            if step == 1 and before and after:
                tracer = tracer.stop()
        answers.append(subject.ask("coverage_end"))
        if tracer and tracer.process.poll() is None:
            tracer.stop()
        return answers

    def run(python):
        for core in ("ctrace", "sysmon") if python.version >= (3, 12) else ("ctrace",):
            subject = Subject(python)
            untraced = measure(subject, core, False, False)
            check(untraced[-1].get("lines", 0) > 10, "nothing was covered: %s" % untraced)
            for before, after in ((True, True), (True, False), (False, True)):
                equal(measure(subject, core, before, after), untraced, core)
            subject.check_untouched("after")
            subject.end()

    each(some(args, lambda i: i.has("coverage.tracer")), run)


@scenario
def foreign_semaphores(args):
    """another tracer holds the interpreter's USDT probes: both see all, the semaphores end at 0"""

    def company(subject, found, engine, way):
        """One vizbpf; the other tracer comes before it and goes after (around), comes and goes
        while it records (within), is there when it is killed (killed)."""
        others = []

        def open_others():
            try:
                others.extend(foreign_probe.ForeignProbe(subject.pid, one) for one in found)
            except OSError as e:
                raise Skip("perf_event_open: %s" % e)

        def semaphores():
            return [foreign_probe.semaphore(subject.pid, one) for one in found]

        def counts():
            """Once it waits for the next command: the calls that answer the last one are over."""
            wait_for(lambda: subject.state() == "S", "the subject goes on by itself")
            return [one.count() for one in others]

        def burst():
            before = counts()
            equal(subject.ask("burst", 100)["sum"], 5050, "sum")
            return [now - start for now, start in zip(counts(), before)]

        equal(semaphores(), [0] * len(found), "semaphores at first")
        counts()
        open_others()
        alone, raised = burst(), semaphores()
        check(any(alone) and all(raised), "the other tracer sees nothing: no test")
        if way == "within":
            for one in others:
                one.close()
            del others[:]
            equal(semaphores(), [0] * len(found), "semaphores between")
        tracer = Tracer("-p", subject.pid, engine=engine, ready=False)
        if not read_ready(tracer):
            for one in others:
                one.close()
            return None
        if way == "within":
            ours = semaphores()
            open_others()
        equal(burst(), alone, "calls that the other tracer sees")
        if way == "within":
            for one in others:
                one.close()
            equal(semaphores(), ours, "semaphores when the other tracer has gone")
            del others[:]
        burst()
        tracer.stop(signal.SIGKILL if way == "killed" else signal.SIGINT)
        expected = [0] * len(found) if way == "within" else raised
        wait_for(lambda: semaphores() == expected, lambda: "semaphores when vizbpf has gone: %s" % semaphores())
        if way != "killed":
            equal(tracer.count("marked"), 200, "calls in the trace")
        if others:
            equal(burst(), alone, "calls that the other tracer sees afterwards")
        for one in others:
            one.close()
        wait_for(lambda: not any(semaphores()), lambda: "semaphores at the end: %s" % semaphores())
        return tracer

    def run(python):
        subject = Subject(python)
        probes = foreign_probe.probes_of("/proc/%d/exe" % subject.pid)
        found = [probes[name] for name in ("function__entry", "function__return")]
        for engine in (ENGINE, "usdt"):
            for way in ("around", "within", "killed"):
                if not company(subject, found, engine, way):
                    print("        engine %s refuses" % engine)
                    break
        subject.check_untouched("after")
        subject.end()

    each(some(args, has_semaphores), run)


def has_semaphores(python):
    names = foreign_probe.probes_of(os.path.realpath((python.chroot or "") + python.path))
    return "function__entry" in names and "function__return" in names


def build_pep523(python):
    """Compiles the extension; skips where there are no headers."""
    if python.chroot:
        raise Skip("no compiler in the root")
    include = python.run("-c", "import sysconfig; print(sysconfig.get_paths()['include'])").strip()
    suffix = python.run("-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))").strip()
    if not os.path.exists(os.path.join(include, "Python.h")):
        raise Skip("no Python.h for " + str(python))
    directory = scratch("ext-%d-%d" % python.version[:2])
    os.makedirs(directory, exist_ok=True)
    done = subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-w", "-I" + include, "-o",
         os.path.join(directory, "viz_pep523" + suffix), os.path.join(HERE, "programs", "pep523.c")],
        capture_output=True, text=True)
    check(not done.returncode, "the extension does not compile: " + done.stderr)
    return {"PYTHONPATH": directory}


@scenario
def another_eval_function(args):
    """another PEP 523 user, there before, during and after; its function stays where it is"""

    def run(python):
        try:
            env = build_pep523(python)
        except Skip as e:
            print("  skip  %s: %s" % (python, e))
            return
        # There before, still there afterwards.
        subject = Subject(python, env=env)
        untraced = subject.ask("pep523", "install")
        tracer = Tracer("-p", subject.pid, ready=False)
        if read_ready(tracer):
            equal(subject.ask("pep523", "count"), untraced, "with it installed before")
            tracer.stop()
        else:
            check("PEP 523" in tracer.said, "refused without a reason: " + tracer.said)
        equal(subject.ask("pep523", "count"), untraced, "after the detach")
        equal(subject.ask("pep523", "uninstall")["installed"], False, "uninstalled")
        subject.check_untouched("after")
        # Installed while traced, still there after the detach.
        tracer = Tracer("-p", subject.pid)
        equal(subject.ask("pep523", "install"), untraced, "installed while traced")
        tracer.stop()
        equal(subject.ask("pep523", "count"), untraced, "after the detach")
        subject.ask("pep523", "uninstall")
        subject.check_untouched("after")
        # Installed and uninstalled while traced, as torch dynamo does for each compilation.
        tracer = Tracer("-p", subject.pid)
        for _ in range(5):
            equal(subject.ask("pep523", "install"), untraced, "installed while traced")
            equal(subject.ask("pep523", "uninstall")["installed"], False, "uninstalled")
        subject.ask("burst", 10)
        tracer.stop()
        subject.check_untouched("after")
        # Killed while it is installed.
        tracer = Tracer("-p", subject.pid)
        subject.ask("pep523", "install")
        tracer.stop(signal.SIGKILL)
        wait_for(lambda: not leftovers(), lambda: "left: %s" % leftovers())
        equal(subject.ask("pep523", "count"), untraced, "after the kill")
        subject.ask("pep523", "uninstall")
        subject.check_untouched("after the kill")
        subject.end()

    each(some(args, lambda i: i.version >= (3, 9), few=True), run)


@scenario
def perf_trampoline(args):
    """-X perf and sys.activate_stack_trampoline work, or vizbpf refuses with a reason"""

    def run(python):
        subject = Subject(python, args=("-X", "perf"))
        before = subject.slot_values()
        tracer = Tracer("-p", subject.pid, ready=False)
        if read_ready(tracer):
            subject.ask("burst", 100)
            tracer.stop()
        else:
            check(tracer.wait() and ("perf" in tracer.said or "PEP 523" in tracer.said), "refused without a reason: " + tracer.said)
        equal(subject.slot_values(), before, "the slot of python -X perf")
        subject.end()
        # Once in a process: 3.14.10 dies at its end when it was done twice, traced or not.
        subject = Subject(python)
        untraced = subject.ask("activate_perf")
        subject.end()
        subject = Subject(python)
        tracer = Tracer("-p", subject.pid)
        found = subject.ask("activate_perf")
        tracer.stop()
        # The known limit of engine eval: CPython looks at the slot, and calls nothing before
        # where a probe could sit.
        if "engine eval" in tracer.said and "custom eval frame" in found.get("error", ""):
            print("  limit %s: %s" % (python, found["error"]))
            equal(subject.ask("activate_perf"), untraced, "sys.activate_stack_trampoline afterwards")
        else:
            equal(found, untraced, "sys.activate_stack_trampoline while traced")
        subject.check_untouched("after")
        subject.end()

    each(some(args, lambda i: i.version >= (3, 12), few=True), run)


@scenario
def perf_from_the_start(args):
    """python -X perf started by vizbpf"""

    def run(python):
        output = scratch("perf.json")
        done = subprocess.run(
            [VIZBPF, "-o", output, "--", *python.command("-X", "perf", "-c", "print(sum(map(lambda x: x, range(9))))")],
            capture_output=True, text=True, timeout=PATIENCE)
        equal(done.stdout.strip().splitlines()[:1], ["36"], "what it printed (%s)" % done.stderr)
        equal(done.returncode, 0, "exit status")

    each(some(args, lambda i: i.version >= (3, 12), few=True), run)


@scenario
def second_vizbpf(args):
    """is told who holds the process; the first goes on"""
    subject = Subject(some(args)[0])
    first = Tracer("-p", subject.pid)
    second = Tracer("-p", subject.pid, ready=False)
    check(second.wait() > 0, "the second one attached too")
    check(str(first.pid) in second.said, "it does not name the holder: " + second.said)
    equal(subject.ask("burst", 100)["sum"], 5050, "sum")
    first.stop()
    equal(first.count("marked"), 100, "calls in the first one's trace")
    third = Tracer("-p", subject.pid)
    third.stop()
    subject.check_untouched("after")
    subject.end()
