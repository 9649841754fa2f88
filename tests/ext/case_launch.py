# SPDX-License-Identifier: Apache-2.0
"""python -m vizbpf, the pytest plugin, the Jupyter magic."""
import collections
import glob
import hashlib
import os
import re
import signal
import subprocess
import sys
import time

from support import Skip, find, folder, load, names, python, short, vizbpf, write
from vizbpf import options


def _launch(here, text, *arguments, **settings):
    """Runs a program made of @text recorded; (CompletedProcess, trace or None)."""
    script = write(os.path.join(here, "program.py"), text)
    result = python("-m", "vizbpf", "-q", "-o", os.path.join(here, "out.json"),
                    *(list(settings.pop("options", ())) + [script] + list(arguments)), cwd=here, **settings)
    path = os.path.join(here, "out.json")
    return result, load(path) if os.path.exists(path) else None


def _per_process(trace, *wanted):
    seen = collections.defaultdict(collections.Counter)
    for e in trace["traceEvents"]:
        if e["ph"] in "XB" and short(e["name"]) in wanted:
            seen[e["pid"]][short(e["name"])] += 1
    return seen


def test_runs_as_python_would():
    with folder() as here:
        result, trace = _launch(here, """
import sys, os
def called(): return __name__, __file__, sys.argv, sys.path[0], sorted(k for k in globals() if k[0] != "_")
print(called(), file=sys.stderr)
print(sys.modules["__main__"].called is called, os.path.basename(sys.argv[0]))
sys.exit(7)
""", "-o", "x", "--", "y")
        plain = python(os.path.join(here, "program.py"), "-o", "x", "--", "y", cwd=here)
        assert (result.returncode, result.stdout, result.stderr) == (
            plain.returncode, plain.stdout, plain.stderr), (result, plain)
        assert len(find(trace, "called")) == 1
        assert not os.path.exists(os.path.join(here, "__pycache__"))


def test_errors_look_the_same():
    with folder() as here:
        result, trace = _launch(here, "def fails():\n    raise ValueError('x')\nfails()\n")
        plain = python(os.path.join(here, "program.py"), cwd=here)
        assert result.returncode == plain.returncode == 1
        assert result.stderr == plain.stderr, (result.stderr, plain.stderr)
        assert find(trace, "fails")[0]["args"]["raised"] is True
        result, trace = _launch(here, "syntax error here\n")
        assert result.returncode == 1 and "SyntaxError" in result.stderr
    result = python("-m", "vizbpf", "/nonexistent.py")
    assert result.returncode == 2 and "/nonexistent.py" in result.stderr


def test_modules_and_packages():
    with folder() as here:
        os.mkdir(os.path.join(here, "pack"))
        write(os.path.join(here, "pack", "__init__.py"), "")
        write(os.path.join(here, "pack", "__main__.py"),
              "import sys\ndef inside(): return sys.argv[1:]\nprint(__name__, __package__, inside())\n")
        out = os.path.join(here, "out.json")
        result = python("-m", "vizbpf", "-q", "-o", out, "-m", "pack", "-m", "--x", cwd=here)
        assert result.stdout == "__main__ pack ['-m', '--x']\n", result
        assert len(find(load(out), "inside")) == 1
        result = python("-m", "vizbpf", "-q", "-o", out, "--", os.path.join(here, "pack"), "a", cwd=here)
        assert result.stdout.endswith("['a']\n"), result


_CHILDREN = """
import multiprocessing, os, subprocess, sys, threading
def work(n): return n
def child(n): return work(n)
if __name__ == "__main__":
    work(0)
    code = "def sub(): pass\\nsub()"
    subprocess.run([sys.executable, "-c", code])
    subprocess.run("true; %s -c 'import os\\ndef shell(): pass\\nshell(); os._exit(0)'; true" % sys.executable,
                   shell=True)
    os.system("%s -c 'def system(): pass\\nsystem()'" % sys.executable)
    fork = multiprocessing.get_context("fork").Process(target=child, args=(1,))
    fork.start(); fork.join()
    spawn = multiprocessing.get_context("spawn").Process(target=child, args=(2,))
    spawn.start(); spawn.join()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(child, [3, 4])
    pid = os.fork()
    if not pid:
        def forked(): pass
        forked(); os._exit(0)
    os.waitpid(pid, 0)
    pid = os.fork()
    if not pid:
        def before_exec(): pass
        before_exec()
        os.execv(sys.executable, [sys.executable, "-c", "def after_exec(): pass\\nafter_exec()"])
    os.waitpid(pid, 0)
    thread = threading.Thread(target=child, args=(5,)); thread.start(); thread.join()
"""


