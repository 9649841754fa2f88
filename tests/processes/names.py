# SPDX-License-Identifier: Apache-2.0
"""Threads and processes with names of every kind; works until its input says go."""
import multiprocessing
import sys
import threading
import time


ROUNDS = {}


def spin(stop):
    me = threading.get_ident()
    while not stop.wait(0.01):
        ROUNDS[me] = ROUNDS.get(me, 0) + 1


def until_all_worked():
    """Every thread has gone round some more times: the tracer has had calls of each to see."""
    before = dict(ROUNDS)
    while any(ROUNDS[me] < rounds + 3 for me, rounds in before.items()):
        time.sleep(0.005)


def child(pipe):
    while not pipe.poll(0.01):
        spin_once()


def spin_once():
    return sum(range(10))


def main():
    stop = threading.Event()
    threads = [threading.Thread(target=spin, args=(stop,), name="worker-\u00e9"),
               threading.Thread(target=spin, args=(stop,))]
    for thread in threads:
        thread.start()
    pipes, processes = [], []
    for method in sys.argv[1:]:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context(method).Process(target=child, args=(theirs,))
        process.start()
        pipes.append(ours)
        processes.append(process)
    while len(ROUNDS) < len(threads):
        time.sleep(0.005)
    print(*["%s=%d" % (p.name, p.pid) for p in processes], flush=True)
    sys.stdin.readline()
    threads[1].name = "named late"
    until_all_worked()
    print("named", flush=True)
    sys.stdin.readline()
    for pipe, process in zip(pipes, processes):
        pipe.send(1)
        process.join()
    stop.set()


if __name__ == "__main__":
    main()
