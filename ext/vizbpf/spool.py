# SPDX-License-Identifier: Apache-2.0
"""What a launch has recorded survives its processes: each records into a mapped file, and a
small process that watches over the first one finishes the trace when that one was killed.
"""
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time

from . import _native, files

SHARED_MEMORY = "/dev/shm"
_FREE_MIN = 1 << 30  # below it the program's own use of shared memory goes first
_PREFIX = "vizbpf-spool-"


def make_folder(fallback):
    """A private folder for the mapped files, in memory where there is plenty: the pages of a
    file on a disk are written out while they are being filled."""
    _remove_left()
    try:
        if shared_memory_is_roomy():
            return tempfile.mkdtemp(prefix=_PREFIX, dir=SHARED_MEMORY)
    except OSError:
        pass
    return fallback


def shared_memory_is_roomy():
    try:
        room = os.statvfs(SHARED_MEMORY)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize >= _FREE_MIN


def hold(folder):
    """Marks the folder as in use, for as long as this process or a forked child lives. Returns
    the descriptor, which keeps it so, or None."""
    try:
        fd = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_SH)
    except OSError:
        return None
    return fd


def _remove_left():
    """Folders of launches that were killed together with what watched over them."""
    try:
        names = os.listdir(SHARED_MEMORY)
    except OSError:
        return
    for name in names:
        path = os.path.join(SHARED_MEMORY, name)
        try:
            if not name.startswith(_PREFIX) or os.lstat(path).st_uid != os.geteuid() or \
                    time.time() - os.lstat(path).st_mtime < 60:
                continue
            fd = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            pass  # in use
        finally:
            os.close(fd)


def create(folder, stem):
    """The file of one process; None when there can be none."""
    try:
        return os.open(os.path.join(folder, stem + ".spool"),
                       os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def remove(folder, stem):
    try:
        os.unlink(os.path.join(folder, stem + ".spool"))
    except OSError:
        pass


def _functions(names):
    """(JSON name, file, line) out of "name (file:line)"."""
    for name in names:
        try:
            match = re.match(r".* \((.+):(\d+)\)$", json.loads('"%s"' % name), re.S)
        except ValueError:
            continue
        if match:
            yield name, match.group(1), int(match.group(2))


def recover(spools, folder, stem):
    """Makes the part of a process that could not write it. Whether there was one."""
    path = os.path.join(folder, stem)
    try:
        with open(os.path.join(spools, stem + ".spool"), "rb") as spool, \
                open(path + ".tmp", "wb") as out:
            calls, events, evicted, names = _native._recover(spool.fileno(), out.fileno())
    except OSError:
        return False
    with open(path + ".info", "w", encoding="utf-8") as file:
        json.dump({"count": calls + events, "overflow": evicted,
                   "file_info": files.source_info(_functions(names))}, file)
    os.rename(path + ".tmp", path + ".events")
    return True


def watch(folder, finish):
    """Forks a process that calls finish() when this one has ended and left its folder."""
    pid = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        # no child of the program: its wait() must not find it
        os.setsid()
        if not os.fork():
            _leave_files_alone()
            _wait_for_end(pid)
            if os.path.isdir(folder):
                finish()
    finally:
        os._exit(0)


def _leave_files_alone():
    """Whoever waits for the end of a pipe shall not wait for us."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    try:
        kind = os.fstat(2).st_mode
    except OSError:
        kind = stat.S_IFIFO
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        os.dup2(nothing, 2)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass
    os.chdir("/")


def _wait_for_end(pid):
    if hasattr(os, "pidfd_open"):  # 3.9, Linux 5.3
        import select

        try:
            fd = os.pidfd_open(pid)
        except OSError:
            fd = -1
        if fd >= 0:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll()
            return
    while os.path.exists("/proc/%d" % pid) and not is_zombie(pid):
        time.sleep(0.1)


def is_zombie(pid):
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True
