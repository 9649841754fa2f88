"""Code objects that come and go, so that addresses are used again."""


def workload():
    for i in range(30000):
        space = {}
        exec("def f%d(): return 1\nf%d()" % (i % 300, i % 300), space)
