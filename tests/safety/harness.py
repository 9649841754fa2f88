# SPDX-License-Identifier: Apache-2.0
"""Subjects, tracers and what is asked of both; for the safety tests and the soak.

A Subject is tests/safety/programs/subject.py under some interpreter, a Tracer is a vizbpf
attached to it. Nothing here waits for time to pass: a tracer is ready when it says so on
--ready-fd, a subject when it answers.
"""
import glob
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SUBJECT = os.path.join(HERE, "programs", "subject.py")
VIZBPF = os.environ.get("VIZBPF", os.path.join(ROOT, "build", "vizbpf"))
ROOTS = os.environ.get("VIZBPF_ROOTS", "/var/cache/vizbpf/roots")
ENGINE = os.environ.get("VIZBPF_TEST_ENGINE", "auto")
PATIENCE = float(os.environ.get("VIZBPF_TEST_PATIENCE", "60"))


class Failure(Exception):
    """The property does not hold."""


class Skip(Exception):
    """It cannot be tested here, for the reason given."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(found, expected, text):
    check(found == expected, "%s: %r, expected %r" % (text, found, expected))


_directory = None
_copies = []


def scratch(name=""):
    """A path in a directory that is removed at the end."""
    global _directory
    if _directory is None:
        _directory = tempfile.mkdtemp(prefix="vizbpf-safety-")
    return os.path.join(_directory, name)


class Interpreter:
    """A python to run subjects with. chroot: the directory it lives in, or None."""

    def __init__(self, path, chroot=None):
        self.path, self.chroot, self.library, self.home, self.copied = path, chroot, None, None, False
        self.name = path if chroot is None else os.path.basename(chroot) + ":" + path
        said = self.run("-c", "import sys; print(*sys.version_info[:3])")
        self.version = tuple(int(x) for x in said.split()) if said else None

    def command(self, *args):
        prefix = ["chroot", self.chroot] if self.chroot else []
        if self.library:
            prefix = ["env", "LD_LIBRARY_PATH=" + self.library]
        return prefix + [self.path] + list(args)

    def private(self):
        """The same with a copy of the executable and libpython. A probe sits in a file: so
        nobody else's tracer is in ours, and ours is in nobody else's process."""
        if not self.version or self.copied:
            return self
        root = self.chroot or ""
        inside = "/opt/vizbpf-safety/own-%d-%s" % (os.getpid(), os.path.basename(self.path)) if root else scratch("own-" + self.name.replace("/", "_"))
        if not os.path.isdir(root + inside):
            os.makedirs(root + inside)
            _copies.append(root + inside)
            shutil.copy(os.path.realpath(root + self.path), root + inside)
            if not root:
                for path in glob.glob(os.path.join(os.path.dirname(self.path), "../lib/libpython3.*.so.1.0")):
                    shutil.copy(path, inside)
        one = Interpreter.__new__(Interpreter)
        one.path = os.path.join(inside, os.path.basename(os.path.realpath(root + self.path)))
        one.chroot, one.name, one.version, one.copied = self.chroot, self.name, self.version, True
        one.library = inside if not root and glob.glob(inside + "/libpython*") else None
        one.home = os.path.dirname(os.path.dirname(os.path.realpath(self.path))) if not root else None
        return one

    def run(self, *args):
        try:
            return subprocess.check_output(
                self.command(*args), stderr=subprocess.DEVNULL, text=True, timeout=PATIENCE
            )
        except (OSError, subprocess.SubprocessError):
            return ""

    def environment(self):
        return {"PYTHONHOME": self.home} if self.home and self.home != "/usr" else {}

    def has(self, module):
        return self.run("-c", "import %s; print('yes')" % module).strip() == "yes"

    def inlines(self):
        return self.version >= (3, 11)

    def __str__(self):
        return "%s (%s)" % (self.name, ".".join(map(str, self.version)))


def interpreters():
    """The system's own comes first and is never left out."""
    found = [Interpreter("/usr/bin/python3")]
    for path in sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))):
        found.append(Interpreter(path))
    for root in sorted(glob.glob(os.path.join(ROOTS, "*", "usr", "bin"))):
        for path in sorted(glob.glob(os.path.join(root, "python3.*[0-9]"))):
            found.append(Interpreter("/usr/bin/" + os.path.basename(path), root[: -len("/usr/bin")]))
    chosen = os.environ.get("VIZBPF_TEST_PYTHONS")
    found = [i for i in found if i.version]
    return [i for i in found if not chosen or any(c in str(i) for c in chosen.split(","))]


