"""A lane that goes elsewhere takes its credits and its counts with it, wherever its lines are."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.counters import RunCounters
from streamproc.pipeline.channel import Channel
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.lanes import Lanes
from streamproc.pipeline.producer import Producer
from streamproc.pipeline.reorder import ReorderBuffer, UnorderedBuffer
from streamproc.pipeline.writer import Writer
from streamproc.record import Batch, Cursor, Note
from streamproc.testing import MemorySink, MemorySource


class World:
    """A stream; without a `source`, what comes is admitted by hand."""

    def __init__(
        self,
        kind: type[ReorderBuffer] = ReorderBuffer,
        source: MemorySource | None = None,
        records: int = 1000,
    ) -> None:
        self.window, self.channel, self.tally = (
            CreditLimit(records, 1 << 30),
            Channel(0),
            RunCounters(),
        )
        self.reorder = kind(self.window.memory)
        self.sink = MemorySink()
        self.writer = Writer(self.reorder, self.window, self.sink, None, self.tally)
        self.producer = Producer(
            source or MemorySource([]), self.window, self.channel, self.reorder, self.tally,
            lambda failed, batch, i: Note("failed"),
        )  # fmt: skip
        self.lanes = Lanes(
            self.producer, self.channel, self.reorder, self.writer, self.window, self.tally
        )

    def admit(self, lane: int, *lines: bytes) -> Batch:
        n_bytes = sum(map(len, lines)) + len(lines)
        batch = Batch(lane, Cursor(f"topic/{lane}", 0, 0), list(lines), n_bytes)
        self.tally.lines += len(lines)
        self.window.admit(len(lines), n_bytes, lane)
        self.reorder.admit(batch)
        self.channel.send_nowait(batch)
        return batch

    async def write(self) -> None:
        """What is finished and may go out."""
        task = asyncio.create_task(self.writer.run())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})


def test_of_a_recalled_lane_nothing_more_is_begun() -> None:
    """A line that was begun is finished; by lane, how many are not."""
    world = World()
    first, _ = world.admit(1, b"a", b"b", b"c"), world.admit(2, b"d")
    assert world.channel.take() == (first, 0, 1)
    world.admit(1, b"e")
    assert world.lanes.recall([1]) == {1: 3}
    taken = world.channel.take()
    assert taken is not None
    assert taken[0].lines == [b"d"]
    assert world.channel.take() is None


def test_what_was_read_of_a_recalled_lane_and_has_no_room_yet_is_not_begun() -> None:
    async def main() -> None:
        world = World(source=MemorySource([b"a", b"b", b"c"], lane=1), records=1)
        reading = asyncio.create_task(world.producer.run())
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.producer.has_rest
        world.lanes.recall([1])
        assert (world.producer.has_rest, world.tally.unprocessed) == (False, 2)
        reading.cancel()

    asyncio.run(main())


def test_a_dropped_lane_gives_its_room_back_and_is_nobodys_failure() -> None:
    world = World()
    world.admit(1, b"a", b"", b"b")
    kept = world.admit(2, b"d")
    world.lanes.recall([1])
    world.lanes.drop([1])
    assert (world.window.used_records, world.window.used_bytes) == (1, 2)
    assert (world.tally.unprocessed, world.tally.blank, world.tally.errors) == (2, 1, 0)
    assert [batch for batch, _ in world.reorder.leftovers()] == [kept]


def test_large_results_of_a_dropped_lane_are_no_memory_any_more() -> None:
    world = World()
    batch = world.admit(1, b"a", b"b")
    world.reorder.finish(batch, 1, b"x" * 100_000)
    assert world.window.memory.held_bytes > 90_000
    world.lanes.drop([1])
    assert (world.window.memory.held_bytes, world.window.memory.leaving_bytes) == (0, 0)


def test_what_is_dropped_when_all_is_accounted_for_counts_once() -> None:
    """The group may take a partition away while the run closes."""
    world = World()
    world.admit(1, b"a")
    world.lanes.close()
    world.lanes.drop([1])
    assert (world.tally.unprocessed, world.window.used_records) == (0, 1)


@pytest.mark.parametrize("kind", [ReorderBuffer, UnorderedBuffer])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("admit"), st.integers(0, 2), st.integers(1, 4)),
            st.tuples(st.just("finish"), st.integers(0, 5), st.just(0)),
            st.tuples(st.sampled_from(["recall", "drop"]), st.integers(0, 2), st.just(0)),
            st.tuples(st.just("write"), st.just(0), st.just(0)),
        ),
        max_size=30,
    )
)
def test_whatever_lanes_do_every_line_ends_once(
    kind: type[ReorderBuffer], steps: list[tuple[str, int, int]]
) -> None:
    """Lines come, are finished and written, and lanes go elsewhere, in any order."""

    async def main() -> None:
        world = World(kind)
        begun: list[tuple[Batch, int]] = []
        gone: set[int] = set()  # as numbers of lanes are: none comes twice
        for what, number, count in steps:
            if what == "admit" and number not in gone:
                world.admit(number, *[b"x"] * count)
            elif what == "finish":
                begun += [taken[:2] for _ in range(number) if (taken := world.channel.take())]
                batch, i = begun.pop() if begun else (None, 0)
                if batch is not None:
                    world.reorder.finish(batch, i, b"done")
            elif what == "recall":
                world.lanes.recall([number])
                gone.add(number)
            elif what == "drop":
                world.lanes.drop([number])
                gone.add(number)
            else:
                await world.write()
        world.lanes.drop([0, 1, 2])
        await world.write()
        assert world.tally.received == world.tally.ended
        assert world.tally.ok == len(world.sink.lines)
        assert (world.window.used_records, world.window.used_bytes) == (0, 0)

    asyncio.run(main())
