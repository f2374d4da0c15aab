"""Fixed and adaptive concurrency, in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from simulated import Asked, Stay, now, simulate, site

from streamproc.errors import CallError
from streamproc.policies.concurrency import Concurrency, FixedConcurrency
from streamproc.policies.retry import Retry
from streamproc.policies.stack import stack

BUSY = CallError("throttled", "429", again=True, throttled=True)


class Server:
    """Takes `seconds`; refuses what is above its capacity at once."""

    def __init__(self, capacity: Any, seconds: float = 0.1) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._began = now()
        self.in_progress = self.most = self.good = self.refused = 0

    @property
    def capacity(self) -> int:
        return int(
            self._capacity(now() - self._began) if callable(self._capacity) else self._capacity
        )

    async def call(self, call: Any, visit: Any) -> str:
        visit.begin(None)
        if self.in_progress >= self.capacity:
            self.refused += 1
            await asyncio.sleep(0.001)
            raise BUSY
        self.in_progress += 1
        self.most = max(self.most, self.in_progress)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.in_progress -= 1
        self.good += 1
        return "ok"


async def load(call: Any, count: int, until: float) -> None:
    async def consumer() -> None:
        while now() < until:
            await call(Asked(), Stay())

    await asyncio.gather(*[consumer() for _ in range(count)])


def test_a_fixed_limit() -> None:
    """Never more than the limit, and no slot is wasted."""

    async def main() -> None:
        server = Server(1000)
        call = FixedConcurrency(7).wrap(server.call, site())
        await load(call, 50, now() + 100)
        assert server.most == 7
        assert server.good >= 7 * 1000

    simulate(main())


def test_slots_come_back_whatever_happens() -> None:
    """After errors and cancellations, in flight and in the line, all slots are there."""

    async def main() -> None:
        server = Server(4, 10)
        call = FixedConcurrency(5).wrap(server.call, site())
        tasks = [asyncio.create_task(call(Asked(), Stay())) for _ in range(20)]
        await asyncio.sleep(0.5)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        again = [asyncio.create_task(call(Asked(), Stay())) for _ in range(4)]
        begun = now()
        assert await asyncio.gather(*again) == ["ok"] * 4
        assert now() - begun == pytest.approx(10)

    simulate(main())


@pytest.mark.parametrize("minutes", [1, 30])
def test_it_finds_the_capacity(minutes: int) -> None:
    """-j 256, capacity 50, 100 ms: at least 85% of it is used, at most 5% of calls refused."""

    async def main() -> None:
        server = Server(50)
        layers = [Retry(max_elapsed=1e9), Concurrency(max=256)]
        call = stack(layers, server.call, site())
        began = now()
        task = asyncio.create_task(load(call, 256, began + 60 * minutes))
        await asyncio.sleep(30)
        good, refused, at = server.good, server.refused, now()
        await asyncio.sleep(60 * minutes - 31)
        good, refused = server.good - good, server.refused - refused
        assert good / (50 / 0.1 * (now() - at)) >= 0.85
        assert refused / (good + refused) <= 0.05
        await task

    simulate(main())


def test_it_follows_a_capacity_that_changes() -> None:
    """50, then 20, then 80: most of it is used each time."""

    async def main() -> None:
        def capacity(at: float) -> int:
            return 50 if at < 60 else 20 if at < 120 else 80

        server = Server(capacity)
        call = stack([Retry(max_elapsed=1e9), Concurrency(max=256)], server.call, site())
        task = asyncio.create_task(load(call, 256, now() + 240))
        shares = []
        for _ in range(3):
            await asyncio.sleep(30)
            good, at, size = server.good, now(), server.capacity
            await asyncio.sleep(29)
            shares.append((server.good - good) / (size / 0.1 * (now() - at)))
            await asyncio.sleep(1)
        assert min(shares) >= 0.6
        await task

    simulate(main())


def test_timeouts_are_overload_too() -> None:
    """A target that gets slow instead of refusing is not flooded."""

    async def main() -> None:
        in_progress = most_late = 0
        began = now()

        async def call(asked: Any, visit: Any) -> str:
            nonlocal in_progress, most_late
            visit.begin(None)
            in_progress += 1
            if now() - began > 60:
                most_late = max(most_late, in_progress)
            try:
                await asyncio.sleep(0.1)
                if in_progress > 40:
                    await asyncio.sleep(0.9)
                    raise CallError("timeout", "no result within 1 s", again=True, is_outage=True)
            finally:
                in_progress -= 1
            return "ok"

        limited = stack([Retry(attempts=1000, max_elapsed=1e9), Concurrency(max=200)], call, site())
        await load(limited, 200, began + 120)
        assert most_late <= 80

    simulate(main())


def test_it_does_not_grow_when_nobody_needs_it() -> None:
    """Eight at once never use 80% of more than ten."""

    async def main() -> None:
        server = Server(1000)
        wrapped = Concurrency(max=200)
        call = wrapped.wrap(server.call, site())
        await load(call, 5, now() + 60)
        burst = [asyncio.create_task(call(Asked(), Stay())) for _ in range(100)]
        await asyncio.sleep(0.05)
        assert server.in_progress <= 20
        await asyncio.gather(*burst)

    simulate(main())


def test_bounds() -> None:
    """min is at most max."""
    with pytest.raises(ValueError, match="min"):
        Concurrency(max=3, min=4)
