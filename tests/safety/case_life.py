# SPDX-License-Identifier: Apache-2.0
"""Processes, threads and interpreters that come and go."""
import os
import shlex
import shutil
import signal
import subprocess
import time

from cases import each, glob_libpython, leftovers, read_ready, scenario, some
from harness import (PATIENCE, VIZBPF, Failure, Skip, Subject, Tracer, check, equal, proc_state, scratch,
                     wait_for)


@scenario
def forks_execs_threads(args):
    """children, programs and threads that come and go under the tracer"""

    def run(python):
        subject = Subject(python)
        tracer = Tracer("-p", subject.pid)
        times = args.times or 20
        check(subject.ask("fork_exit", times)["ok"], "a child miscounted")
        check(subject.ask("execute", min(times, 50))["ok"], "a program miscounted")
        check(subject.ask("churn", 50 * times)["ok"], "a thread was lost")
        tracer.stop()
        subject.check_untouched("after")
        subject.end()

    each(some(args, few=True), run)


@scenario
def many_threads(args):
    """10,000 threads that live shortly: every call of each is in the trace, or counted as lost"""

    def run(python):
        subject = Subject(python)
        tracer = Tracer("-p", subject.pid)
        descriptors = len(os.listdir("/proc/%d/fd" % tracer.pid))
        check(subject.ask("churn", 10000)["ok"], "a thread was lost")
        grown = len(os.listdir("/proc/%d/fd" % tracer.pid)) - descriptors
        check(grown < 20, "vizbpf has %d descriptors more" % grown)  # some are open for a moment
        tracer.stop()
        seen, lost = tracer.count("short"), tracer.metadata()["lost"]
        print("        %d of 10000 seen, %d lost" % (seen, lost))
        check(seen == 10000 if not lost else 10000 - lost <= seen <= 10000, "%d seen, %d lost" % (seen, lost))
        subject.check_untouched("after")
        subject.end()

    each(some(args, few=True), run)


@scenario
def hung_at_first_call(args):
    """vizbpf does not answer when an idle process calls and forks: it goes on, nothing is left"""

    def run(python):
        subject = Subject(python)
        tracer = Tracer("-p", subject.pid)
        tracer.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        equal(subject.ask("burst", 5)["sum"], 15, "sum")
        waited = time.monotonic() - began
        print("        the first call took %.0f ms" % (1000 * waited))
        check(waited < 1.5, "the first call took %.1f s" % waited)
        check(subject.ask("fork_exit", 1)["ok"], "a child miscounted")
        tracer.process.send_signal(signal.SIGCONT)
        equal(subject.ask("burst", 5)["sum"], 15, "sum")
        tracer.stop()
        check(tracer.count("marked") >= 5, "recording does not go on")
        subject.check_untouched("after")
        subject.end()

    each(some(args, few=True), run)


@scenario
def subinterpreters(args):
    """created and destroyed while traced"""

    def run(python):
        subject = Subject(python)
        untraced = subject.ask("subinterpreters", 10)
        tracer = Tracer("-p", subject.pid)
        equal(subject.ask("subinterpreters", 10), untraced, "while traced")
        tracer.stop()
        equal(subject.ask("subinterpreters", 10), untraced, "afterwards")
        subject.check_untouched("after")
        subject.end()

    each(some(args, lambda i: (3, 8) <= i.version < (3, 14), few=True), run)


@scenario
def stopped_target(args):
    """a process that somebody stopped stays stopped"""

    def run(python):
        subject = Subject(python)
        os.kill(subject.pid, signal.SIGSTOP)
        wait_for(lambda: subject.state() == "T", "it does not stop")
        tracer = Tracer("-p", subject.pid)
        equal(subject.state(), "T", "state while traced")
        tracer.stop()
        equal(subject.state(), "T", "state afterwards")
        subject.check_clean("stopped")
        # And when vizbpf is killed.
        Tracer("-p", subject.pid).stop(signal.SIGKILL)
        subject.check_clean("killed")
        wait_for(lambda: not leftovers(), lambda: "left: %s" % leftovers())
        equal(subject.state(), "T", "state after the kill")
        os.kill(subject.pid, signal.SIGCONT)
        subject.check_untouched("after")
        subject.end()

    each(some(args, few=True), run)


