"""What a failed record is written as, and the way back to its original line."""

from __future__ import annotations

from typing import Any

from streamproc.codec import splice
from streamproc.codec.decode import decode_any
from streamproc.codec.document import Document
from streamproc.codec.encode import encode
from streamproc.codec.outline import Outline, has_members
from streamproc.codec.raw import RAW, as_member, from_members
from streamproc.errors import DecodeError, RecordError
from streamproc.record import Failed
from streamproc.secrets import redact, redact_all
from streamproc.types import JsonObject, JsonValue

ERROR = "_error"
RECORD = "record"
OURS = {"stage", "kind", "message", "attempts", "added", *RAW}  # no detail takes their place


def as_annotated(failed: Failed, raw: bytes | None, document: Document | Outline | None) -> bytes:
    """The line for stdout: what the stages added so far, plus `_error`.

    Without a document, `raw` was no record (None: it was too long to keep) and stands
    inside `_error`. `_error.added` names the members that stages added before the
    failure; where they changed others, or there was an `_error`, `_error.raw` keeps the
    original.
    """
    error = _members(failed)
    if document is None:
        if raw is not None:
            error |= as_member(raw)
        return encode({ERROR: error})
    line = document.line
    if document.has_error:
        line = splice.without(line, {ERROR})
    if (document.has_error or document.added is None) and raw is not None:
        error |= as_member(raw)
    elif document.added:
        error["added"] = document.added
    return splice.append(line, has_members(line), encode({ERROR: error}))


def as_dead_letter(
    failed: Failed, raw: bytes | None, document: Document | Outline | None = None
) -> bytes:
    """The line for the dead-letter file: `_error`, and the original without its newline.

    Of a record of which only some sources failed also what it was by then, as `record`.
    """
    error = _members(failed)
    letter = {ERROR: error} | ({} if raw is None else as_member(raw))
    if isinstance(document, Document) and not document.replaced and _sources(failed.details):
        if document.added:
            error["added"] = document.added
        record = document.line.replace(b"\n", b" ")  # messages have newlines between tokens
        return splice.append(encode(letter), True, b'{"%b":%b}' % (RECORD.encode(), record))
    return encode(letter)


def original_line(line: bytes, *, keep_sources: bool = False) -> bytes | None:
    """The original behind a dead letter or an annotated line, without newline.

    None if the line has no `_error`. With `keep_sources` a record of which only some
    sources failed keeps what the others added, and has an `_error` that says which, for
    `--incoming-errors redo`. Raises `DecodeError` if the line is no JSON object or is
    damaged, or if its original was too long to be kept (kind `too_long`).
    """
    outline = Outline.of(line)
    if not outline.has_error:
        return None
    found = splice.values(outline.line)
    error = _decoded(found[ERROR], ERROR)
    if not isinstance(error, dict):
        error = {}
    # a dead letter has _error first; after a record's own members it is an annotation
    is_letter = next(iter(found)) == ERROR and not found.keys().isdisjoint(RAW)
    holder = error
    if is_letter:
        holder = {name: _decoded(found[name], name) for name in RAW if name in found}
    if keep_sources and (sources := _sources(error)) and (not is_letter or RECORD in found):
        record = Outline.of(found[RECORD]).line if is_letter else b""
        mark = {"stage": error.get("stage"), "sources": sources}
        # what is to be taken off when it fails again; or, if that is not all, the original
        if error.get("added"):
            mark["added"] = error["added"]
        elif from_members(holder) not in (None, record):
            mark |= {name: holder[name] for name in RAW if name in holder}
        if is_letter:
            return splice.append(record, has_members(record), encode({ERROR: mark}))
        return splice.rewrite(outline.line, {ERROR: encode(mark)})
    if (original := from_members(holder)) is not None:
        return original
    if is_letter:
        raise DecodeError("malformed", "the original in it is damaged")
    if len(found) == 1 and (error.get("stage"), error.get("kind")) == ("decode", "too_long"):
        number, file = error.get("line"), error.get("file")  # a message has neither
        where = "the original" if number is None else f"line {number} of {file}"
        raise DecodeError("too_long", f"{where} was too long to be kept")
    added = error.get("added")
    names = added if isinstance(added, list) else []
    if not all(isinstance(name, str) for name in names):
        raise DecodeError("malformed", "_error.added is damaged")
    return splice.without(outline.line, {ERROR, *names})


def one_line(original: bytes) -> bytes:
    """`original` as one line: a message may hold a record that was written over several.

    Raises `DecodeError` if it has newlines and is no record.
    """
    if b"\n" not in original:
        return original
    try:
        Outline.of(original)
    except DecodeError as error:
        raise DecodeError("malformed", f"the original has newlines: {error.message}") from None
    return original.replace(b"\n", b" ")  # in a string there is none


def _sources(error: JsonObject) -> JsonObject | None:
    """Those that failed, by name, if it was some of several."""
    sources = error.get("sources")
    if not isinstance(sources, dict) or not all(
        isinstance(each, dict) and "kind" in each for each in sources.values()
    ):
        return None
    return sources


def _decoded(value: bytes, name: str) -> JsonValue:
    try:
        return decode_any(value)
    except RecordError as error:
        raise DecodeError("malformed", f"{name}: {error.message}") from None


def _members(failed: Failed) -> JsonObject:
    error: dict[str, Any] = {"stage": failed.stage, "kind": failed.kind, "message": failed.message}
    if failed.attempts:
        error["attempts"] = failed.attempts
    error |= {k: v for k, v in failed.details.items() if k not in OURS}
    if all(isinstance(each, str | int | None) for each in error.values()):
        return {k: redact(v) if isinstance(v, str) else v for k, v in error.items()}
    try:
        plain: dict[str, Any] = redact_all(decode_any(encode(error)))  # as it will be seen
    except (TypeError, ValueError, RecursionError, RecordError):  # user code put it there
        plain = {k: v if isinstance(v, int | None) else _text(v) for k, v in error.items()}
    return plain


def _text(value: object) -> str:
    try:
        return redact(value if isinstance(value, str) else repr(value))
    except Exception:  # it is user code's, or too deep
        return type(value).__name__
