"""What a failed record is written as, and the way back to its original line."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from streamproc.codec import splice
from streamproc.codec.decode import decode
from streamproc.codec.document import Document
from streamproc.codec.encode import encode
from streamproc.errors import DecodeError
from streamproc.record import WHITESPACE, Failed
from streamproc.secrets import redact, redact_all

ERROR = "_error"
RAW = ("raw", "raw_base64")
OURS = {"stage", "kind", "message", "attempts", "added", *RAW}  # no detail takes their place


def as_annotated(failed: Failed, raw: bytes | None, document: Document | None) -> bytes:
    """The line for stdout: what the stages added so far, plus `_error`.

    Without a document, `raw` was no record (None: it was too long to keep) and stands
    inside `_error`. `_error.added` names the members that stages added before the
    failure; where they changed others, `_error.raw` keeps the original.
    """
    error = _members(failed)
    if document is None:
        if raw is not None:
            error |= _raw(raw)
        return encode({ERROR: error})
    if document.added is None and raw is not None:
        error |= _raw(raw)
    elif document.added:
        error["added"] = document.added
    return splice.append(document.line, bool(document.given), encode({ERROR: error}))


def as_dead_letter(failed: Failed, raw: bytes | None) -> bytes:
    """The line for the dead-letter file: `_error`, and the original without its newline."""
    return encode({ERROR: _members(failed)} | ({} if raw is None else _raw(raw)))


def original_line(line: bytes, *, keep_sources: bool = False) -> bytes | None:
    """The original behind a dead letter or an annotated line, without newline.

    None if the line has no `_error`. With `keep_sources` a record of which only some
    sources failed keeps `_error.sources`, and what the others added. Raises
    `DecodeError` if the line is no JSON object, or if its original was too long to be
    kept (kind `too_long`).
    """
    fields = decode(line)
    if ERROR not in fields:
        return None
    error = fields[ERROR] if isinstance(fields[ERROR], dict) else {}
    record = line.strip(WHITESPACE)
    if keep_sources and "sources" in error:
        return splice.rewrite(record, {ERROR: {"sources": error["sources"]}})
    # a dead letter has _error first; after a record's own members it is an annotation
    is_letter = next(iter(fields)) == ERROR and not fields.keys().isdisjoint(RAW)
    holder = fields if is_letter else error
    if isinstance(holder.get("raw"), str):
        return str(holder["raw"]).encode("utf-8", "surrogatepass")
    if isinstance(holder.get("raw_base64"), str):
        return b64decode(holder["raw_base64"])
    if (error.get("stage"), error.get("kind")) == ("decode", "too_long"):
        where = f"line {error.get('line')} of {error.get('file')}"
        raise DecodeError("too_long", f"{where} was too long to be kept")
    added = error.get("added")
    return splice.without(record, {ERROR, *(added if isinstance(added, list) else ())})


def _members(failed: Failed) -> dict[str, Any]:
    error: dict[str, Any] = {"stage": failed.stage, "kind": failed.kind, "message": failed.message}
    if failed.attempts:
        error["attempts"] = failed.attempts
    error |= {k: v for k, v in failed.details.items() if k not in OURS}
    if all(isinstance(each, str | int | None) for each in error.values()):
        return {k: redact(v) if isinstance(v, str) else v for k, v in error.items()}
    try:
        plain: dict[str, Any] = redact_all(decode(encode(error)))  # as it will be seen
    except (TypeError, ValueError, RecursionError, DecodeError):  # user code put it there
        plain = {k: v if isinstance(v, int | None) else _text(v) for k, v in error.items()}
    return plain


def _text(value: object) -> str:
    return redact(value if isinstance(value, str) else repr(value))


def _raw(raw: bytes) -> dict[str, str]:
    try:
        return {"raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw_base64": b64encode(raw).decode("ascii")}
