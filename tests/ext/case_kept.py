# SPDX-License-Identifier: Apache-2.0
"""What VizTracer() in a program of its own has recorded survives that program."""
import glob
import json
import os
import subprocess
import sys
import time

from support import folder, load, names, python, short, write

# The record goes beside the output: that folder is the test's alone, shared memory is not.
_PROGRAM = """
import os, sys, time
from vizbpf import VizTracer, spool
spool._FREE_MIN = 1 << 62
def leaf(n): return n
def work(n):
    for i in range(n): leaf(i)
def dies():
    work(50)
    os.kill(os.getpid(), 9)
tracer = VizTracer(output_file=os.path.join(sys.argv[1], "out.json"), verbose=0, ignore_c_function=True)
"""
_KILLED = _PROGRAM + "tracer.start()\nwork(1000)\ndies()\n"


def _records(here):
    return glob.glob(os.path.join(here, ".vizbpf-record-*"))


def _recover(here, *more):
    return python("-m", "vizbpf", "--recover", *more, cwd=here)


def _killed(here):
    return glob.glob(os.path.join(here, "out_killed_*.json"))


def _count(trace, name, phase="X"):
    return [short(n) for n in names(trace, phase)].count(name)


def test_a_killed_process_leaves_its_record():
    with folder() as here:
        assert python(write(os.path.join(here, "program.py"), _KILLED), here).returncode == -9
        assert len(_records(here)) == 1
        done = _recover(here)
        assert done.returncode == 0, done
        path, = _killed(here)
        trace = load(path)
        assert (_count(trace, "leaf"), _count(trace, "work"), _count(trace, "dies", "B")) == (1050, 2, 1)
        pid, = trace["vizbpf_metadata"]["killed"]
        assert path.endswith("_killed_%d.json" % pid)
        assert any(line[1] for line in trace["file_info"]["functions"].values())
        assert not _records(here)
        assert "no killed process" in _recover(here).stderr or _killed(here) == [path]


def test_shared_memory_is_taken_where_there_is_plenty():
    with folder() as here:
        done = python("-c", _PROGRAM.replace("1 << 62", "0") + """
tracer.start()
print(tracer._record.folder, flush=True)
dies()
""", here)
        record = done.stdout.strip()
        assert record.startswith("/dev/shm/"), done
        assert _recover(here).returncode == 0
        assert not os.path.exists(record)
        trace = load(*_killed(here))
        assert _count(trace, "leaf") == 50


def test_nothing_is_left_by_others():
    for ending in ("", "tracer.stop()", "tracer.save()", "tracer.stop(); tracer.save(); os.kill(os.getpid(), 9)",
                   "tracer.stop(); tracer.clear(); os.kill(os.getpid(), 9)", "sys.exit(3)", "1 / 0",
                   "other = VizTracer(verbose=0, output_file=tracer.output_file); tracer.stop(); other.start()"):
        with folder() as here:
            done = python("-c", _PROGRAM + "tracer.start()\nwork(9)\n" + ending + "\n", here)
            # of one that was killed after it had saved the next one takes the folder away
            python("-c", _PROGRAM + "tracer.start()\n", here)
            assert not _records(here), (ending, done)
            _recover(here, here)
            assert not _killed(here), ending


def test_what_follows_a_save_is_kept_too():
    for ending in ("tracer.start(); work(30); os.kill(os.getpid(), 9)", "work(30); os._exit(0)"):
        with folder() as here:
            stop = "tracer.stop()\n" if "start" in ending else ""
            python("-c", _PROGRAM + "tracer.start()\nwork(9)\n" + stop + "tracer.save()\n" + ending, here)
            assert _recover(here).returncode == 0
            assert _count(load(*_killed(here)), "leaf") >= 30, ending


def test_children_leave_the_parents_record_alone():
    with folder() as here:
        done = python("-c", _PROGRAM + """
import threading
tracer.start()
work(5)
for how in ("tracer.stop(); tracer.save(sys.argv[1] + '/child.json'); tracer.clear()", "sys.exit(0)", "dies()"):
    pid = os.fork()
    if not pid:
        work(7)
        exec(how)
        sys.exit(0)
    os.waitpid(pid, 0)
    assert os.path.exists(tracer._record.folder + "/about.json"), how
tracer.stop()
tracer.parse()
print(sum("leaf" in e["name"] for e in tracer.data["traceEvents"]))
""", here)
        assert done.stdout == "5\n", done
        assert _count(load(os.path.join(here, "child.json")), "leaf") == 7
        assert not _records(here)


