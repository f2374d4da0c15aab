"""What every sink keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streamproc.codec import retyped
from streamproc.interfaces import ResumableSink, Sink, SinkRecipe, SinkScope
from streamproc.record import Note
from streamproc.testing import MemorySource
from streamproc.testing.contracts.common import (
    LINES,
    OTHERS,
    TURNS,
    InFolder,
    data_of,
    kept_as,
    turn,
)
from streamproc.types import Position


class SinkContract(InFolder):
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
                    await sink.write(data_of(LINES[start : start + 100]))
                    assert sink.written_bytes == len(data_of(LINES[: start + 100]))
            assert self.read() == LINES

        asyncio.run(write())

    def test_what_a_cancelled_write_wrote_is_counted(self) -> None:
        """All that is there, and no more: it would be missing, or written twice."""

        async def write(turns: int) -> None:
            async with self.opened() as sink:
                await sink.write(data_of(LINES[:100]))
                writing = asyncio.ensure_future(sink.write(data_of(LINES[100:])))
                await turn(turns)
                writing.cancel()
                await asyncio.wait({writing})
                written = sink.written_bytes
            assert data_of(self.read()) == data_of(LINES)[:written]

        for turns in TURNS:
            asyncio.run(write(turns))
            self.teardown_method()
            self.setup_method()


class ResumableSinkContract(SinkContract):
    """Of one that a run can go on at."""

    def opened(self) -> ResumableSink:
        """See `SinkContract`."""
        return super().opened()  # type: ignore[return-value]  # that is what is tested

    async def write(self) -> Position:
        """Write all lines; the position behind the first 500, asked for when all are there."""
        async with self.opened() as sink:
            await sink.write(data_of(LINES[:500]))
            place = sink.place
            await sink.write(data_of(LINES[500:]))
            return kept_as(await sink.position(place, durable=True))

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
                await sink.write(data_of(OTHERS))
                assert sink.written_bytes == len(data_of(OTHERS))
                again = kept_as(await sink.position(sink.place, durable=False))
            assert self.read() == LINES[:500] + OTHERS
            assert await self.opened().fits(retyped(sink.position_type, again)) is None

        asyncio.run(go_on())

    def test_what_is_there_may_stay(self) -> None:
        """A run goes on behind it, and what was added since an end is seen."""

        async def go_on() -> None:
            async with self.opened() as sink:
                await sink.write(data_of(LINES))
                kept = kept_as(await sink.position(sink.place, durable=False))
            sink = self.opened()
            position = retyped(sink.position_type, kept)
            assert await sink.added(None) > 0
            assert await sink.added(position) == 0
            await sink.rewind(None)
            async with sink:
                await sink.write(data_of(OTHERS))
            assert self.read() == LINES + OTHERS
            assert await self.opened().added(position) > 0

        asyncio.run(go_on())

    def test_there_is_nothing_at_first(self) -> None:
        """And the first position is one, too."""

        async def begin() -> None:
            assert await self.opened().added(None) == 0
            async with self.opened() as sink:
                kept = kept_as(await sink.position(sink.place, durable=False))
                await sink.write(data_of(LINES))
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
                    await sink.write(data_of(lines))
            sink = self.opened()
            misfit = await sink.fits(retyped(sink.position_type, kept))
            assert misfit is not None
            assert misfit.why
            assert not lines or self.read() == lines

        for lines in (OTHERS, LINES[:100], []):
            asyncio.run(ask(lines))
