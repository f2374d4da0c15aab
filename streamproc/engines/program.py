"""What happens to one record: decode, each stage's call, splice.

`inline` and `awaited` are the same walk, once without and once with `await`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

from streamproc.codec import Document, OnError, Outline
from streamproc.engines.address_space import room_bytes
from streamproc.engines.executor import Executor
from streamproc.engines.long_records import LongRecords
from streamproc.engines.results import apply
from streamproc.engines.slot import Slot
from streamproc.engines.users import failed_of, users
from streamproc.errors import (
    DecodeError,
    RecordError,
    SourcesError,
    StreamprocError,
    UnreadableError,
)
from streamproc.interfaces import Stage
from streamproc.record import (
    BLANK_NOTE,
    FAILED,
    FILTERED,
    FILTERED_NOTE,
    NO_RESULT,
    OK,
    WHITESPACE,
    Batch,
    Failed,
    Note,
    id_of,
)
from streamproc.threads import LONG_BYTES
from streamproc.types import CallResult

log = logging.getLogger("streamproc")

Outcome = bytes | Note
"""A line for stdout, without newline, or a note when there is more to say."""


class Program:
    """The stages of a pipeline, compiled.

    `incoming_errors` is what becomes of a record that comes in with an `_error`: it passes
    untouched ("pass"); is one like any other ("process"); or, if `replay --failed-only`
    says that some sources of it failed, those are asked again ("redo").
    """

    def __init__(
        self, stages: Sequence[Stage], on_error: OnError, incoming_errors: str = "pass"
    ) -> None:
        self.stages = tuple(stages)
        self.on_error = on_error
        self.long_records = LongRecords(room_bytes())
        self._incoming_errors = incoming_errors
        self.is_inline = all(stage.enricher.mode == "inline" for stage in stages)
        self._steps: list[tuple[Stage, Executor]] = []

    def bind(self) -> None:
        """Look the calls up, once the enrichers are entered."""
        self._steps = [(stage, Executor(stage)) for stage in self.stages]

    @property
    def only_executor(self) -> Executor:
        """Of a program with one stage, that is bound."""
        ((_, executor),) = self._steps
        return executor

    def inline(self, batch: Batch, i: int) -> Outcome:
        """Finish line i of `batch`; only if `is_inline`."""
        document = self._open(batch, i)
        if not isinstance(document, Document):
            return document
        return self._inline_from(0, document, batch, i)

    def resume(
        self,
        value: CallResult,
        document: Document,
        batch: Batch,
        i: int,
        error: BaseException | None,
        attempts: int = 1,
    ) -> Outcome:
        """Go on after the only stage's call returned `value` (or NO_RESULT), or raised `error`."""
        stage = self.stages[0]
        if isinstance(error, StreamprocError):
            raise error
        if error is not None:
            return self._failed(stage, error, document, batch, i, attempts)
        try:
            made = apply(stage, document, value)
        except BaseException as raised:
            return self._failed(stage, users(raised), document, batch, i, attempts)
        return document.line if made is None else _combined([each.line for each in made])

    def _inline_from(self, first: int, document: Document, batch: Batch, i: int) -> Outcome:
        for k in range(first, len(self._steps)):
            stage, executor = self._steps[k]
            try:
                if stage.when is not None and not stage.when(document.fields):
                    continue
                counts = executor.counts
                if counts.ahead:  # as `Executor.inline`, without its frame
                    counts.ahead -= 1
                    try:
                        value = executor.call(document.fields)
                    except BaseException:
                        counts.failed_calls += 1
                        raise
                    value = NO_RESULT if value is None else value
                else:
                    value = executor.timed(document.fields)
                made = apply(stage, document, value)
            except BaseException as error:
                return self._failed(stage, users(error), document, batch, i)
            if made is not None:
                outcomes = [self._inline_from(k + 1, each, batch, i) for each in made]
                return _combined(outcomes)
        return document.line

    async def awaited(self, batch: Batch, i: int, slot: Slot) -> Outcome:
        """Finish line i of `batch`; `slot` carries the deadline of each call.

        Of a long record only the calls are made in the loop's own thread.
        """
        if len(batch.lines[i]) > LONG_BYTES:
            document = await self.long_records.aside(batch.lines[i], self._open, batch, i)
        else:
            document = self._open(batch, i)
        if not isinstance(document, Document):
            return document
        first, slot.only = 0, None
        if self._incoming_errors == "redo" and document.has_error:
            first, slot.only = self._rest_of(document)
        return await self._awaited_from(first, document, batch, i, slot)

    async def _awaited_from(
        self, first: int, document: Document, batch: Batch, i: int, slot: Slot
    ) -> Outcome:
        for k in range(first, len(self._steps)):
            stage, executor = self._steps[k]
            slot.attempts = 1  # not those of another stage, or of another record
            if k > first:
                slot.only = None  # of the stage that the record goes on at
            try:
                if stage.when is not None and not stage.when(document.fields):
                    continue
                if executor.mode != "layered" and not slot.may_start:
                    await slot.enter()
                if executor.mode == "inline":
                    value = executor.inline(document.fields)
                else:
                    slot.arrive(stage, document)
                    begun_s = 0.0 if stage.times is None else perf_counter()
                    try:
                        value = await executor.awaited(document.fields, slot)
                    finally:
                        if stage.times is not None:
                            stage.times.passed(begun_s, slot)
                if len(line := document.line) > LONG_BYTES or slot.share.is_long:
                    made = await self.long_records.aside(line, apply, stage, document, value)
                else:
                    made = apply(stage, document, value)
            except BaseException as error:
                failure = slot.end_failed(users(error, awaited=True))
                failed = stage, failure, document, batch, i, slot.attempts
                if len(line := document.line) > LONG_BYTES or slot.share.is_long:
                    return await self.long_records.aside(line, self._failed, *failed)
                return self._failed(*failed)
            if made is not None:
                outcomes = [await self._awaited_from(k + 1, each, batch, i, slot) for each in made]
                return _combined(outcomes)
        return document.line

    def _rest_of(self, document: Document) -> tuple[int, frozenset[str]]:
        """Where a record goes on of which only some sources failed, and what they are."""
        k, failed = self._redone(document) or (0, frozenset())
        document.begin_again()
        return k, failed

    def _redone(self, document: Document) -> tuple[int, frozenset[str]] | None:
        if (found := document.failed_sources) is not None:
            name, failed = found
            for k, stage in enumerate(self.stages):
                if stage.name == name and failed <= stage.sources:
                    return k, failed
        return None

    def _open(self, batch: Batch, i: int) -> Document | Outcome:
        line = batch.lines[i]
        if not line:
            return BLANK_NOTE
        try:
            document = self._opened(line)
        except UnreadableError as error:
            return self._unreadable(error, batch, i)
        except DecodeError as error:
            return self._malformed(error, batch, i)
        if document.has_error and self._passes(document):
            return Note(OK, document.line, lines_out=1, had_error=True)
        return document if type(document) is Document else document.line

    def _opened(self, line: bytes) -> Document | Outline:
        if len(line) <= LONG_BYTES:
            return Document(line) if self.stages else Outline.of(line)
        return self.long_records.document(line) if self.stages else self.long_records.outline(line)

    def _passes(self, document: Document | Outline) -> bool:
        if self._incoming_errors == "redo":
            return type(document) is not Document or self._redone(document) is None
        return self._incoming_errors == "pass"

    def _unreadable(self, error: UnreadableError, batch: Batch, i: int) -> Outcome:
        """A record that no stage can be given."""
        try:
            outline = Outline.of(batch.lines[i])
        except DecodeError as refusal:
            return self._malformed(refusal, batch, i)
        if outline.has_error and self._passes(outline):
            return Note(OK, outline.line, lines_out=1, had_error=True)
        failed = Failed(self.stages[0].name, error.kind, error.message, 0)
        return self.on_error.refuse(failed, batch, i, outline)

    def _malformed(self, error: DecodeError, batch: Batch, i: int) -> Note:
        if not batch.lines[i].strip(WHITESPACE):
            return BLANK_NOTE
        failed = Failed("decode", error.kind, error.message, 0)
        return self.on_error.refuse(failed, batch, i)

    def _failed(
        self,
        stage: Stage,
        error: BaseException,
        document: Document,
        batch: Batch,
        i: int,
        attempts: int = 1,
    ) -> Note:
        if isinstance(error, SourcesError):
            apply(stage, document, error.kept)
        elif not isinstance(error, RecordError):
            record_id = id_of(self.on_error.run_id, batch.cursor, i)
            log.debug("%s: stage %s failed", record_id, stage.name, exc_info=error)
        failed = failed_of(error, stage.name, attempts)
        return self.on_error.refuse(failed, batch, i, document)


