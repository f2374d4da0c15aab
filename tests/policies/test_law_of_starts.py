"""A start takes place, permit, circuit and token at the same moment; who waits holds none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from simulated import (
    OUTAGE,
    Asked,
    Named,
    Stay,
    ask,
    now,
    results,
    settle,
    site,
    start,
    workshop,
)  # fmt: skip

from streamproc.errors import CallError
from streamproc.interfaces import CallWaited, RecheckError
from streamproc.interfaces.observers import Nobody
from streamproc.policies.admission import Admission
from streamproc.policies.circuit import PROBES
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.concurrency import FixedConcurrency
from streamproc.policies.rate_limit import RateLimit
from streamproc.policies.retry import RetryPolicy
from streamproc.policies.stack import stack
from streamproc.trials.clock import simulate
from streamproc.units import Rate

LATER = CallError("throttled", "429", again=True, throttled=True, after_s=3.0, status=429)


def slow() -> RateLimit:
    return RateLimit(limit=Rate(0.5))


WAITS: dict[str, dict[str, Any]] = {
    "a token": {"rate": slow()},
    "a permit": {"concurrency": FixedConcurrency(1)},
    "a token and a permit": {"rate": slow(), "concurrency": FixedConcurrency(1)},
}


@pytest.mark.parametrize("waits_for", WAITS)
def test_nobody_starts_through_an_open_circuit(waits_for: str) -> None:
    """Whatever else it waited for when it opened: three probes each time, and nobody else."""

    async def main() -> None:
        named, where = Named(OUTAGE, seconds=0.5), site()
        layer = Admission(CircuitBreaker(consecutive=1), **WAITS[waits_for])
        tasks = start(stack([RetryPolicy(), layer], named, where), 30)
        await asyncio.sleep(60)
        assert where.counts.circuit_opened >= 2
        assert len(named.begun) <= 1 + PROBES * where.counts.circuit_opened
        named.error = None
        assert await results(tasks) == ["ok"] * 30

    simulate(main())


def test_nobody_writes_through_a_circuit_that_opened_while_it_connected() -> None:
    """The connection is there, the circuit is not: the call waits like all others."""

    async def main() -> None:
        written: list[tuple[str, float]] = []

        async def send(call: Any, visit: Any) -> None:
            name, standing = call.key().decode(), call.standing
            visit.begin(None)
            standing.gate.postpone(standing)
            await asyncio.sleep(1.0 if name == "connecting" else 0.0)
            if not standing.gate.may_write(standing):
                raise RecheckError
            written.append((name, now()))
            if name == "down":
                raise OUTAGE

        call = Admission(CircuitBreaker(consecutive=1)).wrap(send, site())
        begun = now()
        assert await results(ask(call, "connecting", "down")) == [None, OUTAGE]
        (first, _), (second, at) = written
        assert (first, second) == ("down", "connecting")
        assert at - begun >= 4

    simulate(main())


def test_a_pause_is_no_way_around_the_circuit() -> None:
    """Who waited for a pause while the circuit opened waits for the circuit, too."""

    async def main() -> None:
        named = Named()
        named.takes_s = {"slow": 0.5}
        named.errors = {"slow": OUTAGE, "paused": LATER}
        call = CircuitBreaker(consecutive=1, open=20).wrap(named, site())
        failing = ask(call, "slow", "paused")
        await asyncio.sleep(0.1)
        assert await results(ask(call, *"abcde")) == ["ok"] * 5
        assert await results(failing) == [OUTAGE, LATER]
        opened_at = 1000.5
        assert [at - opened_at >= 16 for at in named.times()] == [False] * 2 + [True] * 5

    simulate(main())


def test_a_circuit_is_no_way_around_a_pause() -> None:
    """It would be half-open long before the pause is over."""

    async def main() -> None:
        named = Named(OUTAGE)
        named.errors = {"paused": CallError("throttled", "429", throttled=True, after_s=60.0)}
        named.takes_s = {"paused": 0.1}
        call = CircuitBreaker().wrap(named, site())
        await results(ask(call, "paused", *[f"{k}" for k in range(11)]))
        named.error = None
        assert await results(ask(call, *"abcde")) == ["ok"] * 5
        assert named.times()[12] >= 1060.1

    simulate(main())


def test_who_waits_for_a_place_holds_no_permit_and_no_token() -> None:
    """One place, which is taken: five wait for it, and who has a place of its own starts."""

    async def main() -> None:
        named = Named()
        layer = Admission(rate=RateLimit(limit=Rate(1), burst=1), concurrency=FixedConcurrency(1))
        call = layer.wrap(named, site())
        async with workshop(1, 30.0) as shop:
            assert shop.places.enter_nowait()
            forks = [shop.fork(lambda visit: call(Asked(), visit), k) for k in range(5)]
            await settle()
            at = now()
            await asyncio.sleep(10)
            assert named.begun == []
            shop.places.leave()
            await asyncio.gather(*[fork.answer for fork in forks])
            assert named.times() == pytest.approx([at + 10 + k for k in range(5)], abs=0.01)
            assert shop.places.free == 1

    simulate(main())


def test_who_waits_for_a_token_leaves_its_place_to_others() -> None:
    """A target with a rate does not hold up another one."""

    async def main() -> None:
        named = Named()
        rated = RateLimit(limit=Rate(1), burst=1).wrap(named, site())
        other = Admission().wrap(named, site())
        async with workshop(1, 30.0) as shop:
            slow = [shop.fork(lambda visit: rated(Asked(), visit), k) for k in range(5)]
            fast = [shop.fork(lambda visit: other(Asked("o"), visit), k) for k in range(5, 55)]
            at = now()
            await asyncio.gather(*[fork.answer for fork in fast])
            assert now() - at < 1
            await asyncio.gather(*[fork.answer for fork in slow])
            assert now() - at == pytest.approx(4, abs=0.1)

    simulate(main())


@pytest.mark.parametrize("strict", [False, True])
def test_who_is_cancelled_spends_no_token(strict: bool) -> None:
    """Nor in the turn of the loop in which it was granted: the others have every one."""

    async def main() -> None:
        named = Named()
        rate = RateLimit(limit=Rate(10), burst=None if strict else 1, strict=strict)
        call = rate.wrap(named, site())
        tasks = start(call, 61)
        for k, task in enumerate(tasks[1::2]):
            asyncio.get_running_loop().call_at(1000 + 0.1 * k, task.cancel)
        await results(tasks)
        begun = named.times()
        assert 31 <= len(begun) <= 61
        assert begun[-1] - begun[0] <= (len(begun) - 1) / 10 + 0.6
        assert all(
            sum(at <= each < at + 0.999 for each in begun) <= 10 + (not strict) for at in begun
        )

    simulate(main())


@pytest.mark.parametrize("limits", [{"concurrency": FixedConcurrency(1)}, {}])
def test_who_is_cancelled_as_it_starts_leaves_its_turn_to_the_next(limits: dict[str, Any]) -> None:
    """It heard of the end in the turn of the loop in which it got permit and place."""

    async def main() -> None:
        named = Named(seconds=1.0)
        call = Admission(**limits).wrap(named, site())
        async with workshop(1, 30.0) as shop:
            forks = {
                name: shop.fork(lambda visit, name=name: call(Asked(key=name.encode()), visit), k)
                for k, name in enumerate("abc")
            }
            await settle()
            assert named.names() == ["a"]
            forks["a"].answer.add_done_callback(lambda _: forks["b"].cancel())
            await asyncio.wait_for(forks["c"].answer, 10.0)
            assert named.names() == ["a", "c"]
            await settle()
            assert shop.places.free == 1

    simulate(main())


def test_the_oldest_starts_first_whatever_it_waited_for() -> None:
    """A record that comes back from its back-off is older than those which came meanwhile."""

    async def main() -> None:
        named = Named(seconds=1.0)
        call = FixedConcurrency(1).wrap(named, site())
        old = Stay()
        tasks = ask(call, "a", "b", "c")
        await settle()
        tasks.append(asyncio.create_task(call(Asked(key=b"old"), old)))
        await results(tasks)
        assert named.names() == ["a", "old", "b", "c"]

    simulate(main())


CALLS = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 8), st.sampled_from(["ok", "busy", "down", "slow"])),
    min_size=1,
    max_size=40,
)


@example([(2.5, 7.65, "down"), (0.0, 0.0, "ok"), (2.9, 2.25, "down"), (0.0, 0.92, "down")])
@given(calls=CALLS)
def test_all_of_it_comes_back(calls: list[tuple[float, float, str]]) -> None:
    """Begun and cancelled at random, with everything on: limits hold, and then all is free."""

    async def main() -> None:
        named = Named(seconds=0.2)
        named.errors = {"busy": LATER, "down": OUTAGE}
        named.takes_s = {"slow": 5.0}
        running = most = 0

        async def inner(call: Any, visit: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return await named(call, visit)
            finally:
                running -= 1

        layer = Admission(
            CircuitBreaker(consecutive=3), RateLimit(limit=Rate(20)), FixedConcurrency(3)
        )
        call = stack([RetryPolicy(), layer], inner, site())
        async with workshop(4, 30.0) as shop:

            async def one(begins_s: float, lasts_s: float, name: str) -> None:
                await asyncio.sleep(begins_s)
                fork = shop.fork(lambda visit: call(Asked(key=name.encode()), visit), 0)
                await asyncio.wait([fork.answer], timeout=lasts_s)
                fork.cancel()

            await asyncio.gather(*[one(*each) for each in calls])
            await settle()
            assert most <= 3
            assert (shop.places.free, shop.tasks, shop.waits) == (4, set(), set())
            await asyncio.sleep(100)  # pauses are over

            def ask() -> Any:
                return shop.fork(lambda visit: call(Asked(key=b"ok"), visit), 1)

            await ask().answer  # the probe, if the circuit was open
            await asyncio.sleep(1)
            before = len(named.begun)
            forks = [ask() for _ in range(6)]
            await asyncio.gather(*[fork.answer for fork in forks])
            assert named.times(before)[0] == named.times(before)[1]  # two tokens were there
            assert named.times(before)[5] - named.times(before)[0] <= 0.5

    simulate(main())


@pytest.mark.parametrize(("per_s", "expected"), [(1000, {"place"}), (0.5, {"rate_limited"})])
def test_what_is_told_of_a_wait_is_what_was_waited_for(per_s: float, expected: set[str]) -> None:
    """A place where tokens are there; what took no time is no wait."""
    told: list[CallWaited] = []

    class Ears(Nobody):
        wanted = frozenset({CallWaited})

        def tell(self, event: Any) -> None:
            told.append(event)

    async def main() -> None:
        where = site(audience=Ears())
        call = Admission(rate=RateLimit(limit=Rate(per_s))).wrap(Named(seconds=1.0), where)
        async with workshop(1, 30_000.0) as shop:
            forks = [shop.fork(lambda visit: call(Asked(), visit), 0) for _ in range(3)]
            await asyncio.wait([fork.answer for fork in forks])
        assert {each.reason for each in told} == expected
        assert all(each.seconds > 0 for each in told)

    simulate(main())
