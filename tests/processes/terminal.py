#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command on a terminal of its own and presses keys: as a person would.

    terminal.py WORD KEY COMMAND...

Copies what the command says to standard output; when WORD appears in it, KEY is typed (^C, ^\\
or ^Z by name: INT, QUIT). Ends as the command ends.
"""
import os
import pty
import select
import sys
import time

KEYS = {"INT": b"\x03", "QUIT": b"\x1c"}


def main(word, key, *command):
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    seen, typed = b"", False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:  # the last one closed the terminal
            break
        if not data:
            break
        os.write(1, data)
        seen += data
        if not typed and word.encode() in seen:
            typed = True
            os.write(fd, KEYS[key])
    else:
        os.kill(pid, 9)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(*sys.argv[1:])
