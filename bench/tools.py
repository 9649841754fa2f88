# SPDX-License-Identifier: Apache-2.0
"""The tracers that are compared: vizbpf with each engine, and its peers, when they are there.

A tool either starts the program (prefix, driver_options) or attaches to it. Tool.absent() is None,
or the reason why the tool cannot take part.
"""
import os
import select
import shutil
import signal
import subprocess
import time

from target import Failed, TIMEOUT, Target, read_trace, status_of


def peers_folder():
    return os.path.join(os.environ.get("VIZBPF_CACHE", "/var/cache/vizbpf"), "peers")


def peers_of(python):
    """The virtual environment that `make bench-peers` made for an interpreter."""
    version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                             stdout=subprocess.PIPE, universal_newlines=True, check=True)
    return os.path.join(peers_folder(), version.stdout.strip(), "bin")


def wait_for(stream, text, process):
    """Reads a pipe until a text comes."""
    seen = b""
    end = time.monotonic() + 60
    while text not in seen:
        if not select.select([stream], [], [], max(0, end - time.monotonic()))[0]:
            raise Failed("%s does not get ready" % os.path.basename(process.args[0]))
        data = os.read(stream.fileno(), 65536)
        if not data:
            process.wait()
            raise Failed("%s: %s" % (os.path.basename(process.args[0]),
                                     seen.decode(errors="replace").strip()[-200:]))
        seen += data


class End:
    """How a tool's process ended: memory in KiB, CPU and times in seconds."""

    def __init__(self, process, path=None):
        """Waits for it. @path: takes its name when the file is complete, as vizbpf's does.

        The peaks are polled: ru_maxrss also counts what this process had when it started it. What
        is not backed by files, which the kernel can drop, is told apart.
        """
        self.peak = self.own = 0
        self.complete = None
        began = time.perf_counter()
        while True:
            try:
                self.peak = max(self.peak, status_of(process.pid, "VmHWM"))
                self.own = max(self.own, status_of(process.pid, "RssAnon")
                               + status_of(process.pid, "RssShmem"))
            except (Failed, OSError):
                pass  # it has just ended
            if path and self.complete is None and os.path.exists(path):
                self.complete = time.perf_counter() - began
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() - began > TIMEOUT:
                process.kill()
                process.wait()
                raise Failed("it did not end within %d s of SIGINT and was killed" % TIMEOUT)
            time.sleep(0.005)
        self.seconds = time.perf_counter() - began
        self.cpu = usage.ru_utime + usage.ru_stime
        process.returncode = (os.WEXITSTATUS(status) if os.WIFEXITED(status)
                              else -os.WTERMSIG(status))


class Tool:
    name = "untraced"
    driver_options = ()
    output = None
    leaves_out = ()

    def __init__(self, python):
        self.python = python

    def absent(self):
        return None

    def program_python(self):
        return self.python

    def prefix(self, path):
        return ()

    def attach(self, pids, path):
        """Returns when it records."""
        return None

    def detach(self, handle, path):
        """Stops it; {"stop", "tool_memory", "tool_cpu", "recorded", "lost"} as far as known."""
        return {}


class Attached(Tool):
    """A tool that is a process of its own and ends by SIGINT."""

    def stop(self, process, path=None):
        process.send_signal(signal.SIGINT)
        end = End(process, path)
        return {"stop": end.seconds, "complete": end.complete, "tool_memory": end.peak,
                "tool_own": end.own, "tool_cpu": end.cpu}


