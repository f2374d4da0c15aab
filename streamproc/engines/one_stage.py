"""The commonest pipeline, one stage that adds members, in as few steps as possible."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from time import perf_counter
from typing import Any

from streamproc.codec import Document
from streamproc.engines.additions import Additions, Slice
from streamproc.engines.eager import MOST, RowLength, Suspended
from streamproc.engines.executor import UNTIMED
from streamproc.engines.program import Outcome, Program, keep, keep_among_empty
from streamproc.engines.slot import Slot
from streamproc.engines.state import CALLING, RUNNING
from streamproc.engines.users import users
from streamproc.errors import StreamprocError
from streamproc.interfaces import Finished
from streamproc.record import NO_RESULT, Batch, Note
from streamproc.types import CallResult, Record


class OneStage:
    """One stage that adds to the record, as it is most of the time.

    The same as `Program`, with less in between; whatever is unusual about a record goes
    through `Program`, and no call is made twice.
    """

    @classmethod
    def of(cls, program: Program) -> OneStage | None:
        """None if `program` does anything else."""
        if len(program.stages) != 1:
            return None
        stage = program.stages[0]
        simple = stage.into is None or len(stage.into) == 1
        plain = simple and stage.when is None and not stage.replaces and not stage.sources
        return cls(program) if plain else None

    def __init__(self, program: Program) -> None:
        self._program = program
        self._stage = stage = program.stages[0]
        self._executor = program.only_executor
        self._awaited = self._executor.awaited
        self._is_timed = self._executor.mode == "layered" or self._executor.is_heard
        self._call = stage.enricher.call
        self._times = stage.times
        self._counts = self._executor.counts
        self._additions = Additions(stage.into[0] if stage.into is not None else None)
        self.is_eager = self._executor.mode == "awaited" and not self._executor.is_heard
        self.row = RowLength()

    async def awaited(self, batch: Batch, i: int, slot: Slot) -> Outcome:
        """Finish line i of `batch`; `slot` carries the deadline of the call."""
        line = batch.lines[i]
        record = self._additions.one(line)
        if record is None:
            return await self._program.awaited(batch, i, slot)
        given = record.copy()
        value: Any = NO_RESULT
        failure = None
        slot.document = None  # what a late abandonment needs is in the line
        slot.stage = stage = self._stage
        slot.attempts = 0
        slot.held_s = 0.0
        is_timed, times = self._is_timed or not slot.attempt & UNTIMED, self._times
        try:
            if times is not None:
                begun_s = perf_counter()
                try:
                    value = await self._awaited(record, slot)
                finally:
                    times.passed(begun_s, slot)
            elif is_timed:
                value = await self._awaited(record, slot)
            else:  # as `Executor.awaited`, without its frame and its clock
                slot.attempts = 1
                slot.attempt += 1
                slot.timed, slot.state = stage, CALLING
                value = await self._call(record)
                if slot.state is CALLING:
                    slot.state = RUNNING
                else:
                    slot.end()
                self._counts.untimed += 1
                if value is None:
                    value = NO_RESULT
        except BaseException as error:
            failure = slot.end_failed(users(error, awaited=True))
            if not is_timed:
                self._counts.untimed += 1
                self._counts.failed_calls += 1
        is_long = slot.share.is_long
        if failure is None and not is_long:
            grown = self._additions.grown(line, given, value)
            if grown is not None:
                return grown
        document = Document.resumed(line, record, given)
        resumed = value, document, batch, i, failure, slot.attempts or 1
        if is_long:
            return await self._program.long_records.aside(line, self._program.resume, *resumed)
        return self._program.resume(*resumed)

    def begin(
        self, batch: Batch, start: int, stop: int, slot: Slot, finished: Finished
    ) -> tuple[int, Coroutine[CallResult, CallResult, Outcome] | None]:
        """Finish the lines `start` to `stop` as far as no call waits, if it `is_eager`.

        Returns the line that does wait, and what finishes it; or the next line, and None. With
        those behind it nothing has been begun.
        """
        lines = batch.lines[start:stop]
        some = self._additions.some(lines) if b"" not in lines else None
        if some is None:
            self.row.stopped()
            return start, self.awaited(batch, start, slot)
        values: list[Any] = []
        end = self._executor.eagerly(some.records.copy(), values)
        done, i = len(values), start + len(values)
        ended: list[bytes] = []
        notes: dict[int, Note] = {}
        self._end(some, values, batch, range(start, i), ended, notes)
        finished.finish_run(batch, start, ended, notes)
        if end is None:
            self.row.ended()
            return i, None
        if isinstance(end, BaseException):
            outcome = self._resumed(some, done, NO_RESULT, batch, i, end)
            assert isinstance(outcome, Note)
            finished.finish(batch, i, outcome.line, outcome)
            return i + 1, None
        self.row.stopped()
        return i, self._waited(end, some, done, batch, i, slot)

    async def _waited(
        self, call: Suspended, some: Slice, k: int, batch: Batch, i: int, slot: Slot
    ) -> Outcome:
        """Finish line i, which is record k of `some`."""
        slot.arrive(self._stage, None)
        value: Any = NO_RESULT
        failure = None
        try:
            value = await self._executor.waited(call, slot)
        except BaseException as error:
            failure = slot.end_failed(users(error, awaited=True))
        return self._resumed(some, k, value, batch, i, failure)

    def _end(
        self,
        some: Slice,
        values: list[CallResult],
        batch: Batch,
        numbers: Sequence[int],
        lines: list[bytes],
        notes: dict[int, Note],
    ) -> None:
        """Finish the first records of `some`, the lines with these numbers, by their `values`."""
        grown = self._additions.all_grown(some.first(len(values)), values)
        if grown is not None:
            lines += grown
            return
        for k, (i, value) in enumerate(zip(numbers, values, strict=False)):
            keep(self._resumed(some, k, value, batch, i), i, lines, notes)

    def inline(
        self, batch: Batch, start: int, stop: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """Finish the lines `start` to `stop`, some at once.

        A slice in which anything is unusual goes record by record.
        """
        for first in range(start, stop, MOST):
            last = min(first + MOST, stop)
            raws = batch.lines[first:last]
            if b"" not in raws:
                self._slice(batch, range(first, last), raws, lines, notes)
                continue
            numbers = [i for i, raw in enumerate(raws, first) if raw]
            done: list[bytes] = []
            try:
                if numbers:
                    self._slice(batch, numbers, list(filter(None, raws)), done, notes)
            finally:  # also what was done before an interruption
                keep_among_empty(raws, first, done, lines, notes)

    def _slice(
        self,
        batch: Batch,
        numbers: Sequence[int],
        raws: list[bytes],
        lines: list[bytes],
        notes: dict[int, Note],
    ) -> None:
        """`raws` are the lines of `batch` with these numbers."""
        some = self._additions.some(raws)
        if some is None:
            for i in numbers:
                keep(self._program.inline(batch, i), i, lines, notes)
            return
        values: list[Any] = []
        error = self._executor.some(some.records, values)  # of record number len(values)
        self._end(some, values, batch, numbers, lines, notes)
        value = NO_RESULT
        for k in range(len(values), len(numbers)):
            if k > len(values):
                value, error = self._called(some.records[k])
            keep(self._resumed(some, k, value, batch, numbers[k], error), numbers[k], lines, notes)

    def _called(self, record: Record) -> tuple[CallResult, BaseException | None]:
        try:
            return self._executor.inline(record), None
        except StreamprocError as error:
            return None, error
        except BaseException as error:
            return None, users(error)

    def _resumed(
        self,
        some: Slice,
        k: int,
        value: CallResult,
        batch: Batch,
        i: int,
        failure: BaseException | None = None,
    ) -> Outcome:
        """Line i, which is record k, goes on after its call."""
        value = NO_RESULT if value is None else value
        return self._program.resume(value, some.document(k), batch, i, failure)
