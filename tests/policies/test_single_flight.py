"""Equal calls in flight are one call, with the engine's own visits; in simulated time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from simulated import OUTAGE, Asked, Named, now, settle, workshop

from streamproc.counters import StageMetrics
from streamproc.engines.workshop import Forked, Workshop
from streamproc.interfaces import Site
from streamproc.policies.admission import Admission
from streamproc.policies.cache import Cache, Caching
from streamproc.policies.deadline import Deadline
from streamproc.policies.stack import stack
from streamproc.trials.clock import simulate


class Records:
    """They ask through a cache, `places` of them at once."""

    def __init__(self, shop: Workshop, named: Named, *outer: Any) -> None:
        self.shop = shop
        self.named = named
        self.site = Site("s", 30.0, StageMetrics())
        self._cache = Caching(Cache())
        self.call = stack([*outer, self._cache, Admission()], named, self.site)

    async def __aenter__(self) -> Records:
        await self._cache.__aenter__()
        return self

    async def __aexit__(self, *exit_args: Any) -> None:
        await self._cache.__aexit__(None, None, None)

    def ask(self, name: str, count: int) -> list[Forked]:
        asked = Asked(key=name.encode())
        return [self.shop.fork(lambda visit: self.call(asked, visit), k) for k in range(count)]


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
            hurried = Deadline(0.5).wrap(records.call, records.site)
            fork = shop.fork(lambda visit: hurried(Asked(key=b"a"), visit), 9)
            (error,) = await outcomes([fork])
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
            Records(shop, named, Deadline(0.5)) as records,
        ):
            forks = [fork for name in "abcdefgh" for fork in records.ask(name, 25)]
            found = await outcomes(forks)
            assert {error.kind for error in found} == {"deadline"}
            assert now() < 1001
            await settle()
            assert (shop.places.free, shop.tasks, shop.abandoned) == (4, set(), 0)

    simulate(main())
