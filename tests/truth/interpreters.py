# SPDX-License-Identifier: Apache-2.0
"""Finds the Python interpreters that the truth test runs, and what each can do."""
import glob
import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOTS = os.path.join(os.environ.get("VIZBPF_CACHE", "/var/cache/vizbpf"), "roots")
OLDEST = (3, 6)
# What cpython-facts say: the pair of probes is incomplete in 3.11, absent in 3.12 to 3.14.
USDT_VERSIONS = {(3, 6), (3, 7), (3, 8), (3, 9), (3, 10), (3, 15)}
PROBE = """
import sys
modules = []
for name in sys.argv[1:]:
    try:
        __import__(name)
    except ImportError:
        continue
    modules.append(name)
print("%d.%d.%d" % sys.version_info[:3], "debug" if hasattr(sys, "gettotalrefcount") else
      "free-threaded" if not getattr(sys, "_is_gil_enabled", lambda: True)() else "plain",
      ",".join(modules) or "-", flush=True)
sys.stdin.readline()
"""


class Interpreter:
    """One python executable, possibly inside the root of another distribution."""

    def __init__(self, label, path, root=None, core=False):
        self.label = label
        self.path = path
        self.root = root
        self.core = core
        self.version = None
        self.modules = set()
        self.has_usdt = False
        self.skip = None

    def command(self, *args):
        prefix = ["chroot", self.root] if self.root else []
        return prefix + [self.path] + list(args)

    def environment(self):
        keep = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/"}
        keep.update(PYTHONDONTWRITEBYTECODE="1", PYTHONHASHSEED="0", PYTHONIOENCODING="utf-8")
        return keep

    def inside(self, path):
        """How a path of this machine is called by the interpreter."""
        if not self.root:
            return path
        assert path.startswith(self.root + "/")
        return path[len(self.root):]

    @property
    def minor(self):
        return self.version[:2]

    def examine(self, modules):
        """Fills in version, modules and probes, or the reason to skip."""
        try:
            process = subprocess.Popen(self.command("-c", PROBE, *modules),
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=self.environment())
        except OSError as error:
            self.skip = "cannot be started: %s" % error.strerror
            return self
        line = process.stdout.readline().decode().split()
        if len(line) == 3:
            self.has_usdt = any(contains(path, b"\0function__entry\0")
                                for path in mapped_pythons(process.pid))
        _, errors = process.communicate(b"\n")
        if len(line) != 3:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            self.skip = "cannot be started: %s" % "".join(last)
            return self
        self.version = tuple(map(int, line[0].split(".")))
        self.modules = set(line[2].split(","))
        if line[1] != "plain":
            self.skip = "a %s build" % line[1]
        return self

    def engines(self):
        """Names of the engines that are expected to be exact here."""
        names = ["eval"]
        if self.has_usdt and self.minor in USDT_VERSIONS:
            names.insert(0, "usdt")
        if self.minor >= (3, 9):
            names.append("trampoline")
        return names

    def __str__(self):
        return "%s (%s)" % (self.label, ".".join(map(str, self.version or ("?",))))


def mapped_pythons(pid):
    """Files mapped by the process that may hold the interpreter."""
    with open("/proc/%d/maps" % pid) as maps:
        paths = {line.split(None, 5)[5].strip() for line in maps if line.count(" ") and
                 len(line.split(None, 5)) == 6}
    return [path for path in paths if re.search(r"/(lib)?python[^/]*$", path)]


def contains(path, needle):
    try:
        with open(path, "rb") as file:
            return needle in file.read()
    except OSError:
        return False


def pyenv_versions():
    home = os.path.expanduser("~%s" % os.environ.get("SUDO_USER", ""))
    homes = [os.environ.get("PYENV_ROOT"), os.path.join(home, ".pyenv"),
             os.path.expanduser("~/.pyenv")]
    found = {}
    for base in filter(None, homes):
        for directory in glob.glob(os.path.join(base, "versions", "*")):
            path = os.path.realpath(os.path.join(directory, "bin", "python3"))
            name = os.path.basename(directory)
            if os.path.exists(path) and not os.path.islink(directory):
                found.setdefault(path, name)
    return sorted(found.items(), key=lambda item: version_key(item[1]))


def version_key(name):
    return [int(part) for part in re.findall(r"\d+", name)]


def root_pythons():
    """(label, path inside, root) of the distributions; path None and a reason when absent."""
    result = []
    for name in ("bullseye", "trixie", "sid"):
        root = os.path.join(ROOTS, name)
        if not os.path.exists(os.path.join(root, "vizbpf-root")):
            result.append((name, None, root_reason(name)))
            continue
        paths = glob.glob(os.path.join(root, "usr/bin/python3.[0-9]*"))
        for path in sorted((p for p in paths if re.search(r"python3\.\d+$", p)), key=version_key):
            label = name if len(paths) == 1 else "%s-%s" % (name, path.rsplit("python", 1)[1])
            result.append((label, path[len(root):], root))
    return result


def root_reason(name):
    try:
        with open(os.path.join(ROOTS, name + ".skip")) as file:
            return file.read().strip()
    except OSError:
        return "not set up: run tests/roots/make %s" % name


def find_all(modules):
    """Every interpreter, examined; those that cannot be used have .skip set."""
    found = [Interpreter("system", "/usr/bin/python3", core=True)]
    for path, name in pyenv_versions():
        if version_key(name)[:2] >= list(OLDEST):
            found.append(Interpreter("pyenv-" + name, path))
    for label, path, root in root_pythons():
        if path is None:
            absent = Interpreter(label, None)
            absent.skip = root
            found.append(absent)
        else:
            found.append(Interpreter(label, path, root))
    found += [Interpreter(path, path) for path in os.environ.get("VIZBPF_EXTRA_PYTHONS", "").split()]
    for interpreter in found:
        if not interpreter.skip:
            interpreter.examine(modules)
    return found


def given(path, modules):
    """An interpreter named on the command line: a path, or root:path."""
    root, _, inner = path.rpartition(":")
    if root:
        return Interpreter(os.path.basename(root) + ":" + inner, inner, root, True).examine(modules)
    return Interpreter(path, path, core=True).examine(modules)