class Subject:
    def __init__(self, interpreter=None, args=(), env=None, preexec=None, prefix=()):
        self.interpreter = (interpreter or Interpreter("/usr/bin/python3")).private()
        path, where = SUBJECT, self.interpreter.chroot
        if where:
            # Of our own: another run, of another version, may be there at the same time.
            own = "/opt/vizbpf-safety/programs-%d" % os.getpid()
            if not os.path.isdir(where + own):
                shutil.copytree(os.path.join(HERE, "programs"), where + own)
                _copies.append(where + own)
            path = own + "/subject.py"
        self.process = subprocess.Popen(
            list(prefix) + self.interpreter.command(*args, path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(scratch("subject.err"), "a"),
            env=dict(os.environ, PYTHONWARNINGS="ignore", **self.interpreter.environment(), **(env or {})),
            preexec_fn=preexec,
        )
        self.pid = self.process.pid
        self.buffer = b""
        _subjects.append(self)
        state = self.ask("slots")
        self.slots = state["slots"]
        self.code = self.ask("code")["code"]

    def send(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def answer(self, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            check(left > 0, "the subject does not answer (%s)" % self.state())
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    raise Failure("the subject died: %s" % describe(self.process.wait()))
                self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def state(self):
        return proc_state(self.pid)

    def slot_values(self, pid=None):
        """Read from outside, through /proc/PID/mem."""
        values = []
        try:
            with open("/proc/%d/mem" % living_task(pid or self.pid), "rb", 0) as mem:
                for address, _ in self.slots:
                    mem.seek(address)
                    values.append(int.from_bytes(mem.read(8), "little"))
        except (OSError, ValueError):
            return []
        return values

    def clean(self, pid=None):
        return all(v == 0 for v in self.slot_values(pid))

    def check_clean(self, text, pid=None):
        """No later than a guardian needs."""
        wait_for(lambda: self.clean(pid), "%s: the slot is still set: %s" % (text, self.slot_values(pid)))

    def probes(self):
        """Where the eval function, and 64 KiB from there, differ from the file: breakpoints.
        Of anybody's: others may trace on this machine."""
        task = living_task(self.pid)
        with open("/proc/%d/maps" % task) as maps:
            for line in maps:
                span, rights, offset = line.split()[:3]
                start, end = (int(x, 16) for x in span.split("-"))
                if start <= self.code < end:
                    break
            else:
                raise Failure("the eval function is not mapped")
        size = min(65536, end - self.code)
        with open("/proc/%d/mem" % task, "rb", 0) as mem:
            mem.seek(self.code)
            found = mem.read(size)
        with open("/proc/%d/map_files/%x-%x" % (task, start, end), "rb") as f:
            f.seek(int(offset, 16) + self.code - start)
            expected = f.read(size)
        return [hex(i) for i in range(size) if found[i] != expected[i]]

    def check_untouched(self, text, engine=None):
        if (engine or ENGINE) not in ("eval", "usdt"):
            self.let_recorder_out()
        self.check_clean(text)
        wait_for(lambda: not self.probes(),
                 lambda: "%s: probes in the eval function at %s, held by %s"
                 % (text, self.probes(), probers(self.interpreter.path)))

    def let_recorder_out(self):
        """The recorder of engine trampoline takes itself out at the next call after it was told
        to, which a guardian does in its own time."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            self.ask("burst", 1)
            if self.clean():
                break
            time.sleep(0.002)

    def end(self):
        if self.process.poll() is None:
            self.send("quit")
            try:
                self.process.stdin.close()
            except OSError:
                pass
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure("the subject does not end (%s)" % self.state())
        equal(status, 0, "exit status of the subject (%s)" % describe(status))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Tracer:
    """vizbpf, attached. stderr is kept in .said after the end."""

    def __init__(self, *args, output=None, ready=True, engine=ENGINE, env=None, prefix=()):
        for _ in range(20):
            self.start(args, output, engine, env, prefix)
            try:
                if ready:
                    self.wait_ready()
                return
            except Failure:
                # A vizbpf -a of somebody else on this machine.
                if "traced by another vizbpf" not in self.said:
                    raise
        raise Failure("always traced by another vizbpf: " + self.said)

    def start(self, args, output, engine, env, prefix):
        self.output = output or scratch("trace-%d.json" % len(_tracers))
        end, ready_fd = os.pipe()
        words = list(prefix) + [VIZBPF, *map(str, args), "-o", self.output, "--ready-fd", str(ready_fd)]
        if engine != "auto":
            words += ["--engine", engine]
        self.errors = open(scratch("tracer-%d.err" % len(_tracers)), "w+")
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
            pass_fds=[ready_fd], env=dict(os.environ, **(env or {})), start_new_session=True,
        )
        os.close(ready_fd)
        self.ready_end, self.pid = end, self.process.pid
        _tracers.append(self)

    @property
    def said(self):
        self.errors.flush()
        with open(self.errors.name, errors="replace") as f:
            return f.read()

    def wait_ready(self):
        check(select.select([self.ready_end], [], [], PATIENCE)[0], "vizbpf does not become ready: " + self.said)
        if not os.read(self.ready_end, 1):
            raise Failure("vizbpf ended before it was ready (%s): %s" % (describe(self.wait()), self.said))

    def wait(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure("vizbpf does not end: " + self.said)

    def stop(self, sig=signal.SIGINT):
        self.process.send_signal(sig)
        status = self.wait()
        if sig != signal.SIGKILL:
            equal(status, 0, "exit status of vizbpf (%s): %s" % (describe(status), self.said))
        return self

    def uses_eval(self):
        wait_for(lambda: "engine " in self.said, "vizbpf does not say its engine")
        return "engine eval" in self.said

    def guardian(self):
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                text = open(path).read()
            except OSError:
                continue
            if "(vizbpf-guard)" in text and int(text[text.rindex(")") :].split()[2]) == self.pid:
                return int(path.split("/")[2])
        return None

    def events(self):
        with open(self.output) as f:
            return json.load(f)["traceEvents"]

    def count(self, name):
        """Calls of the function with this bare name in the trace."""
        return sum(
            1 for e in self.events()
            if e["ph"] == "X" and e["name"].split(" (")[0].split(".")[-1] == name
            and not e.get("args", {}).get("unfinished")
        )

    def metadata(self):
        with open(self.output) as f:
            return json.load(f)["vizbpf_metadata"]


_subjects, _tracers = [], []


def living_task(pid):
    """The first thread, or another when it has ended: then /proc/PID has no memory to show."""
    try:
        tasks = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return pid
    return next((int(t) for t in [str(pid)] + tasks if proc_state(int(t)) not in ("Z", "X", "gone")), pid)


def proc_state(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def describe(status):
    if status is not None and status < 0:
        return "killed by " + signal.Signals(-status).name
    return "status %s" % status


def probers(path):
    """Which processes hold uprobes in files of this name, and for which process."""
    found = []
    for info in glob.glob("/proc/[0-9]*/fdinfo/*"):
        try:
            with open(info) as file:
                said = file.read()
            pid = info.split("/")[2]
            if "uprobe" in said and os.path.basename(path) in said:
                with open("/proc/%s/cmdline" % pid) as file:
                    command = file.read().replace("\0", " ")
                found.append("%s (%s): %s" % (pid, command, " ".join(said.split())))
        except OSError:
            pass  # it has ended
    return "; ".join(found) or "nobody that could be seen"


def wait_for(condition, text, patience=15):
    """For what another process does on its own account, such as a guardian."""
    deadline = time.monotonic() + patience
    while not condition():
        check(time.monotonic() < deadline, text() if callable(text) else text)
        time.sleep(0.002)


def clean_up():
    global _directory
    for one in _tracers:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
    for one in _subjects:
        one.kill()
    del _tracers[:], _subjects[:]
    for copy in _copies:
        shutil.rmtree(copy, ignore_errors=True)
    del _copies[:]
    if _directory:
        shutil.rmtree(_directory, ignore_errors=True)
        _directory = None
