"""Finished lines → sinks; then they are counted, the keeper is told, their credits go back.

In that order, and only here.

This is the promise that nothing is lost: a line is counted, and its credit goes back,
after it was written, and not when somebody meant to write it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import cast

from streamproc.counters import RunCounters
from streamproc.interfaces import UNOBSERVED, MessageSink, ProgressTracker, RunObserver, Sink
from streamproc.pipeline.credits import CreditLimit
from streamproc.pipeline.reorder import ReorderBuffer, Span
from streamproc.record import Batch, dead_letters

WRITE_BYTES = 256 * 1024  # one write; larger ones only make memory peaks


class Writer:
    """Writes what the reorder buffer hands out until it is closed and empty."""

    def __init__(
        self,
        reorder: ReorderBuffer,
        window: CreditLimit,
        sink: Sink,
        dead_letters: Sink | None,
        tally: RunCounters,
        keeper: ProgressTracker | None = None,
        observer: RunObserver = UNOBSERVED,
    ) -> None:
        self._reorder = reorder
        self._window = window
        self._sink = sink
        self._dead_letters = dead_letters
        self._tally = tally
        self._keeper = keeper
        self._observer = observer
        self._told_bytes = 0  # of the output, to the observers
        self._group: list[Span] = []
        self._queue: list[Span] = []
        self._begun_bytes = (0, 0)

    async def run(self) -> None:
        """Raises `OutputError`, `ReaderGoneError`; then `leftovers` tells what is unwritten."""
        while received := await self._reorder.receive():
            self._queue = runs = list(_pieces(received))
            pieces: list[bytes] = []
            dead: list[bytes] = []
            size = 0
            for run in runs:
                self._group.append(run)
                size += self._collect(run, pieces, dead)
                if size >= WRITE_BYTES:
                    await self._write(pieces, dead)
                    pieces, dead, size = [], [], 0
            await self._write(pieces, dead)

    def drop(self, lanes: Container[int]) -> list[Batch]:
        """None: what was handed out is written by now, or counts as written."""
        return []

    def leftovers(self) -> Iterator[tuple[Batch, int]]:
        """Lines that were handed out and not written, in order, after an error.

        Lines of the failed write that had been written whole are counted first.
        """
        out = self._sink.written_bytes - self._begun_bytes[0]
        dead = 0
        if self._dead_letters is not None and not self._dead_letters.takes_messages:
            dead = self._dead_letters.written_bytes - self._begun_bytes[1]
        failed, self._group = self._group, []
        for run in failed:
            if run.batch.is_dropped:
                continue
            for i in range(run.start, run.stop):
                out_bytes, dead_bytes = _sizes(run.batch, i)
                out -= out_bytes
                dead -= dead_bytes
                if (out < 0 and out_bytes) or (dead < 0 and dead_bytes):
                    yield run.batch, i
                else:
                    self._count(Span(run.batch, i, i + 1))
        for run in self._queue[self._queue.index(failed[-1]) + 1 :] if failed else ():
            if run.batch.is_dropped:
                continue
            for i in range(run.start, run.stop):
                yield run.batch, i

    def _collect(self, run: Span, pieces: list[bytes], dead: list[bytes]) -> int:
        batch, start, stop = run
        lines: list[bytes] = batch.results[start:stop]  # type: ignore[assignment]  # all are there
        if batch.notes:
            lines = [line for line in lines if line]
            dead += [letter for _, _, letter in dead_letters((run,))]
        if not lines:
            return 0
        piece = b"\n".join(lines)
        pieces.append(piece)
        return len(piece)

    async def _write(self, pieces: list[bytes], dead: list[bytes]) -> None:
        self._begun_bytes = (
            self._sink.written_bytes,
            self._dead_letters.written_bytes if self._dead_letters else 0,
        )
        if dead:
            assert self._dead_letters is not None
            if self._dead_letters.takes_messages:
                await cast("MessageSink", self._dead_letters).send_dead_letters(self._group)
            else:
                await self._dead_letters.write(b"\n".join(dead) + b"\n")
        if pieces:
            pieces.append(b"")
            await self._sink.write(b"\n".join(pieces))
        for run in self._group:
            self._count(run)
        if self._observer.is_told_of_writes:
            self._tell_written(self._group)
        self._group = []
        if self._keeper is not None:
            self._keeper.flushed()

    def _tell_written(self, spans: list[Span]) -> None:
        before, self._told_bytes = self._told_bytes, self._sink.written_bytes
        if lines := sum(stop - start for _, start, stop in spans):
            self._observer.written(lines, self._told_bytes - before)

    def _count(self, run: Span) -> None:
        batch, start, stop = run
        if batch.is_dropped:
            return
        count = stop - start
        plain = count
        if batch.notes:
            is_told = self._observer.is_told_of_ends
            for i in range(start, stop):
                if (note := batch.notes.get(i)) is not None:
                    plain -= 1
                    if is_told:
                        self._observer.ended(batch, i, note)
                    self._tally.count(note)
                    if note.failed is not None:
                        self._reorder.failures.count(batch, i, note.failed, note.status)
        self._tally.ok += plain
        self._tally.lines_out += plain
        batch.written += count
        if batch.leaving:
            for i in range(start, stop):
                if n_bytes := batch.leaving.pop(i, 0):
                    batch.results[i] = b""  # others of its batch may be long in coming
                    batch.notes.pop(i, None)
                    self._window.memory.written(n_bytes)
        whole = batch.written == len(batch)
        if self._keeper is not None:
            self._keeper.written(batch, start, stop)
        self._window.release(count, batch.n_bytes if whole else 0, batch.lane)


def _pieces(spans: list[Span]) -> Iterator[Span]:
    """Spans with large results in several: what is written at once is held twice."""
    for span in spans:
        batch, at, stop = span
        if batch.leaving:
            size = 0
            for i in range(at, stop - 1):
                size += batch.leaving.get(i, 0)
                if size >= WRITE_BYTES:
                    yield Span(batch, at, i + 1)
                    at, size = i + 1, 0
        yield Span(batch, at, stop)


def _sizes(batch: Batch, i: int) -> tuple[int, int]:
    """Bytes of line i on stdout and among the dead letters, newlines included."""
    out = len(batch.results[i] or b"")
    note = batch.notes.get(i)
    dead = len(note.dead_letter) if note is not None and note.dead_letter is not None else 0
    return out + 1 if out else 0, dead + 1 if dead else 0
