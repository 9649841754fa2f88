# SPDX-License-Identifier: Apache-2.0
"""usage: program.py KIND [wait]

Calls whose depth is known: each plain function of this file counts how many frames are around it,
in its greenlet or thread, and {function: {depth: calls}} is printed at the end. With "wait" the
work begins when a line comes. greenlet is imported late, from deep within.
"""
import json
import sys
import threading

seen = {}
asyncio = greenlet = None  # imported when they are needed


def note():
    frame, depth = sys._getframe(1), 0
    name = frame.f_code.co_name
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    counts = seen.setdefault(name, {})
    counts[depth] = counts.get(depth, 0) + 1


def leaf(n):
    note()
    return n


def nest(n, then):
    note()
    return nest(n - 1, then) if n else then()


def recursion():
    note()
    for n in range(12):
        nest(n, lambda: leaf(n))


def items(n):
    for i in range(n):
        yield leaf(i)


def delegating(n):
    yield from items(n)


def generators():
    note()
    for n in range(5):
        for _ in delegating(n):
            leaf(n)
    # begun at one depth, goes on at others
    one = items(6)
    next(one)
    nest(3, lambda: next(one))
    nest(5, lambda: next(one))
    one.close()


def work():
    note()
    for n in range(20):
        nest(n % 4, lambda: leaf(n))


def threads():
    note()
    some = [threading.Thread(target=work) for _ in range(4)]
    for one in some:
        one.start()
    for one in some:
        one.join()


def import_greenlet():
    import greenlet
    globals()["greenlet"] = greenlet
    return leaf(0)


def middle(n):
    note()
    leaf(n)
    greenlet.getcurrent().parent.switch()
    return nest(n % 3, lambda: leaf(n))


def worker(rounds):
    note()
    for n in range(rounds):
        middle(n)


def round_trip(alive):
    note()
    for one in alive:
        one.switch()


def greenlets():
    note()
    nest(5, import_greenlet)
    nest(4, lambda: leaf(1))
    alive = [greenlet.greenlet(worker) for _ in range(20)]
    for one in alive:
        one.switch(10)
    # from deep within, where they do not belong to
    nest(6, lambda: leaf(2))
    while alive:
        nest(2, lambda: round_trip(alive))
        alive = [one for one in alive if not one.dead]
    nest(4, lambda: leaf(3))


async def inner(n):
    await asyncio.sleep(0)
    return leaf(n)


async def outer(n):
    return await inner(n) + await inner(n)


async def everything():
    return await asyncio.gather(*(outer(n) for n in range(10)))


def coroutines():
    note()
    globals()["asyncio"] = __import__("asyncio")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(everything())
    loop.close()


def main():
    if "wait" in sys.argv:
        print("ready", flush=True)
        sys.stdin.readline()
    globals()[sys.argv[1]]()
    # a lambda and a frame of a generator expression count for the depth, and are not compared
    print(json.dumps(seen), flush=True)


main()
