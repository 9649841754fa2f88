# SPDX-License-Identifier: Apache-2.0
"""Reads a trace that vizbpf wrote and checks everything that needs no truth to compare with."""
import json
import re
from collections import defaultdict


class Bad(Exception):
    """What is wrong with the trace, in one line."""


class Call:
    __slots__ = ("begin", "end", "name", "tid", "args")

    def __init__(self, begin, end, name, tid, args):
        self.begin = begin
        self.end = end
        self.name = name
        self.tid = tid
        self.args = args

    def order(self):
        return (self.begin, -self.end)


def nanoseconds(text):
    """The trace gives microseconds with three decimals."""
    whole, _, part = text.partition(".")
    if "e" in text.lower():
        return round(float(text) * 1000)
    value = int(whole + (part + "000")[:3])
    return value


class Microseconds(int):
    """A JSON number as nanoseconds; only ts and dur are read as such."""


def parse_number(text):
    return Microseconds(nanoseconds(text))


def parse_int(text):
    # The exact text is needed for ts and dur only, and both are written with decimals; an
    # integer elsewhere is what it says.
    return int(text)


def time_of(event, key):
    value = event.get(key)
    if isinstance(value, Microseconds):
        return int(value)
    if isinstance(value, int):
        return value * 1000
    raise Bad("event without a number as %s: %r" % (key, event))


def clean(name):
    """Lone surrogates cannot be in UTF-8: a tracer may write them escaped or replaced."""
    return re.sub("[\ud800-\udfff]", "\ufffd", name)


class Trace:
    def __init__(self, path):
        try:
            with open(path, encoding="utf-8") as file:
                self.document = json.load(file, parse_float=parse_number, parse_int=parse_int)
        except (ValueError, OSError) as error:
            raise Bad("not valid JSON: %s" % error)
        if not isinstance(self.document, dict) or "traceEvents" not in self.document:
            raise Bad("no traceEvents")
        metadata = self.document.get("vizbpf_metadata")
        # CLOCK_MONOTONIC where the file's own times begin
        self.zero = metadata.get("monotonic_zero", 0) if isinstance(metadata, dict) else 0
        self.calls = defaultdict(list)
        self.names = {}
        self.process_names = {}
        for event in self.document["traceEvents"]:
            self.read(event)
        for calls in self.calls.values():
            calls.sort(key=Call.order)

    def read(self, event):
        phase = event.get("ph")
        if phase == "X":
            if event.get("cat", "FEE") != "FEE":
                raise Bad("cat is not FEE: %r" % event)
            begin, duration = self.zero + time_of(event, "ts"), time_of(event, "dur")
            if duration < 0:
                raise Bad("negative duration: %r" % event)
            call = Call(begin, begin + duration, clean(event["name"]), event["tid"],
                        event.get("args"))
            self.calls[event["pid"], event["tid"]].append(call)
        elif phase == "M" and event.get("name") == "thread_name":
            self.names[event["pid"], event["tid"]] = event["args"]["name"]
        elif phase == "M" and event.get("name") == "process_name":
            self.process_names[event["pid"]] = event["args"]["name"]

    def check(self, pid, engine, begin, end, nesting=True):
        """Raises Bad if the trace is not one of process @pid between two times."""
        if not self.calls:
            raise Bad("no calls at all")
        if {key[0] for key in self.calls} != {pid}:
            raise Bad("calls of other processes: %s" % sorted({key[0] for key in self.calls}))
        if pid not in self.process_names:
            raise Bad("no process_name")
        for calls in self.calls.values():
            for call in calls:
                if call.begin < begin or call.end > end:
                    raise Bad("outside of the recording: %s begins %d us after its start, ends "
                              "%d us before its end" % (call.name, (call.begin - begin) // 1000,
                                                        (end - call.end) // 1000))
            if nesting:
                check_nesting(calls)
        # Frames that ran before recording began are shown too, but are no calls of it.
        for key, calls in self.calls.items():
            self.calls[key] = [call for call in calls if not (call.args or {}).get("running")]
        self.check_metadata(pid, engine)

    def check_metadata(self, pid, engine):
        viztracer = self.document.get("viztracer_metadata")
        if not isinstance(viztracer, dict) or "version" not in viztracer or \
                "baseTimeNanoseconds" not in viztracer:
            raise Bad("viztracer_metadata is absent or incomplete")
        processes = self.process_metadata()
        mine = [entry for entry in processes if entry.get("pid") == pid]
        if len(mine) != 1:
            raise Bad("vizbpf_metadata has %d entries for the process" % len(mine))
        if mine[0].get("engine") != engine:
            raise Bad("the engine was %r, not %r" % (mine[0].get("engine"), engine))

    def process_metadata(self):
        metadata = self.document.get("vizbpf_metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("processes"), list):
            raise Bad("vizbpf_metadata is absent or has no processes")
        return metadata["processes"]

    def lost(self):
        """Calls that were lost, as the metadata say."""
        metadata = self.document.get("vizbpf_metadata") or {}
        for key in ("lost", "events_lost", "calls_lost"):
            if isinstance(metadata.get(key), int):
                return int(metadata[key])
        raise Bad("vizbpf_metadata does not say what was lost")

    def check_names(self, threads):
        """Every thread that made calls has a name."""
        for calls in threads:
            for tid in {call.tid for call in calls}:
                if not any(key[1] == tid for key in self.names):
                    raise Bad("the calls are right, but there is no thread_name for thread %d" %
                              tid)

    def marker(self, name):
        found = [call for calls in self.calls.values() for call in calls
                 if call.name.startswith(name + " (")]
        if len(found) != 1:
            raise Bad("%s was recorded %d times" % (name, len(found)))
        return found[0]

    def window(self, program):
        """The calls of one program: thread by thread, between its two markers."""
        first, last = self.marker("truth_begin_" + program), self.marker("truth_end_" + program)
        if first.end > last.begin:
            raise Bad("the end of the program comes before its begin")
        return [[call for call in calls if first.end <= call.begin < last.begin]
                for calls in self.calls.values()]


def check_nesting(calls):
    """Slices of one thread must be contained in one another or disjoint."""
    stack = []
    for call in calls:
        while stack and stack[-1].end <= call.begin:
            stack.pop()
        if stack and call.end > stack[-1].end:
            raise Bad("overlap: %s ends %d ns after %s, in which it began" %
                      (call.name, call.end - stack[-1].end, stack[-1].name))
        stack.append(call)


def preorder(calls):
    """[(depth, name)] of calls that are nested and sorted."""
    stack, result = [], []
    for call in calls:
        while stack and stack[-1] <= call.begin:
            stack.pop()
        result.append((len(stack), call.name))
        stack.append(call.end)
    return result
