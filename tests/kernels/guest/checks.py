# SPDX-License-Identifier: Apache-2.0
"""What is checked inside a booted kernel; TAP on standard output.

    checks.py [NAME...]     all, or those named

Runs as the first process's only child, as root, in the root that tests/kernels/guest_root.py
makes. It uses the subjects of the safety tests and the driver of the truth test.
"""
import json
import os
import signal
import subprocess
import sys
import time

os.environ.setdefault("VIZBPF", "/vizbpf/build/vizbpf")
os.environ.setdefault("VIZBPF_TEST_PATIENCE", "120")  # emulation is ten times slower, or more
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.path.insert(0, "/vizbpf/tests/safety")

import harness  # noqa: E402
from harness import Failure, Interpreter, Skip, Subject, Tracer, VIZBPF, check, equal  # noqa: E402

ROOTS = "/var/cache/vizbpf/roots"
CALLS = 500
LIMIT = 200  # seconds for one check in a process of its own
checks = []


def named(text):
    def keep(function):
        checks.append((text, function))
        return function
    return keep


def other(name):
    root = os.path.join(ROOTS, name)
    if not os.path.exists(root):
        raise Skip("%s is not in the root (tests/roots/make %s)" % (name, name))
    return Interpreter("/usr/bin/python3", root)


def output_of(*words, status=0):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=LIMIT, check=False)
    equal(done.returncode, status, "exit status of %s:\n%s" % (" ".join(words), done.stdout))
    return done.stdout


def recorded(python, engine):
    """A live process: exactly the calls that it makes, in a file that is JSON."""
    subject = Subject(python)
    harness.ENGINE = engine  # what check_untouched() has to expect
    tracer = Tracer("-p", subject.pid, engine=engine)
    equal(subject.ask("burst", CALLS)["sum"], sum(i + 1 for i in range(CALLS)), "the sum")
    tracer.stop()
    document = tracer.metadata()
    equal(tracer.count("marked"), CALLS, "calls of marked")
    equal(tracer.count("leaf"), CALLS, "calls of leaf")
    process, = document["processes"]
    told = process["engine_why"]
    replaced = process["engine"] != engine and "proc_mem.force_override" in told
    harness.ENGINE = process["engine"] if replaced else engine
    equal(process["engine"], harness.ENGINE, "the engine")
    subject.check_untouched("after")
    subject.end()
    if replaced:
        raise Skip("engine %s recorded every call instead: %s" % (process["engine"], told))


def verifier_says():
    """The kernel's reason, where the programs do not load."""
    subject = Subject()
    done = subprocess.run([VIZBPF, "-v", "--log", "bpf", "-p", str(subject.pid), "-d", "1", "-o",
                           harness.scratch("unused.json")], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False)
    subject.kill()
    # The rest says at length how every program was fitted to the kernel.
    lines = [line for line in done.stdout.splitlines() if "relo #" not in line]
    return "\n".join(lines[-120:])


@named("doctor finds nothing missing")
def doctor():
    try:
        said = output_of(VIZBPF, "doctor")
    except Failure:
        print("# " + verifier_says().replace("\n", "\n# "))
        raise
    print("# " + said.rstrip().replace("\n", "\n# "))


@named("engine eval: every call of a live process")
def engine_eval():
    recorded(None, "eval")


@named("engine trampoline: every call of a live process")
def engine_trampoline():
    recorded(None, "trampoline")


@named("the engine that vizbpf chooses: every call of a live process")
def engine_auto():
    subject = Subject()
    tracer = Tracer("-p", subject.pid)
    subject.ask("burst", CALLS)
    tracer.stop()
    harness.ENGINE = tracer.metadata()["processes"][0]["engine"]
    print("# it is " + harness.ENGINE)
    equal(tracer.count("marked"), CALLS, "calls of marked")
    subject.check_untouched("after")
    subject.end()


@named("engine usdt, and an interpreter that needs no slot")
def engine_usdt():
    recorded(other("bullseye"), "usdt")


@named("engine trampoline by sys.monitoring")
def engine_monitoring():
    recorded(other("trixie"), "trampoline")


@named("short calls are left out in the kernel")
def filtered():
    subject = Subject()
    tracer = Tracer("-p", subject.pid, "--min-duration", "30s", engine="eval")
    subject.ask("burst", CALLS)
    tracer.stop()
    equal(tracer.count("leaf"), 0, "calls of leaf")
    subject.end()
    subject = Subject()
    tracer = Tracer("-p", subject.pid, "--include-functions", "leaf", engine="eval")
    subject.ask("burst", CALLS)
    tracer.stop()
    equal(tracer.count("leaf"), CALLS, "calls of leaf")
    equal(tracer.count("marked"), 0, "calls of marked")
    subject.end()


