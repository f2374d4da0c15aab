"""Inside a worker: more is asked for before it runs out, and what is finished goes back."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from streamproc.engines.framing import Kind, WorkBatch, unpack_run, unpack_scattered
from streamproc.engines.worker import EventRelay, Inbox, Outbox
from streamproc.interfaces import NOBODY
from streamproc.memory import LARGE_BYTES, Memory
from streamproc.pipeline.channel import Channel
from streamproc.record import FAILED, Cursor, Note


class Wire:
    """Frames as they are sent."""

    def __init__(self) -> None:
        self.frames: list[tuple[Kind, memoryview]] = []

    def send(self, kind: Kind, *parts: bytes) -> None:
        self.frames.append((kind, memoryview(b"".join(parts))))

    @property
    def kinds(self) -> list[Kind]:
        return [kind for kind, _ in self.frames]

    @property
    def events(self) -> list[list[Struct]]:
        sent = [body for kind, body in self.frames if kind is Kind.EVENTS]
        return [pickle.loads(body) for body in sent]  # noqa: S301 - from ourselves


class Happened(Struct):
    """An event."""

    n: int


def piece_of(count: int, number: int = 1) -> WorkBatch:
    return WorkBatch(number, Cursor("in", 1, 0), [b"%d" % n for n in range(count)])


def world() -> tuple[Any, EventRelay, Outbox]:
    wire: Any = Wire()
    events = EventRelay(wire, frozenset({Happened}))
    return wire, events, Outbox(wire, Memory(), events)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=20), st.integers(0, 10))
def test_more_is_asked_for_once_whenever_what_is_there_gets_low(
    sizes: list[int], ahead: int
) -> None:
    """So that the next lines are there when these are done, and no more of them than that."""
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1

    inbox, given_out = Inbox(Channel(0), ahead, ask), 0
    inbox.ask_if_low()
    for number, size in enumerate(sizes, 1):
        inbox.ask_if_low()
        assert asked == number  # a question for each answer, and no other one
        inbox.add(piece_of(size, number))
        lines = sum(sizes[:number]) - given_out
        while asked == number:
            assert lines >= ahead
            taken = inbox.take()
            assert taken is not None
            given_out, lines = given_out + 1, lines - 1
    while inbox.take() is not None:
        given_out += 1
    assert given_out == sum(sizes)


def test_lines_that_were_given_back_are_there_again() -> None:
    """And count as there: nothing is asked for because of them."""
    asked: list[bool] = []
    inbox = Inbox(Channel(0), 6, lambda: asked.append(True))
    for number in (1, 2, 3):
        inbox.add(piece_of(3, number))
    asked.clear()
    for start in (0, 1):
        taken = inbox.take(3)
        assert taken is not None
        assert taken[1:] == (start, 3)
        inbox.give_back(2 - start)
        assert asked == []


def test_single_lines_of_one_turn_of_the_loop_are_one_frame() -> None:
    async def main() -> None:
        wire, _, outbox = world()
        piece = piece_of(4)
        outbox.finish(piece, 3, b"three")
        outbox.finish(piece, 1, b"", Note(FAILED, b"one"))
        assert (wire.frames, outbox.unseen) == ([], 2)
        await asyncio.sleep(0)
        assert (wire.kinds, outbox.unseen) == ([Kind.SCATTERED], 0)
        number, indices, lines, notes = unpack_scattered(wire.frames[0][1])
        assert (number, list(indices), lines) == (1, [3, 1], [b"three", b"one"])
        assert notes[1].status == FAILED

    asyncio.run(main())


def test_a_large_line_goes_at_once() -> None:
    """A frame for each: several would be copied together."""

    async def main() -> None:
        wire, _, outbox = world()
        outbox.finish(piece_of(2), 0, b"x" * (LARGE_BYTES + 1))
        assert wire.kinds == [Kind.SCATTERED]

    asyncio.run(main())


def test_lines_that_follow_each_other_are_a_run() -> None:
    async def main() -> None:
        wire, _, outbox = world()
        piece = piece_of(3)
        outbox.finish_run(piece, 1, [b"1", b"2"], {})
        assert unpack_run(wire.frames[0][1]) == (1, 1, 2, None, {})  # as they came in
        outbox.finish_run(piece, 3, [], {})
        assert len(wire.frames) == 1

    asyncio.run(main())


def test_events_go_before_the_answers_that_came_of_them() -> None:
    async def main() -> None:
        wire, events, outbox = world()
        events.tell(Happened(1))
        outbox.finish(piece_of(1), 0, b"{}")
        outbox.flush()
        events.tell(Happened(2))
        outbox.finish_run(piece_of(1), 0, [b"{}"], {})
        assert wire.kinds == [Kind.EVENTS, Kind.SCATTERED, Kind.EVENTS, Kind.RUN]
        assert wire.events == [[Happened(1)], [Happened(2)]]

    asyncio.run(main())


def test_many_events_do_not_wait_for_an_answer() -> None:
    wire, events, _ = world()
    for n in range(1001):
        events.tell(Happened(n))
    assert wire.kinds == [Kind.EVENTS]
    events.flush()
    assert list(map(len, wire.events)) == [1000, 1]


def test_who_follows_records_does_it_where_they_are_done() -> None:
    wire: Any = Wire()
    assert EventRelay(wire, frozenset()).follow is NOBODY.follow
    followers: Any = type("Followers", (), {"follow": print})
    assert EventRelay(wire, frozenset(), followers).follow is print
