"""Messages count, and give room back, when somebody has said that they are there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streamproc.counters import RunCounters
from streamproc.errors import UnavailableError
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.messages import _MOST_GROUPS, MessageWriter
from streamproc.pipeline.reorder import ReorderBuffer, Span
from streamproc.record import DEAD_LETTERED, Batch, Cursor, Failed, Note
from streamproc.testing import MemorySink


class Topic(MemorySink):
    """Holds what it is sent until the test acknowledges it."""

    takes_messages = True

    def __init__(self) -> None:
        super().__init__()
        self.receipts: list[asyncio.Future[None]] = []

    async def send(self, spans: list[Span]) -> asyncio.Future[None]:
        for batch, start, stop in spans:
            for line in batch.results[start:stop]:
                await self.write((line or b"") + b"\n")
        self.receipts.append(asyncio.get_running_loop().create_future())
        return self.receipts[-1]

    async def flush(self) -> None:
        pass

    async def send_dead_letters(self, spans: list[Span]) -> None:
        raise AssertionError("the writer of messages sends them with the messages")


class World:
    """A writer of messages; each `add` is a batch of one line that is finished."""

    def __init__(self) -> None:
        self.sink, self.letters, self.tally = Topic(), MemorySink(), RunCounters()
        self.window = CreditLimit(10_000, 1 << 30)
        self.reorder = ReorderBuffer(self.window.memory)
        self.writer = MessageWriter(self.reorder, self.window, self.sink, self.letters, self.tally)
        self.task = asyncio.create_task(self.writer.run())
        self.lines = 0

    async def add(self, line: bytes, *, lane: int = 0, is_dead: bool = False) -> None:
        batch = Batch(lane, Cursor("topic/0", self.lines, 0), [line], len(line) + 1)
        self.lines += 1
        self.window.admit(1, len(line) + 1, lane)
        self.reorder.admit(batch)
        dead = Note(DEAD_LETTERED, dead_letter=b"dead " + line, failed=Failed("s", "http", "no"))
        self.reorder.finish(batch, 0, b"" if is_dead else line, dead if is_dead else None)
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def in_loop(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        try:
            await test(world)
        finally:
            world.task.cancel()
            await asyncio.gather(world.task, return_exceptions=True)

    asyncio.run(main())


def test_what_is_sent_holds_its_room_until_it_is_acknowledged() -> None:
    async def test(world: World) -> None:
        await world.add(b"1")
        assert (world.sink.lines, world.tally.ok, world.window.used_records) == ([b"1"], 0, 1)
        world.sink.receipts[0].set_result(None)
        await turns()
        assert (world.tally.ok, world.window.used_records) == (1, 0)

    in_loop(test)


def test_dead_letters_into_a_file_are_written_before_the_messages_go() -> None:
    async def test(world: World) -> None:
        await world.add(b"1", is_dead=True)
        assert world.letters.data == b"dead 1\n"

    in_loop(test)


def test_so_many_are_under_way_at_most() -> None:
    async def test(world: World) -> None:
        for n in range(_MOST_GROUPS + 3):
            await world.add(b"%d" % n)
        assert len(world.sink.receipts) == _MOST_GROUPS
        world.sink.receipts[0].set_result(None)
        await turns()
        assert len(world.sink.receipts) == _MOST_GROUPS + 1

    in_loop(test)


def test_the_end_waits_for_the_last_acknowledgement() -> None:
    async def test(world: World) -> None:
        await world.add(b"1")
        world.reorder.close()
        await turns()
        assert not world.task.done()
        world.sink.receipts[0].set_result(None)
        await world.task
        assert world.tally.ok == 1

    in_loop(test)


def test_a_refusal_ends_the_writer_and_what_is_not_acknowledged_is_left_over() -> None:
    async def test(world: World) -> None:
        for n in range(3):
            await world.add(b"%d" % n)
        world.sink.receipts[1].set_result(None)
        world.sink.receipts[0].set_exception(UnavailableError("no broker"))
        with pytest.raises(UnavailableError):
            await world.task
        assert [batch.lines[i] for batch, i in world.writer.leftovers()] == [b"0", b"2"]
        world.sink.receipts[2].set_result(None)  # it comes too late
        await turns()
        assert world.tally.ok == 1

    in_loop(test)


def test_a_dropped_lane_is_not_left_over() -> None:
    """What was sent of it is the next owner's to do."""

    async def test(world: World) -> None:
        await world.add(b"1", lane=1)
        await world.add(b"2", lane=2)
        assert [batch.lines for batch in world.writer.drop([1])] == [[b"1"]]
        assert world.writer.drop([1]) == []
        assert [batch.lines[i] for batch, i in world.writer.leftovers()] == [b"2"]

    in_loop(test)
