# SPDX-License-Identifier: Apache-2.0
"""--log-var, --log-number, --log-attr."""
import os
import sys

from support import folder, load, python, write
from vizbpf import variables

_MODULE = '''"""A module."""
from __future__ import annotations
import subprocess, sys
class Thing:
    """A class."""
    kind: str = "plain"
    later: int
    def __init__(self, count, *, key=3):
        """A method."""
        self.count = count
        self.other = self
        self.other.count += 1
        self.__hidden = 5
        self.unreadable = 6
        [self.count][0], elsewhere()[0] = 7, 8
    unreadable = property(None, lambda self, value: None)
def elsewhere(made=[0]):
    print("once")
    return made
def count_up(n, *rest, **more):
    total = 0
    for i, (step, *_) in enumerate([[1, 2], [3]] * n):
        total += step
    with open("/dev/null") as handle:
        total = total
    return total
'''
_PROGRAM = """
import sys, mod
count = mod.count_up(2, 7, step=8)
mod.Thing(count)
print(mod.__doc__, mod.Thing.__doc__, mod.Thing.__init__.__doc__, count, mod.Thing.__annotations__)
if len(sys.argv) == 1:
    import subprocess
    subprocess.run([sys.executable, __file__, "child"], stdout=subprocess.DEVNULL)
1 / 0
"""


def _run(here, *words):
    write(os.path.join(here, "mod.py"), _MODULE)
    script = write(os.path.join(here, "program.py"), _PROGRAM)
    out = os.path.join(here, "out.json")
    done = python("-m", "vizbpf", "-q", "--ignore-c-function", "-o", out, *(list(words) + ["--", script]), cwd=here)
    plain = python(script, cwd=here)
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr), (done, plain)
    return load(out)["traceEvents"]


def _first(events):
    """Of the first process, not of its child."""
    pid, = {e["pid"] for e in events if e["name"] == "process_name" and "child" not in e["args"]["name"]}
    return [e for e in events if e["pid"] == pid]


def test_variables_and_arguments():
    with folder() as here:
        events = _run(here, "--log-var", "total|step", "count", "kind", "key", "rest", "handle|made")
        seen = [e["name"] for e in _first(events) if e["ph"] == "i" and " = " in e["name"]]
        assert seen[:3] == ["kind = 'plain'", "rest = (7,)", "total = 0"], seen
        assert seen[3:11] == ["step = 1", "total = 1", "step = 3", "total = 4", "step = 1", "total = 5",
                              "step = 3", "total = 8"], seen
        assert seen[11].startswith("handle = <_io.TextIOWrapper") and seen[12:] == [
            "total = 8", "count = 8", "count = 8", "key = 3", "made = [0]"], seen
        # a child's modules, not its script
        assert len([e for e in events if e["name"] == "total = 0"]) == 2


def test_numbers_and_attributes():
    with folder() as here:
        events = _first(_run(here, "--log_number", "total", "kind", "--log_attr", "count", ".*hidden", "unreadable"))
        assert [e["args"] for e in events if e["ph"] == "C" and e["name"] == "total"] == [
            {"total": n} for n in (0, 1, 4, 5, 8, 8)]
        assert not [e for e in events if e["ph"] == "C" and e["name"] == "kind"]
        seen = [e["name"] for e in events if e["ph"] == "i" and " = " in e["name"]]
        assert seen == ["self.count = 8", "self.other.count = 9", "self.__hidden = 5"], seen


def test_nothing_is_cached():
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with folder() as here:
        write(os.path.join(here, "mod.py"), _MODULE)
        script = write(os.path.join(here, "program.py"), "import mod\nprint(mod.count_up(1))\n")
        out = os.path.join(here, "out.json")
        cache = os.path.join(here, "__pycache__")
        for known in (False, True):  # whether a plain run has left its code there
            assert os.path.isdir(cache) == known
            before = os.listdir(cache) if known else None
            done = python("-m", "vizbpf", "-q", "--log-var", "total", "-o", out, "--", script, cwd=here,
                          env=environment)
            assert done.stdout == "4\n", done
            assert [e for e in load(out)["traceEvents"] if e["name"] == "total = 4"]
            assert (os.listdir(cache) if os.path.isdir(cache) else None) == before
            done = python(script, cwd=here, env=environment)
            assert (done.stdout, done.stderr) == ("4\n", ""), done


def test_wrong_patterns_and_deep_sources():
    with folder() as here:
        script = write(os.path.join(here, "program.py"), "x = " + "-" * 90 + "1\nprint(x)\n")
        done = python("-m", "vizbpf", "--log-var", "(", "--", script)
        assert done.returncode == 2 and "is not a regular expression" in done.stderr, done
    was = sys.getrecursionlimit()
    variables.install({"log_var": ["x"]})
    try:
        sys.setrecursionlimit(120)
        code = variables.compile_source("x = a%s\n" % (".b" * 200), "<deep>")
    finally:
        sys.setrecursionlimit(was)
        variables.install({})
    assert "x" in code.co_names
    assert "__vizbpf_assigned__" not in variables.compile_source("x = 1\n", "<plain>").co_names
