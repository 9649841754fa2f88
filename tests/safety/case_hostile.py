# SPDX-License-Identifier: Apache-2.0
"""Targets that mean harm; output files."""
import os
import random
import signal
import stat
import subprocess

from cases import glob_libpython, read_ready, scenario, some
from harness import (HERE, PATIENCE, VIZBPF, Skip, Subject, Tracer, check, describe, equal,
                     interpreters, scratch)


@scenario
def swapped_library(args):
    """a container root whose python becomes a symlink to a file of the host"""
    found = [i for i in interpreters() if i.chroot]
    if not found:
        raise Skip("no root (tests/roots/make)")
    python = found[0]
    victim = scratch("victim")
    with open(victim, "wb") as f:
        f.write(b"\x7fELF" + b"\0" * 4096)
    subject = Subject(python)
    path = python.chroot + subject.interpreter.path
    os.unlink(path)
    os.symlink(victim, path)
    try:
        tracer = Tracer("-p", subject.pid, ready=False)
        if read_ready(tracer):
            subject.ask("burst", 50)
            tracer.stop()
            equal(tracer.count("marked"), 50, "calls in the trace")
        else:
            check(str(subject.pid) in tracer.said, "refused without a reason: " + tracer.said)
        subject.check_untouched("after")
        subject.end()
        equal(os.stat(victim).st_size, 4100, "size of the victim")
    finally:
        os.unlink(path)


@scenario
def crafted_library(args):
    """files that look like libpython but are not: a reason, never a crash, never a trace"""
    source = next(iter(glob_libpython()), None) or "/usr/bin/python3.11"
    mapper = scratch("mapper")
    subprocess.run(["gcc", "-O1", "-o", mapper, os.path.join(HERE, "programs", "mapper.c")], check=True)
    original = open(source, "rb").read()
    generator = random.Random(args.seed)
    for number in range(args.times or 25):
        data = bytearray(original)
        kind = number % 5
        if kind == 0:  # damaged headers
            for _ in range(8):
                data[generator.randrange(0, 1024)] = generator.randrange(256)
        elif kind == 1:  # damaged section headers and symbols
            at = int.from_bytes(data[40:48], "little")
            for _ in range(64):
                data[min(len(data) - 1, at + generator.randrange(0, 3000))] = generator.randrange(256)
        elif kind == 2:  # cut off
            data = data[: generator.randrange(64, len(data))]
        elif kind == 3:  # huge counts
            data[generator.choice((56, 60, 62, 32, 40)) :][:2] = b"\xff\xff"
            data[40:48] = (generator.choice((1 << 63, len(data) - 10, 1))).to_bytes(8, "little")
        else:  # noise all over
            for _ in range(20000):
                data[generator.randrange(len(data))] = generator.randrange(256)
        path = scratch("libpython3.%d.so.1.0" % (8 + number % 8))
        with open(path, "wb") as f:
            f.write(data)
        target = subprocess.Popen([mapper, path], stdout=subprocess.PIPE)
        check(target.stdout.readline() == b"mapped\n", "the mapper did not map")
        done = subprocess.run([VIZBPF, "-p", str(target.pid), "-d", "1", "-o", scratch("crafted.json")],
                              capture_output=True, text=True, timeout=PATIENCE)
        alive = target.poll() is None
        target.kill()
        target.wait()
        check(alive, "variant %d (seed %d): the target died" % (number, args.seed))
        check(done.returncode >= 0, "variant %d (seed %d): vizbpf was %s" %
              (number, args.seed, describe(done.returncode)))
        # Eight bytes of the headers can be such as nobody reads: then it is a libpython. Engine
        # trampoline does not read code: it waits for a first call, which noise does not make.
        waits = kind == 4 and "engine trampoline" in done.stderr and "0 calls in" in done.stderr
        check(done.returncode > 0 or kind == 0 or waits, "variant %d: accepted: %s" % (number, done.stderr))
        check(done.stderr.strip(), "variant %d: no reason" % number)
        check(len(done.stderr) < 4000, "variant %d: says too much" % number)


