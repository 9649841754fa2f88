# SPDX-License-Identifier: Apache-2.0
"""The traced process and its tracer, as the truth test drives them. No sleeps: every step
waits for the other side to say that it is there."""
import os
import select
import signal
import subprocess
import time

from tracefile import Bad

PATIENCE = 90  # seconds; only something that hangs takes that long


class Died(Bad):
    """The target is gone: the worst that a tracer can do."""


def read_line(stream, what):
    """One line of a pipe, or None at its end."""
    data = b""
    deadline = time.monotonic() + PATIENCE
    while not data.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise Bad("%s said nothing for %d s" % (what, PATIENCE))
        byte = os.read(stream.fileno(), 4096)
        if not byte:
            return None
        data += byte
    return data.decode("ascii", "backslashreplace").strip()


class Target:
    """driver.py in the interpreter under test."""

    def __init__(self, interpreter, directory, extra_environment=()):
        environment = interpreter.environment()
        environment.update(extra_environment)
        self.interpreter = interpreter
        driver = interpreter.inside(os.path.join(directory, "driver.py"))
        programs = interpreter.inside(os.path.join(directory, "programs"))
        self.process = subprocess.Popen(
            interpreter.command(driver, programs), stdin=subprocess.PIPE, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/")
        self.pid = self.process.pid
        self.expect("ready %d" % self.pid)

    def expect(self, wanted):
        line = read_line(self.process.stdout, "the target")
        if line is None:
            status = self.process.wait(PATIENCE)
            errors = self.process.stderr.read().decode(errors="replace").strip().splitlines()
            how = "by %s" % signal.Signals(-status).name if status < 0 else "with %d" % status
            raise Died("THE TARGET DIED %s %s" % (how, " ".join(errors[-1:])))
        if line != wanted:
            raise Bad("the target answered: %s" % line)

    def command(self, *words):
        try:
            self.send(*words)
        except BrokenPipeError:
            pass  # it is dead, and expect() finds out how
        self.expect("done")

    def send(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def close(self):
        try:
            self.send("quit")
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except OSError:
                pass


class Tracer:
    """vizbpf, attached to a process; ready when the constructor returns."""

    def __init__(self, vizbpf, pid, engine, output, options=(), environment=None):
        ready, write_end = os.pipe()
        self.begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.errors = open(output + ".stderr", "w+b")
        command = [vizbpf, "-p", str(pid), "--engine", engine, "-o", output,
                   "--ready-fd", str(write_end)] + list(options)
        try:
            self.process = subprocess.Popen(command, pass_fds=[write_end], env=environment,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=self.errors)
        except OSError as error:
            os.close(ready)
            raise Bad("cannot run %s: %s" % (vizbpf, error.strerror))
        finally:
            os.close(write_end)
        try:
            if not select.select([ready], [], [], PATIENCE)[0]:
                self.kill()
                raise Bad("vizbpf was not ready after %d s" % PATIENCE)
            if not os.read(ready, 1):
                raise Bad("vizbpf ended before it was ready: %s" % self.ended())
        finally:
            os.close(ready)

    def ended(self):
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it hangs, and was killed"
        return "status %d, %s" % (status, self.last_words())

    def last_words(self):
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        reports = [line for line in lines if "ERROR: AddressSanitizer" in line or
                   "runtime error:" in line]
        return (reports or lines or ["no message"])[-1][:400]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends the recording as Ctrl-C does; returns the time when it was over."""
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Bad("vizbpf did not end within %d s of SIGINT" % PATIENCE)
        end = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if status:
            raise Bad("vizbpf ended with status %d: %s" % (status, self.last_words()))
        return end

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.errors.close()
