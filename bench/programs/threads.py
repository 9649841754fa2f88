# SPDX-License-Identifier: Apache-2.0
"""A thread pool whose tasks are short."""
import concurrent.futures


def collatz(n):
    steps = 0
    while n != 1:
        n = step(n)
        steps += 1
    return steps


def step(n):
    return n // 2 if n % 2 == 0 else 3 * n + 1


def workload(scale):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return sum(pool.map(collatz, range(1, 1500 * scale)))
