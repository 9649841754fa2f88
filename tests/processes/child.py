# SPDX-License-Identifier: Apache-2.0
"""A child of any kind, in words that every Python from 3.6 on knows: says who it is and calls
marker() a known number of times. argv: KIND COUNT FILE."""
import os
import sys


def marker(i):
    return i + 1


def run(kind, count, path):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, ("%s %d %d\n" % (kind, os.getpid(), os.getppid())).encode())
    os.close(fd)
    for i in range(count):
        marker(i)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    if len(sys.argv) > 4:
        os.execv(sys.argv[4], [sys.argv[4], __file__, sys.argv[1], sys.argv[2], sys.argv[3]])
