"""The hand-over from producer to consumers: the place where others hung."""

from __future__ import annotations

import asyncio
import random

import pytest

from streamproc.pipeline.channel import Channel
from streamproc.record import Batch, Cursor


def batch_of(first: int, size: int) -> Batch:
    lines = [b"%d" % n for n in range(first, first + size)]
    return Batch(0, Cursor("test", first + 1, 0), lines, size * 4)


async def hand_over(dice: random.Random) -> None:
    channel = Channel(dice.choice([1, 2, 64]))
    sizes = [dice.choice([1, 1, 2, 7, 100]) for _ in range(dice.randrange(30))]
    taken: list[bytes] = []

    async def produce() -> None:
        first = 0
        for size in sizes:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            await channel.send(batch_of(first, size))
            first += size
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        channel.close()

    async def consume() -> None:
        while True:
            found = channel.take()
            if found is None:
                if not await channel.wait():
                    return
                continue
            batch, i, _ = found
            taken.append(batch.lines[i])
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)

    consumers = [asyncio.create_task(consume()) for _ in range(dice.choice([1, 2, 5, 40]))]
    producer = asyncio.create_task(produce())
    for victim in consumers[1 : 1 + dice.randrange(3)]:
        await asyncio.sleep(0)
        if channel._turns:  # only those who wait for work may be cancelled without a loss
            victim.cancel()
    await asyncio.wait_for(asyncio.gather(producer, *consumers, return_exceptions=True), 30)
    lost = sum(c.cancelled() for c in consumers)
    assert taken == [b"%d" % n for n in range(sum(sizes))] or lost


@pytest.mark.parametrize("seed", range(20))
def test_nothing_hangs_and_nothing_is_lost(seed: int) -> None:
    """Every line is taken once, in order, and all consumers see the end, in 2 000 runs."""
    dice = random.Random(seed)

    async def many() -> None:
        for _ in range(100):
            await hand_over(dice)

    asyncio.run(many())


def test_slow_consumers_all_get_work() -> None:
    """One batch of many lines is enough to have every waiting consumer at work."""

    async def main() -> int:
        channel = Channel(4)
        working = 0
        everybody = asyncio.Event()

        async def consume() -> None:
            nonlocal working
            while channel.take() is None:
                assert await channel.wait()
            working += 1
            if working == 50:
                everybody.set()
            await everybody.wait()

        tasks = [asyncio.create_task(consume()) for _ in range(50)]
        await asyncio.sleep(0)
        await channel.send(batch_of(0, 50))
        await asyncio.wait_for(asyncio.gather(*tasks), 30)
        return working

    assert asyncio.run(main()) == 50
