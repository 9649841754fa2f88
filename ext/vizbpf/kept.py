# SPDX-License-Identifier: Apache-2.0
"""What a VizTracer in a program of its own has recorded survives that program.

Each records into a mapped file, in a folder that says whose it is and where the trace was to go.
The folder goes when the record is given up or the program ends. Of one that was killed it is left:
`python -m vizbpf --recover` makes the trace.
"""
import atexit
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time

from . import spool

_PREFIX = ".vizbpf-record-"
_STEM = "part-%d-0"  # named as launch.py names parts: the pid is read from it
_ABOUT_MAX = 64 << 10
# Left by killed programs and not recovered: a program that is killed and started again for ever
# must not fill the disk.
_LEFT_MAX = 8
_LEFT_BYTES = 1 << 30
_YOUNG = 60.0  # seconds in which a folder may be incomplete

_told = False


def _started(pid):
    """Tells a process from a later one of the same pid."""
    with open("/proc/%s/stat" % pid, "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def _namespace():
    return os.stat("/proc/self/ns/pid").st_ino


def _boot():
    """The record's times mean something until the machine is started again."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


class Record:
    """The file of one record. None of its methods raises OSError."""

    def __init__(self, folder, output):
        self.folder = folder
        self.pid = os.getpid()
        self._path = os.path.join(folder, _STEM % self.pid + ".spool")
        with open(os.path.join(folder, "about.json"), "w", encoding="utf-8") as file:
            json.dump({"pid": self.pid, "started": _started("self"), "namespace": _namespace(),
                       "boot": _boot(), "output": output}, file)
        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        atexit.register(self.remove)

    def set_saved(self, saved):
        """Whether all of it stands in a trace: nothing would be lost then."""
        if self.pid == os.getpid():
            names = (self._path, self._path + ".saved")
            try:
                os.rename(*(names if saved else reversed(names)))
            except OSError:
                pass

    def remove(self):
        atexit.unregister(self.remove)
        if self.pid == os.getpid():  # else it is the parent's
            shutil.rmtree(self.folder, ignore_errors=True)


def make(output, verbose):
    """A Record for the calling process, in memory where there is plenty, else beside @output (a
    path, or None); None when there can be none."""
    places = [os.path.dirname(output)] if output else []
    if spool.shared_memory_is_roomy():
        places.insert(0, spool.SHARED_MEMORY)
    _tidy(places, verbose)
    for place in places + [tempfile.gettempdir()]:
        folder = None
        try:
            folder = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
            return Record(folder, output)
        except OSError:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
    return None


class _Left:
    """A folder whose program is gone. Of another user's, or of one in use: OSError. It is looked
    into by its descriptor: where others may write, its name may come to mean something else."""

    def __init__(self, folder):
        self.folder = folder
        self.fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._look()
        except OSError:
            self.close()
            raise

    def _look(self):
        status = os.fstat(self.fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise OSError("not ours alone")
        self.inside = "/proc/self/fd/%d" % self.fd
        self.age = time.time() - status.st_mtime
        self.about = self._read_about()
        self.pid = self.about.get("pid")
        self.bytes = 0
        self.is_record = False
        for name in os.listdir(self.inside):
            if name.endswith((".spool", ".spool.saved")):
                self._add(os.path.join(self.inside, name))
        if self.bytes == 0 and self.age < _YOUNG:
            raise OSError("being made")

    def _read_about(self):
        try:
            with open(os.path.join(self.inside, "about.json"), encoding="utf-8") as file:
                about = json.loads(file.read(_ABOUT_MAX))
        except (OSError, ValueError):
            return {}
        if not isinstance(about, dict) or not isinstance(about.get("pid"), int) or \
                not isinstance(about.get("output"), (str, type(None))) or about.get("boot") != _boot():
            return {}
        try:
            # The lock alone does not tell: programs close descriptors that they do not know.
            if about.get("namespace") == _namespace() and \
                    about.get("started") == _started(about["pid"]) and not spool.is_zombie(about["pid"]):
                raise BlockingIOError("in use")
        except FileNotFoundError:
            pass
        return about

    def _add(self, path):
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.bytes += os.fstat(fd).st_blocks * 512
        finally:
            os.close(fd)
        self.is_record |= path.endswith(".spool") and bool(self.about)

    def close(self):
        os.close(self.fd)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def _left(places):
    """What killed programs of this user left in @places, the youngest first."""
    found = []
    for place in dict.fromkeys(os.path.abspath(place) for place in places):
        try:
            names = [name for name in os.listdir(place) if name.startswith(_PREFIX)]
        except OSError:
            continue
        for name in names:
            try:
                found.append(_Left(os.path.join(place, name)))
            except OSError:
                continue
    return sorted(found, key=lambda left: left.age)


def _tidy(places, verbose):
    """Removes what is of no use, and more than is to be kept."""
    global _told
    kept, total = [], 0
    for left in _left(places):
        total += left.bytes
        if not left.is_record or len(kept) == _LEFT_MAX or total > _LEFT_BYTES:
            left.remove()
        else:
            kept.append(left)
        left.close()
    if kept and verbose and not _told:
        print("vizbpf: what killed processes had recorded is kept (pid %s): python3 -m vizbpf "
              "--recover makes traces of it" % ", ".join(str(left.pid) for left in kept),
              file=sys.stderr)
    _told = True


def _trace_path(output, pid):
    """Beside what the program would have written, which another run may have written since."""
    path = output or "result.json"
    if not os.path.isdir(os.path.dirname(path)):
        path = os.path.abspath(os.path.basename(path))
    for suffix in (".json.gz", ".gz", ".json", ".html", ""):
        if path.endswith(suffix):
            return "%s_killed_%d%s" % (path[:len(path) - len(suffix)], pid, suffix or ".json")


def recover(places, combine):
    """Makes the traces of killed programs, by combine(folder of the parts, folder of the files,
    path), which returns the pids that it found. Returns how many there were, and how many of them
    could not be made."""
    failed = 0
    found = 0
    for left in _left([spool.SHARED_MEMORY, tempfile.gettempdir()] + list(places)):
        if not left.is_record:
            left.close()
            continue
        found += 1
        path = _trace_path(left.about["output"], left.pid)
        try:
            with tempfile.TemporaryDirectory(prefix=".vizbpf-", dir=os.path.dirname(path)) as parts:
                if not combine(parts, left.inside, path):
                    os.unlink(path)
                    raise OSError("%s cannot be read" % left.folder)
        except (OSError, ValueError) as error:
            print("vizbpf: the record of process %d is not recovered: %s" % (left.pid, error),
                  file=sys.stderr)
            failed += 1
        else:
            left.remove()
        left.close()
    return found, failed
