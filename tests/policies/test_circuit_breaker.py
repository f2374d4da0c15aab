"""The circuit breaker, in simulated time."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from simulated import (
    BUSY,
    OUTAGE,
    REFUSED,
    Asked,
    Stay,
    Target,
    counted,
    now,
    results,
    settle,
    simulate,
    site,
    start,
)  # fmt: skip

from streamproc.engines.places import Places
from streamproc.errors import CallError, CircuitOpenError, UnavailableError
from streamproc.interfaces import Inner, Layer
from streamproc.policies.admission import Admission
from streamproc.policies.circuit import PROBES, Circuit, State
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.concurrency import FixedConcurrency
from streamproc.policies.rate_limit import RateLimit
from streamproc.policies.retry import Retry
from streamproc.policies.stack import stack
from streamproc.units import Rate


def circuit(**more: Any) -> Circuit:
    defaults = {
        "window_s": 30.0, "failure_ratio": 0.5, "min_calls": 20, "consecutive": 10,
        "open_s": 5.0, "max_open_s": 60.0,
    }  # fmt: skip
    return Circuit(**defaults | more)


async def _ask(call: Inner, key: bytes) -> Any:
    return await call(Asked(key=key), Stay())


async def opened(call: Inner, target: Target) -> float:
    """Ten failures in a row, then the target is well again; returns when."""
    target.error = OUTAGE
    await results(start(call, 10))
    target.error = None
    return now()


# The state machine


@pytest.mark.parametrize(
    ("pattern", "gap_s", "opens_at"),
    [
        ("x" * 10, 0.0, 9),
        ("x" * 10, 100.0, 9),
        ("x" * 9 + "." + "x" * 8, 0.0, None),
        ("x" * 9 + "." + "x" * 9 + "." + "x", 0.0, 20),  # 19 of 21, never ten in a row
        ("x." * 10 + "x", 0.1, 20),  # eleven of 21: what opens it is a failure
        ("x." * 9 + "...x", 0.1, None),  # ten of 22
        ("x." * 200, 1.4, 20),  # 21 of them within the window
        ("x." * 200, 1.6, None),  # nineteen at most
        ("." * 30 + "x." * 16, 0.99, 60),  # the window forgets the good time before
        ("." * 30 + "x." * 9, 0.99, None),
        ("." + "x" * 20, 0.002, 13),  # ten within 20 ms of a success may be no row
    ],
)
def test_when_it_opens(pattern: str, gap_s: float, opens_at: int | None) -> None:
    """10 in a row at any pace, or half of at least 20 calls within 30 s."""
    one, at = circuit(), 1000.0
    for k, letter in enumerate(pattern):
        if letter == ".":
            assert not one.succeeded(0, at)
        elif one.failed(0, at):
            assert k == opens_at
            return
        at += gap_s
    assert opens_at is None


def test_how_long_it_stays_open() -> None:
    """5 s, 10, 20, 40, 60, 60, each within 20%, not always the same; 5 s again once it closed."""
    one, seen = circuit(consecutive=1), set()
    for _ in range(2):
        for expected in (5, 10, 20, 40, 60, 60):
            assert one.failed(one.epoch, 0.0)
            assert expected * 0.8 <= one.delay_s <= expected * 1.2
            seen.add(one.delay_s)
            one.half_open()
        for _ in range(PROBES):
            assert one.admit()
            assert one.open_since == 0.0
            one.succeeded(one.epoch, 0.0)
        assert one.state is State.CLOSED
        assert one.open_since is None
    assert len(seen) == 12


def test_a_half_open_circuit_has_three_permits() -> None:
    """Three calls go through; a permit that comes back is good for another one."""
    one = circuit(consecutive=1)
    one.failed(0, 0.0)
    assert not one.admit()
    one.half_open()
    assert [one.admit() for _ in range(4)] == [True, True, True, False]
    assert one.gave_up(one.epoch)
    assert [one.admit(), one.admit()] == [True, False]


def test_what_belongs_to_an_earlier_epoch_counts_for_nothing() -> None:
    """Neither in an open circuit, nor a half-open one, nor in one that closed again."""
    one = circuit()
    for _ in range(10):
        one.failed(0, 0.0)
    assert one.state is State.OPEN
    assert not one.failed(0, 0.0)
    assert not any(one.succeeded(0, 0.0) for _ in range(5))
    one.half_open()
    assert not one.failed(0, 0.0)
    assert not any(one.succeeded(0, 0.0) for _ in range(5))
    assert not one.gave_up(0)
    assert (one.state, one.permits) == (State.HALF_OPEN, 3)
    half = one.epoch
    for _ in range(3):
        one.admit()
        one.succeeded(half, 0.0)
    assert one.state is State.CLOSED
    assert not any(one.failed(epoch, 0.0) for epoch in (0, half) for _ in range(30))
    assert one.state is State.CLOSED


# The layer


def test_ten_failures_in_a_row_open_it_and_records_wait() -> None:
    """Nobody is called for at least 4 s, then three probes close it, and nobody has failed."""

    async def main() -> None:
        target, where = Target(), site()
        inner, begun = counted(target.answer)
        call = CircuitBreaker().wrap(inner, where)
        at = await opened(call, target)
        assert await results(start(call, 50)) == ["ok"] * 50
        after = [each - at for each in begun[10:]]
        assert 4.0 <= after[0] <= 6.0
        assert sum(each < after[0] + target.seconds / 2 for each in after) == 3
        assert where.counts.circuit_opened == 1

    simulate(main())


def test_first_come_first_served() -> None:
    """Records go on in the order in which they came to the closed door."""

    async def main() -> None:
        order: list[int] = []
        target = Target()

        async def inner(call: Any, visit: Any) -> Any:
            order.append(int(call.key()))
            return await target.answer()

        call = CircuitBreaker().wrap(inner, site())
        target.error = OUTAGE
        for _ in range(10):
            with pytest.raises(CallError):
                await call(Asked(key=b"0"), Stay())
        target.error = None
        asks = [call(Asked(key=b"%d" % k), Stay()) for k in range(30)]
        await asyncio.gather(*asks)
        assert order[10:] == list(range(30))

    simulate(main())


@pytest.mark.parametrize("error", [BUSY, REFUSED])
def test_what_is_no_outage_opens_nothing(error: CallError) -> None:
    """429 and other refusals come from a target that is alive."""

    async def main() -> None:
        inner, begun = counted(Target(error).answer)
        where = site()
        await results(start(CircuitBreaker().wrap(inner, where), 100))
        assert (len(begun), where.counts.circuit_opened) == (100, 0)

    simulate(main())


@pytest.mark.parametrize(("error", "calls"), [(REFUSED, 3), (BUSY, 12), (OUTAGE, 3)])
def test_what_a_probe_proves(error: CallError, calls: int) -> None:
    """A 400: the target is back. A 429: nothing, the next may try. An outage: stay away."""

    async def main() -> None:
        target = Target()
        inner, begun = counted(target.answer)
        call = CircuitBreaker().wrap(inner, site())
        await opened(call, target)
        target.error = error
        tasks = start(call, 12)
        await asyncio.sleep(6.5)
        if error is REFUSED:
            assert len(begun) == 10 + 12
            assert now() - begun[-1] < 6.5 - 4
        else:
            assert len(begun) == 10 + calls
        for task in tasks:
            task.cancel()
        await results(tasks)

    simulate(main())


def test_every_target_has_its_own() -> None:
    """One that is down says nothing about the others."""

    async def main() -> None:
        target = Target()
        inner, begun = counted(target.answer)
        call = CircuitBreaker().wrap(inner, site())
        at = await opened(call, target)
        assert await results(start(call, 5, target="other")) == ["ok"] * 5
        assert begun[10:] == [at] * 5

    simulate(main())


def test_time_spent_at_the_door_is_held_time() -> None:
    """Neither attempts nor elapsed time are charged for it."""

    async def main() -> None:
        target, visit = Target(), Stay()
        inner, begun = counted(target.answer)
        call = CircuitBreaker().wrap(inner, site())
        at = await opened(call, target)
        await call(Asked(), visit)
        assert visit.held_s == pytest.approx(begun[-1] - at)
        assert visit.attempts == 1

    simulate(main())


def test_a_target_that_stays_away_ends_the_run() -> None:
    """After `max_wait` since it first opened everybody hears of it, who comes later too."""

    async def main() -> None:
        inner, begun = counted(Target(OUTAGE).answer)
        where = site()
        call = stack([Retry(attempts=9), CircuitBreaker(max_wait=60)], inner, where)
        tasks = start(call, 20)
        began = now()
        assert {type(result) for result in await results(tasks)} == {UnavailableError}
        assert 60 <= now() - began <= 61
        assert len(begun) <= 20 + 5 * PROBES
        assert where.counts.circuit_opened >= 3
        with pytest.raises(UnavailableError, match=r"s: t has been unavailable for 6\d s .*503"):
            await call(Asked(), Stay())

    simulate(main())


def test_with_a_fallback_it_does_not_wait() -> None:
    """An open circuit is said at once, and so is a half-open one without a permit."""

    async def main() -> None:
        target = Target()
        inner, begun = counted(target.answer)
        call = CircuitBreaker().wrap(inner, site(has_fallback=True))
        at = await opened(call, target)
        with pytest.raises(CircuitOpenError, match="503"):
            await call(Asked(), Stay())
        assert now() == at
        await asyncio.sleep(7)
        outcome = await results(start(call, 5))
        assert outcome[:3] == ["ok"] * 3
        assert {type(each) for each in outcome[3:]} == {CircuitOpenError}
        assert await results(start(call, 5)) == ["ok"] * 5
        assert len(begun) == 18

    simulate(main())


# Cancellation


def test_a_cancelled_probe_gives_its_permit_back() -> None:
    """Three probes that hang and are cancelled make room for others; the rest is not stuck."""

    async def main() -> None:
        target = Target()
        inner, _ = counted(target.answer)
        call = CircuitBreaker().wrap(inner, site())
        await opened(call, target)
        target.seconds = 1000
        probes, others = start(call, 3), start(call, 20)
        await asyncio.sleep(10)
        target.seconds = 0.01
        for probe in probes:
            probe.cancel()
        assert await results(others) == ["ok"] * 20
        await asyncio.wait(probes)

    simulate(main())


@pytest.mark.parametrize("when", ["before", "with", "after"])
def test_who_is_cancelled_at_the_door_keeps_nobody_out(when: str) -> None:
    """Before it is let in, in the very moment, and right after."""

    async def main() -> None:
        target, where = Target(), site()
        inner, begun = counted(target.answer)
        call = CircuitBreaker().wrap(inner, where)
        await opened(call, target)
        at, gate = now(), where.gate.is_shut
        assert isinstance(gate, Doors)
        first, others = start(call, 3), start(call, 5)
        await settle()
        half_open_at = at + gate["t"].circuit.delay_s
        moments = {
            "before": at,
            "with": math.nextafter(half_open_at, math.inf),  # the next timer of the same turn
            "after": half_open_at + target.seconds / 2,
        }
        for task in first:
            asyncio.get_running_loop().call_at(moments[when], task.cancel)
        assert await results(others) == ["ok"] * 5
        assert all(isinstance(each, asyncio.CancelledError) for each in await results(first))
        assert len(begun) == 10 + 5 + 3 * (when == "after")

    simulate(main())


# Looking again


INSIDE = {
    "a token": [Admission(rate=RateLimit(limit=Rate(0.5)))],
    "a slot": [FixedConcurrency(1)],
    "a token and a slot": [Admission(rate=RateLimit(limit=Rate(0.5))), FixedConcurrency(1)],
}


@pytest.mark.parametrize("waits_for", INSIDE)
def test_who_waited_inside_looks_again(waits_for: str) -> None:
    """Behind the breaker when it opened: not called before the probes, nor beside them."""

    async def main() -> None:
        target = Target(OUTAGE, seconds=0.5)
        inner, begun = counted(target.answer)
        where = site()
        breaker = CircuitBreaker(consecutive=1)
        call = stack([Retry(), breaker, *INSIDE[waits_for]], inner, where)
        tasks = start(call, 30)
        await asyncio.sleep(60)
        assert where.counts.circuit_opened >= 2
        # one call, then probes: never anybody who just had waited for long enough
        assert len(begun) <= 1 + PROBES * (where.counts.circuit_opened - 1) + PROBES
        target.error = None
        assert await results(tasks) == ["ok"] * 30

    simulate(main())


def test_a_pause_is_no_way_around_the_breaker() -> None:
    """Who waited for a pause while the circuit opened waits for the circuit, too."""

    async def main() -> None:
        asked: list[tuple[bytes, float]] = []

        async def inner(call: Any, visit: Any) -> Any:
            visit.begin(None)
            asked.append((call.key(), now()))
            if call.key() == b"slow":
                await asyncio.sleep(0.5)
                raise OUTAGE
            if call.key() == b"paused":
                raise CallError("throttled", "429", again=True, throttled=True, after_s=3.0)
            return "ok"

        layers: list[Layer] = [CircuitBreaker(consecutive=1, open=20), Admission()]
        call = stack(layers, inner, site())
        failing = [asyncio.create_task(_ask(call, key)) for key in (b"slow", b"paused")]
        await settle()
        assert await results(start(call, 5)) == ["ok"] * 5
        assert {type(each) for each in await results(failing)} == {CallError}
        opened_at = asked[0][1] + 0.5
        assert [at - opened_at >= 16 for _, at in asked] == [False] * 2 + [True] * 5

    simulate(main())


def test_who_was_let_in_and_waited_for_a_place_looks_again() -> None:
    """The circuit closes, all are let in, one at a time, and it opens again: the rest waits."""

    async def main() -> None:
        target, places, where = Target(), Places(1), site()
        inner, begun = counted(target.answer)
        call = CircuitBreaker(consecutive=2).wrap(inner, where)
        await opened(call, target)

        async def record() -> Any:
            await places.enter()
            try:
                return await call(Asked(), Stay(places))
            finally:
                places.leave()

        tasks = [asyncio.create_task(record()) for _ in range(50)]
        while len(begun) < 10 + 5:  # noqa: ASYNC110 - three probes, and two after it closed
            await asyncio.sleep(0.001)
        target.error = OUTAGE
        await asyncio.sleep(1)
        assert where.counts.circuit_opened == 2
        assert len(begun) <= 10 + 5 + 2
        target.error = None
        assert (await results(tasks)).count("ok") >= 47

    simulate(main())


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [Admission(rate=RateLimit(limit=Rate(50)))],
        [FixedConcurrency(16)],
        [Admission(rate=RateLimit(limit=Rate(50))), FixedConcurrency(16)],
    ],
    ids=["alone", "rate", "concurrency", "both"],
)
def test_an_outage_of_twenty_seconds(layers: list[Layer]) -> None:
    """64 at once: no record fails, and at most 15 requests begin after the tenth failure."""

    async def main() -> None:
        began, begun, failures = now(), [], []
        places = Places(64)

        async def inner(call: Any, visit: Any) -> Any:
            visit.begin(None)
            begun.append(now())
            await asyncio.sleep(0.01)
            if 10 <= begun[-1] - began < 30:
                failures.append(now())
                raise OUTAGE
            return "ok"

        call = stack([Retry(), CircuitBreaker(), *layers], inner, site())

        async def consumer() -> None:
            while now() - began < 60:
                await places.enter()
                assert await call(Asked(), Stay(places)) == "ok"
                places.leave()
                await asyncio.sleep(0.1)

        await asyncio.gather(*[consumer() for _ in range(256)])
        tenth = failures[9]
        assert sum(tenth + 0.05 < at and at - began < 30 for at in begun) <= 15
        assert begun[-1] - began > 55

    simulate(main())
