# SPDX-License-Identifier: Apache-2.0
"""Programs at a limit, and one that spoils the memory it shares with vizbpf, for subject.py."""
import ctypes
import os
import random
import resource
import struct
import threading
import time

commands = {}
kept = []


def command(function):
    commands[function.__name__] = function
    return function


def rings():
    """The mappings of the recorder's memory: where, and where they are in their file."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            words = line.split()
            if "/memfd:vizbpf" in line and words[1].startswith("rw-s"):
                start, end = (int(x, 16) for x in words[0].split("-"))
                yield start, end, words[0]


@command
def shrink_ring():
    """Makes the files of the rings shorter, as whoever has a descriptor of them can."""
    shorter = refused = 0
    for _, _, name in rings():
        fd = os.open("/proc/self/map_files/" + name, os.O_RDWR)
        try:
            os.ftruncate(fd, 0)
            shorter += 1
        except PermissionError:
            refused += 1
        os.close(fd)
    return {"shorter": shorter, "refused": refused}


@command
def spoil_records(rounds):
    """Noise where the records are: the last half of each ring."""
    noise = random.Random(1)
    spoilt = 0
    for _ in range(int(rounds)):
        for start, end, _ in rings():
            if end - start < 1 << 20:
                continue
            some = bytes(noise.getrandbits(8) for _ in range(4096))
            for at in range(start + (end - start) // 2, end, 4096):
                ctypes.memmove(at, some, 4096)
                spoilt += 1
    return {"spoilt": spoilt}


def usage(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


@command
def limit(what):
    """So that no more of it is to be had."""
    if what == "descriptors":
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                kept.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return {"ok": True}
    if what == "addresses":
        size = usage("VmSize:") + (1 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    elif what == "files":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    elif what == "locked":
        # what it maps from here on takes memory at once
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(3):
            return {"skip": "mlockall: " + os.strerror(ctypes.get_errno())}
    elif what == "memfds":
        # a filter as service managers have it: memfd_create() ends the process
        if os.uname().machine != "x86_64":
            return {"skip": "another machine"}
        code = ((0x20, 0, 0, 0), (0x15, 0, 1, 319), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7FFF0000))
        text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(text)))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(38, 1, 0, 0, 0)
        if libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0):
            return {"skip": "seccomp: " + os.strerror(ctypes.get_errno())}
    elif what == "writable-code":
        # PR_SET_MDWE: what is writable is never executed
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(65, 1, 0, 0, 0):
            return {"skip": "PR_SET_MDWE: " + os.strerror(ctypes.get_errno())}
    return {"ok": True}


@command
def allocate(bytes_wanted):
    """Touches memory, or says that there is none."""
    kept.append(bytearray(int(bytes_wanted)))
    return {"ok": True}


@command
def steal_thread(tid, rounds):
    """Calls, and says in the ring that they are another thread's."""
    own = threading.get_native_id() if hasattr(threading, "get_native_id") else os.getpid()
    mine, theirs = struct.pack("<I", own), struct.pack("<I", int(tid))
    changed = 0
    other = threading.Thread(target=lambda: [time.sleep(0) for _ in range(200000) if not stop])
    stop = []
    other.start()
    for _ in range(int(rounds)):
        called()
        for start, end, _ in rings():
            size = 128 << 10  # the ring is near its end: mappings are rounded up to 64 KiB
            if end - start < size:
                continue
            some = ctypes.string_at(end - size, size)
            at = some.find(mine)
            while at >= 0:
                # a THREAD record: the kind in the low bits of the word before
                if at % 16 == 8 and some[at - 8] & 15 == 4:
                    ctypes.memmove(end - size + at, theirs, 4)
                    changed += 1
                at = some.find(mine, at + 4)
    stop.append(True)
    other.join()
    return {"changed": changed}


def called():
    pass


@command
def make_functions(count):
    """As many functions, each called once, each with a name of its own."""
    def function():
        pass
    code = function.__code__
    for n in range(int(count)):
        changed = {"co_name": "made_%d" % n}
        if hasattr(code, "co_qualname"):
            changed["co_qualname"] = changed["co_name"]
        function.__code__ = code.replace(**changed)
        function()
    return {"ok": True}
