"""Turns and the line: the oldest goes first, and who leaves is not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.waiting import Turns, Waiter, WaitQueue

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["join", "give", "leave", "cancel", "fail"]), st.integers(0, 20)),
    max_size=60,
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For futures; it never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@given(actions=ACTIONS)
def test_it_is_a_stable_queue_by_age(
    loop: asyncio.AbstractEventLoop, actions: list[tuple[str, int]]
) -> None:
    """Compared with a list that is sorted each time; who is cancelled or has left is not there."""
    line, model = WaitQueue(), list[Waiter]()
    for action, number in actions:
        if action == "join":
            model.append(line.join(number, loop.create_future(), number))
        elif action == "give" and (head := line.head()) is not None:
            line.leave(head)
            head.turn.set_result(None)
            model.remove(head)
        elif model:
            one = model.pop(number % len(model))
            if action == "cancel":
                one.turn.cancel()
            elif action == "fail":
                one.turn.set_exception(ValueError())
                one.turn.exception()
            else:
                line.leave(one)
                line.leave(one)  # it may have left before
        expected = sorted(model, key=lambda waiter: waiter.age)  # stable
        assert list(line) == expected
        assert line.head() is (expected[0] if expected else None)
        assert bool(line) == bool(expected)


def test_who_leaves_may_not_be_there(loop: asyncio.AbstractEventLoop) -> None:
    line = WaitQueue()
    first, second = line.join(1, loop.create_future()), line.join(1, loop.create_future())
    line.leave(first)
    line.leave(first)
    assert line.head() is second
    assert len(line) == 1
    line.leave(second)
    assert line.head() is None


STEPS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.lists(st.tuples(st.sampled_from(["cancel", "wake"]), st.integers(1, 9)), max_size=6),
    ),
    max_size=12,
)


@given(steps=STEPS)
def test_no_wake_up_is_lost_and_the_first_comes_first(
    steps: list[tuple[int, list[tuple[str, int]]]],
) -> None:
    """Who is woken and cancelled before its task runs hands on: as many wake up as could."""

    async def main() -> None:
        turns, woken = Turns(), list[int]()
        tasks: list[asyncio.Task[None]] = []

        async def one(number: int) -> None:
            await turns.wait()
            woken.append(number)

        async def settle() -> None:
            for _ in range(10):
                await asyncio.sleep(0)

        for newcomers, actions in steps:
            tasks += [asyncio.create_task(one(len(tasks) + k)) for k in range(newcomers)]
            await settle()
            waiting = [task for task in tasks if not task.done()]
            cancelled: set[asyncio.Task[None]] = set()
            before, given = len(woken), 0
            for action, number in actions:
                if action == "wake":
                    given += min(number, sum(not turn.done() for turn in turns._turns))
                    turns.wake(number)
                elif waiting:
                    task = waiting[number % len(waiting)]
                    task.cancel()
                    cancelled.add(task)
            await settle()
            assert len(woken) - before == min(given, len(waiting) - len(cancelled))
        assert woken == sorted(woken)
        turns.wake(len(turns))
        await settle()
        assert all(task.done() for task in tasks)

    asyncio.run(main())