_FORKS = """
import ctypes
libc = ctypes.CDLL(None)
for _ in range(100):  # time for the parent to go on before the recorder looks
    getattr(libc, "__register_atfork")(None, None, libc.sched_yield, None)
def child(told):
    leaf(1)
    tracer.stop()
    tracer.parse()
    names = [e["name"].split(" ")[0] for e in tracer.data["traceEvents"] if e["ph"] in "XB"]
    os.write(told, b"%d %d," % (names.count("leaf"), names.count("forks")))
    os._exit(0)
def forks(told):
    pid = os.fork()
    if not pid:
        child(told)
    return pid
ready, told = os.pipe()
for _ in range(20):
    tracer.start()
    pid = forks(told)
    tracer.stop()
    tracer.clear()
    os.waitpid(pid, 0)
print(os.read(ready, 10000).decode())
"""


def test_a_child_goes_on_where_it_was_forked():
    with folder() as here:
        done = python("-c", _PROGRAM + _FORKS, here)
        assert done.stdout == "1 1," * 20 + "\n", done


def test_a_living_process_is_left_alone():
    for more in ("", "os.closerange(3, 100)\n"):  # with the descriptor goes the lock
        with folder() as here:
            process = subprocess.Popen([sys.executable, "-c", _PROGRAM + "tracer.start()\nwork(5)\n" + more +
                                        "print('ready', flush=True)\nsys.stdin.read()\ntracer.save()", here],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                assert process.stdout.readline() == b"ready\n"
                _recover(here)
                python("-c", _PROGRAM + "tracer.start()\n", here)
                assert len(_records(here)) == 1 and not _killed(here), more
                process.communicate(b"")
                assert process.returncode == 0 and not _records(here)
                assert _count(load(os.path.join(here, "out.json")), "leaf") == 5
            finally:
                process.kill()
                process.wait()


def test_no_more_is_kept_than_some():
    with folder() as here:
        for _ in range(11):
            python("-c", _KILLED, here)
        done = python("-c", _PROGRAM + "tracer.verbose = 1\ntracer.start()\ntracer.stop()\n", here)
        assert "--recover" in done.stderr, done
        assert len(_records(here)) == 8, len(_records(here))


def test_strange_folders_are_no_harm():
    with folder() as here:
        precious = os.path.join(here, "precious")
        os.mkdir(precious)
        write(os.path.join(precious, "part-1-0.spool"), "x" * 4096)
        os.symlink(precious, os.path.join(here, ".vizbpf-record-link"))
        strange = {"list": [], "no pid": {}, "text": {"pid": "x", "output": None}}
        for name, about in strange.items():
            made = os.path.join(here, ".vizbpf-record-" + name)
            os.mkdir(made, 0o700)
            write(os.path.join(made, "about.json"), json.dumps(about))
            write(os.path.join(made, "part-1-0.spool"), "x" * 4096)
        os.chmod(os.path.join(here, ".vizbpf-record-no pid"), 0o777)  # anybody could have filled it
        # one that is just being made, and one whose file is something else
        os.mkdir(os.path.join(here, ".vizbpf-record-young"))
        before = _records(here)
        python("-c", _KILLED, here)
        killed, = set(_records(here)) - set(before)
        write(glob.glob(os.path.join(killed, "*.spool"))[0], "x" * 8192)
        done = _recover(here)
        assert done.returncode == 1 and "cannot be read" in done.stderr, done
        assert not _killed(here)
        done = python("-c", _PROGRAM + "tracer.start()\n", here)
        assert done.returncode == 0 and not done.stderr, done
        left = sorted(os.path.basename(path) for path in _records(here))
        assert ".vizbpf-record-link" in left and ".vizbpf-record-young" in left, left
        assert [name for name in strange if ".vizbpf-record-" + name in left] == ["no pid"], left
        assert os.path.exists(os.path.join(precious, "part-1-0.spool"))


def test_a_folder_that_is_gone_or_closed():
    with folder() as here:
        inside = os.path.join(here, "inside")
        os.mkdir(inside)
        done = python("-c", _PROGRAM + """
tracer.start()
work(5)
import shutil
shutil.rmtree(sys.argv[1])
work(5)
tracer.stop()
tracer.save()
""", inside)
        assert done.returncode == 0, done
        assert _count(load(os.path.join(inside, "out.json")), "leaf") == 10
        begin = time.monotonic()
        done = python("-c", _PROGRAM + "tracer.output_file = '/proc/nowhere/out.json'\ntracer.start()\nwork(5)\n"
                      "tracer.stop()\nprint(tracer.parse(), tracer._record.folder)\n", here,
                      env=dict(os.environ, TMPDIR=here))
        assert done.stdout.startswith("6 " + here), (done, time.monotonic() - begin)
