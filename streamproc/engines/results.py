"""What the result of a stage does to its record: it goes in, or takes its place."""

from __future__ import annotations

from collections.abc import Iterable

from streamproc.codec import Document
from streamproc.errors import RecordError
from streamproc.interfaces import Stage
from streamproc.paths import Path
from streamproc.record import NO_RESULT, FanOutResult
from streamproc.types import CallResult, Record


def apply(stage: Stage, document: Document, value: CallResult) -> Iterable[Document] | None:
    """Put `value` where the stage's result goes; returns what the record was replaced by."""
    if stage.replaces:
        if isinstance(value, list):
            return [document.replace(_expect_dict(stage, each)) for each in value]
        return () if value is NO_RESULT else (document.replace(_expect_dict(stage, value)),)
    if type(value) is FanOutResult:
        for into, part in value.parts:
            _put(stage, document, into, part)
    else:
        _put(stage, document, stage.into, value)
    return None


def _put(stage: Stage, document: Document, into: Path | None, value: CallResult) -> None:
    if value is NO_RESULT:
        return
    if into is not None:
        document.put(into, value)
    elif value is not None:
        document.merge(_expect_dict(stage, value, document))


def _expect_dict(stage: Stage, value: CallResult, document: Document | None = None) -> Record:
    if isinstance(value, dict):
        if "_error" in value and document is not None and not document.had_already(value):
            raise RecordError("exception", "returned the key _error, which is reserved")
        return value
    expected = (
        "a dict that becomes the record, a list of them, or None"
        if stage.replaces
        else "a dict or None; to keep any JSON value give the stage a name, NAME=SPEC"
    )
    raise RecordError("exception", f"returned {type(value).__name__}, expected {expected}")
