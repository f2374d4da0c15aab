"""Fixed and adaptive concurrency, in simulated time."""

from __future__ import annotations

import asyncio

import pytest
from simulated import (
    Asked,
    Named,
    Server,
    SlowingServer,
    Stay,
    ask,
    load,
    now,
    results,
    site,
    start,
)  # fmt: skip

from streamproc.errors import CallError
from streamproc.policies.admission import Admission
from streamproc.policies.concurrency import Concurrency, FixedConcurrency
from streamproc.policies.retry import RetryPolicy
from streamproc.policies.stack import stack
from streamproc.trials.clock import simulate

PATIENT = RetryPolicy(attempts=1000, max_elapsed=1e9)
OVERLOAD = CallError("http_status", "503", again=True, is_outage=True, status=503)


def test_a_fixed_limit() -> None:
    """Never more than the limit, and no permit is wasted."""

    async def main() -> None:
        server = Server(1000)
        await load(FixedConcurrency(7).wrap(server.call, site()), 50, now() + 100)
        assert server.most == 7
        assert server.good >= 7 * 1000

    simulate(main())


def test_permits_come_back_whatever_happens() -> None:
    """After errors and cancellations, in flight and in the line, all are there."""

    async def main() -> None:
        server = Server(4, 10)
        call = FixedConcurrency(5).wrap(server.call, site())
        tasks = start(call, 20)
        await asyncio.sleep(0.5)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        begun = now()
        assert await results(start(call, 4)) == ["ok"] * 4
        assert now() - begun == pytest.approx(10)

    simulate(main())


@pytest.mark.parametrize(("minutes", "takes_s"), [(1, 0.2), (10, 2.0)])
def test_it_finds_the_capacity(minutes: int, takes_s: float) -> None:
    """-j 256, capacity 50: at least 85% of it is used, at most 5% of calls refused."""

    async def main() -> None:
        server = Server(50, takes_s)
        call = stack([PATIENT, Concurrency(max=256)], server.call, site())
        began = now()
        task = asyncio.create_task(load(call, 256, began + 60 * minutes))
        await asyncio.sleep(30)
        good, bad, at = server.good, server.bad, now()
        await asyncio.sleep(60 * minutes - 31)
        good, bad = server.good - good, server.bad - bad
        assert good / (server.per_second * (now() - at)) >= 0.85
        assert bad / (good + bad) <= 0.05
        await task

    simulate(main())


def test_it_follows_a_capacity_that_changes() -> None:
    """50, then 20, then 80: most of it is used each time."""

    async def main() -> None:
        def capacity(at: float) -> int:
            return 50 if at < 60 else 20 if at < 120 else 80

        server = Server(capacity, 0.3)
        call = stack([PATIENT, Concurrency(max=256)], server.call, site())
        task = asyncio.create_task(load(call, 256, now() + 240))
        shares = []
        for _ in range(3):
            await asyncio.sleep(30)
            good, at, per_second = server.good, now(), server.per_second
            await asyncio.sleep(29)
            shares.append((server.good - good) / (per_second * (now() - at)))
            await asyncio.sleep(1)
        assert min(shares) >= 0.6
        await task

    simulate(main())


def test_timeouts_are_overload_too() -> None:
    """A target that gets slow instead of refusing is not flooded: in time from 40 at once on."""

    async def main() -> None:
        server = SlowingServer(40)
        call = stack([PATIENT, Concurrency(max=500)], server.call, site())
        task = asyncio.create_task(load(call, 250, now() + 40))
        await asyncio.sleep(20)
        server.most = 0
        await task
        assert server.most <= 220

    simulate(main())


def test_503_is_overload_too() -> None:
    """With a 503 as with a 429 the limit shrinks; a 500 is no reason for that."""

    async def main(error: CallError) -> int | None:
        named = Named()
        layer = Admission(concurrency=Concurrency(max=100))
        call = layer.wrap(named, site())
        await results(ask(call, "good"))
        named.errors = {"bad": error}
        for _ in range(5):
            await results(ask(call, "bad"))
            await asyncio.sleep(10)
        return layer.limits["t"]

    assert simulate(main(OVERLOAD)) == 5
    error = CallError("http_status", "500", again=True, is_outage=True, status=500)
    assert simulate(main(error)) == 10


def test_it_does_not_grow_when_nobody_needs_it() -> None:
    """Five at once never use 80% of more than ten."""

    async def main() -> None:
        server = Server(1000)
        layer = Admission(concurrency=Concurrency(max=200))
        call = layer.wrap(server.call, site())
        await load(call, 5, now() + 60)
        assert layer.limits == {"t": 10}
        burst = start(call, 100)
        await asyncio.sleep(0.05)
        assert server.in_progress == 10
        await asyncio.gather(*burst)

    simulate(main())


def test_a_target_without_a_limit() -> None:
    """What has no concurrency says so."""

    async def main() -> None:
        layer = Admission()
        assert layer.limits == {}
        await layer.wrap(Named(), site())(Asked(), Stay())
        assert layer.limits == {"t": None}

    simulate(main())


def test_bounds() -> None:
    """min is at most max."""
    with pytest.raises(ValueError, match="min"):
        Concurrency(max=3, min=4)