def test_children_of_every_kind():
    with folder() as here:
        result, trace = _launch(here, _CHILDREN, options=["--ignore-c-function"])
        assert result.returncode == 0 and not result.stderr, result
        seen = _per_process(trace, "work", "child", "sub", "shell", "system", "forked", "before_exec",
                            "after_exec")
        kinds = sorted(tuple(sorted(c.items())) for c in seen.values())
        assert kinds == sorted([
            (("child", 1), ("work", 2)), (("sub", 1),), (("shell", 1),), (("system", 1),),
            (("child", 1), ("work", 1)), (("child", 1), ("work", 1)), (("child", 2), ("work", 2)),
            (("forked", 1),), (("after_exec", 1), ("before_exec", 1))]), kinds
        result, trace = _launch(here, _CHILDREN, options=["--ignore_multiprocess"])
        assert result.returncode == 0 and len(_per_process(trace, "work", "sub", "shell", "forked")) == 1


def test_the_childs_own_sitecustomize_runs():
    with folder() as here:
        os.mkdir(os.path.join(here, "own"))
        write(os.path.join(here, "own", "sitecustomize.py"), "import builtins\nbuiltins.marked = 5\n")
        environment = dict(os.environ, PYTHONPATH=os.path.join(here, "own"))
        result, trace = _launch(here, """
import subprocess, sys
print(subprocess.run([sys.executable, "-c", "import sys\\ndef sub(): pass\\nsub(); print(marked, "
      "sys.modules['sitecustomize'].__file__)"], stdout=subprocess.PIPE, universal_newlines=True).stdout)
""", env=environment)
        assert "5 " + os.path.join(here, "own") in result.stdout, result
        assert find(trace, "sub")


def test_killed_and_ended_early():
    with folder() as here:
        for ending in ("os._exit(3)", "os.kill(os.getpid(), 15)", "threading.Thread(target=late).start()",
                       "atexit.register(late)"):
            result, trace = _launch(here, """
import atexit, os, threading, time
def early(): pass
def late(): time.sleep(0.05)
early()
%s
""" % ending)
            assert find(trace, "early"), ending
            if "late" in ending:
                assert find(trace, "late"), ending
            else:
                assert result.returncode == (3 if "_exit" in ending else -15), result


def _wait_for(path):
    """What watches over a killed process finishes the trace after it."""
    limit = time.monotonic() + 30
    while not os.path.exists(path):
        assert time.monotonic() < limit, "no %s" % path
        time.sleep(0.02)
    return load(path)


_KILLED = """
import os, signal, subprocess, sys, threading
def leaf(n): return n
def work(n):
    for i in range(n): leaf(i)
def rests():
    work(7); ready.set(); threading.Event().wait()
def dies(how):
    work(5000)
    if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if how == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    os.execv(sys.executable, [sys.executable, "-c", "def after(): pass\\nafter()"])
pid = os.fork()
if not pid:
    def child(): dies("kill")
    child()
assert os.waitpid(pid, 0)[1] == 9
try: os.wait()
except ChildProcessError: print("no child left", flush=True)
ready = threading.Event()
threading.Thread(target=rests, daemon=True, name="rests").start(); ready.wait()
dies(sys.argv[1])
"""


def test_what_a_killed_process_recorded_is_kept():
    for how, status in (("kill", -9), ("crash", -11), ("exec", 0)):
        with folder() as here:
            result, trace = _launch(here, _KILLED, how, options=["--ignore-c-function"])
            assert (result.returncode, result.stdout) == (status, "no child left\n"), (how, result)
            trace = _wait_for(os.path.join(here, "out.json"))
            counts = sorted(tuple(sorted(c.items())) for c in
                            _per_process(trace, "leaf", "work", "dies", "child", "rests", "after").values())
            first = [("dies", 1), ("leaf", 5007), ("rests", 1), ("work", 2)]
            if how == "exec":
                first.insert(0, ("after", 1))
            assert counts == sorted([tuple(first), (("child", 1), ("dies", 1), ("leaf", 5000), ("work", 1))]), \
                (how, counts)
            # calls that had not ended
            begun = sorted(short(e["name"]) for e in trace["traceEvents"]
                           if e["ph"] == "B" and short(e["name"]) in ("dies", "child", "rests"))
            assert begun[:2] == ["child", "dies"], (how, begun)
            killed = set(trace["vizbpf_metadata"]["killed"])
            assert len(killed) == (1 if how == "exec" else 2), (how, killed)
            threads = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
            assert "rests" in threads, threads
            where = [line[1] for line in trace["file_info"]["functions"].values()]
            assert len(where) >= 4 and trace["file_info"]["files"], trace["file_info"]["functions"]


