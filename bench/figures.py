# SPDX-License-Identifier: Apache-2.0
"""Single figures that are not a tool under a program: filters, attaching, idling, saving.

Each function takes a Setting and returns {name: number}; what cannot be measured here is a string
that says why.
"""
import glob
import gzip
import os
import re
import statistics
import subprocess
import time

import tools
from target import Failed, Target, children_of, cpu_of, status_of

MILLION = 1000000


class Setting:
    def __init__(self, python, vizbpf, folder, rounds, quick):
        self.python, self.vizbpf, self.folder = python, vizbpf, folder
        self.rounds, self.quick = rounds, quick
        self.often = rounds if quick else 7  # for least values

    def path(self, name):
        return os.path.join(self.folder, name)

    def engines(self):
        for engine in ("eval", "usdt", "trampoline"):
            tool = tools.Vizbpf(self.python, self.vizbpf, engine)
            if not tool.absent():
                yield engine, tool


def median(values):
    return statistics.median(values) if values else None


def rejected_call(setting):
    """ns added to a call that --exclude-functions rejects, in CPU time: in turns with untraced, the
    least of the rounds."""
    plain = tools.Tool(setting.python)
    rejecting = {engine: tool for engine, tool in setting.engines()}
    for tool in rejecting.values():
        tool.options = ("--exclude-functions", "leaf")
    light = tools.VizTracer(setting.python, ("--ignore_multiprocess", "--exclude_files",
                                             os.path.join(os.path.dirname(__file__), "programs")))
    if not light.absent():
        rejecting["VizTracer"] = light
    spent = {name: [] for name in rejecting}
    base = []
    # so many that those before the verdict, some 20 ms of them, do not count
    scale = {"eval": 2, "usdt": 2}
    for _ in range(setting.often):
        base.append(tools.measure(plain, "rejected", 50, setting.path("none"))["cpu"] / 50)
        for name, tool in rejecting.items():
            n = scale.get(name, 50)
            cpu = tools.measure(tool, "rejected", n, setting.path("rejected.json"))["cpu"] / n
            spent[name].append(cpu)
    return {"%s, ns" % name: (min(values) - min(base)) / 100000 * 1e9
            for name, values in spent.items()}


def stall_of(tool, setting):
    """Longest gap of the heartbeat in a busy target around one attach."""
    path = setting.path("stall.json")
    target = Target(tool.program_python(), "methods", 1, 1, ("--heartbeat",), tool.prefix(path))
    handle = None
    try:
        target.tell()
        time.sleep(0.5)
        handle = tool.attach(target.pids, path)
        time.sleep(0.3 if handle else 1)
        target.tell()
        return target.answer()["gap"]
    finally:
        if handle:
            handle.terminate()
            handle.communicate()
        target.close()


def attach_stall(setting):
    """ms; the same without an attach beside it, for other programs on the machine make gaps too."""
    takers = [("untraced", tools.Tool(setting.python)), *setting.engines()]
    attach = tools.VizTracerAttach(setting.python)
    if not attach.absent() and not setting.quick:
        takers.append(("VizTracer --attach", attach))
    gaps = {name: [] for name, _ in takers}
    for _ in range(setting.rounds):
        for name, tool in takers:
            try:
                gaps[name].append(stall_of(tool, setting) * 1000)
            except Failed:
                pass
    return {"%s, ms" % name: min(values) if values else None for name, values in gaps.items()}


def save_million(setting):
    """Seconds from SIGINT (or the program's end) to a complete JSON of 1,000,000 calls."""
    result = {}
    wanted = [("vizbpf trampoline", tools.Vizbpf(setting.python, setting.vizbpf, "trampoline"))]
    if not setting.quick:
        wanted += [("VizTracer", tools.VizTracer(setting.python)),
                   ("VizTracer light", tools.VizTracer(setting.python,
                                                       ("--ignore_multiprocess",)))]
    seen = {name: [] for name, tool in wanted if not tool.absent()}
    for i in range(1 if setting.quick else 3):
        for name, tool in wanted:
            if name in seen and (i == 0 or name != "VizTracer"):
                run = tools.measure(tool, "recursion", 10, setting.path("million.json"))
                seen[name].append(run["stop"])
                if "recorded" in run:
                    result["%s, file complete after, s" % name] = run["complete"]
                    result["%s, calls recorded" % name] = run["recorded"]
    result.update({"%s, s" % name: median(values) for name, values in seen.items()})
    return result


