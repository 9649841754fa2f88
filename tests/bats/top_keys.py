#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Presses the keys of `vizbpf top` on a terminal of its own and looks at the pictures.

    top_keys.py VIZBPF top ARGUMENT...
"""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

BEGIN = b"\x1b[H"  # of a picture
END = b"\x1b[J"


class Screen:
    def __init__(self, command):
        # The end of the terminal that stays open here tells how it was left.
        self.fd, self.child_end = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.before = termios.tcgetattr(self.child_end)
        self.data = b""
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            fcntl.ioctl(self.child_end, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(self.child_end, fd)
            os.execv(command[0], command)

    def picture(self, good):
        """The lines of the next picture that @good() is content with."""
        end = time.monotonic() + 30
        last = ""
        while time.monotonic() < end:
            while END in self.data:
                picture, self.data = self.data.split(END, 1)
                text = picture[picture.rfind(BEGIN) + 3:].decode(errors="replace")
                last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
                lines = last.split("\r\n")
                if good(lines):
                    return lines
            if select.select([self.fd], [], [], 0.2)[0]:
                self.data += os.read(self.fd, 65536)
        raise SystemExit("no such picture; the last one:\n" + last)

    def press(self, keys):
        os.write(self.fd, keys.encode())


def functions(lines):
    at = next(i for i, line in enumerate(lines) if line.rstrip().endswith("function"))
    return [line for line in lines[at + 1:] if line.strip()]


def names(lines):
    return [line[58:].split("  ")[0] for line in functions(lines)]


def rates(lines):
    return [int(line[36:47].replace(",", "")) for line in functions(lines)]


def main():
    screen = Screen(sys.argv[1:])
    seen = screen.picture(lambda lines: any("leaf" in line for line in lines))
    assert "by own time, of the last interval; h: keys, q: quit" in seen[2], seen[2]

    screen.press("n")
    lines = screen.picture(lambda lines: "by name" in lines[2] and "leaf" in "".join(lines))
    assert names(lines) == sorted(names(lines)), lines
    screen.press("r")
    lines = screen.picture(lambda lines: "by name, reversed" in lines[2])
    assert names(lines) == sorted(names(lines), reverse=True), lines
    screen.press("rc")
    lines = screen.picture(lambda lines: "by calls, of" in lines[2])
    assert rates(lines) == sorted(rates(lines), reverse=True) and len(lines) > 5, lines
    screen.press("ta")
    screen.picture(lambda lines: "by total time, since the beginning" in lines[2])
    screen.press("\x1b[A")  # an arrow is no key of ours: it ends in `A'
    screen.press("h")
    screen.picture(lambda lines: any("reverse the order" in line for line in lines))
    screen.press("x")
    screen.picture(lambda lines: any("work" in line for line in lines))

    screen.press("p")
    first = screen.picture(lambda lines: "paused" in lines[2])
    # Only keys draw now; what a later picture shows is what the first one did.
    time.sleep(1.2)
    screen.press("o")
    second = screen.picture(lambda lines: "by own time" in lines[2])
    assert first[1] == second[1], (first[1], second[1])
    screen.press("p")
    screen.picture(lambda lines: "paused" not in lines[2] and lines[1] != first[1])

    screen.press("q")
    rest = screen.data
    while not select.select([screen.fd], [], [], 0.2)[0] or rest.find(b"calls in") < 0:
        if select.select([screen.fd], [], [], 0)[0]:
            rest += os.read(screen.fd, 65536)
        pid, status = os.waitpid(screen.pid, os.WNOHANG)
        if pid:
            break
    else:
        status = os.waitpid(screen.pid, 0)[1]
    assert status == 0, status
    assert termios.tcgetattr(screen.child_end) == screen.before, "the terminal is as it was"


if __name__ == "__main__":
    main()
