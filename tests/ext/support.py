# SPDX-License-Identifier: Apache-2.0
"""What the cases share."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile


class Skip(Exception):
    pass


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="viz-ext-case-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def python(*arguments, **settings):
    """Runs this interpreter; returns the CompletedProcess with text output."""
    settings.setdefault("timeout", 60)
    return subprocess.run([sys.executable] + list(arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, **settings)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def load(path):
    with open(path) as file:
        return json.load(file)


def names(trace, phase=None):
    return [e["name"] for e in trace["traceEvents"]
            if e["ph"] != "M" and (phase is None or e["ph"] == phase)]


def short(name):
    """The function's plain name, without class, file and line."""
    return name.split(" (")[0].split(".")[-1]


def find(trace, name):
    found = [e for e in trace["traceEvents"] if short(e["name"]) == name or e["name"] == name]
    assert found, "no event %r in %r" % (name, sorted(set(names(trace)))[:40])
    return found


def recorded(function, **settings):
    """The trace of one call of @function as parse() gives it."""
    from vizbpf import VizTracer

    tracer = VizTracer(verbose=0, register_global=False, **settings)
    tracer.start()
    try:
        function()
    finally:
        tracer.stop()
    tracer.parse()
    data = tracer.data
    tracer.clear()
    return data


def vizbpf():
    """The path of the built program, for tests that attach it."""
    path = os.environ.get("VIZBPF", "")
    if not os.access(path, os.X_OK):
        raise Skip("no vizbpf is built at %r" % path)
    if os.geteuid():
        raise Skip("attaching needs root")
    return path
