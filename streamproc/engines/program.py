"""What happens to one record: decode, each stage's call, splice.

`inline` and `awaited` are the same walk, once without and once with `await`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streamproc.codec import Document, OnError
from streamproc.engines.slot import Slot
from streamproc.errors import (
    DecodeError,
    Interrupted,
    RecordError,
    SourcesError,
    StreamprocError,
    Unfinished,
    described,
)
from streamproc.interfaces import Stage
from streamproc.record import (
    BLANK_NOTE,
    FAILED,
    FILTERED,
    FILTERED_NOTE,
    NOTHING,
    OK,
    WHITESPACE,
    Batch,
    Failed,
    Note,
    Several,
)

log = logging.getLogger("streamproc")

Outcome = bytes | Note
"""A line for stdout, without newline, or a note when there is more to say."""


class Program:
    """The stages of a pipeline, compiled."""

    def __init__(self, stages: Sequence[Stage], on_error: OnError) -> None:
        self.stages = tuple(stages)
        self.on_error = on_error
        self.is_inline = all(stage.enricher.mode == "inline" for stage in stages)
        self._asks_sources = any(stage.sources for stage in stages)
        self._steps: list[tuple[Stage, Callable[..., Any], str]] = []

    def bind(self) -> None:
        """Look the calls up, once the enrichers are entered."""
        self._steps = [(s, s.enricher.call, s.enricher.mode) for s in self.stages]

    def inline(self, batch: Batch, i: int) -> Outcome:
        """Finish line i of `batch`; only if `is_inline`."""
        document = self._open(batch, i)
        if type(document) is not Document:
            return document  # type: ignore[return-value]
        return self._inline_from(0, document, batch, i)

    def resume(
        self,
        value: Any,
        document: Document,
        batch: Batch,
        i: int,
        error: BaseException | None,
        attempts: int = 1,
    ) -> Outcome:
        """Go on after the only stage's call returned `value` (or NOTHING), or raised `error`."""
        stage = self.stages[0]
        if isinstance(error, StreamprocError):
            raise error
        if error is not None:
            return self._failed(stage, error, document, batch, i, attempts)
        try:
            made = _apply(stage, document, value)
        except StreamprocError:
            raise
        except (Exception, SystemExit) as raised:
            return self._failed(stage, raised, document, batch, i, attempts)
        return document.line if made is None else _combined([each.line for each in made])

    def _inline_from(self, first: int, document: Document, batch: Batch, i: int) -> Outcome:
        for k in range(first, len(self._steps)):
            stage, call, _ = self._steps[k]
            try:
                if stage.when is not None and not stage.when(document.fields):
                    continue
                value = call(document.fields)
                made = _apply(stage, document, NOTHING if value is None else value)
            except StreamprocError:
                raise
            except (Exception, SystemExit) as error:
                return self._failed(stage, error, document, batch, i)
            if made is not None:
                outcomes = [self._inline_from(k + 1, each, batch, i) for each in made]
                return _combined(outcomes)
        return document.line

    async def awaited(self, batch: Batch, i: int, slot: Slot) -> Outcome:
        """Finish line i of `batch`; `slot` carries the deadline of each call."""
        document = self._open(batch, i)
        if type(document) is not Document:
            return document  # type: ignore[return-value]
        first = 0
        slot.only = None
        if self._asks_sources and document.is_partial:
            first, slot.only = self._rest_of(document)
        return await self._awaited_from(first, document, batch, i, slot)

    async def _awaited_from(
        self, first: int, document: Document, batch: Batch, i: int, slot: Slot
    ) -> Outcome:
        for k in range(first, len(self._steps)):
            stage, call, mode = self._steps[k]
            slot.attempts = 1  # not those of another stage, or of another record
            try:
                if stage.when is not None and not stage.when(document.fields):
                    continue
                if mode == "layered":
                    slot.arrive(stage, document)
                    value = await call(document.fields, slot)
                else:
                    if mode == "awaited" and not slot.may_start:
                        await slot.enter()
                    value = call(document.fields)
                    if mode == "awaited":
                        slot.arrive(stage, document)
                        slot.begin(stage)
                        value = await value
                        slot.end()
                    value = NOTHING if value is None else value
                made = _apply(stage, document, value)
            except (Interrupted, StreamprocError, Unfinished):
                raise
            except BaseException as error:
                failure = slot.end_failed(error)
                return self._failed(stage, failure, document, batch, i, slot.attempts)
            if made is not None:
                outcomes = [await self._awaited_from(k + 1, each, batch, i, slot) for each in made]
                return _combined(outcomes)
        return document.line

    def _rest_of(self, document: Document) -> tuple[int, frozenset[str] | None]:
        """Where a record goes on of which only some sources failed, and what they are."""
        failed = frozenset(document.take_sources())
        for k, (stage, _, _) in enumerate(self._steps):
            if failed <= stage.sources:
                return k, failed
        return 0, None

    def _open(self, batch: Batch, i: int) -> Document | Note:
        line = batch.lines[i]
        try:
            document = Document(line)
        except DecodeError as error:
            if not line.strip(WHITESPACE):
                return BLANK_NOTE
            failed = Failed("decode", error.kind, error.message, 0)
            return self.on_error.refuse(failed, batch, i)
        if "_error" in document.fields and not (self._asks_sources and document.is_partial):
            return Note(OK, document.line, lines_out=1, had_error=True)
        return document

    def _failed(
        self,
        stage: Stage,
        error: BaseException,
        document: Document,
        batch: Batch,
        i: int,
        attempts: int = 1,
    ) -> Note:
        if isinstance(error, RecordError):
            if isinstance(error, SourcesError):
                _apply(stage, document, error.kept)
            failed = Failed(stage.name, error.kind, error.message, attempts, error.details)
        else:
            failed = Failed(stage.name, "exception", described(error), attempts)
            log.debug("stage %s failed", stage.name, exc_info=error)
        return self.on_error.refuse(failed, batch, i, document)


def _apply(stage: Stage, document: Document, value: Any) -> Iterable[Document] | None:
    """Put `value` where the stage's result goes; returns what the record was replaced by."""
    if stage.replaces:
        if isinstance(value, list):
            return [document.replace(_expect_dict(stage, each)) for each in value]
        return () if value is NOTHING else (document.replace(_expect_dict(stage, value)),)
    if type(value) is Several:
        for into, part in value.parts:
            _put(stage, document, into, part)
    else:
        _put(stage, document, stage.into, value)
    return None


def _put(stage: Stage, document: Document, into: tuple[str, ...] | None, value: Any) -> None:
    if value is NOTHING:
        return
    if into is not None:
        document.put(into, value)
    elif value is not None:
        document.merge(_expect_dict(stage, value))


def _expect_dict(stage: Stage, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        if "_error" in value and not stage.replaces:
            raise RecordError("exception", "returned the key _error, which is reserved")
        return value
    kind = type(value).__name__
    hint = (
        ""
        if stage.replaces
        else f"; to keep any JSON value give the stage a name: NAME={stage.name}"
    )
    raise RecordError("exception", f"returned {kind}, expected a dict or None{hint}")


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
    )


def keep(outcome: Outcome, i: int, lines: list[bytes], notes: dict[int, Note]) -> None:
    """Put the outcome of line i where it belongs."""
    if isinstance(outcome, Note):
        notes[i] = outcome
        outcome = outcome.line
    lines.append(outcome)
