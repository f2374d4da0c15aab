"""Written, then counted, then told to the keeper: a line that is not written has no credit back."""

from __future__ import annotations

import asyncio

import pytest

from streamproc.counters import RunCounters
from streamproc.errors import OutputError
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.reorder import ReorderBuffer
from streamproc.pipeline.writer import WRITE_BYTES, Writer
from streamproc.record import DEAD_LETTERED, Batch, Cursor, Failed, Note
from streamproc.testing import MemorySink


class FullSink(MemorySink):
    """Takes so many bytes, and then no more."""

    def __init__(self, room_bytes: int) -> None:
        super().__init__()
        self.room_bytes = room_bytes

    async def write(self, data: bytes) -> None:
        await super().write(data[: self.room_bytes])
        if len(data) > self.room_bytes:
            raise OutputError("full", "no space left")


class World:
    """A writer with lines that are finished."""

    def __init__(
        self, sink: MemorySink, lines: list[bytes], dead: tuple[int, ...] = (), grown: int = 1
    ) -> None:
        self.sink, self.letters, self.tally = sink, MemorySink(), RunCounters()
        self.window = CreditLimit(10_000, 1 << 30)
        self.reorder = ReorderBuffer(self.window.memory)
        batch = Batch(0, Cursor("in", 1, 0), list(lines), sum(map(len, lines)) + len(lines))
        self.window.admit(len(batch), batch.n_bytes)
        self.reorder.admit(batch)
        for i, line in enumerate(lines):
            failed = Failed("s", "exception", "no")
            letter = Note(DEAD_LETTERED, dead_letter=b"dead " + line, failed=failed)
            out, note = (b"", letter) if i in dead else (line * grown, None)
            self.reorder.finish(batch, i, out, note)
        self.reorder.close()
        self.writer = Writer(self.reorder, self.window, sink, self.letters, self.tally)

    def run(self) -> None:
        asyncio.run(self.writer.run())


def test_lines_go_out_dead_letters_go_aside_and_credits_come_back() -> None:
    world = World(MemorySink(), [b"1", b"2", b"3"], dead=(1,))
    world.run()
    assert (world.sink.data, world.letters.data) == (b"1\n3\n", b"dead 2\n")
    assert (world.tally.ok, world.tally.dead_lettered) == (2, 1)
    assert (world.window.used_records, world.window.used_bytes) == (0, 0)


@pytest.mark.parametrize(("room_bytes", "whole"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_what_was_written_whole_before_the_sink_was_full_counts(
    room_bytes: int, whole: int
) -> None:
    """The rest is left over, in order, with its credits, and is counted nowhere."""
    world = World(FullSink(room_bytes), [b"1", b"2", b"3"])
    with pytest.raises(OutputError):
        world.run()
    assert world.tally.ok == 0
    assert [i for _, i in world.writer.leftovers()] == list(range(whole, 3))
    assert world.tally.ok == whole
    assert world.window.used_records == 3 - whole


def test_much_goes_out_in_several_writes() -> None:
    """One that holds all results at once would be a peak of memory, when they grew."""
    sizes: list[int] = []

    class Counting(MemorySink):
        async def write(self, data: bytes) -> None:
            sizes.append(len(data))
            await super().write(data)

    world = World(Counting(), [b"x"] * 4, grown=300_000)
    world.run()
    assert world.sink.data == (b"x" * 300_000 + b"\n") * 4
    assert max(sizes) <= WRITE_BYTES + 300_001 < sum(sizes)
    assert (world.window.memory.held_bytes, world.window.memory.leaving_bytes) == (0, 0)
