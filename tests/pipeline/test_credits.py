"""The window: how many lines may be between reading and writing."""

from __future__ import annotations

import asyncio

import pytest

from streamproc.memory import COPIES
from streamproc.pipeline.credits import CreditLimit

LARGE = 1 << 30


@pytest.mark.parametrize(("used", "asked", "given"), [(0, 3, 3), (0, 50, 8), (6, 5, 2), (5, 1, 1)])
def test_no_more_lines_are_let_in_than_there_is_room_for(used: int, asked: int, given: int) -> None:
    window = CreditLimit(8, LARGE)
    window.admit(used, used)
    assert asyncio.run(window.reserve(asked, asked)) == given


def test_a_line_that_is_larger_than_the_window_goes_alone() -> None:
    """Else it would never be read."""
    window = CreditLimit(8, 100)
    assert window.has_room(1, 1000)
    window.admit(1, 1000)
    assert not window.has_room(1, 1)


def test_single_credits_let_nobody_in_until_a_quarter_is_free() -> None:
    """To admit single lines as single credits come back would cost a queue operation each."""

    async def main() -> None:
        window = CreditLimit(8, LARGE)
        window.admit(8, 8)
        waiting = asyncio.create_task(window.reserve(8, 8))
        for free in (1, 2):
            await asyncio.sleep(0)
            assert not waiting.done()
            window.release(1, 1)
            assert window.has_room(8, 8) == (free == 2)
        assert await waiting == 2

    asyncio.run(main())


@pytest.mark.parametrize("what", ["credits", "a larger window", "memory"])
def test_who_waits_goes_on_when_there_is_room(what: str) -> None:
    async def main() -> None:
        window = CreditLimit(4, 100)
        window.admit(4 if what != "memory" else 1, 60)
        window.memory.charge(60)
        waiting = asyncio.create_task(window.reserve(4, 10))
        await asyncio.sleep(0)
        assert not waiting.done()
        window.memory.refund(60)
        if what == "credits":
            window.release(4, 60)
        elif what == "a larger window":
            window.resize(8, 200)
        assert await waiting > 0

    asyncio.run(main())


def test_of_several_lanes_none_takes_more_than_a_quarter() -> None:
    """A partition whose head is stuck leaves room for the others; one alone may have it all."""
    window = CreditLimit(16, LARGE)
    window.admit(10, 10, lane=1)
    assert window.is_open(1)
    window.admit(1, 1, lane=2)
    assert (window.is_open(1), window.is_open(2), window.is_open(3)) == (False, True, True)
    window.release(7, 7, lane=1)
    assert window.is_open(1)


def test_what_is_written_is_what_came_back() -> None:
    window = CreditLimit(16, LARGE)
    window.admit(10, 1000)
    assert window.written_bytes == 0
    window.release(4, 0)
    assert window.written_bytes == 400


def test_memory_has_its_share_of_the_window() -> None:
    window = CreditLimit(16, 3000)
    assert window.memory.limit_bytes == 3000 * COPIES // COPIES
    window.resize(16, 6000)
    assert window.memory.limit_bytes == 6000
