"""Equal calls in flight are one call, with the engine's own visits; in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from simulated import OUTAGE, Asked, Named, now, settle, site, workshop

from streamproc.counters import StageMetrics
from streamproc.engines.hands import Forked
from streamproc.engines.workshop import Workshop
from streamproc.interfaces import Site
from streamproc.policies.admission import Admission
from streamproc.policies.cache import Cache, Caching
from streamproc.policies.circuit_breaker import CircuitBreaker
from streamproc.policies.deadline import Deadline
from streamproc.policies.retry import RetryPolicy
from streamproc.policies.stack import stack
from streamproc.policies.timeout import Timeout
from streamproc.trials.clock import simulate
from streamproc.units import Seconds


class Records:
    """They ask through a cache, `places` of them at once."""

    def __init__(
        self, shop: Workshop, named: Named, *outer: Any, inner: Sequence[Any] = ()
    ) -> None:
        self.shop = shop
        self.named = named
        self.site = Site("s", 30.0, StageMetrics())
        self._cache = Caching(Cache())
        layers = [*outer, self._cache, *inner, Admission(CircuitBreaker()), Timeout()]
        self.call = stack(layers, named, self.site)

    async def __aenter__(self) -> Records:
        await self._cache.__aenter__()
        return self

    async def __aexit__(self, *exit_args: Any) -> None:
        await self._cache.__aexit__(None, None, None)

    def ask(self, name: str, count: int) -> list[Forked]:
        asked = Asked(key=name.encode())
        return [self.shop.fork(lambda visit: self.call(asked, visit), k) for k in range(count)]

    def within(self, limit_s: float, name: str) -> Forked:
        """One of them, with a deadline of its own."""
        call = Deadline(limit=Seconds(limit_s)).wrap(self.call, self.site)
        asked = Asked(key=name.encode())
        return self.shop.fork(lambda visit: call(asked, visit), 0)


async def outcomes(forks: list[Forked]) -> list[Any]:
    return await asyncio.gather(*[each.answer for each in forks], return_exceptions=True)


def test_one_call_for_all_who_ask_at_the_same_time() -> None:
    """They have its answer, or its error; who comes later asks again after an error only."""

    async def main() -> None:
        named = Named(OUTAGE, seconds=1.0)
        async with workshop(2, 30.0) as shop, Records(shop, named) as records:
            assert await outcomes(records.ask("a", 50)) == [OUTAGE] * 50
            named.error = None
            assert await outcomes(records.ask("a", 50)) == ["ok"] * 50
            assert await outcomes(records.ask("a", 50)) == ["ok"] * 50
            assert len(named.begun) == 2
            assert records.site.counts.coalesced == 49 * 2
            assert shop.places.free == 2

    simulate(main())


def test_who_waits_for_it_needs_no_place() -> None:
    """One place: the call has it, and all others wait without."""

    async def main() -> None:
        named = Named(seconds=1.0)
        async with workshop(1, 30.0) as shop, Records(shop, named) as records:
            first, second = records.ask("a", 20), records.ask("b", 20)
            assert await outcomes(first + second) == ["ok"] * 40
            assert named.names() == ["a", "b"]
            assert now() == pytest.approx(1002.0)

    simulate(main())


@pytest.mark.parametrize("who", [0, 1, 4])
def test_a_caller_that_is_cancelled_cancels_only_itself(who: int) -> None:
    """Also the one who came first."""

    async def main() -> None:
        named = Named(seconds=1.0)
        async with workshop(2, 30.0) as shop, Records(shop, named) as records:
            forks = records.ask("a", 5)
            await asyncio.sleep(0.5)
            forks.pop(who).cancel()
            assert await outcomes(forks) == ["ok"] * 4
            assert (len(named.begun), shop.places.free) == (1, 2)

    simulate(main())


@pytest.mark.parametrize("after_s", [0.0, 0.5])
def test_the_last_one_cancels_the_call(after_s: float) -> None:
    """Its place is free at once, and who asks then begins another call."""

    async def main() -> None:
        named = Named(seconds=1000.0)
        async with workshop(1, 30.0) as shop, Records(shop, named) as records:
            forks = records.ask("a", 5)
            await settle()
            await asyncio.sleep(after_s)
            for fork in forks:
                fork.cancel()
            named.seconds = 1.0
            more = records.ask("a", 3)
            await settle()
            assert shop.places.taken == 1
            assert await outcomes(more) == ["ok"] * 3
            assert len(named.begun) == 2
            assert (shop.places.free, shop.tasks) == (1, set())

    simulate(main())


def test_a_deadline_is_the_callers_own() -> None:
    """One whose time is over leaves; the others have the answer."""

    async def main() -> None:
        named = Named(seconds=1.0)
        async with workshop(1, 0.5, 30.0) as shop, Records(shop, named) as records:
            patient = records.ask("a", 2)
            (error,) = await outcomes([records.within(0.5, "a")])
            assert (error.kind, now()) == ("deadline", pytest.approx(1000.5, abs=0.1))
            assert await outcomes(patient) == ["ok"] * 2
            assert (len(named.begun), shop.places.free) == (1, 1)

    simulate(main())


def test_callers_with_deadlines_and_a_target_that_hangs() -> None:
    """More of them than places: all end in time, none is left over, and no place is lost."""

    async def main() -> None:
        named = Named(seconds=10_000.0)
        async with (
            workshop(4, 0.5, 30.0) as shop,
            Records(shop, named, Deadline(limit=Seconds(0.5))) as records,
        ):
            forks = [fork for name in "abcdefgh" for fork in records.ask(name, 25)]
            found = await outcomes(forks)
            assert {error.kind for error in found} == {"deadline"}
            assert now() < 1001
            await settle()
            assert (shop.places.free, shop.tasks, shop.abandoned) == (4, set(), 0)

    simulate(main())


def test_a_target_that_is_too_slow_for_all_of_them_is_an_outage() -> None:
    """Nobody asked for long enough to see a timeout: what they heard until then counts."""

    async def main() -> None:
        named = Named(seconds=10_000.0)
        async with (
            workshop(4, 0.5, 30.0) as shop,
            Records(shop, named, Deadline(limit=Seconds(0.5))) as records,
        ):
            for name in map(str, range(30)):
                await outcomes(records.ask(name, 2))
            assert len(named.begun) < 20
            assert (shop.places.free, shop.tasks, shop.abandoned) == (4, set(), 0)

    simulate(main())


def test_a_call_has_as_much_time_as_who_has_most() -> None:
    """A back-off that ends later is not begun: who would wait for it is gone by then."""

    async def main() -> None:
        named = Named(OUTAGE, seconds=0.1)
        long_s = cast("Seconds", 1e6)
        retry = RetryPolicy(base=long_s, max_delay=long_s, max_elapsed=long_s)
        async with workshop(4, 30.0) as shop, Records(shop, named, inner=[retry]) as records:
            first = [records.within(limit_s, "a") for limit_s in (5.0, 20.0, 10.0)]
            assert await outcomes(first) == [OUTAGE] * 3
            assert now() == pytest.approx(1000.1)
            with_time = records.within(5.0, "b"), records.ask("b", 1)[0]
            await asyncio.sleep(60.0)
            assert [each.answer.done() for each in with_time] == [True, False]

    simulate(main())


async def _in_turn(shop: Workshop, records: Records, *names: str) -> list[Any]:
    """Records that come with a place each, one after the other, and ask twice."""
    kept: list[bool] = []

    def one(name: str, age: int) -> Forked:
        async def both(visit: Any) -> None:
            await visit.enter()
            await records.call(Asked(key=name.encode()), visit)
            kept.append(visit.has_place)
            await records.call(Asked(key=name.upper().encode()), visit)

        return shop.fork(both, age)

    await outcomes([one(name, age) for age, name in enumerate(names)])
    return kept


def test_a_place_goes_to_the_call_and_back() -> None:
    """Who came with a place keeps it: no later record comes between, nor before the next call."""

    async def main() -> None:
        named = Named(seconds=1.0)
        async with workshop(1, 30.0) as shop, Records(shop, named) as records:
            assert await _in_turn(shop, records, "a", "b", "c") == [True] * 3
            assert named.names() == ["a", "A", "b", "B", "c", "C"]
            assert now() == pytest.approx(1006.0)
            assert shop.places.free == 1

    simulate(main())


@pytest.mark.parametrize("turns", [1, 20])
def test_nobody_waits_for_a_call_that_is_cancelled(turns: int) -> None:
    """By whoever ends all tasks, also before it began."""

    async def main() -> None:
        named = Named(seconds=1000.0)
        async with workshop(4, 30.0) as shop, Records(shop, named) as records:
            forks = records.ask("a", 5)
            for _ in range(turns):  # after the first one the callers have begun
                await asyncio.sleep(0)
            callers = {fork.hand.slot.task for fork in forks}
            for task in shop.tasks - callers:
                task.cancel()
            found = await asyncio.wait_for(outcomes(forks), 10.0)
            assert [type(each) for each in found] == [asyncio.CancelledError] * 5
            await settle()
            assert (shop.places.free, shop.tasks) == (4, set())

    simulate(main())


def test_who_gives_up_has_the_attempts_so_far() -> None:
    """Others may have more time, and the call goes on."""

    async def main() -> None:
        async def hang(call: Any, visit: Any) -> None:
            await asyncio.sleep(10_000.0)

        attempts: list[int] = []
        limit = Deadline(limit=cast("Seconds", 2.0))
        async with Cache().opened(site()) as cache, workshop(4, 30.0) as shop:
            call = stack([limit, cache, Admission(), Timeout()], hang, site())

            async def ask(visit: Any) -> None:
                try:
                    await call(Asked(), visit)
                finally:
                    attempts.append(visit.attempts)

            forks = [shop.fork(ask, 0)]
            await asyncio.sleep(1.0)
            forks.append(shop.fork(ask, 1))
            await asyncio.gather(*[each.answer for each in forks], return_exceptions=True)
            assert attempts == [1, 1]

    simulate(main())
