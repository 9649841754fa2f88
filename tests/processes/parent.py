# SPDX-License-Identifier: Apache-2.0
"""Starts children of one kind and waits for them. argv: KIND FILE [INTERPRETER]."""
import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys

import child

COUNT = 40
HERE = os.path.dirname(os.path.abspath(__file__))
CHILD = os.path.join(HERE, "child.py")
PYTHON = sys.executable


def wait(pid):
    return os.waitpid(pid, 0)[1]


def fork(path):
    pid = os.fork()
    if not pid:
        child.run("fork", COUNT, path)
        sys.exit(0)
    assert wait(pid) == 0


def fork_exit(path):
    pid = os.fork()
    if not pid:
        child.run("fork_exit", COUNT, path)
        os._exit(7)
    assert os.WEXITSTATUS(wait(pid)) == 7


def fork_kill(path):
    pid = os.fork()
    if not pid:
        child.run("fork_kill", COUNT, path)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(wait(pid)) == signal.SIGKILL


def fork_thread(path):
    import threading

    def work():
        fork(path)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def fork_fork(path):
    pid = os.fork()
    if not pid:
        fork(path)
        sys.exit(0)
    assert wait(pid) == 0


def fork_true(path):
    """Two children: one works, one is soon another program, but has run what follows a fork."""
    fork(path)
    pid = os.fork()
    if not pid:
        os.execv("/bin/true", ["true"])
    assert wait(pid) == 0


def fork_exec(path):
    """Two children: one works, one runs no Python between its fork and its exec."""
    fork(path)
    subprocess._USE_VFORK = False
    subprocess.check_call(["/bin/true"])


def daemon(path):
    """Forks twice with setsid between; the daemon's end is seen through a pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(read)
        child.run("daemon", COUNT, path)
        os._exit(0)
    os.close(write)
    wait(pid)
    assert os.read(read, 1) == b""


def subprocess_(path):
    subprocess.check_call([PYTHON, CHILD, "subprocess", str(COUNT), path])


def shell(path):
    subprocess.check_call("true && '%s' '%s' shell %d '%s'; true" % (PYTHON, CHILD, COUNT, path),
                          shell=True)


def system(path):
    assert os.system("'%s' '%s' system %d '%s'" % (PYTHON, CHILD, COUNT, path)) == 0


def env(path):
    subprocess.check_call(["/usr/bin/env", "python3", CHILD, "env", str(COUNT), path])


def spawnv(path):
    assert os.spawnv(os.P_WAIT, PYTHON, [PYTHON, CHILD, "spawnv", str(COUNT), path]) == 0


def context(method, path):
    ctx = multiprocessing.get_context(method)
    process = ctx.Process(target=child.run, args=(method, COUNT, path))
    process.start()
    process.join()
    assert process.exitcode == 0


def pool(path):
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        jobs = [executor.submit(child.run, "pool", COUNT, path) for _ in range(4)]
        for job in jobs:
            job.result()


def exec_other(path):
    """The child's exec replaces its interpreter by one of another version."""
    subprocess.check_call([PYTHON, CHILD, "exec_other", str(COUNT), path, sys.argv[3]])


def exec_self(path):
    child.run("exec_self", COUNT, path)
    os.execv(sys.argv[3], [sys.argv[3], CHILD, "exec_self", str(COUNT), path])


KINDS = {"fork": fork, "fork_exit": fork_exit, "fork_kill": fork_kill, "fork_thread": fork_thread,
         "fork_fork": fork_fork, "fork_true": fork_true, "fork_exec": fork_exec, "daemon": daemon,
         "subprocess": subprocess_, "shell": shell,
         "system": system, "env": env, "spawnv": spawnv, "pool": pool,
         "mp_fork": lambda path: context("fork", path),
         "mp_spawn": lambda path: context("spawn", path),
         "mp_forkserver": lambda path: context("forkserver", path),
         "exec_other": exec_other, "exec_self": exec_self}


def main():
    kind, path = sys.argv[1], sys.argv[2]
    if os.environ.get("WAIT_FOR_GO"):
        print("ready", flush=True)
        sys.stdin.readline()
    KINDS[kind](path)


if __name__ == "__main__":
    main()
