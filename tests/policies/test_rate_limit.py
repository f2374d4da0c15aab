"""Rate limit and pauses, in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import Asked, Stay, counted, now, site

from streamproc.errors import CallError, CircuitOpenError, UnavailableError
from streamproc.policies.admission import Admission
from streamproc.policies.bucket import Bucket, StrictBucket
from streamproc.policies.rate_limit import RateLimit
from streamproc.trials.clock import simulate
from streamproc.units import Rate


async def instant() -> str:
    return "ok"


async def run_all(call: Any, count: int) -> None:
    await asyncio.gather(*[call(Asked(), Stay()) for _ in range(count)])


def most_in_window(times: list[float], window_s: float = 1.0) -> int:
    return max(sum(a <= b < a + window_s - 1e-9 for b in times) for a in times)


@pytest.mark.parametrize(("rate", "count"), [("500/s", 2000), ("600/min", 100), ("0.5/s", 5)])
def test_the_rate_is_kept_and_used(rate: str, count: int) -> None:
    """Within 1% of the rate, and no window has more than rate and burst."""

    async def main() -> None:
        limit = RateLimit(limit=Rate.parse(rate))
        inner, begun = counted(instant)
        where = site()
        await run_all(Admission(rate=limit).wrap(inner, where), count)
        burst = max(1.0, limit.limit * 0.1)
        assert (begun[-1] - begun[0]) * limit.limit == pytest.approx(count - burst, rel=0.01, abs=1)
        assert most_in_window(begun) <= limit.limit + burst + 1
        assert where.counts.rate_limited >= count - burst - 1

    simulate(main())


def test_first_come_first_served() -> None:
    """Who waits longest goes first; a newcomer does not overtake."""

    async def main() -> None:
        order = []

        async def inner(call: Any, visit: Any) -> None:
            order.append(call.key())

        call = Admission(rate=RateLimit(limit=Rate(10))).wrap(inner, site())
        tasks = []
        for k in range(30):
            tasks.append(asyncio.create_task(call(Asked(key=b"%d" % k), Stay())))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
        assert order == [b"%d" % k for k in range(30)]

    simulate(main())


def test_who_is_cancelled_takes_nothing() -> None:
    """Half of the line leaves it; the others get every token."""

    async def main() -> None:
        inner, begun = counted(instant)
        call = Admission(rate=RateLimit(limit=Rate(10))).wrap(inner, site())
        tasks = [asyncio.create_task(call(Asked(), Stay())) for _ in range(41)]
        await asyncio.sleep(0.001)
        for task in tasks[1::2]:
            task.cancel()
        await asyncio.wait(tasks)
        assert len(begun) == 21
        assert begun[-1] - begun[0] == pytest.approx(2.0, abs=0.02)

    simulate(main())


@given(
    count=st.integers(1, 20),
    period_s=st.sampled_from([0.5, 1.0, 60.0]),
    gaps=st.lists(st.floats(0, 2), max_size=200),
)
def test_strict_is_strict(count: int, period_s: float, gaps: list[float]) -> None:
    """No window of the period ever has more, whatever the arrivals."""
    bucket, at, taken = StrictBucket(count, period_s), 0.0, []
    for gap in gaps:
        at += gap
        if bucket.take(at):
            taken.append(at)
        else:
            assert bucket.wait_s(at) > 0
    for first in taken:
        assert sum(first <= t < first + period_s for t in taken) <= count


def test_debt() -> None:
    """More than the bucket holds is let through when it is full, and paid off afterwards."""
    bucket = Bucket(10, 5)
    assert bucket.take(0.0, 50)
    assert not bucket.take(0.0)
    assert bucket.wait_s(0.0, 1) == pytest.approx(4.6)
    assert bucket.wait_s(0.0, 1000) == pytest.approx(5.0)
    assert not bucket.take(4.5)
    assert bucket.take(4.7)


def test_a_burst_is_at_most_a_second_worth() -> None:
    """More would not be a rate any more."""
    assert RateLimit(limit=Rate(100), burst=100).burst == 100
    with pytest.raises(ValueError, match="at most 100"):
        RateLimit(limit=Rate(100), burst=101)


def test_a_pause_is_for_everybody() -> None:
    """After a 429 with Retry-After nobody calls before, then everybody within 10% or 1 s."""

    async def main() -> None:
        calls: list[float] = []

        async def inner(call: Any, visit: Any) -> str:
            calls.append(now())
            if len(calls) == 1:
                raise CallError("throttled", "429", again=True, throttled=True, after_s=30.0)
            return "ok"

        visits = [Stay() for _ in range(20)]
        call = Admission().wrap(inner, site())
        with pytest.raises(CallError):
            await call(Asked(), Stay())
        until = now() + 30
        await asyncio.gather(*[call(Asked(), visit) for visit in visits])
        assert until <= min(calls[1:])
        assert max(calls[1:]) <= until + 1.01  # the clocks of loops are coarse
        assert all(visit.held_s >= 30 for visit in visits)
        assert len(set(calls[1:])) > 1
        begun = now()
        await call(Asked("other"), Stay())
        assert now() == begun

    simulate(main())


def test_a_pause_that_is_too_long() -> None:
    """Beyond `max_wait` the run ends and names the value; with a fallback it takes that."""

    async def main(after_s: float, **more: Any) -> None:
        async def inner(call: Any, visit: Any) -> str:
            raise CallError("throttled", "429", again=True, throttled=True, after_s=after_s)

        call = Admission().wrap(inner, site(**more))
        with pytest.raises(CallError):
            await call(Asked(), Stay())
        await call(Asked(), Stay())

    with pytest.raises(UnavailableError, match="1000 s"):
        simulate(main(1000.0))
    with pytest.raises(CircuitOpenError):
        simulate(main(200.0, has_fallback=True))


def test_a_pause_stops_the_bucket() -> None:
    """Who waited for a token when the pause came waits for its end, then pays the rate again."""

    async def main() -> None:
        calls: list[float] = []

        async def inner(call: Any, visit: Any) -> str:
            calls.append(now())
            if len(calls) == 5:
                raise CallError("throttled", "429", again=True, throttled=True, after_s=10.0)
            return "ok"

        call = Admission(rate=RateLimit(limit=Rate(10), burst=1)).wrap(inner, site())
        tasks = [asyncio.create_task(call(Asked(), Stay())) for _ in range(30)]
        await asyncio.wait(tasks)
        assert len(calls) == 30
        assert calls[5] - calls[4] >= 10
        assert most_in_window(calls[5:]) <= 12

    simulate(main())
