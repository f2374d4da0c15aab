"""What a user would write: one queue item per record, `wait_for` each, order by a dict.

With fast libraries (orjson, uvloop), lines read in a thread by the block and written by the
block: the shape is what is compared, not carelessness.
"""

import asyncio
import sys

import orjson
import uvloop

CONSUMERS = 64
QUEUE = 1000


async def enrich(record):
    await asyncio.sleep(0)
    record["has_phone"] = "phone" in record
    return record


async def produce(todo):
    number = 0
    while lines := await asyncio.to_thread(sys.stdin.buffer.readlines, 256 * 1024):
        for line in lines:
            await todo.put((number, line))
            number += 1
    for _ in range(CONSUMERS):
        await todo.put(None)


async def consume(todo, finished):
    while (item := await todo.get()) is not None:
        number, line = item
        record = await asyncio.wait_for(enrich(orjson.loads(line)), 30)
        await finished.put((number, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)))


async def write(finished):
    waiting = {}
    following = 0
    while (item := await finished.get()) is not None:
        number, line = item
        waiting[number] = line
        while following in waiting:
            sys.stdout.buffer.write(waiting.pop(following))
            following += 1
    sys.stdout.buffer.flush()


async def main():
    todo, finished = asyncio.Queue(QUEUE), asyncio.Queue(QUEUE)
    async with asyncio.TaskGroup() as outer:
        outer.create_task(write(finished))
        async with asyncio.TaskGroup() as inner:
            inner.create_task(produce(todo))
            for _ in range(CONSUMERS):
                inner.create_task(consume(todo, finished))
        await finished.put(None)


uvloop.run(main())