def long_trace(setting):
    """Memory and CPU of vizbpf for a long trace, made without a pause."""
    tool = tools.Vizbpf(setting.python, setting.vizbpf, "trampoline")
    why = tool.absent()
    if why:
        return {"trampoline": why}
    times = 20 if setting.quick else 93
    path = setting.path("long.json")
    run = tools.measure(tool, "recursion", 1, path, times)
    os.unlink(path)
    return {"calls": run["recorded"], "lost": run["lost"], "peak memory, MB":
            run["tool_memory"] / 1024, "of it not backed by files, MB": run["tool_own"] / 1024,
            "file, bytes a call": run["size"] / max(1, run["recorded"]),
            "CPU of vizbpf, ns a call": run["tool_cpu"] / max(1, run["recorded"]) * 1e9,
            "stop, s": run["stop"]}


def reader_rate(setting):
    """Records a second of CPU that the reader of engine trampoline takes in while nothing is
    formatted: a flight recorder keeps the last calls only."""
    tool = tools.Vizbpf(setting.python, setting.vizbpf, "trampoline",
                        ("--tracer-entries", "1000", "--ring-size", "64M"))
    why = tool.absent()
    if why:
        return {"trampoline": why}
    rates = []
    lost = 0
    for _ in range(setting.rounds):
        target = Target(setting.python, "recursion", 4, 4, ("--pause", "0.05"))
        handle = None
        try:
            handle = tool.attach(target.pids, setting.path("rate.json"))
            before = cpu_of(handle.pid)
            target.run()
            time.sleep(0.2)
            spent = cpu_of(handle.pid) - before
            running, handle = handle, None
            run = tool.detach(running, setting.path("rate.json"))
            target.finish()
        finally:
            if handle:
                handle.kill()
                handle.communicate()
            target.close()
        lost += run["lost"]
        # 13529 calls of fib(19), 8 of them a workload, 4 * 4 workloads, two records each
        rates.append((2 * 13529 * 8 * 16 - 2 * run["lost"]) / spent / MILLION)
    return {"M records/s": median(rates), "lost": lost}


def backlog(setting):
    """bench/micro_backlog.c: 20 M records/s for a second, into a ring of 64 MiB, unread."""
    program = os.path.join(os.path.dirname(setting.vizbpf), "bench", "micro_backlog")
    if not os.path.exists(program):
        return {"backlog": "not built (make bench builds it)"}
    runs = []
    for _ in range(setting.rounds):
        done = subprocess.run([program], stdout=subprocess.PIPE, universal_newlines=True, check=True)
        runs.append([float(n) for n in re.search(
            r"(\d+) lost, .* mover ([\d.]+) M.* reader ([\d.]+) M", done.stdout).groups()])
    lost, mover, reader = zip(*runs)
    return {"lost": median(lost), "moved, M records/s of CPU": median(mover),
            "read, M records/s of CPU": median(reader)}


