"""What a run comes to: each record has one end, and each way to end has its code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from streamproc.codec import OnError
from streamproc.errors import InputError, StreamprocError
from streamproc.interfaces import Finished, Work
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.run import Run
from streamproc.pipeline.shutdown import Shutdown
from streamproc.record import Batch, Failed
from streamproc.testing import MemorySink, MemorySource
from tests.simulated import settle

LINES = [b'{"n":%d}' % n for n in range(10)]
FAILED = Failed("exception", "s", "no", 1)


class ScriptedEngine:
    """Finishes lines as they are, or as failed; `at` one of them `then` happens before it ends."""

    def __init__(
        self,
        at: int = -1,
        then: Callable[[], Any] = lambda: None,
        failing: frozenset[int] = frozenset(),
        step: int = 1,
    ) -> None:
        self._at, self._then, self._step = at, then, step
        self._failing = failing
        self._is_winding_down = False
        self.is_aborted = False

    def wind_down(self) -> None:
        self._is_winding_down = True

    async def abort(self) -> None:
        self.is_aborted = True

    async def run(self, work: Work, finished: Finished) -> None:
        while (batch := await work.receive()) is not None:
            for i, line in [*enumerate(batch.lines)][:: self._step]:
                if i == self._at and (waits := self._then()) is not None:
                    await waits
                if self._is_winding_down:
                    return
                note = OnError("annotate", False).refuse(FAILED, batch, i)
                if i in self._failing:
                    finished.finish(batch, i, note.line, note)
                else:
                    finished.finish(batch, i, line)
            await asyncio.sleep(0)


class EndsBadly(MemorySource):
    """All its records, and then `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(LINES)
        self._error = error
        self._has_ended = asyncio.Event()

    async def receive(self) -> tuple[Batch, Failed | None] | None:
        if (found := await super().receive()) is None:
            self._has_ended.set()
            raise self._error
        return found

    async def is_known_to_have_ended(self) -> None:
        await self._has_ended.wait()
        await settle()


class Full(MemorySink):
    """Takes nothing."""

    async def write(self, data: bytes) -> None:
        raise StreamprocError("the disk is full")


def ran(
    engine: Any,
    *,
    source: MemorySource | None = None,
    sink: MemorySink | None = None,
    letters: MemorySink | None = None,
    shutdown: Shutdown | None = None,
    **more: Any,
) -> tuple[Run, MemorySink]:
    """A run to its end, and its output."""
    sink = sink or MemorySink()

    async def main() -> Run:
        run = Run(
            source=source or MemorySource(LINES), engine=engine, sink=sink, dead_letters=letters,
            forms=OnError("annotate", letters is not None),
            window=CreditLimit(100, 1 << 20), shutdown=shutdown or Shutdown(25.0), **more,
        )  # fmt: skip
        await run.run()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return run

    run = asyncio.run(main())
    assert run.tally.received == run.tally.ended == len(LINES)
    return run, sink


@pytest.mark.parametrize(("ordered", "written"), [(True, LINES), (False, LINES[::-1])])
def test_all_is_written(ordered: bool, written: list[bytes]) -> None:
    """Of an engine that finishes the last line first: in the input's order, or in its own."""
    run, sink = ran(ScriptedEngine(step=-1), ordered=ordered)
    assert sink.lines == written
    assert (run.errors, run.exit_code, run.lost) == ([], 0, 0)


def test_an_input_that_fails_is_an_early_end() -> None:
    """What was read is finished and written, before the run ends with the code of its error."""
    source = EndsBadly(InputError("torn"))
    run, sink = ran(ScriptedEngine(3, source.is_known_to_have_ended), source=source)
    assert sink.lines == LINES
    assert (run.exit_code, run.tally.unprocessed) == (66, 0)


def test_out_of_memory_the_account_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written counts, wherever the error was met."""
    engine = ScriptedEngine()
    is_open = Run._is_open

    def without_memory(run: Run) -> bool:
        assert not is_open(run)
        raise MemoryError

    monkeypatch.setattr(Run, "_is_open", without_memory)
    run, sink = ran(engine)
    assert [type(error) for error in run.errors] == [MemoryError]
    assert (sink.lines, run.tally.ok, run.exit_code) == (LINES, len(LINES), 1)


def test_an_engine_that_fails_ends_the_run() -> None:
    """What it had finished goes out as it is, the others with an error that says why."""

    def fails() -> None:
        raise StreamprocError("no more workers")

    engine = ScriptedEngine(4, fails)
    run, sink = ran(engine)
    assert engine.is_aborted
    assert [str(error) for error in run.errors] == ["no more workers"]
    assert run.exit_code == 1
    assert sink.lines[:4] == LINES[:4]
    assert [line["_error"]["kind"] for line in sink.records[4:]] == ["shutdown"] * 6
    assert [line["n"] for line in sink.records] == list(range(10))


def test_a_sink_that_takes_nothing_leaves_all_to_the_dead_letters() -> None:
    """Each is told of by what went wrong; without that file the first is where it was lost."""
    run, _ = ran(ScriptedEngine(), sink=Full(), letters=(letters := MemorySink()))
    assert run.tally.unprocessed == len(LINES)
    assert run.lost == 0
    assert {each["_error"]["message"] for each in letters.records} == {
        "not written: the disk is full"
    }
    assert len(letters.records) == len(LINES)
    run, _ = ran(ScriptedEngine(), sink=Full())
    assert (run.lost, run.lost_from.line if run.lost_from else None) == (len(LINES), 1)


def test_the_last_failure_that_is_allowed_stops_it() -> None:
    """What comes behind is not begun, and said to be open."""
    run, sink = ran(ScriptedEngine(failing=frozenset({2, 5, 7})), max_errors=2)
    assert run.exit_code == 4
    assert [n for n, line in enumerate(sink.records) if line.get("_error")][:2] == [2, 5]
    assert (run.tally.errors, run.tally.ok) == (2, 4)


def test_a_second_signal_aborts_what_waits() -> None:
    """What is done is written, and what is not is open: 75 says that the run may be done again."""
    shutdown = Shutdown(25.0)

    def hangs() -> asyncio.Future[None]:
        shutdown.request(2)
        shutdown.request(2)
        return asyncio.get_running_loop().create_future()

    engine = ScriptedEngine(6, hangs)
    run, sink = ran(engine, shutdown=shutdown)
    assert engine.is_aborted
    assert (run.exit_code, run.tally.ok) == (75, 6)
    assert sink.lines[:6] == LINES[:6]
    assert [line["_error"]["kind"] for line in sink.records[6:]] == ["shutdown"] * 4


def test_a_run_that_did_what_nobody_meant_says_so() -> None:
    """Though each record is fine."""
    run, _ = ran(ScriptedEngine(), is_mistaken=lambda: True)
    assert run.exit_code == 3
