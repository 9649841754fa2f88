# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Coroutines driven by hand and by asyncio, asynchronous generators and context managers."""
import asyncio


class Ready:
    def __await__(self):
        # See echo() in generators.py for why closing it has to have something to do.
        try:
            yield 1
        finally:
            on_done(None)
        return 2


class Manager:
    async def __aenter__(self):
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *error):
        return error[0] is KeyError


class Steps:
    def __init__(self, n):
        self.n = n

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.n:
            raise StopAsyncIteration
        self.n -= 1
        return self.n


async def leaf(n):
    return n


async def branch(n):
    return await leaf(n) + await leaf(n + 1)


async def hand():
    value = await Ready()
    return value + await branch(1)


async def sleeper(n):
    for _ in range(n):
        await asyncio.sleep(0)
    return n


async def numbers(n):
    for i in range(n):
        yield i
        await asyncio.sleep(0)


async def guarded(log):
    try:
        yield 1
        yield 2
    finally:
        log.append(1)


async def failing():
    await asyncio.sleep(0)
    raise LookupError("x")


async def everything():
    assert [i async for i in numbers(5)] == [0, 1, 2, 3, 4]
    assert sum([i async for i in Steps(5)]) == 10
    async with Manager() as manager:
        assert manager
    async with Manager():
        raise KeyError("k")
    try:
        await failing()
    except LookupError:
        pass
    log = []
    gen = guarded(log)
    await gen.__anext__()
    await gen.aclose()
    gen = guarded(log)
    await gen.__anext__()
    try:
        await gen.athrow(KeyError("t"))
    except KeyError:
        pass
    assert len(log) == 2
    results = await asyncio.gather(*[sleeper(i) for i in range(8)])
    assert results == list(range(8))
    task = asyncio.ensure_future(sleeper(1000))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


def drive(coroutine):
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def on_done(future):
    pass


def workload():
    for _ in range(40):
        assert drive(branch(1)) == 3
        assert drive(hand()) == 5
        coroutine = hand()
        coroutine.send(None)
        coroutine.close()
    loop = asyncio.new_event_loop()
    try:
        for _ in range(5):
            loop.run_until_complete(everything())
        future = loop.create_future()
        future.add_done_callback(on_done)
        loop.call_soon(future.set_result, 1)
        loop.run_until_complete(future)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
