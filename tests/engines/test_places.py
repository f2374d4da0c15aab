"""Places: the oldest call that could start goes first, new records last, and none is lost."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from simulated import settle, workshop

from streamproc.counters import StageMetrics
from streamproc.engines.capacity import CapacityLimiter
from streamproc.engines.slot import Slot
from streamproc.engines.workshop import Workshop
from streamproc.errors import Unfinished
from streamproc.interfaces import Site, Standing
from streamproc.policies.concurrency import FixedConcurrency
from streamproc.policies.gate import Gate
from streamproc.trials.clock import SimulatedLoop, simulate


class Shut:
    """A door with calls that lack a place only, and perhaps none any more when it is asked."""

    def __init__(self, room: CapacityLimiter, name: str, started: list[str]) -> None:
        self.room = room
        self.name = name
        self.started = started
        self.is_empty = False

    def start_next(self) -> bool:
        if not self.is_empty:
            self.started.append(self.name)
        return not self.is_empty


def test_the_oldest_call_goes_first_whatever_its_door() -> None:
    places, started = CapacityLimiter(1), list[str]()
    doors = {name: Shut(places, name, started) for name in "abc"}
    assert places.enter_nowait()
    for age, name in ((5, "a"), (3, "b"), (9, "c"), (3, "a")):
        assert not places.want(age, doors[name])
    for _ in range(4):
        places.leave()
    assert started == ["b", "a", "a", "c"]
    assert places.free == 0


def test_a_door_whose_call_has_left_leaves_the_place_to_the_next() -> None:
    places, started = CapacityLimiter(1), list[str]()
    first, second = (Shut(places, name, started) for name in "ab")
    places.enter_nowait()
    places.want(1, first)
    places.want(2, second)
    first.is_empty = True
    places.leave()
    assert (started, places.free) == (["b"], 0)
    second.is_empty = True
    places.want(2, second)
    places.leave()
    assert (started, places.free, places.taken) == (["b"], 1, 0)


def test_nobody_is_told_of_a_place_that_somebody_wants() -> None:
    """A place is told of that is left over."""
    started, told = list[str](), list[int]()
    places = CapacityLimiter(1, lambda: told.append(places.free))
    places.enter_nowait()
    places.want(1, Shut(places, "a", started))
    places.leave()
    assert (started, told) == (["a"], [])
    places.leave()
    assert told == [1]


def test_a_closed_one_starts_nothing() -> None:
    places, started = CapacityLimiter(1), list[str]()
    door = Shut(places, "a", started)
    places.enter_nowait()
    places.want(1, door)
    places.close()
    assert not places.want(2, door)
    places.leave()
    assert (started, places.free) == ([], 1)


def test_new_records_come_after_calls_that_wait() -> None:
    async def main() -> None:
        places, started = CapacityLimiter(1), list[str]()
        places.enter_nowait()
        records = [asyncio.create_task(places.enter()) for _ in range(2)]
        await settle()
        places.want(7, Shut(places, "a", started))
        places.leave()
        await settle()
        assert (started, [record.done() for record in records]) == (["a"], [False, False])
        for _ in range(2):
            places.leave()
            await settle()
        assert [record.done() for record in records] == [True, True]
        assert places.taken == 1

    simulate(main())


@pytest.mark.parametrize("moment", ["waiting", "granted"])
def test_a_record_that_is_cancelled_keeps_no_place(moment: str) -> None:
    """Also in the turn of the loop in which the place became its own."""

    async def main() -> None:
        places = CapacityLimiter(1)
        places.enter_nowait()
        first, second = (asyncio.create_task(places.enter()) for _ in range(2))
        await settle()
        if moment == "granted":
            places.leave()
        first.cancel()
        if moment == "waiting":
            await settle()
            places.leave()
        await settle()
        assert first.cancelled()
        assert second.done()
        places.leave()
        assert places.free == 1

    simulate(main())


class PlacesMachine(RuleBasedStateMachine):
    """Calls at two doors, and new records, against a list; the loop turns when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SimulatedLoop()
        self.places = CapacityLimiter(3)
        self.ages = itertools.count()
        self.tasks: list[asyncio.Task[Any]] = []
        self.gates: list[Gate] = []
        self.holding: set[asyncio.Task[Any]] = set()
        self.most = 0
        self.run(self._build())

    async def _build(self) -> None:
        site = Site("s", 30.0, StageMetrics())
        for limit in (1, 2):
            permits = FixedConcurrency(limit).permits()
            self.gates.append(Gate(f"t{limit}", site, None, None, permits))

    def run(self, job: Any) -> None:
        self.loop.run_until_complete(job)

    async def _call(self, gate: Gate, visit: Any) -> None:
        standing = Standing()
        try:
            await gate.wait(standing, visit)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                gate.gave_up(standing)
        finally:
            visit.release()

    async def _record(self) -> None:
        await self.places.enter()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.places.leave()

    @rule(k=st.integers(0, 1))
    def call(self, k: int) -> None:
        visit = Bare(self.places, next(self.ages))
        self.tasks.append(self.loop.create_task(self._call(self.gates[k], visit)))

    @rule()
    def record(self) -> None:
        self.tasks.append(self.loop.create_task(self._record()))

    @rule()
    def turn(self) -> None:
        self.run(asyncio.sleep(0))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """It is cancelled, wherever it is."""
        self.tasks.pop(data.draw(st.integers(0, len(self.tasks) - 1))).cancel()

    @invariant()
    def none_is_made_up(self) -> None:
        assert 0 <= self.places.free <= 3

    def teardown(self) -> None:
        self.run(settle())
        assert self.places.taken == min(3, len(self._could_start()))
        for task in self.tasks:
            task.cancel()
        self.run(settle())
        assert self.places.free == 3
        assert not self.places.wanting
        for limit, gate in zip((1, 2), self.gates, strict=True):
            assert gate.allowance.limit == limit
            assert gate.retire()
        self.loop.close()

    def _could_start(self) -> list[Any]:
        names = [task.get_coro().cr_frame.f_locals for task in self.tasks]
        found: list[Any] = [each for each in names if "gate" not in each]
        for limit, gate in zip((1, 2), self.gates, strict=True):
            found += [each for each in names if each.get("gate") is gate][:limit]
        return found