@scenario
def odd_names(args):
    """escapes in names reach neither the terminal nor break the JSON"""
    python = some(args, lambda i: i.version >= (3, 8))[0]
    subject = Subject(python, env={"EVIL": "\x1b[31m"}, prefix=("bash", "-c", 'exec -a $\'py\\e]0;argv\\a\' "$@"', "-"))
    tracer = Tracer("-p", subject.pid, "-v")
    check(subject.ask("odd_names", 3)["ok"], "the names")
    tracer.stop()
    names = {e["name"] for e in tracer.events() if e["ph"] == "X"}
    check(any("\x1b]0;owned" in n for n in names), "the name is not in the trace: %r" % (names,))
    check("\x1b" not in tracer.said and "\x9b" not in tracer.said and "\x07" not in tracer.said,
          "raw escapes on the terminal: %r" % tracer.said)
    for command in (["stats"], ["tree"], ["convert", "-f", "folded", "-o", scratch("x.folded")]):
        done = subprocess.run([VIZBPF, command[0], tracer.output, *command[1:]], capture_output=True, timeout=PATIENCE)
        said = done.stdout + done.stderr
        check(b"\x1b]" not in said and b"\x07" not in said, "raw escapes from %s: %r" % (command[0], said[:300]))
    done = subprocess.run([VIZBPF, "ps"], capture_output=True, timeout=PATIENCE)
    check(b"\x1b]" not in done.stdout and b"\x07" not in done.stdout, "raw escapes from ps")
    subject.end()


@scenario
def output_files(args):
    """no link is followed, the mode is tight, the old file stays until the new one is whole"""
    subject = Subject(some(args)[0])
    victim, link, plain = scratch("precious"), scratch("link.json"), scratch("plain.json")
    with open(victim, "w") as f:
        f.write("precious")
    os.symlink(victim, link)
    tracer = Tracer("-p", subject.pid, output=link, ready=False)
    if read_ready(tracer):
        tracer.stop()
    else:
        tracer.wait()
    equal(open(victim).read(), "precious", "the file behind the link")
    # Dangling: nothing is made where it points.
    os.unlink(link)
    os.symlink(scratch("nowhere"), link)
    tracer = Tracer("-p", subject.pid, output=link, ready=False)
    if read_ready(tracer):
        tracer.stop()
    else:
        tracer.wait()
    check(not os.path.exists(scratch("nowhere")), "a file was made through a dangling link")
    # Killed: what was there stays.
    with open(plain, "w") as f:
        f.write("older trace")
    tracer = Tracer("-p", subject.pid, output=plain)
    subject.ask("burst", 100)
    equal(open(plain).read(), "older trace", "the old file while tracing")
    tracer.stop(signal.SIGKILL)
    equal(open(plain).read(), "older trace", "the old file after a kill")
    subject.ask("burst", 1)  # engine trampoline leaves at the next call
    subject.check_clean("killed")
    # The umask counts, and the owner is who called sudo.
    env = {"SUDO_UID": "12345", "SUDO_GID": "23456", "SUDO_USER": "somebody"}
    for umask, allowed in ((0o077, 0o600), (0o027, 0o640)):
        old = os.umask(umask)
        try:
            tracer = Tracer("-p", subject.pid, output=scratch("owned-%o.json" % umask), env=env)
        finally:
            os.umask(old)
        tracer.stop()
        st = os.stat(tracer.output)
        equal((st.st_uid, st.st_gid), (12345, 23456), "owner under sudo")
        check(not stat.S_IMODE(st.st_mode) & ~allowed, "mode %o" % stat.S_IMODE(st.st_mode))
    subject.end()


@scenario
def no_shell(args):
    """vizbpf calls no system(), no popen(), no shell"""
    said = subprocess.run(["nm", "-D", "--undefined-only", VIZBPF], capture_output=True, text=True)
    if said.returncode:
        raise Skip("nm: " + said.stderr)
    names = {line.split()[-1].split("@")[0] for line in said.stdout.splitlines() if line.split()}
    bad = names & {"system", "popen", "wordexp", "posix_spawn", "gets", "mktemp", "tmpnam", "tempnam"}
    check(not bad, "imported: %s" % sorted(bad))
