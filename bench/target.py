# SPDX-License-Identifier: Apache-2.0
"""A running bench/driver.py, and small readers of /proc."""
import json
import mmap
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT = 120


class Failed(Exception):
    """A run that has no result; the text says why."""


class Target:
    """The measured process, from its start to its end."""

    def __init__(self, python, program, scale, times=1, options=(), prefix=()):
        command = [*prefix, *([] if prefix else [python]), os.path.join(HERE, "driver.py"),
                   *options, program, str(scale), str(times)]
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, universal_newlines=True,
                                        env=environment)
        line = self.process.stdout.readline().split()
        if line[:1] != ["ready"]:
            text = self.process.communicate()[1].strip().splitlines()
            raise Failed(text[-1] if text else "the program did not start")
        self.pids = [int(pid) for pid in line[1:]]

    def tell(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        # Tools that run inside the program say things on its output.
        while line and not line.startswith("{"):
            line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            text = self.process.stderr.read().strip().splitlines()
            raise Failed("the program ended with status %d: %s"
                         % (self.process.returncode, text[-1] if text else ""))
        return json.loads(line)

    def run(self):
        self.tell()
        return self.answer()

    def finish(self):
        """Lets it end by itself."""
        self.process.communicate("\n", timeout=TIMEOUT)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if not stream.closed:
                stream.close()


def status_of(pid, key):
    """A number of /proc/PID/status, KiB for memory."""
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise Failed("no %s in /proc/%d/status" % (key, pid))


def children_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(child) for child in file.read().split()]


def cpu_of(pid):
    """Seconds of CPU of all threads that a process has now."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as file:
            total += int(file.read().split()[0])
    return total / 1e9


def read_trace(path, whole=False):
    """The metadata of a JSON trace of vizbpf. A file that is not complete raises Failed.

    @whole: parse all of it, not only its beginning and its end.
    """
    with open(path, "rb") as file:
        if whole:
            try:
                return json.load(file).get("vizbpf_metadata", {})
            except ValueError as error:
                raise Failed("%s is not valid JSON: %s" % (os.path.basename(path), error))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = data.rfind(b'\n],\n"viztracer_metadata":')
            if data[:15] != b'{"traceEvents":' or end < 0:
                raise Failed("%s is not complete" % os.path.basename(path))
            try:
                return json.loads("{" + data[end + 4:].decode())["vizbpf_metadata"]
            except ValueError as error:
                raise Failed("%s does not end as JSON: %s" % (os.path.basename(path), error))
