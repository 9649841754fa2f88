# SPDX-License-Identifier: Apache-2.0
"""Leaving no trace, however vizbpf ends; attach and detach under load."""
import glob
import json
import os
import random
import signal
import subprocess
import time

from cases import each, fast_again, leftovers, scenario, some
from harness import PATIENCE, VIZBPF, Failure, Skip, Subject, Tracer, check, equal, wait_for


@scenario
def ends_normally(args):
    """SIGINT, SIGTERM, -d: the slot is clear, no probe is left, the old speed is back"""

    def run(python):
        subject = Subject(python)
        before = min(subject.ask("speed")["ns"] for _ in range(3))
        for sig in (signal.SIGINT, signal.SIGTERM):
            tracer = Tracer("-p", subject.pid)
            subject.ask("burst", 10)
            tracer.stop(sig)
            subject.check_untouched("after " + sig.name)
        tracer = Tracer("-p", subject.pid, "-d", "1")
        equal(tracer.wait(), 0, "exit status")
        subject.check_untouched("after -d")
        fast_again(subject, before)
        subject.end()

    each(some(args), run)


@scenario
def killed(args):
    """SIGKILL of vizbpf at random moments, under load, from before it is ready on"""
    generator = random.Random(args.seed)

    def run(python):
        subject = Subject(python)
        before = min(subject.ask("speed")["ns"] for _ in range(3))
        subject.ask("start_threads", 4)
        began = time.monotonic()
        Tracer("-p", subject.pid).stop(signal.SIGKILL)
        span = 1.5 * (time.monotonic() - began)
        for number in range(args.times or 10):
            child = subject.ask("fork")["pid"] if number % 3 == 0 else None
            tracer = Tracer("-p", subject.pid, ready=False)
            inherited = None
            if number % 4 == 1:
                tracer.wait_ready()
                inherited = subject.ask("fork")["pid"]
            # The moment itself is what is random here; nothing is waited for.
            time.sleep(generator.uniform(0, span))
            tracer.process.kill()
            tracer.process.wait()
            subject.check_untouched("kill %d" % number)
            for one in (child, inherited):
                if one:
                    subject.check_clean("kill %d, child" % number, one)
            check(subject.ask("end_forks")["ok"], "a child miscounted")
        check(subject.ask("end_threads")["ok"], "a thread miscounted")
        wait_for(lambda: not leftovers(), lambda: "left in /run/vizbpf: %s" % leftovers())
        fast_again(subject, before)
        subject.end()

    each(some(args, few=True), run)


@scenario
def killed_while_ending(args):
    """SIGKILL while probes are taken out, where the kernel gives up and leaves breakpoints: they go, too"""
    generator = random.Random(args.seed)

    def run(python):
        subjects = [Subject(python) for _ in range(6)]
        for number in range(args.times or 8):
            tracer = Tracer(*(word for one in subjects for word in ("-p", one.pid)), output="/dev/null", engine="eval")
            alone = number % 2 and tracer.guardian()
            tracer.process.send_signal(signal.SIGINT)
            # Most of what an end does is taking them out; which moment is met is what is random.
            time.sleep(generator.uniform(0, 0.06))
            if alone:
                try:
                    os.kill(alone, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # all was done
            tracer.process.kill()
            tracer.process.wait()
            if alone:
                subprocess.run([VIZBPF, "--restore"], check=True, stdout=subprocess.DEVNULL)
            for one in subjects:
                one.check_untouched("end %d%s" % (number, ", --restore" if alone else ""), engine="eval")
        for one in subjects:
            equal(one.ask("burst", 100)["sum"], 5050, "sum afterwards")
            one.end()

    each(some(args, few=True), run)


@scenario
def guardian_killed_too(args):
    """vizbpf and its guardian are killed: --restore puts back, and so does the next vizbpf"""

    def leave_set(python):
        """A subject with a child, both with the slot set and nobody to clear it. Any other
        vizbpf that starts on the machine at this moment clears it: then again."""
        for _ in range(10):
            subject = Subject(python)
            tracer = Tracer("-p", subject.pid)
            inherited = subject.ask("fork")["pid"]
            guardian = tracer.guardian()
            check(guardian, "there is no guardian")
            wait_for(lambda: "engine " in tracer.said, "vizbpf does not say its engine")
            tracer.process.send_signal(signal.SIGSTOP)
            os.kill(guardian, signal.SIGKILL)
            tracer.process.kill()
            tracer.process.wait()
            if "engine eval" not in tracer.said or not subject.clean() and not subject.clean(inherited):
                return subject, inherited
            subject.ask("end_forks")
            subject.end()
        raise Failure("nothing was set: no test")

    def run(python):
        for way in ("restore", "restore pid", "next"):
            subject, inherited = leave_set(python)
            if way == "next":
                other = Subject(python)
                Tracer("-p", other.pid).stop()
            else:
                words = [VIZBPF, "--restore"] + ([str(subject.pid)] if way == "restore pid" else [])
                done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
                equal(done.returncode, 0, "--restore: " + done.stderr)
                if way == "restore pid":
                    subject.check_untouched(way)
                    subprocess.run([VIZBPF, "--restore"], timeout=PATIENCE, stdout=subprocess.DEVNULL)
            subject.check_untouched(way)
            subject.check_clean(way + ", child", inherited)
            check(subject.ask("end_forks")["ok"], "a child miscounted")
            subject.end()

    each(some(args, lambda i: i.inlines(), few=True), run)


@scenario
def children_that_inherited(args):
    """children forked while traced have a clear slot after a normal end"""

    def run(python):
        for extra in ((), ("--ignore-multiprocess",)):
            subject = Subject(python)
            tracer = Tracer("-p", subject.pid, *extra)
            pids = [subject.ask("fork")["pid"] for _ in range(3)]
            tracer.stop()
            subject.check_untouched("after")
            for pid in pids:
                subject.check_clean("child", pid)
            check(subject.ask("end_forks")["ok"], "a child miscounted")
            subject.end()

    each(some(args, lambda i: i.inlines(), few=True), run)


def our_links():
    """Programs of ours in the kernel that no living process holds, by itself or by a link."""
    said = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True)
    if said.returncode:
        raise Skip("bpftool prog show: " + said.stderr.strip())
    ours = {p["id"] for p in json.loads(said.stdout)
            if p.get("name", "").startswith(("eval_", "usdt_", "process_"))}
    for path in glob.glob("/proc/[0-9]*/fdinfo/*") if ours else []:
        try:
            with open(path) as info:
                ours -= {int(line.split()[1]) for line in info if line.startswith("prog_id:")}
        except OSError:
            pass
    return sorted(ours)


@scenario
def cycles(args):
    """attach and detach again and again, 8 busy threads, forks and exits"""

    def run(python):
        subject = Subject(python)
        before = min(subject.ask("speed")["ns"] for _ in range(3))
        subject.ask("start_threads", 8)
        for number in range(args.times or 10):
            tracer = Tracer("-p", subject.pid, output="/dev/null" if number % 10 else None)
            if number % 5 == 0:
                check(subject.ask("fork_exit", 3)["ok"], "a child miscounted")
            if number % 7 == 0:
                check(subject.ask("churn", 20)["ok"], "a short thread was lost")
            tracer.stop()
        check(subject.ask("end_threads")["ok"], "a thread miscounted")
        subject.check_untouched("after")
        fast_again(subject, before)
        subject.end()
        wait_for(lambda: not our_links(), lambda: "programs left in the kernel: %s" % our_links())

    each(some(args, few=not args.times), run)
