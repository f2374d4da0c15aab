"""What a record that failed, or was not finished, turns into: `--on-error`."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from streamproc.codec.document import Document
from streamproc.codec.failure import as_annotated, as_dead_letter
from streamproc.codec.outline import Outline
from streamproc.errors import DecodeError
from streamproc.record import (
    DEAD_LETTERED,
    DROPPED,
    FAILED,
    UNPROCESSED,
    Batch,
    Failed,
    Note,
    id_of,
)
from streamproc.secrets import redact

Mode = Literal["annotate", "dead-letter", "drop"]
DECODE = "decode"
_SHOWN = 500  # characters of a message
_SHOWN_NAME = 100  # of a kind, which user code chooses


class OnError:
    """Makes notes of failures. `dead_letters`: whether there is a dead-letter file.

    `run_id`: what the ids of records begin with.
    """

    def __init__(self, mode: Mode, dead_letters: bool, run_id: str = "") -> None:
        self.mode = mode
        self.run_id = run_id
        self._dead_letters = dead_letters

    def refuse(
        self, failed: Failed, batch: Batch, i: int, document: Document | Outline | None = None
    ) -> Note:
        """Line i of `batch` failed; `document` is what the stages before had made of it.

        None: it is no record, and `failed` says so or at which stage that was found out.
        """
        malformed = document is None and failed.stage == DECODE
        raw = None if malformed and failed.kind == "too_long" else batch.lines[i]
        if isinstance(document, Document) and document.original is not None:
            raw = document.original
        failed = self._located(failed, batch, i)
        brief = _in_brief(failed)
        if self.mode == "dead-letter":
            letter = as_dead_letter(failed, raw, document)
            return Note(DEAD_LETTERED, dead_letter=letter, malformed=malformed, failed=brief)
        if self.mode == "drop":
            return Note(DROPPED, malformed=malformed, failed=brief)
        line = as_annotated(failed, raw, document)
        return Note(FAILED, line, lines_out=1, malformed=malformed, failed=brief)

    def refuse_unread(self, failed: Failed, batch: Batch, i: int) -> Note:
        """As `refuse`, where nobody has looked whether it is a record."""
        return self.refuse(failed, batch, i, _outline_of(batch.lines[i]))

    def abandon(self, failed: Failed, batch: Batch, i: int, *, to_stdout: bool) -> Note:
        """Line i of `batch` was read and will not be finished."""
        raw = batch.lines[i]
        failed = self._located(failed, batch, i)
        if self._dead_letters:
            return Note(UNPROCESSED, dead_letter=as_dead_letter(failed, raw))
        if self.mode != "annotate" or not to_stdout:
            return Note(UNPROCESSED)
        return Note(UNPROCESSED, as_annotated(failed, raw, _outline_of(raw)), lines_out=1)

    def _located(self, failed: Failed, batch: Batch, i: int) -> Failed:
        cursor = batch.cursor
        where = {"file": cursor.file, "line": cursor.line + i, "id": id_of(self.run_id, cursor, i)}
        return replace(failed, details=failed.details | where)


def _outline_of(line: bytes) -> Outline | None:
    try:
        return Outline.of(line)
    except DecodeError:
        return None


def _in_brief(failed: Failed) -> Failed:
    kind, group = redact(str(failed.kind)[:_SHOWN_NAME]), redact(failed.group[:_SHOWN_NAME])
    return Failed(failed.stage, kind, redact(failed.message[:_SHOWN]), group=group)
