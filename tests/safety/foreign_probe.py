# SPDX-License-Identifier: Apache-2.0
"""Another tracer's USDT probe: a counter of the kernel at the interpreter's own probe, which
raises its semaphore as bpftrace, SystemTap and perf do. Nothing of vizbpf is in it."""
import ctypes
import os
import platform
import re
import struct
import subprocess

PMU = "/sys/bus/event_source/devices/uprobe"
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
libc = ctypes.CDLL(None, use_errno=True)


def probes_of(path):
    """{name: (file offset, semaphore's file offset)} of provider python, those with one place and
    a semaphore."""
    notes = subprocess.run(["readelf", "-nW", path], capture_output=True, text=True).stdout
    headers = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True).stdout
    segments = [tuple(int(x, 16) for x in found)
                for found in re.findall(r"LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+)", headers)]

    def offset(address):
        return next(address - start + at for at, start, size in segments if start <= address < start + size)

    places = {}
    for name, place, semaphore in re.findall(
            r"Provider: python\s+Name: (\S+)\s+Location: (0x\w+), Base: 0x\w+, Semaphore: (0x\w+)", notes):
        places.setdefault(name, []).append((int(place, 16), int(semaphore, 16)))
    return {name: (offset(found[0][0]), offset(found[0][1]))
            for name, found in places.items() if len(found) == 1 and found[0][1]}


class ForeignProbe:
    """Counts while it is open. OSError where the kernel has no such probes."""

    def __init__(self, pid, probe):
        with open(PMU + "/type") as f:
            kind = int(f.read())
        place, semaphore = probe
        path = ctypes.create_string_buffer(b"/proc/%d/exe" % pid)
        # struct perf_event_attr: type, size, config, period, sample_type, read_format, flags,
        # wakeup_events, bp_type, config1, config2. linux/perf_event.h, the first version: 72 bytes.
        attr = struct.pack("=IIQQQQQIIQQ", kind, 72, semaphore << 32, 0, 0, 0, 0, 0, 0, ctypes.addressof(path), place)
        self.fd = libc.syscall(PERF_EVENT_OPEN[platform.machine()], attr, pid, -1, -1, 8)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def count(self):
        return struct.unpack("=Q", os.read(self.fd, 8))[0]

    def close(self):
        os.close(self.fd)


def semaphore(pid, probe):
    """Its value, read from outside."""
    at = probe[1]
    with open("/proc/%d/maps" % pid) as maps:
        exe = os.stat("/proc/%d/exe" % pid).st_ino
        for line in maps:
            span, rights, start, _, inode = line.split()[:5]
            begin, end = (int(x, 16) for x in span.split("-"))
            if int(inode) == exe and "w" in rights and 0 <= at - int(start, 16) < end - begin:
                with open("/proc/%d/mem" % pid, "rb", 0) as mem:
                    mem.seek(begin + at - int(start, 16))
                    return int.from_bytes(mem.read(2), "little")
    raise OSError("the semaphore is not mapped")