def test_arguments_and_tasks_of_a_killed_process():
    with folder() as here:
        _launch(here, """
import asyncio, os
def takes(a, *, b): return [a, b]
async def job():
    await asyncio.sleep(0); takes(1, b="x" * 3000)
    await asyncio.sleep(0); os.kill(os.getpid(), 9)
async def main():
    task = asyncio.ensure_future(job())
    getattr(task, "set_name", id)("the job")
    await task
asyncio.new_event_loop().run_until_complete(main())
""", options=["--log-func-args", "--log-func-retval", "--log-async", "--ignore-c-function"])
        trace = _wait_for(os.path.join(here, "out.json"))
        call, = find(trace, "takes")
        assert call["args"]["func_args"]["a"] == "1" and call["args"]["return_value"].startswith("[1, 'xxx"), call
        tracks = {e["args"]["name"]: e["tid"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
        assert call["tid"] == tracks["the job"], (call, tracks)


def test_a_pipe_ends_with_the_program():
    with folder() as here:
        script = write(os.path.join(here, "program.py"), "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(3)\n")
        process = subprocess.Popen([sys.executable, "-m", "vizbpf", "-q", "-o", os.path.join(here, "out.json"), script],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert process.stdout.read() == b"" and process.stderr.read() == b""
            assert process.poll() is None, "what watches over the program kept its pipes"
        finally:
            process.wait()


def test_the_process_is_called_what_it_runs():
    with folder() as here:
        _, trace = _launch(here, "def f(): pass\nf()\n", "an argument")
        name = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "process_name"]
        assert name == ["%s %s an argument" % (os.path.basename(sys.executable),
                                               os.path.join(here, "program.py"))], name


def test_root_asks_for_what_only_the_program_can_tell():
    program = vizbpf()
    if "VIZBPF_IS_OUTSIDE" in os.environ:
        raise Skip("vizbpf would start a program outside this root")
    with folder() as here:
        script = write(os.path.join(here, "program.py"), "def f(a): return a\nf(3)\n")
        out = os.path.join(here, "out.json")
        environment = dict(os.environ, PATH=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
        for name in ("SUDO_UID", "SUDO_GID"):
            environment.pop(name, None)

        def run(*words):
            return subprocess.run([program] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  universal_newlines=True, env=environment, timeout=60)

        done = run("--log-func-args", "--log_func_retval", "--as-root", "-o", out, script)
        assert done.returncode == 0 and "inside" in done.stderr, done
        assert find(load(out), "f")[0]["args"] == {"func_args": {"a": "3"}, "return_value": "3"}
        done = run("--log-var", "a", "--log_number=a", "--log_attr", "b", "--as-root", "-o", out, script)
        assert done.returncode == 0 and "a = 3" in names(load(out), "i") and find(load(out), "a"), done
        done = run("--log-func-args", "-p", str(os.getpid()))
        assert done.returncode == 2 and "inside" in done.stderr, done
    result = python("-m", "vizbpf", "--engine", "eval", "program.py")
    assert result.returncode == 2 and "root" in result.stderr.splitlines()[-1], result


def test_an_interrupt_ends_the_program_and_saves():
    with folder() as here:
        script = write(os.path.join(here, "program.py"),
                       "import time\ndef waits():\n    print('ready', flush=True)\n    time.sleep(60)\nwaits()\n")
        out = os.path.join(here, "out.json")
        process = subprocess.Popen([sys.executable, "-m", "vizbpf", "-q", "-o", out, script],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
        assert b"KeyboardInterrupt" in stderr and process.returncode == 130, (stderr, process.returncode)
        assert find(load(out), "waits")


def test_pycache_is_as_without():
    with folder() as here:
        write(os.path.join(here, "module.py"), "def f():\n    x = 1\n    return x\n")
        script = write(os.path.join(here, "program.py"), "import module\nmodule.f()\n")

        def caches():
            found = {}
            for root, _, files in os.walk(here):
                for name in files:
                    if name.endswith(".pyc"):
                        with open(os.path.join(root, name), "rb") as file:
                            found[name] = hashlib.sha256(file.read()).hexdigest()
            return found

        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        assert python(script, cwd=here, env=environment).returncode == 0
        before = caches()
        assert len(before) == 1
        result, trace = _launch(here, "import module\nmodule.f()\n",
                                options=["--log-func-args", "--log-func-retval", "--log-exception"],
                                env=environment)
        assert result.returncode == 0 and find(trace, "f")
        assert caches() == before
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        os.unlink(os.path.join(here, "__pycache__", list(before)[0]))
        _launch(here, "import module\nmodule.f()\n", env=environment)
        assert caches() == {}


def test_options():
    parse = options.parse
    for words in (["--min_duration", "5", "--max-stack-depth", "3", "x.py", "--min-duration"],
                  ["--min-duration=5us", "--max_stack_depth=3", "--", "x.py", "--min-duration"]):
        found = parse(words)
        assert (found.min_duration, found.max_stack_depth) == (5.0, 3)
        assert (found.command, found.module) == (["x.py", "--min-duration"], None), found
    assert parse(["--min_duration", "2ms", "x.py"]).min_duration == 2000.0
    assert parse(["--min_duration", "100ns", "x.py"]).min_duration == 0.1
    found = parse(["--include_files", "a", "b", "--", "x.py", "y"])
    assert found.include_files == ["a", "b"] and found.command == ["x.py", "y"]
    found = parse(["--output", "o.json", "--include-files", "a", "--include_files", "b", "--no-follow",
                   "--no-sources", "--", "x.py"])
    assert found.include_files == ["a", "b"] and found.ignore_multiprocess and found.no_file_info
    found = parse(["-q", "-m", "mod", "-m", "z"])
    assert (found.module, found.command) == ("mod", ["-m", "z"])
    for words in ([], ["-m"], ["--min_duration", "soon", "x.py"], ["--nonsense", "x.py"],
                  ["--include_files", "a", "--exclude_files", "b", "--", "x.py"]):
        stderr, sys.stderr = sys.stderr, open(os.devnull, "w")
        try:
            parse(words)
        except SystemExit as error:
            assert error.code == 2
        else:
            raise AssertionError("accepted: %r" % words)
        finally:
            sys.stderr.close()
            sys.stderr = stderr
    path = options.output_path(parse(["-o", "a.json.gz", "--pid_suffix", "--output_dir", "/d", "x"]), 5)
    assert path == "/d/a_5.json.gz", path


def test_commands_that_are_not_python():
    with folder() as here:
        script = write(os.path.join(here, "run.sh"), "#!/bin/sh\n%s -c 'def sub(): pass\nsub()'\nexit 9\n"
                       % sys.executable)
        os.chmod(script, 0o755)
        out = os.path.join(here, "out.json")
        result = python("-m", "vizbpf", "-q", "-o", out, script)
        assert result.returncode == 9 and not result.stderr, result
        assert len(find(load(out), "sub")) == 1
        tool = write(os.path.join(here, "tool"), "#!/usr/bin/env python3\ndef inside(): pass\ninside()\n")
        assert python("-m", "vizbpf", "-q", "-o", out, tool).returncode == 0
        assert find(load(out), "inside")


def test_quiet_and_not():
    with folder() as here:
        script = write(os.path.join(here, "program.py"), "print('out')\n")
        result = python("-m", "vizbpf", "-o", os.path.join(here, "o.json"), script)
        assert result.stdout == "out\n" and "events in" in result.stderr and "root would add" in result.stderr
        result = python("-m", "vizbpf", "-q", "-o", os.path.join(here, "o.json"), script)
        assert (result.stdout, result.stderr) == ("out\n", "")


def test_pytest_plugin():
    if python("-c", "import pytest").returncode:
        raise Skip("pytest is not installed here")
    with folder() as here:
        write(os.path.join(here, "test_it.py"),
              "def helper(): return 1\ndef test_a(): assert helper() == 1\ndef test_b(): assert helper() == 2\n")
        result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--vizbpf", "--vizbpf-output",
                        os.path.join(here, "t.json"), cwd=here)
        assert "1 failed, 1 passed" in result.stdout and "events in" in result.stdout, result
        trace = load(os.path.join(here, "t.json"))
        assert sum("test_it.py" in e["name"] for e in find(trace, "helper")) == 2
        assert [n for n in names(trace, "B") if n.startswith("test: ")] == [
            "test: test_it.py::test_a", "test: test_it.py::test_b"]
        assert "failed: test_it.py::test_b" in names(trace, "i")
        result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=here)
        assert "vizbpf" not in result.stdout, result


def test_pytest_with_workers():
    if python("-c", "import pytest, xdist").returncode:
        raise Skip("pytest-xdist is not installed here")
    with folder() as here:
        write(os.path.join(here, "test_it.py"), "import pytest\ndef helper(n): return n\n"
              "@pytest.mark.parametrize('n', range(8))\ndef test_n(n): assert helper(n) == n\n")
        out = os.path.join(here, "t.json")
        result = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--vizbpf",
                        "--vizbpf-output", out, cwd=here, env=dict(os.environ, TMPDIR=here))
        assert "8 passed" in result.stdout, result
        trace = load(out)
        helpers = [e for e in find(trace, "helper") if "test_it.py" in e["name"]]
        assert len(helpers) == 8 and len({e["pid"] for e in helpers}) == 2, helpers
        assert sorted(n for n in names(trace, "B") if n.startswith("test: ")) == [
            "test: test_it.py::test_n[%d]" % n for n in range(8)]
        count = sum(e["ph"] != "M" for e in trace["traceEvents"])
        assert "vizbpf: %d events in %s" % (count, out) in result.stdout, (count, result.stdout)
        assert not [name for name in os.listdir(here) if "vizbpf" in name], os.listdir(here)


def test_jupyter_magic():
    from vizbpf import jupyter

    class Shell:
        registered = None
        user_ns = {"given": 3}

        def transform_cell(self, cell):
            return cell

        def register_magic_function(self, function, magic_kind, magic_name):
            assert (magic_kind, magic_name) == ("cell", "vizbpf")
            self.registered = function

    with folder() as here:
        shell = Shell()
        jupyter.load_ipython_extension(shell)
        out = os.path.join(here, "cell.json")
        shell.registered("-q -o %s --log_func_args" % out, "def cell(x): return x\nresult = cell(given)\n")
        assert shell.user_ns["result"] == 3
        assert find(load(out), "cell")[0]["args"]["func_args"] == {"x": "3"}
        del shell.user_ns["result"]
        shell.registered("--no-such-option", "result = 1")  # must not end the session
        assert "result" not in shell.user_ns


# The simple prompt takes two empty lines for the end of a cell.
_SESSION = """\
%load_ext vizbpf
def leaf(n): return n

%%vizbpf -o OUT --log_func_retval
values = !echo 1 2
def cell():
    return [leaf(int(value)) for value in values[0].split()]
result = cell()


%%vizbpf --no-such-option
result = "no"


%%vizbpf -q -o OTHER
leaf(7)
1 / 0


print("result is", result, "and the session goes on")
%%vizbpf -o OTHER
leaf(8)


"""


def test_jupyter_magic_in_ipython():
    if python("-c", "import IPython").returncode:
        raise Skip("IPython is not installed here")
    with folder() as here:
        out, other = os.path.join(here, "cell.json"), os.path.join(here, "other.json")
        done = python("-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--quick",
                      cwd=here, env=dict(os.environ, IPYTHONDIR=here, HOME=here),
                      input=_SESSION.replace("OUT", out).replace("OTHER", other))
        assert "result is [1, 2] and the session goes on" in done.stdout, done
        assert "ZeroDivisionError" in done.stdout + done.stderr, done
        assert "unrecognized arguments: --no-such-option" in done.stdout + done.stderr, done
        assert re.search(r"vizbpf: \d+ events in %s" % re.escape(out), done.stdout), done
        trace = load(out)
        assert [e["args"]["return_value"] for e in find(trace, "leaf")] == ["1", "2"]
        assert find(trace, "cell")[0]["args"]["return_value"] == "[1, 2]"
        # the cell, and nothing of what runs it
        assert find(trace, "<module>")[0]["name"] == "<module> (<cell>:1)"
        assert not {"run_cell", "run_cell_magic", "run_code"} & {short(n) for n in names(trace)}
        # of the last cell, over that of the one that raised
        assert len(find(load(other), "leaf")) == 1
        assert glob.glob(os.path.join(here, ".vizbpf-*")) == []
