"""The line: the oldest goes first, and who leaves is not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.waiting import Line, Waiter

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


@settings(max_examples=200, deadline=None)
@given(actions=ACTIONS)
def test_it_is_a_stable_queue_by_age(
    loop: asyncio.AbstractEventLoop, actions: list[tuple[str, int]]
) -> None:
    """Compared with a list that is sorted each time; who is cancelled or has left is not there."""
    line, model = Line(), list[Waiter]()
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
    line = Line()
    first, second = line.join(1, loop.create_future()), line.join(1, loop.create_future())
    line.leave(first)
    line.leave(first)
    assert line.head() is second
    assert len(line) == 1
    line.leave(second)
    assert line.head() is None