def named_sleeper(python, name):
    """An idle Python process under a name of its own."""
    code = ("import sys; open('/proc/self/comm', 'w').write('%s'); print('ready', flush=True); "
            "sys.stdin.readline()" % name)
    process = subprocess.Popen([python, "-c", code], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def idle_cost(setting):
    """CPU of `vizbpf -a` with two Python processes that do nothing, in percent of a core. Only
    those two are chosen: other Pythons of this machine are not ours to record."""
    seconds = 3 if setting.quick else 10
    sleepers = [named_sleeper(setting.python, "vizbpf-idle") for _ in range(2)]
    tool = tools.Vizbpf(setting.python, setting.vizbpf, "auto")
    handle = None
    try:
        handle = tool.start(["-a", "--comm", "vizbpf-idle"], setting.path("idle.json"))
        time.sleep(1)
        family = [handle.pid, *children_of(handle.pid)]
        before = sum(map(cpu_of, family))
        time.sleep(seconds)
        spent = sum(map(cpu_of, family)) - before
        running, handle = handle, None
        tool.detach(running, setting.path("idle.json"))
    finally:
        if handle:
            handle.kill()
            handle.communicate()
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.communicate()
    return {"CPU, % of a core": spent / seconds * 100}


def many_processes(setting):
    """Memory that one more traced process costs vizbpf, and the time that it takes to prepare."""
    few, many = 2, 22
    sleepers = [named_sleeper(setting.python, "vizbpf-many") for _ in range(many)]
    result = {}
    try:
        for engine, tool in setting.engines():
            memory, spent = {}, {}
            for n in (few, many):
                times = []
                for _ in range(2):
                    pids = [sleeper.pid for sleeper in sleepers[:n]]
                    path = setting.path("many.json")
                    handle = tool.attach(pids, path)
                    memory[n] = status_of(handle.pid, "VmRSS")
                    times.append(cpu_of(handle.pid))
                    tool.detach(handle, path)
                spent[n] = min(times)
            result[engine + ", KiB a process"] = (memory[many] - memory[few]) / (many - few)
            result[engine + ", ms of CPU to prepare one"] = \
                (spent[many] - spent[few]) / (many - few) * 1000
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.communicate()
    return result


def formatter(setting):
    """bench/micro_formatter.c on each format."""
    program = os.path.join(os.path.dirname(setting.vizbpf), "bench", "micro_formatter")
    if not os.path.exists(program):
        return {"formatter": "not built (make bench builds it)"}
    calls = str(MILLION if setting.quick else 3 * MILLION)
    result = {}
    for suffix in ("json", "json.gz", "pftrace"):
        path = setting.path("formatter." + suffix)
        rates, size = [], None
        for _ in range(setting.rounds):
            done = subprocess.run([program, path, calls], stdout=subprocess.PIPE,
                                  universal_newlines=True, check=True)
            found = re.search(r"([\d.]+) M calls/s by .*? ([\d.]+) bytes/call", done.stdout)
            rates.append(float(found.group(1)))
            size = float(found.group(2))
        os.unlink(path)
        result[suffix + ", M calls/s"] = median(rates)
        result[suffix + ", bytes a call"] = size
    return result


def sizes_of(setting, tool, program):
    """Bytes a call of one recording, to .json.gz while it runs; what it is as JSON is counted."""
    path, bare = setting.path("sizes.json.gz"), setting.path("bare.json.gz")
    tools.measure(tool, program, 1, path)
    with gzip.open(path) as file:
        text = file.read()
    names = re.findall(rb'"ph":"X".*"name":"((?:[^"\\]|\\.)*)"', text)
    calls, name = len(names), sum(map(len, names)) / len(names)
    end = text.rindex(b'\n],\n"viztracer_metadata":')

    def converted(source, suffix, *options):
        to = setting.path("sizes" + suffix)
        subprocess.run([setting.vizbpf, "convert", "-q", *options, source, to], check=True)
        return os.path.getsize(to) / calls

    result = {"json": len(text) / calls, "json, of it the name": name,
              "json, event without it": end / calls - name,
              "json.gz": os.path.getsize(path) / calls,
              "pftrace": converted(path, ".pftrace")}
    subprocess.run([setting.vizbpf, "convert", "-q", "--no-sources", path, bare], check=True)
    result["json.gz, no sources"] = os.path.getsize(bare) / calls
    result["pftrace, no sources"] = converted(bare, ".pftrace")
    return {"%s: %s" % (program, key): value for key, value in result.items()}


def sizes(setting):
    """Bytes a call of each format, program by program, with and without the source files."""
    tool = tools.Vizbpf(setting.python, setting.vizbpf, "trampoline")
    if tool.absent():
        tool = tools.Vizbpf(setting.python, setting.vizbpf, "eval")
    result = {}
    for program in (("methods",) if setting.quick else
                    ("recursion", "methods", "generators", "data", "threads", "processes",
                     "pytest_package", "flask_gunicorn")):
        try:
            result.update(sizes_of(setting, tool, program))
        except (Failed, subprocess.SubprocessError) as error:
            result[program] = str(error)
    return result


def peers():
    """The interpreters of the environments of bench-peers, the oldest first."""
    return sorted(glob.glob(os.path.join(tools.peers_folder(), "*", "bin", "python")),
                  key=lambda path: [int(n) for n in re.findall(r"\d+", path)])


def by_interpreter(setting):
    """ns added to a call of the recursion program, for each interpreter that bench-peers made an
    environment for: vizbpf's engines and VizTracer, in turns, the least of the rounds."""
    result = {}
    for python in peers():
        version = subprocess.run([python, "-c", "import platform; print(platform.python_version())"],
                                 stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
        candidates = [("eval", tools.Vizbpf(python, setting.vizbpf, "eval"), 1),
                      ("trampoline", tools.Vizbpf(python, setting.vizbpf, "trampoline"), 8),
                      ("VizTracer", tools.VizTracer(python, ("--ignore_multiprocess",)), 4)]
        takers = [taker for taker in candidates if not taker[1].absent()]
        takers.append(("untraced", tools.Tool(python), 8))
        spent = {name: [] for name, _, _ in takers}
        for _ in range(setting.often):
            for name, tool, scale in takers:
                cpu = tools.measure(tool, "recursion", scale, setting.path("by.json"))["cpu"]
                spent[name].append(cpu / scale)
        base = min(spent.pop("untraced"))
        for name, values in spent.items():
            # 13529 calls of fib(19), 8 of them a workload
            result["%s %s, ns" % (version, name)] = (min(values) - base) / (13529 * 8) * 1e9
    return result or {"interpreters": "no environments (make bench-peers)"}


FIGURES = {
    "added by interpreter": by_interpreter,
    "rejected call": rejected_call,
    "attach stall": attach_stall,
    "stop to JSON of 1,000,000 calls": save_million,
    "long trace": long_trace,
    "reader": reader_rate,
    "backlog": backlog,
    "idle -a": idle_cost,
    "more processes": many_processes,
    "formatter": formatter,
    "bytes a call": sizes,
}
