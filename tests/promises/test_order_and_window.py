"""Order, and how much is under way at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from streamproc import Pipeline
from streamproc.testing import MemorySink, MemorySource

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def on(loop: Callable[[], asyncio.AbstractEventLoop], coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(coroutine)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ordered", [True, False])
def test_order_under_random_delays(loop: Any, ordered: bool) -> None:
    """Ordered output is in input order whatever the delays; unordered is the same set."""
    dice = random.Random(5)

    async def delay(record: dict[str, Any]) -> dict[str, Any]:
        for _ in range(dice.randrange(20)):
            await asyncio.sleep(0)
        return {"done": True}

    sink = MemorySink()
    pipeline = Pipeline([delay], ordered=ordered, concurrency=32)
    summary = on(loop, pipeline.run(MemorySource({"n": n} for n in range(3000)), sink))
    numbers = [r["n"] for r in sink.records]
    assert (numbers if ordered else sorted(numbers)) == list(range(3000))
    assert ordered or numbers != sorted(numbers)
    assert summary.ok == summary.received == 3000


@pytest.mark.parametrize("concurrency", [1, 8, 100])
def test_window_behind_a_stuck_head(concurrency: int) -> None:
    """With the head of the line stuck, no more records are begun than the window holds."""
    window = max(16 * concurrency, 1024)
    begun = 0
    full = asyncio.Event()

    async def head_waits(record: dict[str, Any]) -> None:
        nonlocal begun
        begun += 1
        if record["n"] == 0 and concurrency > 1:
            quiet = -1
            while quiet != begun:  # until nothing moves any more
                quiet = begun
                for _ in range(100):
                    await asyncio.sleep(0.001)
            assert begun <= window
            full.set()

    sink = MemorySink()
    pipeline = Pipeline([head_waits], concurrency=concurrency)
    asyncio.run(pipeline.run(MemorySource({"n": n} for n in range(5000)), sink))
    assert begun == len(sink.lines) == 5000
    assert full.is_set() or concurrency == 1


def test_concurrency_is_a_bound_and_is_reached() -> None:
    """`-j` calls run at once, and never one more."""
    running = most = 0

    async def count(record: dict[str, Any]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1

    asyncio.run(Pipeline([count], concurrency=7).run(MemorySource([{}] * 500), MemorySink()))
    assert most == 7


def test_a_concurrency_that_nobody_needs_costs_nothing() -> None:
    """There are as many tasks as records, and a few; not one for each call that there may be."""
    most = 0

    async def look(record: dict[str, Any]) -> None:
        nonlocal most
        await asyncio.sleep(0)
        most = max(most, len(asyncio.all_tasks()))

    asyncio.run(Pipeline([look], concurrency=100_000).run(MemorySource([{}] * 5), MemorySink()))
    assert 0 < most < 20