class Bare:
    """A visit without a place."""

    held_s = 0.0
    may_start = False

    def __init__(self, room: CapacityLimiter, age: int) -> None:
        self.room = room
        self.age = age

    def granted(self) -> None:
        assert not self.may_start
        self.may_start = True

    def release(self) -> None:
        if self.may_start:
            self.may_start = False
            self.room.leave()

    async def wait(self, turn: asyncio.Future[Any]) -> Any:
        if not turn.done():
            self.release()
        return await turn


TestPlaces = PlacesMachine.TestCase
TestPlaces.settings = settings(stateful_step_count=25)


# Slots


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=12))
def test_a_call_that_is_cancelled_at_any_moment_gives_its_place_back(
    calls: list[tuple[int, int]],
) -> None:
    """Begun and cancelled in different turns of the loop, in the engine's own slots."""

    async def main() -> None:
        async with workshop(2, 30.0) as shop:

            async def one(begins: int, ends: int) -> None:
                await _turns(begins)
                fork = shop.fork(_enters, begins)
                await _turns(ends)
                fork.cancel()

            await asyncio.gather(*[one(*each) for each in calls])
            await settle()
            assert shop.places.free == 2
            assert not shop.tasks
            assert not shop.waits
            assert not shop.sweeper.slots

    simulate(main())


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _enters(visit: Any) -> None:
    assert isinstance(visit, Slot)
    await visit.enter()
    assert visit.has_place
    await _turns(5)
    await visit.pause(0)
    assert not visit.has_place
    await visit.enter()
    await _turns(5)


def test_a_shop_that_winds_down_cuts_waits_short() -> None:
    """Those for a place, too; who has one and is not in a call starts none."""

    async def main(shop: Workshop) -> None:
        waits = [shop.fork(_enters, k).answer for k in range(5)]
        await settle()
        shop.wind_down()
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
        assert {type(each) for each in outcomes} <= {Unfinished, type(None)}
        assert Unfinished in {type(each) for each in outcomes}
        assert shop.places.free == 2

    async def whole() -> None:
        async with workshop(2, 30.0) as shop:
            await main(shop)

    simulate(whole())
