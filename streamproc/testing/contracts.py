"""What every source and every sink keeps, as tests: for ours, and for those of plugins.

Subclass one as `Test...` and say what is tested; pytest runs what it inherits.

>>> class TestRows(ResumableSinkContract):
...     def recipe(self):
...         return SqliteSink(path=str(self.folder / "out.db"), table="t")
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streamproc.codec import restore, retyped, store
from streamproc.interfaces import (
    ResumableSink,
    ResumableSource,
    Sink,
    SinkRecipe,
    SinkScope,
    Source,
    SourceRecipe,
    SourceScope,
)
from streamproc.record import Batch, Cursor, Note
from streamproc.testing import MemorySink, MemorySource

__all__ = [
    "ResumableSinkContract",
    "ResumableSourceContract",
    "SinkContract",
    "SourceContract",
]

LINES = [b'{"n":%d,"text":"%s"}' % (n, b"x" * (n % 50)) for n in range(1200)]
OTHERS = [b'{"other":%d}' % n for n in range(1200)]
_TURNS = range(0, 40, 3)  # of the loop, before something is cancelled


class _InFolder:
    folder: Path

    def setup_method(self) -> None:
        """A folder for each test."""
        self._temporary = TemporaryDirectory()
        self.folder = Path(self._temporary.name)

    def teardown_method(self) -> None:
        """And nothing is left of it."""
        self._temporary.cleanup()


class SourceContract(_InFolder):
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

    def test_to_cancel_a_receive_loses_nothing(self) -> None:
        """Whenever that is."""

        async def read() -> None:
            batches: list[Batch] = []
            async with self.opened(LINES) as source:
                for turns in _TURNS:
                    batches += await _cancelled(source, turns)
                batches += await _all_of(source)
            assert _lines(batches) == LINES

        asyncio.run(read())


class ResumableSourceContract(SourceContract):
    """Of one that a run can go on at."""

    def opened(self, lines: Sequence[bytes]) -> ResumableSource:
        """See `SourceContract`."""
        return super().opened(lines)  # type: ignore[return-value]  # that is what is tested

    async def position(self, count: int) -> Any:
        """That of the line behind the first `count`, as a checkpoint has it."""
        async with self.opened(LINES) as source:
            batches = await _all_of(source)
            return _kept(await source.position(_cursor_at(batches, count)))

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
                again = _kept(await source.position(None))
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


class SinkContract(_InFolder):
    """Of a sink; `recipe` makes another one for the same place each time."""

    def recipe(self) -> SinkRecipe:
        """What is written to."""
        raise NotImplementedError

    def read(self) -> list[bytes]:
        """The lines that are there."""
        raise NotImplementedError

    def opened(self) -> Sink:
        """The same, opened."""
        scope = SinkScope(
            source=MemorySource([]), refuse=lambda *_: Note("failed"), is_resumable=True
        )
        return self.recipe().opened(scope)

    def test_what_is_written_is_there(self) -> None:
        """And is counted, when `write` returns."""

        async def write() -> None:
            async with self.opened() as sink:
                for start in range(0, len(LINES), 100):
                    await sink.write(_data(LINES[start : start + 100]))
                    assert sink.written_bytes == len(_data(LINES[: start + 100]))
            assert self.read() == LINES

        asyncio.run(write())

    def test_what_a_cancelled_write_wrote_is_counted(self) -> None:
        """All that is there, and no more: it would be missing, or written twice."""

        async def write(turns: int) -> None:
            async with self.opened() as sink:
                await sink.write(_data(LINES[:100]))
                writing = asyncio.ensure_future(sink.write(_data(LINES[100:])))
                await _turn(turns)
                writing.cancel()
                await asyncio.wait({writing})
                written = sink.written_bytes
            assert _data(self.read()) == _data(LINES)[:written]

        for turns in _TURNS:
            asyncio.run(write(turns))
            self.teardown_method()
            self.setup_method()


class ResumableSinkContract(SinkContract):
    """Of one that a run can go on at."""

    def opened(self) -> ResumableSink:
        """See `SinkContract`."""
        return super().opened()  # type: ignore[return-value]  # that is what is tested

    async def write(self) -> Any:
        """Write all lines; the position behind the first 500, asked for when all are there."""
        async with self.opened() as sink:
            await sink.write(_data(LINES[:500]))
            place = sink.place
            await sink.write(_data(LINES[500:]))
            return _kept(await sink.position(place, durable=True))

    def test_what_came_later_goes_away(self) -> None:
        """To rewind it twice is to rewind it once; before that nothing is touched."""

        async def go_on() -> None:
            kept = await self.write()
            sink = self.opened()
            position = retyped(sink.position_type, kept)
            assert await sink.fits(position) is None
            assert self.read() == LINES
            await sink.rewind(position)
            await sink.rewind(position)
            assert self.read() == LINES[:500]
            async with sink:
                await sink.write(_data(OTHERS))
                assert sink.written_bytes == len(_data(OTHERS))
                again = _kept(await sink.position(sink.place, durable=False))
            assert self.read() == LINES[:500] + OTHERS
            assert await self.opened().fits(retyped(sink.position_type, again)) is None

        asyncio.run(go_on())

    def test_what_is_there_may_stay(self) -> None:
        """A run goes on behind it, and what was added since an end is seen."""

        async def go_on() -> None:
            async with self.opened() as sink:
                await sink.write(_data(LINES))
                kept = _kept(await sink.position(sink.place, durable=False))
            sink = self.opened()
            position = retyped(sink.position_type, kept)
            assert await sink.added(None) > 0
            assert await sink.added(position) == 0
            await sink.rewind(None)
            async with sink:
                await sink.write(_data(OTHERS))
            assert self.read() == LINES + OTHERS
            assert await self.opened().added(position) > 0

        asyncio.run(go_on())

    def test_there_is_nothing_at_first(self) -> None:
        """And the first position is one, too."""

        async def begin() -> None:
            assert await self.opened().added(None) == 0
            async with self.opened() as sink:
                kept = _kept(await sink.position(sink.place, durable=False))
                await sink.write(_data(LINES))
            sink = self.opened()
            position = retyped(sink.position_type, kept)
            assert await sink.fits(position) is None
            await sink.rewind(position)
            assert self.read() == []

        asyncio.run(begin())

    def test_another_place_does_not_fit(self) -> None:
        """Where nothing was written, or something else."""

        async def ask(lines: Sequence[bytes]) -> None:
            kept = await self.write()
            self.teardown_method()
            self.setup_method()
            if lines:
                async with self.opened() as sink:
                    await sink.write(_data(lines))
            sink = self.opened()
            misfit = await sink.fits(retyped(sink.position_type, kept))
            assert misfit is not None
            assert misfit.why
            assert not lines or self.read() == lines

        for lines in (OTHERS, LINES[:100], []):
            asyncio.run(ask(lines))


def _kept(position: Any) -> Any:
    """As it comes out of a checkpoint: what JSON makes of it."""
    return restore(dict, store(position))


def _data(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


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


async def _turn(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _cancelled(source: Source, turns: int) -> list[Batch]:
    """What came of a receive that was cancelled after so many turns of the loop."""
    receiving = asyncio.ensure_future(source.receive())
    await _turn(turns)
    receiving.cancel()
    await asyncio.wait({receiving})
    received = None if receiving.cancelled() else receiving.result()
    found = [] if received is None else [received[0]]
    while received := source.receive_nowait():
        found.append(received[0])
    return found
