"""While memory is short the oldest record goes on and the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.engines.headroom import Headroom
from streamproc.engines.share import MemoryShare
from streamproc.engines.state import (
    ABANDONED,
    CALLING,
    GATHERING,
    HELD,
    IDLE,
    JOINED,
    RUNNING,
    CallState,
)
from streamproc.memory import COPIES, Hold, Memory
from streamproc.trials.clock import simulate

WAITING = (IDLE, ABANDONED, GATHERING, JOINED)


class Slot:
    """As those of the engine, of which a headroom knows the age, the state and the share."""

    def __init__(self, age: int, state: CallState, headroom: Headroom) -> None:
        self.age, self.state, self.begun_s = age, state, 0.0
        me: Any = self
        self.share = MemoryShare(me, headroom)


class World:
    """Slots with a record each, the first one the oldest, and memory for 100 bytes."""

    def __init__(self, *states: CallState) -> None:
        self.slots: list[Any] = []
        self.headroom = Headroom(self.slots)
        self.memory = Memory(100 * COPIES)
        self.headroom.begin(self.memory)
        self.slots += [Slot(age, state, self.headroom) for age, state in enumerate(states)]

    def fill(self) -> None:
        self.memory.charge(100)


def test_with_room_nobody_waits() -> None:
    world = World(CALLING, CALLING)
    assert not any(world.headroom.holds_back(slot) for slot in world.slots)
    assert not world.headroom.holds_back_new()


@given(st.lists(st.sampled_from([RUNNING, CALLING, HELD, *WAITING]), min_size=1))
def test_when_it_is_short_the_oldest_that_is_under_way_goes_on_alone(
    states: list[CallState],
) -> None:
    """One that waits for a call beside it is not under way: that call may be a younger record's."""
    world = World(*states)
    world.fill()
    under_way = [slot for slot in world.slots if slot.state not in WAITING]
    going = [slot for slot in under_way if not world.headroom.holds_back(slot)]
    assert going == under_way[:1]
    at_work = [slot for slot in world.slots if slot.state not in (IDLE, ABANDONED)]
    assert world.headroom.holds_back_new() == bool(at_work)


@pytest.mark.parametrize("why", ["what is written makes room", "the parent says so"])
def test_all_wait_for_room_that_comes_by_itself(why: str) -> None:
    world = World(CALLING)
    world.fill()
    if why == "the parent says so":
        world.memory.hold(Hold.ALL)
    else:
        world.memory.leave(100)
    assert world.headroom.holds_back(world.slots[0])
    assert world.headroom.holds_back_new()


def in_simulated_time(world: World, test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            await test()
        finally:
            world.headroom.close()

    simulate(main())


def test_who_waited_goes_on_when_there_is_room_the_oldest_first() -> None:
    """And the time that it was held back is not its call's."""
    world = World(CALLING, CALLING, CALLING)

    async def test() -> None:
        world.fill()
        loop, order = asyncio.get_running_loop(), list[int]()
        for slot in (world.slots[2], world.slots[1]):
            assert not slot.share.has_room
            slot.share.wait(lambda slot=slot: order.append(slot.age))
        await asyncio.sleep(5)
        assert (order, world.slots[1].state) == ([], HELD)
        world.memory.refund(50)
        for _ in range(3):  # at once, and not when it is time to look again
            await asyncio.sleep(0)
        assert (order, world.slots[1].state) == ([1, 2], CALLING)
        assert world.slots[1].begun_s == pytest.approx(5, abs=0.1)
        assert loop.time() >= 5

    in_simulated_time(world, test)


def test_who_has_become_the_oldest_goes_on_without_room() -> None:
    world = World(CALLING, CALLING)

    async def test() -> None:
        world.fill()
        went_on = asyncio.Event()
        world.slots[1].share.wait(went_on.set)
        await asyncio.sleep(1)
        assert not went_on.is_set()
        world.slots[0].state = IDLE  # it is done
        await asyncio.sleep(0.1)
        assert went_on.is_set()

    in_simulated_time(world, test)


def test_a_call_that_ended_otherwise_is_not_gone_on_with() -> None:
    world = World(CALLING, CALLING)

    async def test() -> None:
        world.fill()
        went_on = list[int]()
        world.slots[1].share.wait(lambda: went_on.append(1))
        world.slots[1].state = IDLE
        world.memory.refund(100)
        await asyncio.sleep(1)
        assert (went_on, world.slots[1].state) == ([], IDLE)

    in_simulated_time(world, test)


def test_new_records_begin_one_by_one_while_memory_is_short_and_nobody_is_at_work() -> None:
    world = World(CALLING)

    async def test() -> None:
        world.fill()
        turns = [asyncio.create_task(world.headroom.wait_for_turn()) for _ in range(3)]
        await asyncio.sleep(1)
        assert [turn.done() for turn in turns] == [False] * 3
        world.slots[0].state = IDLE
        await asyncio.sleep(0.03)
        assert [turn.done() for turn in turns] == [True, False, False]
        world.memory.refund(100)
        await asyncio.sleep(0.03)
        assert [turn.done() for turn in turns] == [True] * 3

    in_simulated_time(world, test)


@given(st.lists(st.tuples(st.sampled_from(["hold", "keep", "call failed"]), st.integers(1, 50))))
def test_what_a_record_holds_is_given_back_when_it_is_done(steps: list[tuple[str, int]]) -> None:
    """Of a call that failed at once, but for what was kept before it."""
    world = World(RUNNING)
    share, kept, held = world.slots[0].share, 0, 0
    for what, n_bytes in steps:
        if what == "hold":
            share.hold(n_bytes)
            held += n_bytes
        elif what == "keep":
            share.keep()
            kept = held
        else:
            share.let_go_of_call()
            held = kept
        assert world.memory.held_bytes == share.n_bytes == held
    share.close()
    assert world.memory.held_bytes == 0
    share.hold(10)
    share.let_go_of_call()  # of the next record nothing was kept
    assert world.memory.held_bytes == 0


def test_memory_is_reserved_before_the_next_one_looks() -> None:
    world = World(RUNNING, RUNNING)

    async def test() -> None:
        world.fill()
        taking = asyncio.create_task(world.slots[1].share.reserve(80))
        await asyncio.sleep(1)
        assert not taking.done()
        world.memory.refund(100)
        await taking
        assert world.memory.held_bytes == world.slots[1].share.n_bytes == 80

    in_simulated_time(world, test)