@scenario
def ends_while_traced(args):
    """the target ends, is killed, or is a zombie"""
    python = some(args)[0]
    subject = Subject(python)
    tracer = Tracer("-p", subject.pid)
    subject.end()
    equal(tracer.wait(), 0, "exit status of vizbpf when the target ended: " + tracer.said)
    subject = Subject(python)
    tracer = Tracer("-p", subject.pid)
    subject.process.kill()
    equal(tracer.wait(), 0, "exit status of vizbpf when the target was killed: " + tracer.said)
    check(tracer.events() is not None, "trace")
    # Not waited for yet: a zombie.
    equal(proc_state(subject.pid), "Z", "state")
    tracer = Tracer("-p", subject.pid, ready=False)
    check(tracer.wait() > 0, "attached to a zombie")
    check(str(subject.pid) in tracer.said, "no reason: " + tracer.said)
    subject.process.wait()


@scenario
def under_su(args):
    """su stops itself when its child stops, and nobody lets it go on: its child must not stop"""
    if not shutil.which("su"):
        raise Skip("there is no su")

    def run(python):
        program = "exec " + " ".join(map(shlex.quote, python.command("-S", "-c", "print(6 * 7)")))
        for _ in range(3):
            launch = subprocess.Popen(
                [VIZBPF, "-q", "-o", scratch("su.json"), "--", "su", "root", "-s", "/bin/sh", "-c", program],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
            try:
                equal(launch.communicate(timeout=PATIENCE)[0], b"42\n", "what it printed")
            except subprocess.TimeoutExpired:
                raise Failure("su does not end")
            finally:
                if launch.poll() is None:
                    os.killpg(launch.pid, signal.SIGKILL)
            equal(launch.returncode, 0, "exit status")

    each(some(args, few=True), run)


@scenario
def leader_is_gone(args):
    """the first thread ends while others live: what was written is taken back all the same"""

    def run(python):
        for sig in (signal.SIGINT, signal.SIGKILL):
            subject = Subject(python)
            tracer = Tracer("-p", subject.pid)
            check(subject.ask("lose_leader")["ok"], "the other thread")
            wait_for(lambda: proc_state(subject.pid) == "Z", "the first thread does not end")
            equal(subject.ask("burst", 100)["sum"], 5050, "sum")
            if tracer.uses_eval() and subject.slots:
                check(any(subject.slot_values()), "nothing was written: no test")
                equal(subject.ask("deep", 50000)["outcome"], "returned 50000", "a deep recursion")
            tracer.stop(sig)
            if sig == signal.SIGINT:
                equal(tracer.count("marked"), 100, "calls in the trace")
            subject.check_untouched("after " + sig.name)
            equal(subject.ask("burst", 100)["sum"], 5050, "sum afterwards")
            subject.end()

    each(some(args, few=True), run)


@scenario
def second_libpython(args):
    """another libpython is mapped: the right one is traced or the process refused"""
    python = some(args)[0]
    library = next((p for p in sorted(glob_libpython())), None)
    if not library:
        raise Skip("no second libpython here")
    subject = Subject(python)
    check(subject.ask("load_library", library).get("ok"), "not loaded: " + library)
    tracer = Tracer("-p", subject.pid, ready=False)
    if read_ready(tracer):
        subject.ask("burst", 50)
        tracer.stop()
        equal(tracer.count("marked"), 50, "calls in the trace")
    else:
        check("Python" in tracer.said and str(subject.pid) in tracer.said, "refused without a reason: " + tracer.said)
    subject.check_untouched("after")
    subject.end()
