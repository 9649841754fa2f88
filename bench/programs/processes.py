# SPDX-License-Identifier: Apache-2.0
"""A pool of processes, forked while the program is being recorded."""
import multiprocessing


def work(n):
    return sum(map(square, range(n)))


def square(x):
    return x * x


def workload(scale):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        result = sum(pool.map(work, [2000] * (60 * scale)))
        pool.close()
        pool.join()
    return result
