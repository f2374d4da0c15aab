"""The commonest pipeline, one stage that adds members, in as few steps as possible."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from streamproc.codec import (
    QUICK_BYTES,
    Document,
    Unusual,
    decode_quickly,
    encode,
    encode_quickly,
)
from streamproc.engines.executor import UNTIMED
from streamproc.engines.program import Outcome, Program, keep, keep_among_empty
from streamproc.engines.slot import Slot
from streamproc.engines.state import CALLING, RUNNING
from streamproc.engines.users import users
from streamproc.errors import StreamprocError
from streamproc.record import BLANK_NOTE, NO_RESULT, Batch, Note

_SLICE = 64  # records at once: what they decode to stays in the cache
_IS_DISJOINT: Any = type({}.keys()).isdisjoint


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
        self._counts = self._executor.counts
        self._name = stage.into[0] if stage.into is not None else None
        self._key = b",%b:" % encode(self._name)
        self._returns_argument = False

    async def awaited(self, batch: Batch, i: int, slot: Slot) -> Outcome:
        """Finish line i of `batch`; `slot` carries the deadline of the call."""
        program = self._program
        line = batch.lines[i]
        if not line:
            return BLANK_NOTE
        if len(line) > QUICK_BYTES:
            return await program.awaited(batch, i, slot)
        try:
            record = decode_quickly(line)
        except Unusual:
            return await program.awaited(batch, i, slot)
        # byte values: the cheap way to see that there is no white space around the record
        if line[-1] != 0x7D or line[0] != 0x7B or not record or "_error" in record:
            return await program.awaited(batch, i, slot)
        given = record.copy()
        value: Any = NO_RESULT
        failure = None
        slot.document = None  # what a late abandonment needs is in the line
        slot.stage = stage = self._stage
        slot.attempts = 0
        slot.held_s = 0.0
        is_timed = self._is_timed or not slot.attempt & UNTIMED
        try:
            if is_timed:
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
        else:
            tail = self._tail(value, given)
            if tail is not None:
                return line[:-1] + tail
        document = Document.resumed(line, record, given)
        return program.resume(value, document, batch, i, failure, slot.attempts or 1)

    def _tail(self, value: Any, given: dict[str, Any]) -> bytes | None:
        """What takes the place of the closing brace; None if that is not all there is to do."""
        try:
            if self._name is not None:
                if value is NO_RESULT or self._name in given:
                    return None
                tail = b"%b%b}" % (self._key, encode_quickly(value))
            elif type(value) is dict and value and given.keys().isdisjoint(value):
                tail = b"," + encode_quickly(value)[1:]
            else:
                return None
        except TypeError:
            return None
        return None if tail.find(b"null") >= 0 or tail.find(b"_error") >= 0 else tail

    def inline(
        self, batch: Batch, start: int, stop: int, lines: list[bytes], notes: dict[int, Note]
    ) -> None:
        """Finish the lines `start` to `stop`.

        Some records at once: `map` calls C functions without bytecode in between, which is
        half of the time. A slice in which anything is unusual goes record by record.
        """
        for first in range(start, stop, _SLICE):
            last = min(first + _SLICE, stop)
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
        try:
            is_quick = max(map(len, raws)) <= QUICK_BYTES
            records = list(map(decode_quickly, raws)) if is_quick else []
            before = list(map(encode_quickly, records)) if self._returns_argument else []
        except (*Unusual, TypeError):
            records = []
        if not records or _is_odd(raws, records):
            for i in numbers:
                keep(self._program.inline(batch, i), i, lines, notes)
            return
        given = list(map(dict.copy, records))
        values: list[Any] = []
        error = self._executor.some(records, values)  # of record number len(values)
        if error is None and (tails := self._tails(values, records, given, before)):
            lines += [raw[:-1] + tail for raw, tail in zip(raws, tails, strict=True)]
            return
        done = len(values)
        for k, raw in enumerate(raws):
            value = values[k] if k < done else NO_RESULT
            if k > done:
                value, error = self._called(records[k])
            if value is None:
                value = NO_RESULT
            document = Document.resumed(raw, records[k], given[k])
            failure = error if k >= done else None
            outcome = self._program.resume(value, document, batch, numbers[k], failure)
            keep(outcome, numbers[k], lines, notes)

    def _called(self, record: dict[str, Any]) -> tuple[Any, BaseException | None]:
        try:
            return self._executor.inline(record), None
        except StreamprocError as error:
            return None, error
        except BaseException as error:
            return None, users(error)

    def _tails(
        self,
        values: list[Any],
        records: list[dict[str, Any]],
        given: list[dict[str, Any]],
        before: list[bytes],
    ) -> list[bytes] | None:
        """What takes the place of each closing brace; None if that is not all there is to do."""
        try:
            if self._name is not None:
                if None in values or any(map(operator.contains, given, repeat(self._name))):
                    return None
                tails = [b"%b%b}" % (self._key, new) for new in map(encode_quickly, values)]
            elif set(map(type, values)) != {dict} or not all(values):
                return None
            elif all(map(_IS_DISJOINT, map(dict.keys, given), values)):
                tails = [b"," + new[1:] for new in map(encode_quickly, values)]
            else:
                self._returns_argument = all(map(operator.is_, values, records))
                return _grown(before, list(map(encode_quickly, values))) if before else None
        except TypeError:
            return None
        return None if _is_suspect(tails) else tails


def _is_odd(raws: list[bytes], records: list[dict[str, Any]]) -> bool:
    """Whether any line is empty inside, has space around it, or an `_error`."""
    return (
        not all(records)
        or any(map(operator.contains, records, repeat("_error")))
        or raws != list(map(bytes.strip, raws))
    )


def _is_suspect(tails: list[bytes]) -> bool:
    """What NaN is written as, or a reserved key."""
    joined = b"".join(tails)
    return joined.find(b"null") >= 0 or joined.find(b"_error") >= 0


def _grown(before: list[bytes], after: list[bytes]) -> list[bytes] | None:
    """What was added to records that a function changed and returned.

    If a record, written before and after the call, begins the same, then it only got new
    members: that covers everything that may have been changed in place.
    """
    tails = []
    for old, new in zip(before, after, strict=True):
        end = len(old) - 1
        if new[:end] != old[:end] or new[end] not in b",}":
            return None
        tails.append(new[end:])
    return None if _is_suspect(tails) else tails
