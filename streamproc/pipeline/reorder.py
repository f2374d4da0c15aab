"""Finished lines, handed to the writer in input order per lane, or as they finish."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from streamproc.memory import SMALL_BYTES, Memory
from streamproc.pipeline.failures import Failures
from streamproc.record import FAILURES, UNSELECTED_NOTE, Batch, Note


class Span(NamedTuple):
    """The lines `start` to `stop` of a batch, ready to be written."""

    batch: Batch
    start: int
    stop: int


class ReorderBuffer:
    """What the engine finished and the writer has not taken, in input order per lane.

    It counts as `memory` what results hold more than their lines do, until they are written.
    """

    def __init__(self, memory: Memory, run_id: str = "") -> None:
        """`run_id`: for what is said of failures."""
        self.memory = memory
        self._lanes: dict[int, deque[Batch]] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._interruption: BaseException | None = None
        self.unseen = 0
        self.failures = Failures(run_id)
        self._failures_left = 0
        self._on_last_failure: Callable[[Batch, int, Note], None] = lambda batch, i, note: None

    @property
    def counts_failures(self) -> bool:
        """See `Finished`."""
        return self._failures_left > 0

    def count_failures(self, most: int, on_last: Callable[[Batch, int, Note], None]) -> None:
        """`on_last` hears of the failure number `most`, in the moment when it is known."""
        self._failures_left = most
        self._on_last_failure = on_last

    def admit(self, batch: Batch) -> None:
        """From here on the batch has its place in its lane."""
        self._lanes.setdefault(batch.lane, deque()).append(batch)

    def finish(self, batch: Batch, i: int, line: bytes, note: Note | None = None) -> None:
        """Line i of `batch` is done."""
        if note is not None:
            if batch.passed and batch.passed[i]:
                line, note = b"", UNSELECTED_NOTE
            batch.notes[i] = note
            if note.status in FAILURES:
                self._failed(batch, i, note)
            if note.dead_letter is not None:
                self._charge(batch, i, len(note.dead_letter))
        batch.results[i] = line
        if len(line) > SMALL_BYTES:
            self._charge(batch, i, len(line))
        batch.open -= 1
        self.unseen += 1
        if self._waiter is not None:
            self._wake()

    def finish_run(
        self, batch: Batch, start: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """The lines of `batch` from `start` on are done."""
        batch.results[start : start + len(lines)] = lines
        if notes:
            if passed := batch.passed:
                notes = {i: UNSELECTED_NOTE if passed[i] else note for i, note in notes.items()}
            batch.notes.update(notes)
            for i, note in notes.items():
                if note.status in FAILURES:
                    self._failed(batch, i, note)
        if lines != batch.lines and max(map(len, lines), default=0) > SMALL_BYTES:
            for i, line in enumerate(lines, start):
                self._charge(batch, i, len(line))
        batch.open -= len(lines)
        self.unseen += len(lines)
        if self._waiter is not None:
            self._wake()

    def _charge(self, batch: Batch, i: int, n_bytes: int) -> None:
        more = n_bytes - len(batch.lines[i])
        if more > SMALL_BYTES:
            batch.large[i] = more
            self.memory.charge(more)

    def _hand_out(self, runs: list[Span]) -> None:
        for batch, start, stop in runs:
            if batch.large:
                for i in range(start, stop):
                    if n_bytes := batch.large.pop(i, 0):
                        batch.leaving[i] = n_bytes
                        self.memory.leave(n_bytes)

    def _failed(self, batch: Batch, i: int, note: Note) -> None:
        if note.failed is not None:
            self.failures.happened(batch, i, note.failed)
        if self._failures_left:
            self._failures_left -= 1
            if not self._failures_left:
                self._on_last_failure(batch, i, note)

    def close(self) -> None:
        """Nothing more will be finished."""
        self._closed = True
        if self._waiter is not None:
            self._wake()

    async def receive(self) -> list[Span]:
        """Wait for lines that may be written now; empty when closed and all are taken."""
        while True:
            self.unseen = 0
            if self._interruption is not None:
                raise self._interruption
            runs = self._take()
            if self.memory.held_bytes:
                self._hand_out(runs)
            if runs or self._closed:
                return runs
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def interrupt(self, error: BaseException) -> None:
        """`receive` raises it, now or the next time."""
        self._interruption = error
        self._wake()

    def recall(self, lanes: Iterable[int]) -> dict[int, int]:
        """Let nobody begin more batches of these lanes; returns how many lines that is, by lane."""
        return {lane: _recall(self._lanes.get(lane, ())) for lane in lanes}

    def drop(self, lanes: Iterable[int]) -> list[Batch]:
        """Forget these lanes; returns their batches that the writer does not have whole."""
        dropped = [batch for lane in lanes for batch in self._lanes.pop(lane, ())]
        for batch in dropped:
            batch.is_dropped = True
        return dropped

    @property
    def finished_records(self) -> int:
        """Lines that are done and wait for others before them, or for the writer."""
        batches = (batch for lane in self._lanes.values() for batch in lane)
        return sum(len(batch) - batch.open - batch.taken for batch in batches)

    def leftovers(self) -> Iterator[tuple[Batch, int]]:
        """Lines that were admitted and not handed out, in order, finished or not."""
        for lane in self._lanes.values():
            for batch in lane:
                for i in range(batch.taken, len(batch)):
                    yield batch, i

    def _take(self) -> list[Span]:
        runs = []
        for lane in self._lanes.values():
            while lane:
                batch = lane[0]
                start = stop = batch.taken
                if batch.open:
                    results = batch.results
                    while results[stop] is not None:
                        stop += 1
                else:
                    stop = len(batch)
                if stop > start:
                    batch.taken = stop
                    runs.append(Span(batch, start, stop))
                if stop < len(batch):
                    break
                lane.popleft()
        return runs

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None  # once: the others only look at None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class UnorderedBuffer(ReorderBuffer):
    """The same without order: a line is handed out as soon as it is done."""

    def __init__(self, memory: Memory, run_id: str = "") -> None:
        super().__init__(memory, run_id)
        self._done: list[Span] = []
        self._open: dict[int, Batch] = {}

    def admit(self, batch: Batch) -> None:
        """From here on the batch is known."""
        self._open[id(batch)] = batch

    def finish(self, batch: Batch, i: int, line: bytes, note: Note | None = None) -> None:
        """Line i of `batch` is done."""
        self._done.append(Span(batch, i, i + 1))
        super().finish(batch, i, line, note)

    def finish_run(
        self, batch: Batch, start: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """The lines of `batch` from `start` on are done."""
        self._done.append(Span(batch, start, start + len(lines)))
        super().finish_run(batch, start, lines, notes)

    def recall(self, lanes: Iterable[int]) -> dict[int, int]:
        """Let nobody begin more batches of these lanes; returns how many lines that is, by lane."""
        known = list(self._open.values())
        return {lane: _recall(each for each in known if each.lane == lane) for lane in lanes}

    def drop(self, lanes: Iterable[int]) -> list[Batch]:
        """Forget these lanes; returns their batches that the writer does not have whole."""
        gone = set(lanes)
        dropped = [batch for batch in self._open.values() if batch.lane in gone]
        for batch in dropped:
            batch.is_dropped = True
            del self._open[id(batch)]
        return dropped

    @property
    def finished_records(self) -> int:
        """Lines that are done and wait for the writer."""
        return sum(run.stop - run.start for run in self._done)

    def leftovers(self) -> Iterator[tuple[Batch, int]]:
        """Lines that were admitted and not handed out, in order, finished or not."""
        waiting = {(id(run.batch), i) for run in self._done for i in range(run.start, run.stop)}
        for batch in self._open.values():
            for i in range(len(batch)):
                if batch.results[i] is None or (id(batch), i) in waiting:
                    yield batch, i

    def _take(self) -> list[Span]:
        runs = [run for run in self._done if not run.batch.is_dropped]
        self._done = []
        for run in runs:
            if not run.batch.open:
                self._open.pop(id(run.batch), None)
        return runs


def _recall(batches: Iterable[Batch]) -> int:
    """Drop the end of a lane, from the first batch on that no consumer has begun; counts its lines.

    A batch that was refused when it came has no open lines: it is done, though nobody began it.
    """
    lines, is_end = 0, False
    for batch in batches:
        is_end = is_end or (batch.open > 0 and not batch.is_begun)
        if is_end:
            batch.is_dropped = True
            lines += len(batch)
    return lines