@named("a script is started and recorded from its first line")
def launched():
    script, trace = harness.scratch("script.py"), harness.scratch("launched.json")
    with open(script, "w", encoding="ascii") as file:
        file.write("def marked(i):\n    return i\n\nfor i in range(%d):\n    marked(i)\n" % CALLS)
    output_of(VIZBPF, "-q", "-o", trace, "--", script)
    with open(trace, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    equal(sum(e["name"].startswith("marked (") for e in events if e["ph"] == "X"), CALLS,
          "calls of marked")


def works(pid):
    """The child of `fork` is in its loop: it sleeps after every 64 rounds."""
    try:
        with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
            return any(line.startswith("voluntary_ctxt_switches:") and int(line.split()[1]) >= 20
                       for line in file)
    except OSError:
        return False


@named("a forked child is followed, and its slot is clear afterwards")
def forked():
    subject = Subject()
    tracer = Tracer("-p", subject.pid, engine="eval")
    child = subject.ask("fork")["pid"]
    harness.wait_for(lambda: works(child), "the child does not work", LIMIT)
    check(subject.ask("end_forks")["ok"], "the child miscounted")
    check(subject.ask("fork_exit", 3)["ok"], "a short child miscounted")
    tracer.stop()
    seen = {e["pid"] for e in tracer.events() if e["ph"] == "X" and "middle (" in e["name"]}
    check(child in seen, "the child %d has no call of middle: %s" % (child, sorted(seen)))
    check(len(seen) >= 4, "the short children are missing: %s" % sorted(seen))
    subject.end()


@named("-a finds a process, and one that starts later")
def everything():
    early = Subject()
    tracer = Tracer("-a", "--exclude-pid", os.getpid(), engine="eval")
    late = Subject()
    for subject in (early, late):
        subject.ask("burst", CALLS)
    tracer.stop()
    for subject in (early, late):
        seen = sum(e["ph"] == "X" and e["pid"] == subject.pid and
                   e["name"].startswith("marked (") for e in tracer.events())
        equal(seen, CALLS, "calls of marked in %d" % subject.pid)
        subject.check_untouched("after")
        subject.end()


@named("5000 deep with a raised limit: the same outcome")
def deep():
    subject = Subject()
    expected = subject.ask("deep", 5000)
    tracer = Tracer("-p", subject.pid, engine="eval")
    equal(subject.ask("deep", 5000), expected, "the outcome")
    equal(subject.ask("deep_thread", 262144, 900)["outcome"], "returned 900",
          "on a small stack")
    tracer.stop()
    subject.check_untouched("after")
    subject.end()


@named("SIGKILL of vizbpf: slot and probes are gone, a second attach works")
def killed():
    subject = Subject()
    for number in range(2):
        tracer = Tracer("-p", subject.pid, engine="eval")
        check(not subject.clean(), "the slot is not set, nothing is tested")
        subject.ask("burst", 10)
        tracer.process.send_signal(signal.SIGKILL)
        tracer.process.wait()
        subject.check_untouched("kill %d" % number)
    tracer = Tracer("-p", subject.pid, engine="eval")
    subject.ask("burst", CALLS)
    tracer.stop()
    equal(tracer.count("marked"), CALLS, "calls of marked")
    subject.end()


def truth(python, engine, programs):
    words = ["/usr/bin/python3", "/vizbpf/tests/truth/run", "--vizbpf", VIZBPF, "--jobs", "1",
             "--python", python, "--engine", engine, "--mode", "cold"]
    for name in programs:
        words += ["--program", name]
    said = output_of(*words)
    check(" 0 failed" in said and not said.rstrip().splitlines()[-1].startswith("0 passed"), said)
    print("# " + said.rstrip().splitlines()[-1])


@named("truth: recursion, generators")
def truth_system():
    truth("system", "eval", ("recursion", "generators"))


@named("truth, usdt: recursion, generators")
def truth_bullseye():
    other("bullseye")
    truth("bullseye", "usdt", ("recursion", "generators"))


def run(number, text, function):
    began = time.monotonic()
    harness.ENGINE = "auto"
    try:
        function()
        print("ok %d - %s" % (number, text))
    except Skip as error:
        print("ok %d - %s # SKIP %s" % (number, text, error))
    except (Failure, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        print("not ok %d - %s" % (number, text))
        for line in ("%s: %s" % (type(error).__name__, error)).splitlines():
            print("#   " + line)
    finally:
        harness.clean_up()
    print("# %d took %.1f s" % (number, time.monotonic() - began), flush=True)


def main():
    chosen = [c for c in checks if not sys.argv[1:] or c[1].__name__ in sys.argv[1:]]
    print("# %s, Python %s" % (" ".join(os.uname()[i] for i in (0, 2, 4)), sys.version.split()[0]))
    print("1..%d" % len(chosen))
    for number, (text, function) in enumerate(chosen, 1):
        run(number, text, function)


if __name__ == "__main__":
    main()
