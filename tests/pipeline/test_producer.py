"""What is read is admitted in order, as far as there is room, and every line of it is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.counters import RunCounters
from streamproc.pipeline.channel import Channel
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.producer import Done, Producer
from streamproc.pipeline.reorder import ReorderBuffer
from streamproc.pipeline.selection import Selection
from streamproc.record import BLANK, SKIPPED, Batch, Cursor, Failed, Note
from streamproc.testing import MemorySource


class Listed(MemorySource):
    """Gives these lines, in batches as they are; then it ends, or waits for ever."""

    def __init__(
        self, batches: Iterable[tuple[Batch, Failed | None]], *, ends: bool = True
    ) -> None:
        super().__init__([])
        self.batches, self.ends = list(batches), ends

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        if not self.batches and not self.ends:
            await asyncio.get_running_loop().create_future()
        return self.batches.pop(0) if self.batches else None


class World:
    """A producer, and what it leads to."""

    def __init__(
        self,
        source: MemorySource,
        records: int = 1000,
        done: Iterable[tuple[int, int]] = (),
        selection: Selection | None = None,
    ) -> None:
        self.window, self.channel, self.tally = (
            CreditLimit(records, 1 << 30),
            Channel(0),
            RunCounters(),
        )
        self.reorder = ReorderBuffer(self.window.memory)
        self.producer = Producer(
            source, self.window, self.channel, self.reorder, self.tally,
            lambda failed, batch, i: Note("failed", failed.message.encode(), failed=failed),
            done=done, selection=selection,
        )  # fmt: skip

    def work(self) -> list[bytes]:
        """The lines that engines would get now."""
        found = []
        while taken := self.channel.take():
            batch, i, _ = taken
            found.append(batch.lines[i])
        return found


def batch_of(*lines: bytes, line: int = 1, lane: int = 0) -> Batch:
    return Batch(lane, Cursor("in", line, 0), list(lines), sum(map(len, lines)) + len(lines))


@given(st.lists(st.integers(1, 5)), st.lists(st.integers(1, 7), min_size=1))
def test_spans_that_are_done_are_passed_over_and_no_others(
    lengths: list[int], steps: list[int]
) -> None:
    """Whatever pieces the lines come in. Lengths are those of undone and done spans, in turns."""
    spans, at, expected = [], 0, list[bool]()
    for number, length in enumerate(lengths):
        is_done = number % 2 == 1
        expected += [is_done] * length
        if is_done:
            spans.append((at, at + length))
        at += length
    done, found = Done(spans), list[bool]()
    while len(found) < len(expected):
        count, is_done = done.next(steps[len(found) % len(steps)])
        assert count > 0
        found += [is_done] * count
    assert found[: len(expected)] == expected
    assert not any(found[len(expected) :])


def test_no_more_is_admitted_than_the_window_has_room_for() -> None:
    async def main() -> None:
        world = World(MemorySource([b"%d" % n for n in range(10)]), records=4)
        task = asyncio.create_task(world.producer.run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert (world.work(), world.window.used_records) == ([b"0", b"1", b"2", b"3"], 4)
        assert world.producer.has_rest
        world.window.release(4, 8)
        for _ in range(10):
            await asyncio.sleep(0)
        assert world.work() == [b"4", b"5", b"6", b"7"]
        world.window.release(4, 8)
        await task
        assert world.work() == [b"8", b"9"]
        assert (world.tally.lines, await world.channel.wait()) == (10, False)

    asyncio.run(main())


def test_what_an_earlier_run_has_done_is_no_work() -> None:
    """It has its place in the order all the same, as lines that are skipped, or blank."""
    world = World(MemorySource([b"a", b"", b"c", b"d"]), done=[(0, 2), (3, 4)])
    asyncio.run(world.producer.run())
    assert world.work() == [b"c"]
    notes = [
        (batch.lines[i], batch.notes[i].status)
        for batch, i in world.reorder.leftovers()
        if i in batch.notes
    ]
    assert notes == [(b"a", SKIPPED), (b"", BLANK), (b"d", SKIPPED)]


def test_a_line_that_is_none_fails_and_is_no_work() -> None:
    failed = Failed("input", "too_long", "17 MB")
    world = World(Listed([(batch_of(b"a"), None), (batch_of(b"", line=2), failed)]))
    asyncio.run(world.producer.run())
    assert world.work() == [b"a"]
    ends = {batch.cursor.line: batch.results[0] for batch, _ in world.reorder.leftovers()}
    assert ends == {1: None, 2: b"17 MB"}


def test_nothing_is_read_behind_the_last_record_that_is_wanted() -> None:
    """What was passed over is blank in its batch, so that nobody works on it."""
    source = Listed([(batch_of(b"a", b"b", b"c"), None), (batch_of(b"d", line=4), None)])
    world = World(source, selection=Selection(skip=1, limit=1, sample=1.0, seed=0))
    asyncio.run(world.producer.run())
    assert (world.work(), world.tally.lines, len(source.batches)) == ([b"", b"b"], 2, 1)


def test_a_stop_ends_a_read_that_waits() -> None:
    async def main() -> None:
        world = World(Listed([(batch_of(b"a"), None)], ends=False))
        task = asyncio.create_task(world.producer.run())
        for _ in range(5):
            await asyncio.sleep(0)
        world.producer.stop()
        await task
        assert (world.work(), await world.channel.wait()) == ([b"a"], False)

    asyncio.run(main())


@pytest.mark.parametrize("lane", [0, 7])
def test_a_lane_that_leaves_takes_what_was_not_admitted_with_it(lane: int) -> None:
    """And what is admitted already stays, for `Lanes` to drop."""

    async def main() -> None:
        batches = [(batch_of(b"a", b"b", lane=7), None), (batch_of(b"c", lane=1), None)]
        world = World(Listed(batches), records=1)
        task = asyncio.create_task(world.producer.run())
        for _ in range(5):
            await asyncio.sleep(0)
        dropped = world.producer.drop([lane])
        assert [line for batch in dropped for line in batch.lines] == ([b"b"] if lane else [])
        for _ in range(2):
            world.window.release(1, 2, 7)
            for _ in range(5):
                await asyncio.sleep(0)
        assert world.work() == ([b"a", b"c"] if lane else [b"a", b"b", b"c"])
        task.cancel()

    asyncio.run(main())


def test_an_abort_gives_a_place_to_all_that_was_read() -> None:
    """So that it is accounted for, with room or without."""

    async def main() -> None:
        world = World(MemorySource([b"a", b"b", b"c"]), records=1)
        task = asyncio.create_task(world.producer.run())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        world.producer.admit_rest()
        assert [batch.lines[i] for batch, i in world.reorder.leftovers()] == [b"a", b"b", b"c"]
        assert not world.producer.has_rest

    asyncio.run(main())