class Vizbpf(Attached):
    output = ".json"

    def __init__(self, python, program, engine, options=()):
        super().__init__(python)
        self.name = "vizbpf " + engine
        self.program, self.engine, self.options = program, engine, options
        self.whole = False

    def absent(self):
        """Asks vizbpf itself whether the engine can record this interpreter."""
        victim = subprocess.Popen([self.python, "-c", "print('ready', flush=True); input()"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            victim.stdout.readline()
            done = subprocess.run([self.program, "-p", str(victim.pid), "--engine", self.engine,
                                   "-d", "0.05", "-q", "-o", "/dev/null"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  universal_newlines=True)
            if not done.returncode:
                return None
            return (done.stderr.strip().splitlines() or ["status %d" % done.returncode])[-1]
        finally:
            victim.kill()
            victim.communicate()

    def start(self, choice, path):
        ready, told = os.pipe()
        process = subprocess.Popen([self.program, "-q", *choice, "--engine", self.engine,
                                    "--ready-fd", str(told), "-o", path, *self.options],
                                   pass_fds=[told], stderr=subprocess.PIPE)
        os.close(told)
        try:
            if not select.select([ready], [], [], 60)[0] or not os.read(ready, 1):
                process.terminate()
                raise Failed(process.communicate()[1].decode().strip()[-200:] or "not ready")
        finally:
            os.close(ready)
        return process

    def attach(self, pids, path):
        return self.start(["-p", ",".join(map(str, pids))], path)

    def detach(self, handle, path):
        result = self.stop(handle, path)
        errors = handle.stderr.read().decode().strip()
        handle.stderr.close()
        if handle.returncode:
            raise Failed("vizbpf ended with status %d: %s" % (handle.returncode, errors[-200:]))
        if path.endswith(".json"):
            metadata = read_trace(path, self.whole)
            result.update(recorded=metadata["calls"], lost=metadata["lost"])
        return result


class VizTracer(Tool):
    output = ".json"
    # Its hook into subprocess wants to start the server itself, which then ends by a signal.
    leaves_out = ("flask_gunicorn",)

    def __init__(self, python, options=(), name="VizTracer"):
        super().__init__(python)
        self.name, self.options = name, options
        self.program = os.path.join(peers_of(python), "viztracer")

    def absent(self):
        return None if os.path.exists(self.program) else "not installed (make bench-peers)"

    def program_python(self):
        return os.path.join(os.path.dirname(self.program), "python")

    def prefix(self, path):
        return (self.program, "--quiet", "-o", path, *self.options, "--")


class VizTracerAttach(Attached):
    name = "VizTracer --attach"
    output = ".json"
    leaves_out = ("flask_gunicorn",)

    def __init__(self, python):
        super().__init__(python)
        self.program = os.path.join(peers_of(python), "viztracer")

    def absent(self):
        if not os.path.exists(self.program):
            return "not installed (make bench-peers)"
        return None if shutil.which("gdb") else "it needs gdb, which is not installed"

    def program_python(self):
        return os.path.join(os.path.dirname(self.program), "python")

    def attach(self, pids, path):
        process = subprocess.Popen([self.program, "--attach", str(pids[0]), "-o", path],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_for(process.stdout, b"Attach success", process)
        return process

    def detach(self, handle, path):
        result = self.stop(handle)
        handle.stdout.close()
        return result


class PySpy(Attached):
    name = "py-spy"
    output = ".speedscope.json"

    def __init__(self, python):
        super().__init__(python)
        self.program = os.path.join(peers_of(python), "py-spy")

    def absent(self):
        return None if os.path.exists(self.program) else "not installed (make bench-peers)"

    def attach(self, pids, path):
        process = subprocess.Popen([self.program, "record", "-f", "speedscope", "-s", "-o", path,
                                    "-p", str(pids[0])],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_for(process.stdout, b"Sampling process", process)
        return process

    def detach(self, handle, path):
        result = self.stop(handle)
        handle.stdout.close()
        return result


class CProfile(Tool):
    name = "cProfile"
    driver_options = ("--cprofile",)
    leaves_out = ("flask_gunicorn",)


SCRIPT = """
usdt:%(binary)s:python:function__entry { printf("B %%llu %%d %%s %%s %%d\\n",
    nsecs, tid, str(arg0), str(arg1), arg2); }
usdt:%(binary)s:python:function__return { printf("E %%llu %%d\\n", nsecs, tid); }
"""


class Bpftrace(Attached):
    """The script that one would write by hand: the interpreter's probes, a line for each."""
    name = "bpftrace USDT"
    output = ".txt"

    def binary(self):
        return os.path.realpath(self.python)

    def absent(self):
        if not shutil.which("bpftrace"):
            return "not installed"
        with open(self.binary(), "rb") as file:
            if b"function__entry" not in file.read():
                return "this interpreter has no function probes"
        return None

    def attach(self, pids, path):
        script = SCRIPT % {"binary": self.binary()}
        # Probes are attached last to first, and the interval fires when all are. The output is
        # buffered, as it has to be for a fair comparison: so many lines that some come through.
        script = ('interval:ms:100 /!@told/ { @told = 1; unroll(20) { printf("%s\\n"); } }'
                  % ("ready " * 70)) + script
        log = open(path, "wb")
        process = subprocess.Popen(["bpftrace", "-p", str(pids[-1]), "-o", path, "-e", script],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        log.close()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if process.poll() is not None:
                raise Failed(process.stderr.read().decode().strip()[-200:])
            with open(path, "rb") as file:
                if b"ready" in file.read(4096):
                    return process
            time.sleep(0.05)
        process.kill()
        raise Failed("bpftrace does not get ready")

    def detach(self, handle, path):
        result = self.stop(handle)
        handle.stderr.close()
        entries = returns = 0
        with open(path, "rb") as file:
            for line in file:
                entries += line.startswith(b"B ")
                returns += line.startswith(b"E ")
        # A call is one whose begin and end are there.
        result["recorded"] = min(entries, returns)
        return result


def all_tools(python, vizbpf, quick):
    engines = [Vizbpf(python, vizbpf, engine) for engine in ("eval", "usdt", "trampoline")]
    light = VizTracer(python, ("--ignore_multiprocess",), "VizTracer light")
    if quick:
        return [Tool(python), *engines, light]
    return [Tool(python), *engines, VizTracer(python), light, VizTracerAttach(python),
            PySpy(python), CProfile(python), Bpftrace(python)]


def measure(tool, program, scale, path, times=1, options=()):
    """One run of a program under a tool."""
    if os.path.exists(path):
        os.unlink(path)
    target = Target(tool.program_python(), program, scale, times,
                    (*tool.driver_options, *options), tool.prefix(path))
    handle = None
    try:
        handle = tool.attach(target.pids, path)
        result = target.run()
        if handle:
            running, handle = handle, None
            result.update(tool.detach(running, path))
        began = time.perf_counter()
        status = target.finish()
        if tool.prefix(path):
            result["stop"] = time.perf_counter() - began
        if status:
            raise Failed("the program ended with status %d" % status)
    finally:
        if handle:
            handle.kill()
            handle.wait(TIMEOUT)
        target.close()
    if tool.output:
        if not os.path.exists(path):
            raise Failed("no output file was written")
        result["size"] = os.path.getsize(path)
    return result
