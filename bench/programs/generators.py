# SPDX-License-Identifier: Apache-2.0
"""Generators that feed each other, and asyncio tasks that wait for each other."""
import asyncio


def numbers(n):
    for i in range(n):
        yield i


def evens(source):
    for i in source:
        if i % 2 == 0:
            yield i


async def produce(queue, n):
    for i in range(n):
        await queue.put(i)
    await queue.put(None)


async def consume(queue):
    total = 0
    while True:
        item = await queue.get()
        if item is None:
            return total
        total += item


async def pipeline(n):
    queues = [asyncio.Queue(5) for _ in range(4)]
    await asyncio.gather(*[produce(queue, n) for queue in queues],
                         *[consume(queue) for queue in queues])


def workload(scale):
    for _ in range(scale):
        sum(evens(numbers(40000)))
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(pipeline(1200))
        finally:
            loop.close()
