#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Starts many short Python processes, several at a time, and says which there were.

    whole.py NUMBER COUNT INTERPRETER...

Each calls marker() COUNT times as the first thing it does, and ends. Prints PID STATUS.
"""
import subprocess
import sys

CODE = """
def marker(i):
    return i
for i in range(%d):
    marker(i)
"""


def main(number, count, *interpreters):
    running = []
    for i in range(int(number)):
        running.append(subprocess.Popen([interpreters[i % len(interpreters)], "-S", "-c",
                                         CODE % int(count)]))
        if len(running) == 8:
            finish(running.pop(0))
    for process in running:
        finish(process)


def finish(process):
    print(process.pid, process.wait(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
