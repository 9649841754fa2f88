# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Threads that were there before, and threads that begin and end while being watched."""
import _thread
import queue
import threading

import driver


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def job(n):
    return fib(n % 8)


def jobs(first):
    for n in range(first, first + 20):
        job(n)


def old_worker(inbox, outbox):
    while True:
        first = inbox.get()
        driver.task(jobs, first)
        outbox.put(first)


# A queue for each, so that each does the same work on every run.
INBOXES, OUTBOX = [queue.Queue() for _ in range(3)], queue.Queue()
for index, INBOX in enumerate(INBOXES):
    threading.Thread(target=old_worker, args=(INBOX, OUTBOX), daemon=True,
                     name="old-%d" % index).start()


class Worker(threading.Thread):
    def run(self):
        for n in range(10):
            self.work(n)

    def work(self, n):
        return fib(6)


def turns(lock, results, n):
    for i in range(30):
        with lock:
            results.append(job(i))
    generator = steps()
    for _ in generator:
        job(2)


def steps():
    for i in range(5):
        yield i


def bare(done, n):
    job(n)
    done.release()


def workload():
    for first in range(6):
        INBOXES[first % 3].put(first)
    for _ in range(6):
        OUTBOX.get()
    workers = [Worker(name="worker-%d" % i) for i in range(4)]
    lock, results = threading.Lock(), []
    workers += [threading.Thread(target=turns, args=(lock, results, i)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 120
    done = threading.Semaphore(0)
    for n in range(5):
        _thread.start_new_thread(driver.task, (bare, done, n))
    for n in range(5):
        done.acquire()
