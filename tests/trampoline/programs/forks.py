"""Children by fork: some run Python, some run a program, some just end, some fork again."""
import os
import subprocess


def leaf(x):
    return x


def child(n):
    for i in range(n):
        leaf(i)


def grandchild():
    pid = os.fork()
    if not pid:
        child(10)
        os._exit(0)
    os.waitpid(pid, 0)


def workload():
    leaf(0)
    for i in range(20):
        pid = os.fork()
        if not pid:
            child(1000)
            grandchild()
            os._exit(0)
        os.waitpid(pid, 0)
    for i in range(5):
        subprocess.run(["true"])
    leaf(1)


# what happens in the children, which the truth's process does not count
CHILDREN = {"child": 40, "leaf": 20 * 1010, "grandchild": 20}
