"""What every source keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamproc.codec import retyped
from streamproc.interfaces import ResumableSource, Source, SourceRecipe, SourceScope
from streamproc.record import Batch, Cursor
from streamproc.testing import MemorySink
from streamproc.testing.contracts.common import LINES, OTHERS, TURNS, InFolder, kept_as, turn
from streamproc.types import Position


class SourceContract(InFolder):
    """Of a source that ends with what is there."""

    def recipe(self, lines: Sequence[bytes]) -> SourceRecipe:
        """What reads `lines`. For others it makes others in the same place."""
        raise NotImplementedError

    def opened(self, lines: Sequence[bytes]) -> Source:
        """The same, opened."""
        return self.recipe(lines).opened(SourceScope(sink=MemorySink(), is_resumable=True))

    def test_each_line_comes_once_and_in_order(self) -> None:
        """Lines are counted from 1, and nothing comes after the end."""

        async def read() -> None:
            async with self.opened(LINES) as source:
                batches = await _all_of(source)
                assert await source.receive() is None
            assert _lines(batches) == LINES
            before = 1
            for batch in batches:
                assert batch.cursor.line == before
                before += len(batch)

        asyncio.run(read())

    def test_what_came_before_a_cancelled_receive_has_no_gap(self) -> None:
        """Whenever reading is stopped, `receive_nowait` goes on where the last batch ended."""

        async def read(turns: int) -> None:
            async with self.opened(LINES) as source:
                received = await source.receive()
                assert received is not None
                batches = [received[0], *await _cancelled(source, turns)]
            lines = _lines(batches)
            assert lines == LINES[: len(lines)]

        for turns in TURNS:
            asyncio.run(read(turns))


class ResumableSourceContract(SourceContract):
    """Of one that a run can go on at."""

    def opened(self, lines: Sequence[bytes]) -> ResumableSource:
        """See `SourceContract`."""
        return super().opened(lines)  # type: ignore[return-value]  # that is what is tested

    async def position(self, count: int) -> Position:
        """That of the line behind the first `count`, as a checkpoint has it."""
        async with self.opened(LINES) as source:
            batches = await _all_of(source)
            return kept_as(await source.position(_cursor_at(batches, count)))

    def test_it_goes_on_at_every_line(self) -> None:
        """To rewind it twice is to rewind it once, and line numbers go on."""

        async def read(count: int) -> None:
            kept = await self.position(count)
            async with self.opened(LINES) as source:
                position = retyped(source.position_type, kept)
                assert await source.fits(position) is None
                await source.rewind(position)
                await source.rewind(position)
                batches = await _all_of(source)
                lines = _lines(batches)
                line = 1 + len(LINES) - len(lines)
                assert lines == LINES[line - 1 :]
                assert batches == [] or batches[0].cursor.line == line
                assert line == count + 1

        for count in (0, 1, 499, 500, 501, 1100, len(LINES)):
            asyncio.run(read(count))

    def test_where_it_went_on_it_goes_on_again(self) -> None:
        """A run that has done nothing yet stands where it began."""

        async def read() -> None:
            kept = await self.position(700)
            async with self.opened(LINES) as source:
                position = retyped(source.position_type, kept)
                assert await source.fits(position) is None
                await source.rewind(position)
                again = kept_as(await source.position(None))
            async with self.opened(LINES) as source:
                position = retyped(source.position_type, again)
                assert await source.fits(position) is None
                await source.rewind(position)
                assert _lines(await _all_of(source)) == LINES[700:]

        asyncio.run(read())

    def test_other_lines_do_not_fit(self) -> None:
        """And neither does nothing at all."""

        async def read(lines: Sequence[bytes]) -> None:
            kept = await self.position(len(LINES))
            async with self.opened(lines) as source:
                misfit = await source.fits(retyped(source.position_type, kept))
                assert misfit is not None
                assert misfit.why

        for lines in (OTHERS, []):
            asyncio.run(read(lines))


def _lines(batches: Sequence[Batch]) -> list[bytes]:
    return [line for batch in batches for line in batch.lines]


async def _all_of(source: Source) -> list[Batch]:
    found = []
    while received := await source.receive():
        found.append(received[0])
    return found


def _cursor_at(batches: Sequence[Batch], count: int) -> Cursor | None:
    """Where the line behind the first `count` begins, of batches that nobody has worked on."""
    cursor = None
    for batch in batches:
        if count < len(batch):
            _, rest = batch.cut(count) if count else (None, batch)
            return None if rest is None else rest.cursor
        count -= len(batch)
        file, line, offset, part = batch.cursor
        cursor = Cursor(file, line + len(batch), offset + batch.n_bytes, part)
    return cursor


async def _cancelled(source: Source, turns: int) -> list[Batch]:
    """What came of a receive that was cancelled after so many turns of the loop."""
    receiving = asyncio.ensure_future(source.receive())
    await turn(turns)
    receiving.cancel()
    await asyncio.wait({receiving})
    received = None if receiving.cancelled() else receiving.result()
    found = [] if received is None else [received[0]]
    while received := source.receive_nowait():
        found.append(received[0])
    return found
