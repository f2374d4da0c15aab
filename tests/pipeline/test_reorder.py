"""Finished lines, handed to the writer: in order, or as they come."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from streamproc.memory import SMALL_BYTES, Memory
from streamproc.pipeline.reorder import ReorderBuffer, UnorderedBuffer
from streamproc.record import FAILED, Batch, Cursor, Failed, Note

BUFFERS = pytest.mark.parametrize("kind", [ReorderBuffer, UnorderedBuffer])


def batch_of(*lines: bytes, lane: int = 0, line: int = 1) -> Batch:
    return Batch(lane, Cursor("in", line, 0), list(lines), sum(map(len, lines)) + len(lines))


def taken(buffer: ReorderBuffer) -> list[bytes | None]:
    buffer.close()
    spans = asyncio.run(buffer.receive())
    return [line for batch, start, stop in spans for line in batch.results[start:stop]]


@pytest.mark.parametrize("seed", range(30))
@BUFFERS
def test_every_line_comes_out_once_and_each_lane_in_its_order(
    kind: type[ReorderBuffer], seed: int
) -> None:
    """Whatever order they are done in, singly or several at once."""
    dice = random.Random(seed)
    buffer = kind(Memory())
    batches = [batch_of(*[b"x"] * dice.choice([1, 2, 9]), lane=dice.randrange(3)) for _ in range(9)]
    for batch in batches:
        buffer.admit(batch)
    names = {id(batch): number for number, batch in enumerate(batches)}
    jobs = [
        (batch, i, min(i + 2, len(batch))) for batch in batches for i in range(0, len(batch), 2)
    ]
    dice.shuffle(jobs)
    out: list[tuple[int, int, int]] = []

    async def main() -> None:
        async def write() -> None:
            while spans := await buffer.receive():
                for batch, start, stop in spans:
                    out.extend((batch.lane, names[id(batch)], i) for i in range(start, stop))

        writer = asyncio.create_task(write())
        for batch, start, stop in jobs:
            if dice.random() < 0.5:
                buffer.finish_run(batch, start, [b"y"] * (stop - start), {})
            else:
                for i in range(start, stop):
                    buffer.finish(batch, i, b"y")
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)
        buffer.close()
        await writer

    asyncio.run(main())
    every = [(b.lane, names[id(b)], i) for b in batches for i in range(len(b))]
    assert sorted(out) == sorted(every)
    if kind is ReorderBuffer:
        for lane in range(3):
            assert [x for x in out if x[0] == lane] == [x for x in every if x[0] == lane]
    assert list(buffer.leftovers()) == []


@BUFFERS
def test_what_the_writer_has_not_got_is_left_over(kind: type[ReorderBuffer]) -> None:
    """Finished or not: of an aborted run each of them is accounted for."""
    buffer, batch = kind(Memory()), batch_of(b"0", b"1", b"2")
    buffer.admit(batch)
    buffer.finish(batch, 0, b"a")
    assert taken(buffer) == [b"a"]
    buffer.finish(batch, 2, b"c")
    assert [i for _, i in buffer.leftovers()] == [1, 2]
    assert buffer.finished_records == 1


@BUFFERS
def test_the_end_of_a_lane_is_recalled(kind: type[ReorderBuffer]) -> None:
    """What a consumer has begun is finished; behind it nothing is begun any more."""
    buffer = kind(Memory())
    begun, refused, waiting, late = (batch_of(b"0", b"1", lane=7) for _ in range(4))
    other = batch_of(b"0")
    for batch in (begun, refused, waiting, late, other):
        buffer.admit(batch)
    begun.is_begun = True
    for i in range(2):
        buffer.finish(refused, i, b"no")
    assert buffer.recall([7]) == {7: 4}
    assert [b.is_dropped for b in (begun, refused, waiting, late, other)] == [0, 0, 1, 1, 0]
    assert buffer.drop([7, 9]) == [begun, refused, waiting, late]
    assert {id(batch) for batch, _ in buffer.leftovers()} == {id(other)}


def test_only_results_larger_than_their_lines_are_charged() -> None:
    """Until they are written: lines themselves have their credits."""
    memory = Memory()
    buffer, batch = ReorderBuffer(memory), batch_of(b"x", b"x" * 5000, b"x")
    buffer.admit(batch)
    for i, line in enumerate((b"y" * SMALL_BYTES, b"y" * 5000, b"y" * 9001)):
        buffer.finish(batch, i, line)
    assert (memory.held_bytes, memory.leaving_bytes) == (9000, 0)
    taken(buffer)
    assert (memory.held_bytes, memory.leaving_bytes) == (9000, 9000)


@BUFFERS
def test_the_last_failure_that_is_allowed_is_told_at_once(kind: type[ReorderBuffer]) -> None:
    """Before its line is written: no call may be begun after it."""
    told: list[Any] = []
    buffer, batch = kind(Memory()), batch_of(b"0", b"1", b"2")
    buffer.admit(batch)
    buffer.count_failures(2, lambda batch, i, note: told.append(i))
    failed = Note(FAILED, b"e", failed=Failed("s", "exception", "no"))
    buffer.finish(batch, 1, b"e", failed)
    assert (told, buffer.counts_failures) == ([], True)
    buffer.finish_run(batch, 2, [b"e"], {2: failed})
    assert (told, buffer.counts_failures) == ([2], False)


@BUFFERS
def test_a_waiting_writer_can_be_interrupted(kind: type[ReorderBuffer]) -> None:
    async def main() -> None:
        buffer = kind(Memory())
        waiting = asyncio.create_task(buffer.receive())
        await asyncio.sleep(0)
        buffer.interrupt(KeyError("now"))
        with pytest.raises(KeyError, match="now"):
            await waiting

    asyncio.run(main())
