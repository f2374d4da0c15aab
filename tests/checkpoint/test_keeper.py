"""What a checkpoint says is done was written and flushed before, at one moment for all ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streamproc.checkpoint.entry import Entry
from streamproc.checkpoint.keeper import MOST_BATCHES, CheckpointKeeper
from streamproc.record import Batch, Cursor, Progress
from streamproc.trials.clock import simulate


class File:
    """Keeps what would be saved."""

    path = "state"

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def save(self, entry: Entry) -> None:
        self.entries.append(entry)


class End:
    """A source and a sink, whose positions are what they are asked for."""

    name = "end"

    def __init__(self) -> None:
        self.place: Any = 0
        self.durable: list[bool] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def position(self, place: Any, *, durable: bool = False) -> Any:
        self.durable.append(durable)
        await self.answers.wait()
        return place


class Lines:
    """Acknowledgements."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.is_closed = False

    def acknowledge(self, lines: int) -> None:
        self.told.append(lines)

    async def close(self) -> None:
        self.is_closed = True


class World:
    """A keeper, and a stream that is done by hand."""

    def __init__(self, *, with_file: bool = True, **settings: Any) -> None:
        self.file, self.source, self.sink, self.lines = File(), End(), End(), 0
        kind: Any = CheckpointKeeper
        self.keeper = kind(
            file=self.file if with_file else None, pipeline="p", source=self.source,
            progress=Progress(), **settings,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.keeper.begin(self.sink, None)
        running = asyncio.create_task(self.keeper.run())
        yield
        self.keeper.stop()
        await running

    def admit(self, count: int = 1) -> Batch:
        batch = Batch(0, Cursor("in", 1 + self.lines, self.lines * 2), [b"x"] * count, 2 * count)
        self.lines += count
        self.keeper.admit(batch)
        return batch

    def write(self, batch: Batch, start: int = 0, stop: int | None = None) -> None:
        stop = len(batch) if stop is None else stop
        batch.written += stop - start
        self.keeper.written(batch, start, stop)
        self.sink.place += stop - start
        self.keeper.flushed()

    @property
    def last(self) -> tuple[int, Any]:
        """Lines that the newest entry says are done, and where the output stands in it."""
        entry = self.file.entries[-1]
        return entry.progress.lines, entry.output


def test_a_run_begins_with_a_checkpoint_of_nothing_done() -> None:
    """So that a run that dies at once can be gone on with."""

    async def main() -> None:
        world = World()
        await world.keeper.begin(world.sink, None)
        assert world.last == (0, 0)
        assert not world.file.entries[0].closed

    simulate(main())


def test_what_is_written_is_saved_within_a_second() -> None:
    async def main() -> None:
        world = World()
        async with world.running():
            for lines in range(1, 4):
                world.write(world.admit())
                await asyncio.sleep(1.01)
                assert world.last == (lines, lines)
            await asyncio.sleep(10)
            assert len(world.file.entries) == 4  # nothing has changed

    simulate(main())


def test_many_batches_are_saved_before_that() -> None:
    async def main() -> None:
        world = World()
        async with world.running():
            world.write(world.admit())
            await asyncio.sleep(0.1)
            before = len(world.file.entries)
            for _ in range(MOST_BATCHES):
                world.write(world.admit())
            await asyncio.sleep(0.1)
            assert (len(world.file.entries), world.last[0]) == (before + 1, MOST_BATCHES + 1)

    simulate(main())


def test_an_entry_is_of_one_moment_however_long_it_takes_to_store() -> None:
    """The output goes on being written meanwhile: that is in the next one."""

    async def main() -> None:
        world = World()
        await world.keeper.begin(world.sink, None)
        world.write(world.admit())
        world.sink.answers.clear()
        saving = asyncio.create_task(world.keeper.settle())
        await asyncio.sleep(0.1)
        world.write(world.admit(3))
        world.sink.answers.set()
        await saving
        assert world.last == (1, 1)
        await world.keeper.settle()
        assert world.last == (4, 4)

    simulate(main())


def test_to_settle_waits_for_what_was_admitted() -> None:
    async def main() -> None:
        world = World()
        await world.keeper.begin(world.sink, None)
        batch = world.admit(2)
        settling = asyncio.create_task(world.keeper.settle())
        world.write(batch, 0, 1)
        await asyncio.sleep(5)
        assert not settling.done()
        world.write(batch, 1, 2)
        await settling
        assert world.last == (2, 2)

    simulate(main())


@pytest.mark.parametrize("finished", [False, True])
def test_the_last_entry_says_how_the_run_ended(finished: bool) -> None:
    async def main() -> None:
        world = World()
        await world.keeper.begin(world.sink, None)
        world.write(world.admit())
        await world.keeper.close(finished=finished)
        entry = world.file.entries[-1]
        assert (entry.closed, entry.finished, world.last) == (True, finished, (1, 1))

    simulate(main())


@pytest.mark.parametrize("durable", [False, True])
def test_lines_are_acknowledged_when_they_are_as_safe_as_was_asked_for(durable: bool) -> None:
    """With `--durable` not before a sync, which is asked of the sink."""

    async def main() -> None:
        lines = Lines()
        world = World(with_file=False, durable=durable, acknowledger=lines)
        async with world.running():
            lines.told.clear()
            world.write(world.admit(2))
            assert lines.told == ([] if durable else [2])
            await asyncio.sleep(0.1)
            assert lines.told == [2]
            assert world.sink.durable == [True] * len(world.sink.durable)
            assert bool(world.sink.durable) == durable
        await world.keeper.close(finished=True)
        assert (lines.is_closed, world.file.entries) == (True, [])

    simulate(main())


def test_only_what_all_lines_before_it_are_written_with_is_acknowledged() -> None:
    async def main() -> None:
        lines = Lines()
        world = World(with_file=False, acknowledger=lines)
        await world.keeper.begin(world.sink, None)
        first, second = world.admit(), world.admit()
        world.write(second)
        assert lines.told[-1] == 0
        world.write(first)
        assert lines.told[-1] == 2

    simulate(main())


def test_who_has_neither_file_nor_reader_leaves_nothing_to_a_later_run() -> None:
    async def main() -> None:
        assert World().keeper.keeps_rest
        assert World(with_file=False, acknowledger=Lines()).keeper.keeps_rest
        assert not World(with_file=False, durable=True).keeper.keeps_rest

    simulate(main())