def _combined(outcomes: list[Outcome]) -> Outcome:
    """One outcome for a record that was fanned out."""
    if len(outcomes) == 1:
        return outcomes[0]
    notes = [each for each in outcomes if type(each) is Note]
    failed = [each for each in notes if each.status not in (OK, FILTERED)]
    if failed and failed[0].status != FAILED:
        return failed[0]  # dead-lettered or dropped: then none of its lines is written
    lines = [each if isinstance(each, bytes) else each.line for each in outcomes]
    lines = [line for line in lines if line]
    if not lines:
        return FILTERED_NOTE
    return Note(
        FAILED if failed else OK,
        b"\n".join(lines),
        lines_out=sum(line.count(b"\n") + 1 for line in lines),
        failed=failed[0].failed if failed else None,
    )


def keep(outcome: Outcome, i: int, lines: list[bytes], notes: dict[int, Note]) -> None:
    """Put the outcome of line i where it belongs."""
    if isinstance(outcome, Note):
        notes[i] = outcome
        outcome = outcome.line
    lines.append(outcome)


def keep_among_empty(
    raws: list[bytes], first: int, done: list[bytes], lines: list[bytes], notes: dict[int, Note]
) -> None:
    """The same for `raws`, from line `first` on: `done` is what those turned into that are
    not empty, as far as work on them got.
    """
    rest = iter(done)
    for i, raw in enumerate(raws, first):
        if not raw:
            notes[i] = BLANK_NOTE
            lines.append(raw)
        elif (line := next(rest, None)) is not None:
            lines.append(line)
        else:
            return
