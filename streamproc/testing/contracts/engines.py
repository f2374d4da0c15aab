"""What every engine keeps, whoever does the work, and where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from streamproc.assembly.pipeline import Pipeline
from streamproc.interfaces import Engine
from streamproc.memory import Memory
from streamproc.pipeline.channel import Channel
from streamproc.record import Batch, Cursor, Note
from streamproc.types import Position
from streamproc.waiting import resolve

_PLACES = 4
_LINES = 40  # in a batch
_SOON_S = 0.01


def doubled(record: dict[str, Position]) -> dict[str, Position]:
    """Fails for every seventh record."""
    if record["n"] % 7 == 0:
        raise ValueError("seven")
    return {"double": record["n"] * 2}


async def doubled_later(record: dict[str, Position]) -> dict[str, Position]:
    """The same, after a while that is longer for some."""
    await asyncio.sleep(record["n"] % 3 * 0.001)
    return doubled(record)


async def hung(record: dict[str, Position]) -> None:
    """Never ends by itself."""
    await asyncio.sleep(1e6)


class Ends:
    """See `Finished`: counts how often each line is done, and `first` is done with the first."""

    counts_failures = False

    def __init__(self) -> None:
        self.memory = Memory()
        self.unseen = 0
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lines: dict[tuple[int, int], list[tuple[bytes, Note | None]]] = {}

    def finish(self, batch: Batch, i: int, line: bytes, note: Note | None = None) -> None:
        """See `Finished`."""
        self.unseen += 1
        resolve(self.first)
        self.lines.setdefault((batch.cursor.line, i), []).append((line, note))

    def finish_run(
        self, batch: Batch, start: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """See `Finished`."""
        for i, line in enumerate(lines, start):
            self.finish(batch, i, line, notes.get(i))

    def texts(self) -> Iterator[tuple[int, bytes, Note | None]]:
        """Each line's number in the input, and what it was finished as."""
        for (first, i), ends in self.lines.items():
            assert len(ends) == 1, f"line {first + i} is finished {len(ends)} times"
            yield first + i - 1, *ends[0]


class EngineContract:
    """Of an engine; `engine` makes one for the stages of a pipeline, with four places."""

    def engine(self, pipeline: Pipeline) -> Engine:
        """What is tested, not entered yet."""
        raise NotImplementedError

    def _run(self, stage: Position, test: Callable[[Engine, Channel, Ends], Position]) -> Ends:
        """Let `test` have the engine while it is entered."""

        async def main() -> Ends:
            work, ends = Channel(0), Ends()
            spec = f"{__name__}:{stage.__name__}"
            pipeline = Pipeline([{"name": "x", "into": ".", "python": spec}], concurrency=_PLACES)
            async with self.engine(pipeline) as engine:
                assert engine.workers >= 1
                assert (engine.restarts, engine.in_flight, engine.busy_since_s) == (0, 0, None)
                assert not engine.waits()
                assert not engine.allowances()
                await test(engine, work, ends)
                count = len(ends.lines)
            assert asyncio.all_tasks() == {asyncio.current_task()}, "it leaves a task behind"
            assert len(ends.lines) == count, "a line is finished when nobody expects it"
            return ends

        return asyncio.run(main())

    def test_each_line_is_finished_once(self) -> None:
        """Also those that fail, are blank or no JSON; a call that waits changes nothing."""

        async def all_of_it(engine: Engine, work: Channel, ends: Ends) -> None:
            running = asyncio.ensure_future(engine.run(work, ends))
            for batch in _batches(5, lambda n: [b'{"n":%d}' % n, b"", b"no"][n % 11 % 3]):
                await work.send(batch)
                await asyncio.sleep(0)
            engine.thaw()
            work.close()
            await running

        for stage in (doubled, doubled_later):
            found = self._run(stage, all_of_it).texts()
            made = {n: (line, note and (note.status, note.malformed)) for n, line, note in found}
            assert len(made) == 5 * _LINES
            for n, (line, outcome) in made.items():
                if kind := n % 11 % 3:
                    assert outcome == (("blank", False), ("failed", True))[kind - 1]
                elif n % 7 == 0:
                    assert outcome == ("failed", False)
                else:
                    assert (line, outcome) == (b'{"n":%d,"double":%d}' % (n, 2 * n), None)

    def test_nothing_begins_when_it_winds_down(self) -> None:
        """What is under way is finished, `run` ends, and the rest stays open."""

        async def some_of_it(engine: Engine, work: Channel, ends: Ends) -> None:
            for batch in _batches(100, lambda n: b'{"n":%d}' % (n * 7 + 2)):
                work.send_nowait(batch)
            work.close()
            running = asyncio.ensure_future(engine.run(work, ends))
            await ends.first
            engine.wind_down()
            await running

        ends = self._run(doubled_later, some_of_it)
        assert 0 < len(list(ends.texts())) < 100 * _LINES

    def test_an_abort_ends_calls_that_do_not(self) -> None:
        """And they are not finished: what becomes of them is for others to say."""

        async def none_of_it(engine: Engine, work: Channel, ends: Ends) -> None:
            running = asyncio.ensure_future(engine.run(work, ends))
            for batch in _batches(1, lambda n: b'{"n":%d}' % n):
                await work.send(batch)
            while engine.in_flight < _PLACES or engine.busy_since_s is None:  # noqa: ASYNC110
                await asyncio.sleep(_SOON_S)  # workers say so now and then
            running.cancel()
            await asyncio.wait({running})
            await engine.abort()

        assert not self._run(hung, none_of_it).lines


def _batches(count: int, line: Callable[[int], bytes]) -> Iterator[Batch]:
    for first in range(0, count * _LINES, _LINES):
        lines = [line(n) for n in range(first, first + _LINES)]
        yield Batch(0, Cursor("<contract>", first + 1, 0), lines, sum(map(len, lines)))
