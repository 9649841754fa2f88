# SPDX-License-Identifier: Apache-2.0
# needs: 3.11
# scope: own
"""Exception groups and task groups."""
import asyncio


def fail(kind):
    raise kind("x")


def collect(kinds):
    errors = []
    for kind in kinds:
        try:
            fail(kind)
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)


def handle(log):
    try:
        collect([KeyError, ValueError, KeyError])
    except* KeyError as group:
        note(log, len(group.exceptions))
    except* ValueError:
        note(log, 1)


def note(log, n):
    log.append(n)


async def child(n):
    await asyncio.sleep(0)
    return n


async def failing():
    await asyncio.sleep(0)
    raise LookupError("child")


async def parent():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(child(n)) for n in range(4)]
    assert sum(task.result() for task in tasks) == 6
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
    except* LookupError:
        pass


def workload():
    for _ in range(40):
        log = []
        handle(log)
        assert log == [2, 1]
    with asyncio.Runner() as runner:
        for _ in range(3):
            runner.run(parent())
